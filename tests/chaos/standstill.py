"""How long somebody was kept from running, seen by whoever only wants to wake up.

`processors_watched` has a thread on each processor, which wakes up before anything else may run
there: when it is late, the processor itself was away, taken by a hypervisor for instance. (Without
the right to that rank it is late for other work, too.) `watch_loop` watches the event loop of an
agent, and says how much of a delay its own thread was computing.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Event, Lock
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
        """The most that one processor was away within `WINDOW_MS`."""
        self._recent: defaultdict[int, deque[tuple[int, int]]] = defaultdict(deque)
        self._noting = Lock()

    def note(self, processor: int, now_ms: int, late_ms: int) -> None:
        """Take the delay of one awakening."""
        if late_ms < COUNTED_MS:
            return
        with self._noting:
            recent = self._recent[processor]
            recent.append((now_ms, late_ms))
            while recent[0][0] <= now_ms - WINDOW_MS:
                recent.popleft()
            self.lost_ms_max = max(self.lost_ms_max, sum(late for _, late in recent))


@contextmanager
def processors_watched(
    sleep: Callable[[float], None] = time.sleep, now_ns: Callable[[], int] = time.monotonic_ns
) -> Iterator[Pauses]:
    """Watch every processor that this process may use while the block lasts."""
    pauses = Pauses()
    over = Event()
    with ThreadPoolExecutor(thread_name_prefix="watch") as threads:
        processors = sorted(os.sched_getaffinity(0))
        watches = [
            threads.submit(_watch, number, pauses, over, sleep, now_ns) for number in processors
        ]
        try:
            yield pauses
        finally:
            over.set()
    for watch in watches:
        watch.result()


def _watch(
    processor: int,
    pauses: Pauses,
    over: Event,
    sleep: Callable[[float], None],
    now_ns: Callable[[], int],
) -> None:
    os.sched_setaffinity(0, {processor})  # Of this thread alone, like the next.
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    while not over.is_set():
        asleep_ns = now_ns()
        sleep(TICK_MS / 1000)
        woke_ns = now_ns()
        late_ms = (woke_ns - asleep_ns) // 1_000_000 - TICK_MS
        pauses.note(processor, woke_ns // 1_000_000, late_ms)


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
