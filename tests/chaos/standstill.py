"""How long the machine did not let a process run, seen from a loop that only wants to wake up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

_TICK_S: Final = 0.02


@dataclass(slots=True)
class Pauses:
    """What was seen so far."""

    longest_ms: int = 0


@asynccontextmanager
async def standing_still() -> AsyncIterator[Pauses]:
    """Watch while the block lasts."""
    pauses = Pauses()

    async def watch() -> None:
        while True:
            slept = time.monotonic()
            await asyncio.sleep(_TICK_S)
            late_s = time.monotonic() - slept - _TICK_S
            pauses.longest_ms = max(pauses.longest_ms, round(late_s * 1_000))

    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch())
        try:
            yield pauses
        finally:
            watching.cancel()
