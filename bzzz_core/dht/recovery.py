"""The way back: probing a cluster that was lost, and bringing it what was queued meanwhile.

Runs only while there is something to do. A probe is a write, since reads go on for a while without
a majority. Entries are settled several at a time, each under its own lock, so that no older write
of a key arrives after a newer one. What the cluster refuses waits without holding up the rest.

An entry that has arrived stays queued until this node's copy has it, since that is what is read
here. It is not brought again: what others have made of it by then is no conflict with it.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from typing import Final
from weakref import WeakValueDictionary

from bzzz_core.breaker import Breaker
from bzzz_core.dht.entry import slot_of
from bzzz_core.dht.notices import Conflicted, FellBack, Notify, Recovered
from bzzz_core.dht.queue import Pending, WriteQueue
from bzzz_core.dht.reconcile import Settled, reconcile
from bzzz_core.dht.stored import StoredDht
from bzzz_core.errors import BzzzError, QuorumUnavailable, TransportError, plainly
from bzzz_core.model import NodeId
from bzzz_core.ports import Clock
from bzzz_core.telemetry import logs

LOST: Final = (TransportError, QuorumUnavailable)
"""The adapter's verdicts after which this node serves by itself."""
_LOOK_MS: Final = 250
_REFUSED_MS: Final = 5_000
"""The pace once the cluster refuses a write (a full bucket, a right taken away)."""
_AT_ONCE: Final = 16
_CONFLICTS_MAX: Final = 64


class Recovery:
    """Knows whether this node is away from the cluster, and ends that."""

    def __init__(
        self,
        *,
        node: NodeId,
        cluster: StoredDht,
        queue: WriteQueue,
        breaker: Breaker,
        clock: Clock,
        attempt_ms: int,
        notify: Notify,
    ) -> None:
        """Start in step, unless an earlier run left something in the queue."""
        self.counters: Counter[str] = Counter()
        """What happened so far: fallbacks, recoveries, reconciled, conflicts, refusals, and
        probe_failures."""
        self.conflicts: deque[str] = deque(maxlen=_CONFLICTS_MAX)
        """Where the latest values lie that lost against another node's."""
        self._node = node
        self._cluster = cluster
        self._queue = queue
        self._breaker = breaker
        self._clock = clock
        self._attempt_ms = attempt_ms
        self._notify = notify
        self._away_since_ms: int | None = None
        self._work = asyncio.Event()
        self._refused: dict[str, str] = {}
        self._arrived: dict[str, tuple[Pending, Settled]] = {}
        """What the cluster has already of what is queued, by slot."""
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._log = logs.get("dht")
        if len(queue):
            self.go_away("writes of an earlier run are queued")

    @property
    def away(self) -> bool:
        """Return whether the cluster lacks something, or did not answer the last attempt."""
        return self._away_since_ms is not None

    def go_away(self, reason: str) -> None:
        """Note that this node serves by itself, for the first time or still."""
        self._work.set()
        if self._away_since_ms is None:
            self._away_since_ms = self._clock.now_ms()
            self.counters["fallbacks"] += 1
            self._log.warning("the hash table is served by this node alone", reason=reason)
            self._notify(FellBack(reason))

    async def wait_for_work(self) -> None:
        """Return once there is something to bring back; at once if there is."""
        await self._work.wait()

    async def run(self) -> None:
        """Probe and bring back until cancelled."""
        while True:
            await self._work.wait()
            if self._breaker.may_probe(self._clock.now_ms()):
                await self._try()
            if self._work.is_set():
                await self._clock.sleep_ms(_REFUSED_MS if self._refused else _LOOK_MS)

    def lock(self, slot: str) -> asyncio.Lock:
        """Return the lock under which the cluster's entry at a slot is written."""
        return self._locks.setdefault(slot, asyncio.Lock())

    async def _try(self) -> None:
        refused_before, self._refused = self._refused, {}
        try:
            with plainly():
                await self._come_back()
        except BzzzError as exc:
            # Lost again, or refused (a full disk, a right taken away): either way, later.
            self._breaker.failed(self._clock.now_ms())
            self.counters["probe_failures"] += 1
            self._log.info("the hash table's cluster is not back", reason=str(exc))
        for slot in self._refused.keys() - refused_before.keys():
            reason = self._refused[slot]
            self._log.warning("the cluster refuses a queued write", slot=slot, reason=reason)

    async def _come_back(self) -> None:
        probe = slot_of(f"bzzz/probe/{self._node}")
        await self._cluster.write(probe, b"", timeout_ms=self._attempt_ms)
        self._breaker.succeeded()
        slots = self._queue.slots
        for first in range(0, len(slots), _AT_ONCE):
            async with asyncio.TaskGroup() as settling:
                for slot in slots[first : first + _AT_ONCE]:
                    settling.create_task(self._settle_or_leave(slot))
        if not len(self._queue) and not self._breaker.open:
            self._be_in_step()

    async def _settle_or_leave(self, slot: str) -> None:
        try:
            await self._settle(slot)
        except LOST:
            raise
        except BzzzError as exc:
            self.counters["refusals"] += 1
            self._refused[slot] = str(exc)

    async def _settle(self, slot: str) -> None:
        async with self.lock(slot):
            pending = self._queue.find(slot)
            if pending is None:
                return
            settled = await self._arrive(slot, pending)
            if settled is None or self._cluster.lags(slot, settled.revision):
                return  # This node would read an older value than its own; look again.
            self._arrived.pop(slot, None)
            await self._queue.settle(slot, pending, settled.revision)

    async def _arrive(self, slot: str, pending: Pending) -> Settled | None:
        """Bring an entry to the cluster, once, and return what became of it; None: not yet."""
        known, settled = self._arrived.get(slot, (None, None))
        if known is pending:
            return settled
        settled = await reconcile(self._cluster, self._node, pending, timeout_ms=self._attempt_ms)
        if settled is None:
            return None
        self._arrived[slot] = (pending, settled)
        self.counters["reconciled"] += 1
        if settled.kept_at is not None:
            self.counters["conflicts"] += 1
            self.conflicts.append(settled.kept_at)
            self._log.warning("two nodes wrote one key", key=pending.key, ours=settled.kept_at)
            self._notify(Conflicted(pending.key, settled.kept_at, settled.revision))
        return settled

    def _be_in_step(self) -> None:
        self._work.clear()
        self._arrived.clear()
        if self._away_since_ms is not None:
            away_ms = self._clock.now_ms() - self._away_since_ms
            self._away_since_ms = None
            self.counters["recoveries"] += 1
            self._log.warning("the hash table is the cluster's again", away_ms=away_ms)
            self._notify(Recovered(away_ms))
