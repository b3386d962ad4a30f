"""How long somebody was kept from running, seen by whoever only wants to wake up.

Two are asked. `Machine` watches the processors, with a thread on each: one of them may be taken
away, by a hypervisor for instance, while the others go on, and then what runs there stands still
alone. `watch_loop` watches the event loop of an agent, and says how much of its delay its own
thread was computing: what was late and did not compute was not let run, or waited for the kernel.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread
from typing import Final

from bzzz_core.ports import Clock

TICK_MS: Final = 20
WINDOW_MS: Final = 1_000
COUNTED_MS: Final = 10
"""What any machine is late by does not count."""
NOTABLE_MS: Final = 100
"""Half a heartbeat."""


class Pauses:
    """What was lost so far; may be told by several threads."""

    def __init__(self) -> None:
        """Know of none."""
        self.lost_ms_max = 0
        """The most that all who watch together lost within `WINDOW_MS`."""
        self._recent: deque[tuple[int, int]] = deque()
        self._noting = Lock()

    def note(self, now_ms: int, late_ms: int) -> None:
        """Take the delay of one awakening."""
        if late_ms < COUNTED_MS:
            return
        with self._noting:
            self._recent.append((now_ms, late_ms))
            while self._recent[0][0] <= now_ms - WINDOW_MS:
                self._recent.popleft()
            self.lost_ms_max = max(self.lost_ms_max, sum(late for _, late in self._recent))


@contextmanager
def machine_watched() -> Iterator[Pauses]:
    """Watch every processor that this process may use while the block lasts."""
    pauses = Pauses()
    over = Event()
    watchers = [
        Thread(target=_watch, args=(processor, pauses, over), name=f"watch-{processor}")
        for processor in sorted(os.sched_getaffinity(0))
    ]
    for watcher in watchers:
        watcher.start()
    try:
        yield pauses
    finally:
        over.set()
        for watcher in watchers:
            watcher.join()


def _watch(processor: int, pauses: Pauses, over: Event) -> None:
    os.sched_setaffinity(0, {processor})  # Of this thread alone.
    while not over.is_set():
        asleep_ns = time.monotonic_ns()
        time.sleep(TICK_MS / 1000)
        woke_ns = time.monotonic_ns()
        late_ms = (woke_ns - asleep_ns) // 1_000_000 - TICK_MS
        pauses.note(woke_ns // 1_000_000, late_ms)


async def watch_loop(
    clock: Clock, cpu_ns: Callable[[], int], tell: Callable[[int, int], None]
) -> None:
    """Tell (late, computed) in milliseconds whenever the loop was late for `NOTABLE_MS`.

    Args:
        clock: Drives the loop.
        cpu_ns: Returns the processor time of the loop's thread so far.
        tell: Must not block.
    """
    while True:
        due_ms = clock.now_ms() + TICK_MS
        before_ns = cpu_ns()
        await clock.sleep_ms(TICK_MS)
        late_ms = clock.now_ms() - due_ms
        if late_ms >= NOTABLE_MS:
            tell(late_ms, (cpu_ns() - before_ns) // 1_000_000)
