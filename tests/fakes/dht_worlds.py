"""Hash tables on each backend for one suite: three nodes, and what it takes to run them.

Nodes 0 and 1 are voters, which watch; node 2 does not. On brokers it is an edge and asks node 0,
which leads. In the hybrid worlds node 1 uses the cluster directly, so that the suite also reads
across backends.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from bzzz_core.asked_buckets import QUESTION, AskedKeyValue, BucketDesk, Paced
from bzzz_core.breaker import Breaker
from bzzz_core.clock import SystemClock
from bzzz_core.dht.hybrid import ATTEMPT_MS, Backend, HybridDht
from bzzz_core.dht.memory import MemoryDht, MemoryTable
from bzzz_core.dht.notices import Notice
from bzzz_core.dht.queue import WriteQueue
from bzzz_core.dht.stored import StoredDht
from bzzz_core.fabric.keyvalue import NatsKeyValue
from bzzz_core.fabric.layout import DHT, PROVIDERS
from bzzz_core.fabric.memory import MemoryHub
from bzzz_core.fabric.memory_keyvalue import MemoryKeyValue
from bzzz_core.fabric.nats import NatsFabric
from bzzz_core.leader_requests import LeaderRequests
from bzzz_core.model import FencingToken, NodeId, Revision, StreamId
from bzzz_core.ports import Clock, Dht, KeyValue
from tests.fakes.admission import admit_all, nothing_owed
from tests.fakes.broker_cluster import BrokerCluster

LIFETIME_S = 2
BROKERS_LIFETIME_S = 4
"""Of announcements: what is renewed twice a lifetime must not expire on a loaded machine."""
ASK_MS = 10_000
SOON_MS = 5_000
BROKERS_SOON_MS = 30_000
"""How long what is to happen soon may take: in virtual time, and on brokers of a loaded machine."""
PATIENT_MS = 10_000
"""How long a hybrid table waits for brokers that are there: it must not take a slow machine for a
lost cluster. Falling back has tests of its own."""


class Table(Dht, Protocol):
    """A table that wants to be run."""

    async def run(self) -> None:
        """Run until cancelled."""
        ...


@dataclass
class DhtWorld:
    """Tables of some nodes, running."""

    clock: Clock
    tables: list[Table]
    join: Callable[[], AbstractAsyncContextManager[Table]]
    """Runs one more node, which knows one broker only, and stops it."""
    stranded: Callable[[], AbstractAsyncContextManager[Table]]
    """Runs one more node, which nothing answers."""
    soon_ms: int = SOON_MS
    """How long what is to happen soon may take."""
    lifetime_s: int = LIFETIME_S
    """Of announcements."""
    prefix: str = field(default_factory=lambda: secrets.token_hex(8))

    def key(self, name: str) -> str:
        """Return a key of this test alone: brokers outlive tests."""
        return f"{self.prefix} {name}"


@asynccontextmanager
async def running(table: Table) -> AsyncIterator[Table]:
    """Run a table until the block is left."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(table.run())
        await asyncio.sleep(0)
        yield table
        task.cancel()


def hybrid(
    cluster: StoredDht,
    node: NodeId,
    clock: Clock,
    *,
    queue: WriteQueue | None = None,
    notify: Callable[[Notice], None] = lambda _: None,
    replicas: int = 3,
    attempt_ms: int = ATTEMPT_MS,
) -> HybridDht:
    """Return a hybrid table over a cluster's."""
    return HybridDht(
        node=node,
        cluster=cluster,
        mock=MemoryDht(MemoryTable(), node=node, clock=clock),
        queue=WriteQueue(None) if queue is None else queue,
        breaker=Breaker(),
        clock=clock,
        backend=Backend.HYBRID,
        falls_back=True,
        replicas=lambda: replicas,
        notify=notify,
        attempt_ms=attempt_ms,
    )


def stored(
    node: NodeId,
    values: KeyValue,
    providers: KeyValue,
    clock: Clock,
    *,
    watches: bool,
    lifetime_s: int = LIFETIME_S,
) -> StoredDht:
    """Return a cluster's table with short lifetimes."""
    return StoredDht(
        node=node,
        values=values,
        providers=providers,
        clock=clock,
        watches=watches,
        lifetime_s=lifetime_s,
    )


class Slow:
    """Faults: everything takes a minute."""

    def __init__(self) -> None:
        """Take the hub's draws for the rest."""
        self.random = MemoryHub(clock=SystemClock()).random

    def draw_latency_ms(self) -> int:
        """Return a minute."""
        return 60_000

    def draw_failure(self) -> bool:
        """Return that nothing fails."""
        return False


@asynccontextmanager
async def mock_world(clock: Clock) -> AsyncIterator[DhtWorld]:
    """Three nodes of one table in memory, with some latency."""
    hub = MemoryHub(clock=clock, seed=5, latency_ms=(0, 2))
    table = MemoryTable()

    def node(letter: str, faults: MemoryHub | Slow = hub) -> MemoryDht:
        name = NodeId(letter * 26)
        return MemoryDht(table, node=name, clock=clock, faults=faults, lifetime_s=LIFETIME_S)

    async with AsyncExitStack() as stack:
        tables: list[Table] = [
            await stack.enter_async_context(running(node(letter))) for letter in "abc"
        ]
        yield DhtWorld(
            clock, tables, lambda: running(node("d")), lambda: running(node("e", Slow()))
        )


@asynccontextmanager
async def memory_world(clock: Clock, *, hybrids: bool) -> AsyncIterator[DhtWorld]:
    """Three nodes of the cluster's table on the memory fabric."""
    hub = MemoryHub(clock=clock, seed=5, latency_ms=(0, 2))

    def node(letter: str, *, watches: bool, as_hybrid: bool, stranded: bool = False) -> Table:
        name = NodeId(letter * 26)
        fabric = hub.attach(name)
        values, providers = (MemoryKeyValue(hub, fabric, bucket) for bucket in (DHT, PROVIDERS))
        if stranded:
            hub.detach(name)
        table = stored(name, values, providers, clock, watches=watches)
        return hybrid(table, name, clock) if as_hybrid else table

    async with AsyncExitStack() as stack:
        tables = [
            await stack.enter_async_context(running(table))
            for table in (
                node("a", watches=True, as_hybrid=hybrids),
                node("b", watches=True, as_hybrid=False),
                node("c", watches=False, as_hybrid=hybrids),
            )
        ]
        yield DhtWorld(
            clock,
            tables,
            lambda: running(node("d", watches=True, as_hybrid=hybrids)),
            lambda: running(node("e", watches=False, as_hybrid=hybrids, stranded=True)),
        )


def buckets(
    fabric: NatsFabric, clock: Clock, *, replicas: int | None
) -> tuple[NatsKeyValue, NatsKeyValue]:
    """Return the two buckets of the table, not opened; voters say of how many replicas."""
    values, providers = (
        NatsKeyValue(fabric, bucket, clock=clock, replicas=replicas) for bucket in (DHT, PROVIDERS)
    )
    return values, providers


def questions(node: NodeId, fabric: NatsFabric, *, leads: bool = False) -> LeaderRequests:
    """Return a node's questions to the leader, or of a node that leads without an election."""
    token = FencingToken(StreamId("test"), Revision(1)) if leads else None
    return LeaderRequests(
        me=node,
        fabric=fabric,
        clock=SystemClock(),
        leads=lambda: token,
        admit=admit_all,
        settled=nothing_owed,
    )


def asked_buckets(asks: LeaderRequests) -> tuple[AskedKeyValue, AskedKeyValue]:
    """Return the two buckets of the table as an edge uses them."""
    ask = Paced(lambda operation, body: asks.ask(operation, body, timeout_ms=ASK_MS))
    return AskedKeyValue(DHT, ask), AskedKeyValue(PROVIDERS, ask)


@asynccontextmanager
async def serving(
    node: NodeId, fabric: NatsFabric, buckets: tuple[NatsKeyValue, NatsKeyValue]
) -> AsyncIterator[None]:
    """Let a voter answer edges, as the leader does."""
    requests = questions(node, fabric, leads=True)
    desk = BucketDesk(dict(zip((DHT, PROVIDERS), buckets, strict=True)))
    requests.serve(QUESTION, desk.answer)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(requests.run())
        await asyncio.sleep(0)
        yield
        task.cancel()


@asynccontextmanager
async def broker_node(
    cluster: BrokerCluster,
    number: int,
    *,
    as_hybrid: bool,
    watches: bool,
    leads: bool = False,
    only: int | None = None,
    queue: WriteQueue | None = None,
    notify: Callable[[Notice], None] = lambda _: None,
    attempt_ms: int = ATTEMPT_MS,
) -> AsyncIterator[Table]:
    """Run a node's fabric and its table on real brokers; an edge needs another one that leads."""
    clock = SystemClock()
    fabric = cluster.fabric(number, only=only)
    node = cluster.node(number)
    own = buckets(fabric, clock, replicas=len(cluster.brokers))
    is_edge = number >= len(cluster.brokers)
    values, providers = asked_buckets(questions(node, fabric)) if is_edge else own
    table: Table = stored(
        node, values, providers, clock, watches=watches, lifetime_s=BROKERS_LIFETIME_S
    )
    if as_hybrid:
        assert isinstance(table, StoredDht)
        table = hybrid(table, node, clock, queue=queue, notify=notify, attempt_ms=attempt_ms)
    async with asyncio.TaskGroup() as tasks:
        attached = tasks.create_task(fabric.run())
        await fabric.wait_attached()
        async with AsyncExitStack() as stack:
            if not is_edge:
                await asyncio.gather(*(bucket.open() for bucket in own))
            if leads:
                await stack.enter_async_context(serving(node, fabric, own))
            yield await stack.enter_async_context(running(table))
        attached.cancel()


@asynccontextmanager
async def stranded_node(cluster: BrokerCluster, *, as_hybrid: bool) -> AsyncIterator[Table]:
    """Run a table whose fabric is not attached to anything."""
    clock = SystemClock()
    values, providers = buckets(cluster.fabric(2), clock, replicas=None)
    node = cluster.node(2)
    table = stored(node, values, providers, clock, watches=False)
    ran = hybrid(table, node, clock, attempt_ms=PATIENT_MS) if as_hybrid else table
    async with running(ran) as stranded:
        yield stranded


@asynccontextmanager
async def broker_world(cluster: BrokerCluster, *, hybrids: bool) -> AsyncIterator[DhtWorld]:
    """Two voters, and a node that uses the store as edges do, on three real brokers."""
    node = partial(broker_node, cluster, attempt_ms=PATIENT_MS)
    async with AsyncExitStack() as stack:
        tables = [
            await stack.enter_async_context(each)
            for each in (
                node(0, as_hybrid=hybrids, watches=True, leads=True),
                node(1, as_hybrid=False, watches=True),
                node(3, as_hybrid=hybrids, watches=False),
            )
        ]
        yield DhtWorld(
            SystemClock(),
            tables,
            lambda: node(2, as_hybrid=hybrids, watches=True, only=0),
            lambda: stranded_node(cluster, as_hybrid=hybrids),
            soon_ms=BROKERS_SOON_MS,
            lifetime_s=BROKERS_LIFETIME_S,
        )
