"""The control stream of three real brokers, written far beyond what their stores could hold.

Brokers drop all but the last values of each record. Nothing that anybody relies on may notice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from bzzz_core.clock import SystemClock
from bzzz_core.config.schema import AgentConfig
from bzzz_core.election.history import HISTORY_KEY, KEPT, Leadership, decode_records, encode_records
from bzzz_core.enrolment.registry import RECORD, EnrolledNode, Registry, decode, encode
from bzzz_core.errors import (
    CapacityExceeded,
    Deposed,
    QuorumUnavailable,
    RequestTimeout,
    StreamBusy,
)
from bzzz_core.fabric.lane import FencedLane
from bzzz_core.fabric.layout import CONTROL_KEPT, CONTROL_STREAM
from bzzz_core.fabric.nats import NatsFabric
from bzzz_core.fabric.records import NatsRecords
from bzzz_core.fabric.report import report
from bzzz_core.fabric.snapshot import restore, save
from bzzz_core.fabric.streams import StreamKeeper, StreamState, stream_keeper
from bzzz_core.model import ClusterId, FencingToken, Revision, Term
from bzzz_core.ports import Guard
from bzzz_core.trust.keys import node_id_of
from tests.fakes.broker_cluster import BrokerCluster, running
from tests.fakes.fabric_contents import contents

pytestmark = pytest.mark.integration
SETTLE_S_MAX = 30.0
STORE_BYTES_MAX = 32_000_000
LARGE = b"x" * 1_000_000
CLUSTER = ClusterId("c" * 26)


def cluster_at(directory: Path) -> BrokerCluster:
    cluster = BrokerCluster(directory, nodes=3)
    cluster.brokers = [replace(b, store_bytes_max=STORE_BYTES_MAX) for b in cluster.brokers]
    return cluster


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerCluster]:
    """Three brokers with small stores."""
    with cluster_at(tmp_path_factory.mktemp("control")) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def fresh(small: BrokerCluster) -> None:
    """Let every test begin without the stream."""

    async def forget() -> None:
        async with (
            stream_keeper(small.configs[0], clock=SystemClock()) as keeper,
            asyncio.timeout(SETTLE_S_MAX),
        ):
            while True:
                try:
                    if await keeper.state(CONTROL_STREAM) is None:
                        return
                    await keeper.delete(CONTROL_STREAM)
                except (QuorumUnavailable, RequestTimeout):
                    await asyncio.sleep(0.1)  # The test before has just restarted a broker.

    asyncio.run(forget())


def records_of(fabric: NatsFabric, **how: int) -> NatsRecords:
    """Return records as agents make them, or with other limits."""
    return NatsRecords(fabric, replicas=3, clock=SystemClock(), **how)


async def win(records: NatsRecords) -> FencingToken:
    async with asyncio.timeout(SETTLE_S_MAX):
        while True:
            try:
                before = await records.read("_term")
                guard = Guard("_term", before.revision if before else Revision(0))
                written = await records.write("_term", b"test", guard)
            except (StreamBusy, QuorumUnavailable, RequestTimeout):
                await asyncio.sleep(0.05)
            else:
                return FencingToken(records.stream, written)


async def state_of(keeper: StreamKeeper) -> StreamState:
    """Return the stream's state once all replicas have everything."""
    async with asyncio.timeout(SETTLE_S_MAX):
        while True:
            try:
                state = await keeper.state(CONTROL_STREAM)
            except QuorumUnavailable:
                state = None
            if state is not None and state.settled:
                return state
            await asyncio.sleep(0.05)


def registry(nodes: int) -> Registry:
    """Return a registry of some 180 bytes a node."""
    keys = [number.to_bytes(32, "big") for number in range(1, nodes + 1)]
    enrolled = [
        EnrolledNode(node_id_of(k), f"node-{n}", k, f"10.0.{n >> 8}.{n & 255}", route_pin="ab" * 32)
        for n, k in enumerate(keys)
    ]
    return Registry(CLUSTER, 1, tuple(sorted(enrolled)))


async def change(lane: FencedLane, known: Registry, count: int) -> Registry:
    """Change the registry so many times, a node's route key each time."""
    for _ in range(count):
        node = known.nodes[known.version % len(known.nodes)].id
        known = known.with_route_pin(node, f"{known.version:064x}")
        await lane.put(RECORD, encode(known))
    return known


def test_a_registry_may_change_beyond_the_size_of_the_store(small: BrokerCluster) -> None:
    """Each change is the registry whole. Kept, a few hundred would have been the cluster's end."""

    async def play() -> None:
        fabrics = [small.fabric(number) for number in (0, 1)]
        known = registry(1_000)
        changes = 2 * STORE_BYTES_MAX // len(encode(known))
        history: tuple[Leadership, ...] = ()
        async with running(*fabrics), AsyncExitStack() as ending, asyncio.TaskGroup() as lanes:
            records = [records_of(fabric) for fabric in fabrics]
            await asyncio.gather(*(each.open() for each in records))
            keeper = await ending.enter_async_context(
                stream_keeper(small.configs[0], clock=SystemClock())
            )
            old: FencedLane | None = None
            for term in range(1, 7):
                writer = records[term % 2]
                lane = FencedLane(writer, token=await win(writer), clock=SystemClock())
                work = lanes.create_task(lane.run())
                if old is not None:
                    with pytest.raises(Deposed):
                        await old.put(RECORD, encode(known))
                elected = Leadership(Term(term), small.node(0), Revision(term), began_at=f"{term}")
                history = (*history, elected)
                await lane.put(HISTORY_KEY, encode_records(history))
                if term == 2:
                    small.kill(2)
                known = await change(lane, known, changes // 6)
                if term == 5:
                    small.start(2)
                old = lane
            await lane.append(b"the last entry")
            after = await state_of(keeper)
            assert after.last_sequence > changes
            assert after.bytes < (CONTROL_KEPT + 1) * len(encode(known))
            for broker in small.brokers:
                await records[0].move_stream_leader(broker.server_name)
                there = await contents(keeper)
                if broker is small.brokers[0]:
                    first = there
                assert there == first
                found, told = await records[1].read(RECORD), await records[0].read(HISTORY_KEY)
                assert found is not None
                assert decode(found.value, cluster=CLUSTER) == known
                assert told is not None
                assert decode_records(told.value) == history
            work.cancel()
        subjects = [subject for subject, _ in first.values()]
        assert subjects.count(f"bz.control.{RECORD}") == CONTROL_KEPT
        assert subjects.count("bz.control._term") == 6
        assert len(history) < KEPT

    asyncio.run(play())


def test_a_stream_of_the_release_before_is_limited_by_whoever_starts(
    small: BrokerCluster, tmp_path: Path
) -> None:
    """Voters start at the same time; values, revisions and fences stay what they were."""

    async def play() -> None:
        fabrics = [small.fabric(number) for number in range(3)]
        async with (
            running(*fabrics),
            stream_keeper(small.configs[0], clock=SystemClock()) as keeper,
        ):
            before = records_of(fabrics[0], kept=-1)
            await before.open()
            token = await win(before)
            fence = Guard("_term", token.sequence)
            for number in range(5 * CONTROL_KEPT):
                last = await before.write("_nodes", b"%d" % number, fence)
            assert (await state_of(keeper)).messages == 5 * CONTROL_KEPT + 1
            assert (await state_of(keeper)).kept == 0
            assert any("keeps everything" in each for each in await problems(small.configs[0]))

            after = [records_of(fabric) for fabric in fabrics]
            await asyncio.gather(*(each.open() for each in after))
            assert {each.stream for each in after} == {before.stream}
            state = await state_of(keeper)
            assert (state.kept, state.messages) == (CONTROL_KEPT, CONTROL_KEPT + 1)
            assert state.last_sequence == last
            found = await after[2].read("_nodes")
            assert found is not None
            assert (found.revision, found.value) == (last, b"%d" % (5 * CONTROL_KEPT - 1))
            assert await after[1].write("_nodes", b"next", fence) == last + 1
            assert await problems(small.configs[0]) == ()

            there = await contents(keeper)
            config = small.configs[0]
            await save(keeper, CONTROL_STREAM, tmp_path, cluster_id=config.cluster.id)
            await keeper.delete(CONTROL_STREAM)
            path = tmp_path / f"{CONTROL_STREAM}.snapshot"
            await restore(keeper, path, replicas=3, cluster_id=config.cluster.id, force=False)
            await state_of(keeper)
            assert await contents(keeper) == there
            assert await after[0].write("_nodes", b"restored", fence) == last + 2

    asyncio.run(play())


def test_with_little_room_large_records_are_refused_and_terms_opened(small: BrokerCluster) -> None:
    """The operator sees it in the fabric's status; whoever asked for the write hears it at once."""

    async def play() -> None:
        fabric = small.fabric(0)
        async with running(fabric):
            records = records_of(fabric, bytes_max=2_000_000)
            await records.open()
            token = await win(records)
            fence = Guard("_term", token.sequence)
            large = bytes(200_000)
            for number in range(9):
                await records.write(f"_other-{number}", large, fence)
            async with asyncio.timeout(1):
                with pytest.raises(CapacityExceeded, match="what is left is for terms"):
                    await records.write("_nodes", large, fence)
            config = small.configs[0]
            resources = config.resources.model_copy(update={"store_bytes_max": 4_000_000})
            less = config.model_copy(update={"resources": resources})
            assert any("leaders are still elected" in each for each in await problems(less))
            later = await win(records)
            assert later.sequence > token.sequence
            lane = FencedLane(records, token=later, clock=SystemClock())
            async with asyncio.TaskGroup() as group:
                work = group.create_task(lane.run())
                await lane.append(b"the first entry of a leadership")
                work.cancel()

    asyncio.run(play())


async def problems(config: AgentConfig) -> tuple[str, ...]:
    return (await report(config, clock=SystemClock())).problems


async def fill(records: NatsRecords, fence: Guard) -> None:
    """Write until the brokers take no more."""
    for _ in range(STORE_BYTES_MAX // len(LARGE) + 1):
        await records.write("_nodes", LARGE, fence)


@pytest.mark.journey
def test_a_cluster_that_the_release_before_filled_comes_back(tmp_path: Path) -> None:
    """Its brokers had given up and no term could be opened; new agents and a restart mend that."""
    cluster = cluster_at(tmp_path)

    async def before() -> None:
        fabric = cluster.fabric(0)
        async with running(fabric):
            records = records_of(fabric, kept=-1)
            await records.open()
            fence = Guard("_term", (await win(records)).sequence)
            with pytest.raises(QuorumUnavailable):
                await fill(records, fence)
            with pytest.raises((QuorumUnavailable, RequestTimeout)):
                await records.write("_term", b"of nobody", fence)

    async def after() -> None:
        fabric = cluster.fabric(1)
        async with running(fabric):
            records = records_of(fabric)
            await records.open()
            await win(records)
            found = await records.read("_nodes")
            assert found is not None
            assert found.value == LARGE
        async with stream_keeper(cluster.configs[0], clock=SystemClock()) as keeper:
            state = await state_of(keeper)
            assert (state.kept, state.messages) == (CONTROL_KEPT, CONTROL_KEPT + 2)

    with cluster:
        asyncio.run(before())
        cluster.stop_all()
        for number in range(3):
            cluster.start(number)
        cluster.wait_ready()
        asyncio.run(after())
