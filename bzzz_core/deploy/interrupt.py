"""Ctrl-C while hosts are changed: once is an order, twice cuts off, three times ends at once.

Cut off means that this side lets go: what runs on a host as a unit goes on there to its own end,
and the next run waits for it. SIGTERM counts like Ctrl-C, here and wherever nothing is changed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from bzzz_core.deploy.exits import EXIT_INTERRUPTED
from bzzz_core.deploy.steering import Steering, Stop

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible(
    steering: Steering, say: Callable[[str], None], last: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Turn signals into orders for the block; the running task is what the second one cancels.

    Args:
        steering: Takes the order.
        say: Tells the person what a signal did.
        last: Called before the third one ends the process.

    Raises:
        KeyboardInterrupt: The second one came; the task has been unwound up to here.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None, "signals are for a task"
    count = 0

    def come() -> None:
        nonlocal count
        count += 1
        if count == 1 and not steering.stopping:
            steering.take(Stop())
            say("stopping: what was begun is finished first; once more cuts it off")
        elif count <= 2:  # noqa: PLR2004  the second, or one after an order to stop
            count = 2
            say("cut off; run the same command again to continue")
            task.cancel()
        else:
            last()
            os._exit(EXIT_INTERRUPTED)

    former = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        loop.add_signal_handler(number, come)
    try:
        yield
    except asyncio.CancelledError as exc:
        if count < 2:  # noqa: PLR2004  somebody else ends the task
            raise
        raise KeyboardInterrupt from exc
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, former[number])  # the loop leaves the system's behind


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM do in the block what Ctrl-C does, whoever listens to that at the time."""

    def end(number: int, frame: FrameType | None) -> None:
        listening = signal.getsignal(signal.SIGINT)
        if callable(listening):
            listening(number, frame)
        else:  # a shell may have it ignored
            raise KeyboardInterrupt

    with _answered((signal.SIGTERM,), end):
        yield


@contextmanager
def unheard() -> Iterator[None]:
    """Let no signal disturb the block, which is short."""
    with _answered(SIGNALS, signal.SIG_IGN):
        yield


@contextmanager
def _answered(
    numbers: tuple[signal.Signals, ...],
    answer: Callable[[int, FrameType | None], None] | signal.Handlers,
) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread hears signals
        return
    former = {number: signal.signal(number, answer) for number in numbers}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
