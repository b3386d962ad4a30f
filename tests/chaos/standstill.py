"""How long the machine did not let a process run, seen from a loop that only wants to wake up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from bzzz_core.ports import Clock

_TICK_MS: Final = 20


@dataclass(slots=True)
class Pauses:
    """What was seen so far."""

    longest_ms: int = 0


@asynccontextmanager
async def standing_still(clock: Clock) -> AsyncIterator[Pauses]:
    """Watch while the block lasts."""
    pauses = Pauses()

    async def watch() -> None:
        while True:
            due_ms = clock.now_ms() + _TICK_MS
            await clock.sleep_ms(_TICK_MS)
            pauses.longest_ms = max(pauses.longest_ms, clock.now_ms() - due_ms)

    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch())
        try:
            yield pauses
        finally:
            watching.cancel()
