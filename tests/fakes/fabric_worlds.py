"""Nodes with everything the fabric stores, over each adapter, for the conformance suite.

`LOG` and `BLOBS` exist in tests only; brokers started by `storage_cluster` allow voters to use them
beside what hosts allow.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bzzz_core.clock import SystemClock
from bzzz_core.fabric.blobs import NatsBlobs
from bzzz_core.fabric.keyvalue import NatsKeyValue
from bzzz_core.fabric.layout import (
    DHT,
    PROVIDERS,
    BlobStore,
    LogStream,
    Permissions,
    direct_api,
    permissions,
    stream_api,
)
from bzzz_core.fabric.log import NatsLog
from bzzz_core.fabric.memory import MemoryHub
from bzzz_core.fabric.memory_keyvalue import MemoryKeyValue
from bzzz_core.fabric.memory_log import MemoryBlobs, MemoryLog
from bzzz_core.model import NodeId
from bzzz_core.ports import Blobs, KeyValue, Log
from tests.fakes.broker_cluster import BrokerCluster

LOG = LogStream(name="test", share=0.1)
BLOBS = BlobStore(name="test", share=0.3)
STORE_BYTES_MAX = 256_000_000
WAIT_S_MAX = 60.0


@dataclass
class StorageWorld:
    """Nodes that share what is stored."""

    nodes: list[NodeId]
    keys: list[KeyValue]
    providers: list[KeyValue]
    logs: list[Log]
    blobs: list[Blobs]


StorageWorlds = Callable[[], AbstractAsyncContextManager[StorageWorld]]


def allowed_in_tests(rights: Permissions) -> Permissions:
    """Return a voter's rights and those on `LOG` and `BLOBS`."""
    streams = (LOG.stream, BLOBS.stream)
    verbs = ("INFO", "CREATE", "MSG.GET")
    return Permissions(
        publish=(
            *rights.publish,
            LOG.subject,
            f"{BLOBS.prefix}.>",
            *(stream_api(verb, stream) for verb in verbs for stream in streams),
            *(direct_api(stream) for stream in streams),
        ),
        subscribe=(*rights.subscribe, LOG.subject, f"{BLOBS.prefix}.>"),
    )


def storage_cluster(directory: Path, *, nodes: int) -> BrokerCluster:
    """Return a cluster whose voters may use `LOG` and `BLOBS` too."""
    cluster = BrokerCluster(directory, nodes=nodes)
    voters = {config.me.id for config in cluster.configs if config.me.voter}
    cluster.brokers = [
        replace(
            broker,
            users=tuple(
                (node, allowed_in_tests(rights) if node in voters else rights)
                for node, rights in broker.users
            ),
        )
        for broker in cluster.brokers
    ]
    return cluster


@asynccontextmanager
async def storage_in_memory() -> AsyncIterator[StorageWorld]:
    """Three nodes in this process."""
    hub = MemoryHub(clock=SystemClock(), seed=1, latency_ms=(0, 2))
    nodes = [NodeId(letter * 26) for letter in "abc"]
    fabrics = [
        hub.attach(node, allowed=allowed_in_tests(permissions(node, voter=True))) for node in nodes
    ]
    yield StorageWorld(
        nodes,
        [MemoryKeyValue(hub, fabric, DHT) for fabric in fabrics],
        [MemoryKeyValue(hub, fabric, PROVIDERS) for fabric in fabrics],
        [MemoryLog(hub, fabric, LOG) for fabric in fabrics],
        [MemoryBlobs(hub, fabric, BLOBS) for fabric in fabrics],
    )


@asynccontextmanager
async def storage_on_brokers(cluster: BrokerCluster) -> AsyncIterator[StorageWorld]:
    """The voters of a running cluster; there are three, or one with two more fabrics."""
    voters = len(cluster.brokers)
    fabrics = [cluster.fabric(number % voters) for number in range(3)]
    clock = SystemClock()
    how = {"clock": clock, "replicas": voters, "store_bytes_max": STORE_BYTES_MAX}
    keys = [NatsKeyValue(fabric, DHT, **how) for fabric in fabrics]  # type: ignore[arg-type]
    providers = [NatsKeyValue(fabric, PROVIDERS, **how) for fabric in fabrics]  # type: ignore[arg-type]
    logs = [NatsLog(fabric, LOG, **how) for fabric in fabrics]  # type: ignore[arg-type]
    blobs = [NatsBlobs(fabric, BLOBS, **how) for fabric in fabrics]  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(fabric.run()) for fabric in fabrics]
        for part in (*keys, *providers, *logs, *blobs):
            await part.open()
        nodes = [cluster.node(number % voters) for number in range(3)]
        yield StorageWorld(nodes, [*keys], [*providers], [*logs], [*blobs])
        for task in running:
            task.cancel()


def in_storage(worlds: StorageWorlds, scenario: Callable[[StorageWorld], Awaitable[None]]) -> None:
    """Play a scenario in a world of its own."""

    async def play() -> None:
        async with worlds() as world:
            await scenario(world)

    asyncio.run(play())


async def until(condition: Callable[[], bool]) -> None:
    """Return once something is so; other processes set no event of ours."""
    async with asyncio.timeout(WAIT_S_MAX):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)
