"""The lanes of this node's leaderships, over every stream that a leader writes.

A token names its stream, so callers say with the token where they write: the token that the
election gave is the control stream's; `tokens` gives those of the other streams once the leadership
has begun.

`begin` is what a new leader does before it serves: it takes over the other streams, has each read
to its end, and at last writes the announcement to the control stream. Each step may be repeated.

A new token means a new lane; the lane before it is ended first, so that nothing which waited for
the old leadership is ever written under the new one.

A leadership that cannot write any more is useless even if everybody hears its heartbeats. `trouble`
is told of it once: when a write has been tried for `lane.HANG_MS`, when the store refused the
guard, or when a write stayed unknown and its lane had to end. Whoever listens steps down.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from bzzz_core.errors import Deposed, plainly
from bzzz_core.fabric.lane import FencedLane
from bzzz_core.fabric.takeover import LedStream, advance
from bzzz_core.model import FencingToken, Revision, StreamId
from bzzz_core.ports import Clock, Records
from bzzz_core.telemetry.histogram import Histogram


@dataclass(slots=True)
class _Leadership:
    """What belongs to one token of the control stream."""

    token: FencingToken
    lanes: dict[StreamId, FencedLane] = field(default_factory=dict)
    tokens: dict[StreamId, FencingToken] = field(default_factory=dict)
    told: bool = False


class LeadersLog:
    """What this node writes while it leads: entries of logs, and records."""

    def __init__(
        self,
        records: Records,
        *,
        clock: Clock,
        others: Sequence[LedStream] = (),
        trouble: Callable[[FencingToken, str], None] = lambda _token, _reason: None,
    ) -> None:
        """Write nothing yet.

        Args:
            records: The control stream, open.
            clock: For the waits between attempts.
            others: The other streams that a leader writes, open.
            trouble: Told (token of the control stream, reason) once for a leadership that can write
                no more; must not block.
        """
        self._control = records
        self._others = tuple(others)
        self._streams = {led.records.stream: led.records for led in self._others}
        self._streams[records.stream] = records
        self._clock = clock
        self._trouble = trouble
        self._now: _Leadership | None = None
        self._begun: asyncio.Queue[tuple[_Leadership, FencedLane | None]] = asyncio.Queue()
        self.counters: Counter[str] = Counter()
        """What ended lanes counted; `lanes` counts them, `deposed` those that lost office."""
        self.took = Histogram()
        """From the first attempt to write a message to its acknowledgement."""

    @property
    def totals(self) -> Counter[str]:
        """Return what all lanes counted so far, those that still run too."""
        lanes = self._now.lanes.values() if self._now else ()
        running = (lane.counters for lane in lanes if not lane.ended.is_set())
        return sum(running, self.counters.copy())

    @property
    def waiting_ms(self) -> int:
        """Return the age of the oldest message that waits for its answer, 0 if none does."""
        lanes = self._now.lanes.values() if self._now else ()
        return max((lane.waiting_ms for lane in lanes), default=0)

    def tokens(self, leadership: FencingToken) -> dict[StreamId, FencingToken]:
        """Return the tokens of all streams under `leadership`; empty before `begin` returned."""
        now = self._now
        return dict(now.tokens) if now is not None and now.token == leadership else {}

    async def run(self) -> None:
        """Run the lanes of the newest leadership until cancelled."""
        running: list[asyncio.Task[None]] = []
        async with asyncio.TaskGroup() as group:
            while True:
                leadership, lane = await self._begun.get()
                if lane is None:
                    for task in running:
                        task.cancel()
                    running.clear()
                else:
                    work = self._run(leadership, lane)
                    running.append(group.create_task(work, name="leader-lane"))

    async def begin(self, token: FencingToken, announcement: bytes) -> Revision:
        """Take every stream over, then write the first entry; returns once it is durable.

        Raises:
            Deposed: Another leader serves.
            RequestTimeout: It is unknown whether the entry was written.
            QuorumUnavailable: It was not written: too few voters answered for too long.
        """
        leadership = self._enter(token)
        with plainly():
            async with asyncio.TaskGroup() as group:
                work = [group.create_task(self._take_over(led, token)) for led in self._others]
        taken = [task.result() for task in work]
        revision = await self.append(token, announcement)
        leadership.tokens.update({each.stream: each for each in (token, *taken)})
        return revision

    async def append(self, token: FencingToken, entry: bytes) -> Revision:
        """Write one entry of the log of the token's stream and return once it is durable.

        Raises:
            Deposed: Another leader serves; it was not written.
            RequestTimeout: It is unknown whether it was written.
            QuorumUnavailable: It was not written: too few voters answered for too long.
        """
        return await self._lane(token).append(entry)

    async def put(self, token: FencingToken, key: str, value: bytes) -> Revision:
        """Write a record of the token's stream, in one order with its log; raises as `append`."""
        return await self._lane(token).put(key, value)

    async def _take_over(self, led: LedStream, leadership: FencingToken) -> FencingToken:
        token = await advance(led.records, leadership, clock=self._clock)
        await led.catch_up(token.sequence)
        return token

    def _enter(self, token: FencingToken) -> _Leadership:
        """Return the leadership of a token of the control stream; a newer one ends the old one."""
        if self._now is None or self._now.token != token:
            if self._now is not None and self._now.token.sequence > token.sequence:
                raise Deposed("this node has been elected again since; that leadership is over")
            if self._now is not None:
                self._begun.put_nowait((self._now, None))
            self._now = _Leadership(token)
        return self._now

    def _lane(self, token: FencingToken) -> FencedLane:
        if token.stream == self._control.stream:
            leadership = self._enter(token)
        elif self._now is not None and self._now.tokens.get(token.stream) == token:
            leadership = self._now
        else:
            raise Deposed("this token is not one of the present leadership")
        lane = leadership.lanes.get(token.stream)
        if lane is None:
            records = self._streams[token.stream]
            lane = FencedLane(
                records,
                token=token,
                clock=self._clock,
                hangs=partial(self._tell, leadership, "writes hang"),
                took=self.took.note,
            )
            leadership.lanes[token.stream] = lane
            self._begun.put_nowait((leadership, lane))
        return lane

    async def _run(self, leadership: _Leadership, lane: FencedLane) -> None:
        self.counters["lanes"] += 1
        try:
            await lane.run()
        finally:
            self.counters.update(lane.counters)
        reason = "deposed" if isinstance(lane.ended_by, Deposed) else "write unknown"
        self.counters["deposed"] += reason == "deposed"
        self._tell(leadership, reason)

    def _tell(self, leadership: _Leadership, reason: str) -> None:
        if leadership is self._now and not leadership.told:
            leadership.told = True
            self._trouble(leadership.token, reason)
