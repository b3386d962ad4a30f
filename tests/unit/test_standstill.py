"""A machine that stands still is noticed by who only wants to wake up."""

from __future__ import annotations

import asyncio
import time

from tests.chaos.standstill import standing_still


def test_a_pause_of_the_process_is_seen() -> None:
    async def body() -> int:
        async with standing_still() as pauses:
            await asyncio.sleep(0.05)
            time.sleep(0.3)  # noqa: ASYNC251  to hold up the loop is the point
            await asyncio.sleep(0.05)
        return pauses.longest_ms

    assert asyncio.run(body()) >= 250
