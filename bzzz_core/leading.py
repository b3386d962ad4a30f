"""The lanes of the leaderships of this node: one at a time, each for as long as its token is good.

A new token means a new lane; the lane before it is ended first, so that nothing which waited for
the old leadership is ever written under the new one.
"""

from __future__ import annotations

import asyncio

from bzzz_core.fabric.lane import FencedLane
from bzzz_core.model import FencingToken, Revision
from bzzz_core.ports import Clock, Records


class LeadersLog:
    """What a leader appends to the control stream's log."""

    def __init__(self, records: Records, *, clock: Clock) -> None:
        """Write nothing yet; `records` is open."""
        self._records = records
        self._clock = clock
        self._token: FencingToken | None = None
        self._lane: FencedLane | None = None
        self._begun: asyncio.Queue[FencedLane] = asyncio.Queue()

    async def run(self) -> None:
        """Run the lane of the newest leadership until cancelled."""
        running: asyncio.Task[None] | None = None
        async with asyncio.TaskGroup() as lanes:
            while True:
                lane = await self._begun.get()
                if running is not None:
                    running.cancel()
                running = lanes.create_task(lane.run(), name="leader-lane")

    async def append(self, token: FencingToken, entry: bytes) -> Revision:
        """Write one entry under `token` and return once it is durable.

        Raises:
            Deposed: Another leader serves; it was not written.
            RequestTimeout: It is unknown whether it was written.
            QuorumUnavailable: It was not written: too few voters answered for too long.
        """
        if self._lane is None or self._token != token:
            self._token = token
            self._lane = FencedLane(self._records, token=token, clock=self._clock)
            self._begun.put_nowait(self._lane)
        return await self._lane.append(entry)
