"""A machine that stands still is noticed by who only wants to wake up."""

from __future__ import annotations

import asyncio

from tests.chaos.standstill import standing_still
from tests.fakes.scripted_records import JumpingClock


class StutteringClock(JumpingClock):
    """Stands still for a while in one of its sleeps."""

    async def sleep_ms(self, duration_ms: int) -> None:
        """Jump, and once further than was asked for."""
        still_ms = 350 if len(self.slept) == 3 else 0
        await super().sleep_ms(duration_ms)
        self.ms += still_ms


def test_the_longest_pause_is_seen() -> None:
    async def body() -> int:
        clock = StutteringClock()
        async with standing_still(clock) as pauses:
            for _ in range(50):
                await asyncio.sleep(0)
        return pauses.longest_ms

    assert asyncio.run(body()) == 350
