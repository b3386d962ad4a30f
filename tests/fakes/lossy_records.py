"""A guarded store behind a network that loses, delays and doubles; for two writers at once.

What it does as JetStream does: one sequence over all keys, guards checked when a message lands, a
request id accepted once within `dedupe_ms`, 10164 while another guarded write is being settled.
What happens on the way is drawn from a seed: a request may never land, land long after its sender
gave up (a paused broker in between), land twice, or land and its answer be lost; the store may have
no leader for seconds; reads may be answered from the past.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from bzzz_core.errors import QuorumUnavailable, RequestTimeout, RevisionConflict, StreamBusy
from bzzz_core.model import Revision, StreamId
from bzzz_core.ports import Clock, Guard, Record

ANSWER_MS_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Trouble:
    """Shares of requests, and milliseconds."""

    lost: float = 0.05
    late: float = 0.05
    doubled: float = 0.05
    unanswered: float = 0.05
    leaderless: float = 0.01
    busy: float = 0.05
    stale: float = 0.0
    late_ms: int = 30_000
    leaderless_ms: int = 9_000
    dedupe_ms: int = 120_000


class LossyStore:
    """What a stream's leader holds, and its whole history."""

    def __init__(self, *, clock: Clock, seed: int, trouble: Trouble) -> None:
        """Start empty."""
        self.clock = clock
        self.random = random.Random(seed)
        self.trouble = trouble
        self.stream = StreamId(f"lossy-{seed}")
        self.history: list[Record] = []
        self.guards: list[Guard] = []
        self._held: dict[str, Record] = {}
        self._seen: dict[str, tuple[int, Revision]] = {}
        self._leaderless_until_ms = 0

    def land(self, key: str, value: bytes, guard: Guard, request_id: str | None) -> Revision:
        """Write as the store does when a message reaches its leader."""
        now_ms = self.clock.now_ms()
        if now_ms < self._leaderless_until_ms:
            raise QuorumUnavailable("no leader")
        seen = self._seen.get(request_id or "")
        if seen is not None and now_ms - seen[0] < self.trouble.dedupe_ms:
            return seen[1]
        held = self._held.get(guard.key)
        if (held.revision if held else 0) != guard.revision:
            raise RevisionConflict("the guard does not hold")
        revision = Revision(len(self.history) + 1)
        record = Record(key, value, revision, request_id)
        self.history.append(record)
        self.guards.append(guard)
        self._held[key] = record
        if request_id is not None:
            self._seen[request_id] = (now_ms, revision)
        return revision

    def lose_leader(self) -> None:
        """Acknowledge nothing for a while."""
        span_ms = self.random.randint(1, self.trouble.leaderless_ms)
        self._leaderless_until_ms = self.clock.now_ms() + span_ms

    def look(self, key: str) -> Record | None:
        """Return what is held, or, rarely, what was held before."""
        if self.clock.now_ms() < self._leaderless_until_ms:
            raise QuorumUnavailable("no leader")
        if self.random.random() < self.trouble.stale:
            older = [record for record in self.history[:-5] if record.key == key]
            return older[-1] if older else None
        return self._held.get(key)


class LossyRecords:
    """One node's way to the store; satisfies `ports.Records`."""

    def __init__(self, store: LossyStore, group: asyncio.TaskGroup) -> None:
        """Send through `store`'s network; what is under way lives in `group`."""
        self._store = store
        self._group = group
        self.stream = store.stream

    async def read(self, key: str) -> Record | None:
        """Ask the leader."""
        await self._store.clock.sleep_ms(1)
        return self._store.look(key)

    async def write(
        self, key: str, value: bytes, guard: Guard, *, request_id: str | None = None
    ) -> Revision:
        """Send, and wait for the answer that may not come."""
        store, trouble = self._store, self._store.trouble
        draw = store.random.random
        if draw() < trouble.busy:
            raise StreamBusy("another guarded write")
        if draw() < trouble.leaderless:
            store.lose_leader()
        fate = draw()
        if fate < trouble.lost:
            await self._give_up()
        if draw() < trouble.doubled:
            self._later(key, value, guard, request_id)
        if fate < trouble.lost + trouble.late:
            self._later(key, value, guard, request_id)
            await self._give_up()
        await store.clock.sleep_ms(store.random.randint(1, 3))
        revision = store.land(key, value, guard, request_id)
        if draw() < trouble.unanswered:
            await self._give_up()
        return revision

    async def _give_up(self) -> None:
        await self._store.clock.sleep_ms(ANSWER_MS_MAX)
        raise RequestTimeout("no answer")

    def _later(self, key: str, value: bytes, guard: Guard, request_id: str | None) -> None:
        delay_ms = self._store.random.randint(1, self._store.trouble.late_ms)

        async def arrive() -> None:
            await self._store.clock.sleep_ms(delay_ms)
            try:
                self._store.land(key, value, guard, request_id)
            except (RevisionConflict, QuorumUnavailable):
                return  # Nobody waits for this answer any more.

        self._group.create_task(arrive())
