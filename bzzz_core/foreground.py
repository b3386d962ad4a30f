"""A service as a process: it works until a signal ends it, and never without its asserts.

SIGTERM and SIGINT ask for an orderly end, SIGQUIT for a fast one. A second signal makes the end
fast, a third ends the process where it stands. The handlers are Python's own, not the event loop's:
they count even while the loop is kept busy.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from functools import partial
from types import FrameType
from typing import Any, Final

from bzzz_core.errors import ConfigError, plainly
from bzzz_core.shutdown.last_resort import LastResort
from bzzz_core.shutdown.plan import ORDER, Urgency, budget_ms, raised
from bzzz_core.shutdown.request import StopRequest

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
_SLACK_MS: Final = 2_000
"""For the event loop and the interpreter, after the last component."""
_SIGNALLED: Final = 128

Work = Callable[[StopRequest], Coroutine[Any, Any, None]]


def run_until_signal(work: Work) -> None:
    """Run `work` in an event loop of its own, with a request that signals make.

    Raises:
        BzzzError: The first expected failure inside `work`.
    """
    if not __debug__:  # Programmer errors are asserts; without them a bug would go on silently.
        raise ConfigError("the agent does not run under python -O: its asserts must hold")
    last_resort = LastResort()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        asyncio.run(_until_signal(work, last_resort))
    finally:
        last_resort.disarm()
        for number, handler in before.items():
            signal.signal(number, handler)


async def _until_signal(work: Work, last_resort: LastResort) -> None:
    stop = StopRequest()
    loop = asyncio.get_running_loop()
    seen: list[Urgency] = []

    def on_signal(number: int, _frame: FrameType | None) -> None:
        quick = number == signal.SIGQUIT
        before = max((*seen, *([] if stop.urgency is None else [stop.urgency])), default=None)
        seen.append(raised(before, quick=quick))
        if seen[-1] is Urgency.AT_ONCE:
            os._exit(_SIGNALLED + number)
        name = signal.Signals(number).name
        loop.call_soon_threadsafe(partial(stop.ask, name, urgency=seen[-1]))

    def on_urgency(urgency: Urgency) -> None:
        hurried = urgency >= Urgency.FAST
        last_resort.arm(budget_ms(ORDER, hurried=hurried) + _SLACK_MS)

    stop.watch(on_urgency)
    for number in SIGNALS:
        signal.signal(number, on_signal)
    with plainly():
        try:
            await work(stop)
        finally:
            last_resort.arm(_SLACK_MS)  # asyncio cancels what is left and waits for it.
