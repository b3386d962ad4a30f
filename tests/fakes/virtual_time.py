"""An event loop whose time passes only when there is nothing left to do.

Timers then fire in the order of their times and at once, so a test of hours takes as long as its
work. Everything that sleeps through asyncio takes part: `asyncio.sleep`, `asyncio.timeout`,
`call_later`, and `VirtualClock`, which is the same time as a `ports.Clock`. What is given to a
thread of the loop (`asyncio.to_thread`) is done at once instead. Sockets, other threads and
subprocesses do not take part: use none under this loop.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio's loop, but `time` jumps to the next timer."""

    def __init__(self) -> None:
        """Start at zero."""
        self._virtual_s = 0.0
        super().__init__()

    def time(self) -> float:
        """Return the virtual seconds."""
        return self._virtual_s

    def run_in_executor(
        self, executor: Any, func: Callable[..., Result], *args: Any
    ) -> asyncio.Future[Result]:
        """Do it now: while a thread worked, time would run away."""
        del executor
        done: asyncio.Future[Result] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as exc:  # noqa: BLE001  whoever awaits it gets it
            done.set_exception(exc)
        return done

    def _run_once(self) -> None:
        # A cancelled timer is no time to jump to: the rest of the way would pass in real time.
        while self._scheduled and self._scheduled[0]._cancelled:
            self._timer_cancelled_count -= 1
            heapq.heappop(self._scheduled)._scheduled = False
        if not self._ready and self._scheduled:
            self._virtual_s = max(self._virtual_s, self._scheduled[0]._when)
        super()._run_once()


class VirtualClock:
    """The running loop's time; satisfies `ports.Clock`."""

    def now_ms(self) -> int:
        """Return the loop's milliseconds, rounded so that a sleep of n lasts n."""
        return round(asyncio.get_running_loop().time() * 1000)

    async def sleep_ms(self, duration_ms: int) -> None:
        """Sleep on the loop."""
        await asyncio.sleep(duration_ms / 1000)


async def pass_s(duration_s: float) -> None:
    """Let virtual time pass."""
    await asyncio.sleep(duration_s)


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run `work` in virtual time from zero."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
