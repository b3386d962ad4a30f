"""The hash table on real brokers that die and come back: what was acknowledged is there afterwards.

The nodes' own rules are tested in virtual time (`tests/unit/test_dht_hybrid.py`) and simulated;
here a node is really cut off, while the other two go on writing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bzzz_core.dht.hybrid import HybridDht
from bzzz_core.dht.notices import Conflicted, FellBack, Notice, Recovered
from bzzz_core.dht.queue import WriteQueue
from bzzz_core.errors import KeyNotFound, QuorumUnavailable, TransportError
from bzzz_core.ports import Dht
from tests.fakes.broker_cluster import BrokerCluster
from tests.fakes.dht_worlds import Table, broker_node

pytestmark = pytest.mark.integration
WAIT_S_MAX = 30.0
"""SPEC F5: a recovery takes less."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[BrokerCluster]:
    with BrokerCluster(tmp_path / "cluster", nodes=4) as started:
        yield started


async def reads(table: Dht, key: str, wanted: bytes) -> None:
    """Return once the table reads that value."""
    async with asyncio.timeout(WAIT_S_MAX):
        while await value_of(table, key) != wanted:  # noqa: ASYNC110  another process sets no event
            await asyncio.sleep(0.05)


async def value_of(table: Dht, key: str) -> bytes | None:
    try:
        return await table.get_value(key)
    except (KeyNotFound, QuorumUnavailable):
        return None


async def told(notices: list[Notice], kind: type[Notice]) -> Notice:
    """Return the first notice of a kind, once it has come."""
    async with asyncio.timeout(WAIT_S_MAX):
        while True:
            for notice in notices:
                if isinstance(notice, kind):
                    return notice
            await asyncio.sleep(0.05)


@pytest.mark.journey
def test_node_cut_off_writes_on_and_nobody_is_overwritten(
    cluster: BrokerCluster, tmp_path: Path
) -> None:
    """The whole way: fall back, restart while away, come back, keep both of two values."""

    async def scenario() -> None:
        queue = WriteQueue(tmp_path / "queue")
        async with broker_node(cluster, 1, as_hybrid=False, watches=True) as other:
            async with cut_off_node(cluster, queue) as (table, notices):
                await table.put_value("both", b"before")
                await table.provide("held", "node 0")
                await reads(other, "both", b"before")
                cluster.kill(0)
                started = time.perf_counter()
                await table.put_value("mine", b"1")
                await table.put_value("both", b"mine")
                assert time.perf_counter() - started < 3.0
                assert isinstance(await told(notices, FellBack), FellBack)
                assert await table.get_value("both") == b"mine"
                await write_again(other, "both", b"theirs")
                await write_again(other, "their own", b"2")
                assert await table.get_value("both") == b"mine"
            queue.close()  # The agent stops here, still cut off.
            cluster.start(0)
            await asyncio.to_thread(cluster.wait_ready, [0])
            queue = WriteQueue(tmp_path / "queue")
            assert len(queue) == 2
            async with cut_off_node(cluster, queue) as (table, notices):
                assert await table.get_value("mine") == b"1"
                assert isinstance(await told(notices, Recovered), Recovered)
                conflict = await told(notices, Conflicted)
                assert isinstance(conflict, Conflicted)
                await reads(other, "mine", b"1")
                await reads(table, "their own", b"2")
                assert await table.get_value("both") == b"theirs"
                assert await other.get_value("both") == b"theirs"
                await reads(other, conflict.kept_at, b"mine")
                assert isinstance(table, HybridDht)
                assert table.status().queued == 0
            queue.close()
        assert not list((tmp_path / "queue").iterdir())

    asyncio.run(scenario())


@pytest.mark.journey
def test_majority_lost_means_the_same_for_everybody(cluster: BrokerCluster) -> None:
    async def scenario() -> None:
        notices: list[Notice] = []
        async with (
            broker_node(
                cluster, 0, as_hybrid=True, watches=True, leads=True, notify=notices.append
            ) as hybrid,
            broker_node(cluster, 3, as_hybrid=False, watches=False) as edge,
        ):
            await hybrid.put_value("key", b"before")
            await reads(edge, "key", b"before")
            cluster.kill(1)
            cluster.kill(2)
            await hybrid.put_value("key", b"queued")
            assert await hybrid.get_value("key") == b"queued"
            with pytest.raises((TransportError, QuorumUnavailable)):
                await edge.put_value("key", b"refused", timeout_ms=1_500)
            cluster.start(1)
            cluster.start(2)
            await asyncio.to_thread(cluster.wait_ready, [1, 2])
            ready = time.perf_counter()
            await told(notices, Recovered)
            assert time.perf_counter() - ready < WAIT_S_MAX
            found = await edge.get_value("key")
            if found != b"queued":  # The refused write had been sent: then it is a conflict.
                assert found == b"refused"
                conflict = await told(notices, Conflicted)
                assert isinstance(conflict, Conflicted)
                assert await edge.get_value(conflict.kept_at) == b"queued"

    asyncio.run(scenario())


@asynccontextmanager
async def cut_off_node(
    cluster: BrokerCluster, queue: WriteQueue
) -> AsyncIterator[tuple[Table, list[Notice]]]:
    """Run node 0, which knows no broker but its own."""
    notices: list[Notice] = []
    async with broker_node(
        cluster, 0, as_hybrid=True, watches=True, only=0, queue=queue, notify=notices.append
    ) as table:
        yield table, notices


async def write_again(table: Dht, key: str, value: bytes) -> None:
    """Write, through the seconds in which the store's leader may just be chosen anew."""
    async with asyncio.timeout(WAIT_S_MAX):
        while True:
            try:
                await table.put_value(key, value, timeout_ms=2_000)
            except (TransportError, QuorumUnavailable):
                await asyncio.sleep(0.1)
            else:
                return
