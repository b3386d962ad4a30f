"""One timer that rings when it is due, and earlier if somebody needs it earlier."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bzzz_core.ports import Clock


class Alarm:
    """Rings once for each time it was set; how late it ever rang tells how blocked the loop was."""

    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        """Ring by calling `ring`."""
        self._clock = clock
        self._ring = ring
        self._due_ms = 0
        self._waiting: asyncio.Task[None] | None = None
        self.late_ms_max = 0
        self.rings = 0

    def set(self, due_ms: int, tasks: asyncio.TaskGroup) -> None:
        """Ring at `due_ms` at the latest; an earlier ring that is set already is left."""
        if self._waiting is not None:
            if self._due_ms <= due_ms:
                return
            self._waiting.cancel()
        self._due_ms = due_ms
        self._waiting = tasks.create_task(self._wait(due_ms), name="election-alarm")

    async def _wait(self, due_ms: int) -> None:
        due_ms = max(due_ms, self._clock.now_ms())  # What was due before is not late by us.
        await self._clock.sleep_ms(max(1, due_ms - self._clock.now_ms()))
        self.late_ms_max = max(self.late_ms_max, self._clock.now_ms() - due_ms)
        self._waiting = None
        self.rings += 1
        self._ring()
