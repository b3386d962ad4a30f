"""The hash table with somewhere to go while the cluster cannot be reached; switched while running.

In front stands the cluster's table, behind it this node: the writes it queued, and what it last saw
of every key. A verdict of the adapter (connection lost, deadline over, no quorum) makes the very
operation that met it succeed locally; after some in a row a breaker keeps further ones from waiting
for the same verdict, and a loop looks when the cluster is back.

What is promised:

- A write that was acknowledged is in the cluster, or in the queue on this node's disk.
- While a write waits, this node reads its own value, and later writes of that key wait behind it.
- Reconciliation is compare-and-set at the revision this node last saw. If somebody else wrote
  meanwhile, their value stays, ours goes under a key of its own, and everybody interested is told.
- What is not known locally is an error, not an absence.
- Switching to another backend leaves the queue alone: it is brought to the cluster all the same.

Only these last-writer operations fall back. Compare-and-set, tokens and fenced writes have no place
here.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Final

from bzzz_core.breaker import Breaker, Health
from bzzz_core.dht.entry import check_value, slot_of
from bzzz_core.dht.memory import MemoryDht
from bzzz_core.dht.notices import (
    DhtStatus,
    Notify,
    SideFigures,
    SideStatus,
    Switched,
)
from bzzz_core.dht.queue import WriteQueue
from bzzz_core.dht.recovery import LOST, Recovery
from bzzz_core.dht.stored import StoredDht
from bzzz_core.errors import QuorumUnavailable
from bzzz_core.model import NodeId, Revision
from bzzz_core.ports import Clock

ATTEMPT_MS: Final = 1_000
"""How long an operation waits for the cluster before it falls back. Shorter serves sooner and calls
a slow cluster lost; a failover of the store takes 4 to 9 s either way."""


class Backend(StrEnum):
    """Which table answers."""

    MOCK = "mock"
    REAL = "real"
    HYBRID = "hybrid"


class HybridDht:
    """One node's table over all backends; satisfies `ports.Dht`."""

    def __init__(
        self,
        *,
        node: NodeId,
        cluster: StoredDht,
        mock: MemoryDht,
        queue: WriteQueue,
        breaker: Breaker,
        clock: Clock,
        backend: Backend,
        falls_back: bool,
        replicas: Callable[[], int],
        notify: Notify,
        attempt_ms: int = ATTEMPT_MS,
    ) -> None:
        """Serve at once; recovery and renewal happen while `run` runs.

        Args:
            node: Who we are; values that lost a conflict carry it.
            cluster: The table in front.
            mock: The table of backend `mock`.
            queue: Where writes wait for the cluster.
            breaker: When to stop asking the cluster.
            clock: For latencies and the recovery.
            backend: Which table answers; `switch` changes it.
            falls_back: Whether this node serves by itself while the cluster cannot; if not, the
                failures are raised.
            replicas: Copies that the cluster is to keep of a value, for the status.
            notify: Told of fallback, recovery and conflicts; must not block and not raise.
            attempt_ms: How long an operation waits for the cluster before it falls back.
        """
        self.counters: Counter[str] = Counter()
        """What happened so far: switches; `status` adds those of all parts."""
        self._cluster = cluster
        self._mock = mock
        self._queue = queue
        self._breaker = breaker
        self._clock = clock
        self._backend = backend
        self._falls_back = falls_back
        self._replicas = replicas
        self._notify = notify
        self._attempt_ms = attempt_ms
        self._recovery = Recovery(
            node=node,
            cluster=cluster,
            queue=queue,
            breaker=breaker,
            clock=clock,
            attempt_ms=attempt_ms,
            notify=notify,
        )
        self._cluster_wanted = asyncio.Event()
        self._figures = {"cluster": SideFigures(), "local": SideFigures()}
        if backend is not Backend.MOCK:
            self._cluster_wanted.set()

    async def run(self) -> None:
        """Renew, watch, recover and reconcile until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._mock.run())
            tasks.create_task(self._run_cluster())
            tasks.create_task(self._run_recovery())

    async def cluster_wanted(self) -> None:
        """Return once the cluster is to be used, at once if it is: `mock` alone leaves it be."""
        await self._cluster_wanted.wait()

    def switch(self, backend: Backend, *, falls_back: bool) -> None:
        """Let another backend answer from now on; what is queued still goes to the cluster."""
        if (backend, falls_back) == (self._backend, self._falls_back):
            return
        self._backend, self._falls_back = backend, falls_back
        self.counters["switches"] += 1
        if backend is not Backend.MOCK:
            self._cluster_wanted.set()
        self._notify(Switched(str(backend)))

    async def put_value(self, key: str, value: bytes, *, timeout_ms: int | None = None) -> None:
        """Store a value; see `ports.Dht.put_value`."""
        if self._backend is Backend.MOCK:
            await self._mock.put_value(key, value, timeout_ms=timeout_ms)
            return
        slot = slot_of(key)
        check_value(value)
        waiting = self._queue.find(slot) is not None
        if self._falls_back and (waiting or self._breaker.open):
            await self._keep(slot, key, value)
            return
        try:
            with self._asking(writes=True):
                await self._write(slot, value, self._limit_ms(timeout_ms))
        except LOST:
            if not self._falls_back:
                raise
            await self._keep(slot, key, value)

    async def get_value(self, key: str, *, timeout_ms: int | None = None) -> bytes:
        """Return a value; see `ports.Dht.get_value`."""
        if self._backend is Backend.MOCK:
            return await self._mock.get_value(key, timeout_ms=timeout_ms)
        slot = slot_of(key)
        if (pending := self._queue.find(slot)) is not None:
            return pending.value
        if (copied := self._cluster.copied(slot)) is not None:
            return copied.value
        if not (self._falls_back and self._breaker.open):
            try:
                with self._asking():
                    return await self._cluster.get_value(key, timeout_ms=self._limit_ms(timeout_ms))
            except LOST:
                if not self._falls_back or self._cluster.remembered(slot) is None:
                    raise
        with self._serving():
            return self._recall(slot, key)

    async def provide(self, key: str, provider_id: str, *, timeout_ms: int | None = None) -> None:
        """Tell of a provider; see `ports.Dht.provide`. While away it is told on return."""
        if self._backend is Backend.MOCK:
            await self._mock.provide(key, provider_id, timeout_ms=timeout_ms)
            return
        if self._falls_back and self._breaker.open:
            with self._serving():
                self._cluster.promise(key, provider_id)
            return
        try:
            with self._asking():
                limit_ms = self._limit_ms(timeout_ms)
                await self._cluster.provide(key, provider_id, timeout_ms=limit_ms)
        except LOST:
            if not self._falls_back:
                raise

    async def withdraw(self, key: str, provider_id: str, *, timeout_ms: int | None = None) -> None:
        """Take a provider back; see `ports.Dht.withdraw`. While away it expires by itself."""
        if self._backend is Backend.MOCK:
            await self._mock.withdraw(key, provider_id, timeout_ms=timeout_ms)
            return
        try:
            with self._asking():
                limit_ms = self._limit_ms(timeout_ms)
                await self._cluster.withdraw(key, provider_id, timeout_ms=limit_ms)
        except LOST:
            if not self._falls_back:
                raise

    async def find_providers(self, key: str, *, timeout_ms: int | None = None) -> list[str]:
        """Return the providers told of; see `ports.Dht.find_providers`."""
        if self._backend is Backend.MOCK:
            return await self._mock.find_providers(key, timeout_ms=timeout_ms)
        slot = slot_of(key)
        try:
            if self._falls_back and self._breaker.open:
                raise QuorumUnavailable(
                    f"who provides {key!r} is not known while the cluster is away"
                )
            with self._asking():
                limit_ms = self._limit_ms(timeout_ms)
                return await self._cluster.find_providers(key, timeout_ms=limit_ms)
        except LOST:
            known = self._cluster.known_providers(slot) if self._falls_back else []
            if not known:
                raise  # Nobody known is not nobody.
            with self._serving():
                return known

    def status(self) -> DhtStatus:
        """Return the table as this node sees it."""
        away = self._recovery.away
        if self._backend is Backend.MOCK:
            state, serving = Health.HEALTHY, "memory"
        elif self._falls_back:
            state = Health.DEGRADED if away else Health.HEALTHY
            serving = "local" if self._breaker.open else "cluster"
        else:
            state, serving = self._breaker.state, "cluster"
        parts = (
            self.counters,
            self._recovery.counters,
            self._cluster.counters,
            self._mock.counters,
            self._queue.counters,
        )
        return DhtStatus(
            backend=str(self._backend),
            falls_back=self._falls_back,
            state=str(state),
            serving=serving,
            replicas=self._replicas(),
            watched=self._cluster.current,
            queued=len(self._queue),
            queued_bytes=self._queue.size_bytes,
            conflicts=tuple(self._recovery.conflicts),
            cluster=SideStatus.of(self._figures["cluster"]),
            local=SideStatus.of(self._figures["local"]),
            counters=dict(sum(parts, Counter[str]())),
        )

    async def _write(self, slot: str, value: bytes, limit_ms: int) -> None:
        waiting = self._queue.find(slot)
        if waiting is None:
            await self._cluster.write(slot, value, timeout_ms=limit_ms)
            return
        async with self._recovery.lock(slot):  # Or the older one might arrive after this one.
            revision = await self._cluster.write(slot, value, timeout_ms=limit_ms)
            await self._queue.settle(slot, waiting, revision)

    async def _keep(self, slot: str, key: str, value: bytes) -> None:
        """Queue a write, which is what makes it succeed locally."""
        with self._serving():
            seen = self._cluster.remembered(slot)
            base = seen.revision if seen is not None else Revision(0)
            await self._queue.put(slot, key, value, base=base)
            self._recovery.go_away("a write is queued")

    def _recall(self, slot: str, key: str) -> bytes:
        record = self._cluster.remembered(slot)
        if record is None:
            raise QuorumUnavailable(
                f"{key!r} is not known to this node, and the cluster cannot be asked"
            )
        return record.value

    @contextmanager
    def _asking(self, *, writes: bool = False) -> Iterator[None]:
        """Watch one operation on the cluster, and draw the conclusion from its end.

        Only a write proves that the cluster is well: reads go on for a while without a majority.
        """
        started_ms = self._clock.now_ms()
        try:
            yield
        except LOST as exc:
            now_ms = self._clock.now_ms()
            self._figures["cluster"].note(now_ms - started_ms, failed=True)
            self._breaker.failed(now_ms)
            if self._falls_back:
                self._recovery.go_away(str(exc))
            raise
        self._figures["cluster"].note(self._clock.now_ms() - started_ms, failed=False)
        if writes:
            self._breaker.succeeded()

    @contextmanager
    def _serving(self) -> Iterator[None]:
        """Count one operation that this node does by itself."""
        started_ms = self._clock.now_ms()
        done = False
        try:
            yield
            done = True
        finally:
            took_ms = self._clock.now_ms() - started_ms
            self._figures["local"].note(took_ms, failed=not done)

    async def _run_cluster(self) -> None:
        await self.cluster_wanted()
        await self._cluster.run()

    async def _run_recovery(self) -> None:
        await self._recovery.wait_for_work()
        self._cluster_wanted.set()
        await self._recovery.run()

    def _limit_ms(self, timeout_ms: int | None) -> int:
        limit_ms = self._cluster.timeout_ms if timeout_ms is None else timeout_ms
        return min(limit_ms, self._attempt_ms) if self._falls_back else limit_ms
