"""An edge uses the buckets by asking the leader, who looks at what it asks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from bzzz_core.asked_buckets import (
    ASKED_VALUE_BYTES_MAX,
    PAGE_BYTES_MAX,
    QUESTION,
    AskedKeyValue,
    BucketDesk,
    Paced,
    SwitchedKeyValue,
)
from bzzz_core.errors import (
    PermissionDenied,
    QuorumUnavailable,
    RequestInvalid,
    RevisionConflict,
    TransportError,
)
from bzzz_core.fabric.keys import KEY_CHARACTERS_MAX, TTL_S_MAX
from bzzz_core.fabric.layout import DHT, PROVIDERS, permissions
from bzzz_core.fabric.memory import MemoryHub
from bzzz_core.fabric.memory_keyvalue import MemoryKeyValue
from bzzz_core.leader_requests import LeaderRequests
from bzzz_core.model import FencingToken, NodeId, Revision, StreamId
from bzzz_core.ports import VALUE_BYTES_MAX, Record
from tests.fakes.admission import admit_all, nothing_owed
from tests.fakes.virtual_time import VirtualClock, run

LEADER, EDGE, OTHER = (NodeId(letter * 26) for letter in "ale")
TOKEN = FencingToken(StreamId("s"), Revision(1))


class Cluster:
    """A voter that leads and an edge, with their real rights."""

    def __init__(self) -> None:
        self.hub = MemoryHub(clock=VirtualClock())
        self.leads = True
        self.fabrics = {
            node: self.hub.attach(node, allowed=permissions(node, voter=node == LEADER))
            for node in (LEADER, EDGE)
        }
        self.values, self.providers = (
            MemoryKeyValue(self.hub, self.fabrics[LEADER], bucket) for bucket in (DHT, PROVIDERS)
        )
        self.desk = BucketDesk({DHT: self.values, PROVIDERS: self.providers})
        self.leader, self.edge = self._requests(LEADER), self._requests(EDGE)
        self.leader.serve(QUESTION, self.desk.answer)
        ask = Paced(self.ask)
        self.asked, self.asked_providers = (
            AskedKeyValue(bucket, ask) for bucket in (DHT, PROVIDERS)
        )

    def _requests(self, node: NodeId) -> LeaderRequests:
        return LeaderRequests(
            me=node,
            fabric=self.fabrics[node],
            clock=VirtualClock(),
            leads=lambda: TOKEN if node == LEADER and self.leads else None,
            admit=admit_all,
            settled=nothing_owed,
        )

    async def ask(self, operation: str, body: bytes) -> bytes:
        return await self.edge.ask(operation, body, timeout_ms=6_000)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Cluster"]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.leader.run())
            await VirtualClock().sleep_ms(10)
            try:
                yield self
            finally:
                task.cancel()


def play(scenario: Callable[[Cluster], Awaitable[None]]) -> None:
    async def body() -> None:
        async with Cluster().running() as cluster:
            await scenario(cluster)

    run(body())


def question(**fields: Any) -> bytes:
    return msgspec.msgpack.encode({"bucket": "dht", "verb": "get", "key": "k"} | fields)


def test_what_an_edge_writes_everybody_reads_and_the_other_way_round() -> None:
    async def scenario(cluster: Cluster) -> None:
        assert await cluster.asked.get("k") is None
        written = await cluster.asked.put("k", b"edge's")
        assert await cluster.values.get("k") == Record("k", b"edge's", written)
        written = await cluster.values.put("k", b"voter's")
        assert await cluster.asked.get("k") == Record("k", b"voter's", written)
        await cluster.asked.delete("k")
        assert await cluster.values.get("k") is None

    play(scenario)


def test_guarded_writes_hold_their_guard() -> None:
    async def scenario(cluster: Cluster) -> None:
        first = await cluster.asked.create("k", b"1")
        with pytest.raises(RevisionConflict):
            await cluster.asked.create("k", b"2")
        with pytest.raises(RevisionConflict):
            await cluster.asked.update("k", b"2", Revision(0))
        second = await cluster.asked.update("k", b"2", first)
        with pytest.raises(RevisionConflict):
            await cluster.asked.update("k", b"3", first)
        with pytest.raises(RevisionConflict):
            await cluster.asked.delete("k", revision=first)
        await cluster.asked.delete("k", revision=second)
        assert await cluster.asked.update("k", b"3", Revision(0)) > second

    play(scenario)


def test_a_lifetime_ends() -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.asked.put("k", b"", ttl_s=2)
        await VirtualClock().sleep_ms(1_500)
        assert await cluster.asked.get("k") is not None
        await VirtualClock().sleep_ms(600)
        assert await cluster.asked.get("k") is None

    play(scenario)


def test_an_edge_tells_of_providers_in_its_own_name_only() -> None:
    async def scenario(cluster: Cluster) -> None:
        mine = f"slot.{EDGE}"
        await cluster.asked_providers.put(mine, b"me", ttl_s=5)
        held = await cluster.providers.put(f"slot.{OTHER}", b"other")
        for key in (f"slot.{OTHER}", "slot", f"slot.{OTHER}.{EDGE}", EDGE, f"slot.{EDGE}.x"):
            for attempt in (
                cluster.asked_providers.put(key, b"forged"),
                cluster.asked_providers.create(key, b"forged"),
                cluster.asked_providers.update(key, b"forged", held),
                cluster.asked_providers.delete(key),
            ):
                with pytest.raises(PermissionDenied):
                    await attempt
        found = await cluster.asked_providers.records("slot")
        assert {record.key: record.value for record in found} == {
            mine: b"me",
            f"slot.{OTHER}": b"other",
        }
        await cluster.asked_providers.delete(mine)
        assert await cluster.asked_providers.keys("slot") == (f"slot.{OTHER}",)

    play(scenario)


def test_a_long_listing_comes_in_pages_that_fit_a_message() -> None:
    async def scenario(cluster: Cluster) -> None:
        sizes: list[int] = []

        async def ask(operation: str, body: bytes) -> bytes:
            sizes.append(len(data := await cluster.ask(operation, body)))
            return data

        wanted = tuple(sorted(f"slot.{letter * 26}" for letter in "abcdefgh"))
        for number, key in enumerate(wanted):
            await cluster.providers.put(key, bytes([number]) * 300_000)
        await cluster.providers.put(wanted[3], bytes(VALUE_BYTES_MAX))
        asked = AskedKeyValue(PROVIDERS, ask)
        assert await asked.records("slot") == await cluster.providers.records("slot")
        assert len(sizes) > 3
        assert [size for size in sizes if size > PAGE_BYTES_MAX + 10_000] == [max(sizes)]
        assert max(sizes) < 1_048_000
        sizes.clear()
        assert await asked.keys("slot") == wanted
        assert len(sizes) == 1

    play(scenario)


def test_the_leader_lists_nothing_that_may_be_larger_than_its_memory() -> None:
    async def scenario(cluster: Cluster) -> None:
        for listing in (
            cluster.asked.records(),
            cluster.asked.keys("a"),
            cluster.asked_providers.records(),
        ):
            with pytest.raises(RequestInvalid, match="lists"):
                await listing

    play(scenario)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        msgspec.msgpack.encode([]),
        question(verb="watch"),
        question(bucket="control"),
        question(bucket="x" * 65),
        question(key="x" * 257),
        question(key=""),
        question(key="a..b"),
        question(key="a.*"),
        question(key="a.>"),
        question(verb="put", value="text"),
        question(verb="put", value=bytes(VALUE_BYTES_MAX + 1)),
        question(verb="put", ttl_s=0),
        question(verb="put", ttl_s=1 << 40),
        question(verb="update", value=b""),
        question(verb="update", revision=-1),
        question(verb="update", revision=1 << 63),
        question(verb="delete", revision=0),
        question(bucket="prov", verb="records", prefix="a.*"),
        question(bucket="prov", verb="records", prefix="x" * 257),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_happens(body: bytes) -> None:
    async def scenario(cluster: Cluster) -> None:
        held = await cluster.values.put("k", b"held")
        with pytest.raises(RequestInvalid):
            await cluster.desk.answer(EDGE, body)
        assert await cluster.values.records() == (Record("k", b"held", held),)

    play(scenario)


def test_what_no_bucket_takes_never_leaves() -> None:
    async def scenario(cluster: Cluster) -> None:
        for attempt in (
            cluster.asked.put("no key", b""),
            cluster.asked.get("a.*"),
            cluster.asked.put("k", bytes(VALUE_BYTES_MAX + 1)),
            cluster.asked.put("k", b"", ttl_s=0),
            cluster.asked.delete("k", revision=Revision(0)),
            cluster.asked.keys("a."),
        ):
            with pytest.raises(ValueError, match=r"no key|at most|seconds|cannot be deleted"):
                await attempt
        with pytest.raises(ValueError, match="at most"):
            await cluster.asked.put("k", bytes(ASKED_VALUE_BYTES_MAX + 1))
        assert cluster.leader.counters["answered"] == cluster.leader.counters["failed"] == 0
        longest, largest = "k" * KEY_CHARACTERS_MAX, bytes(ASKED_VALUE_BYTES_MAX)
        written = await cluster.asked.put(longest, largest, ttl_s=TTL_S_MAX)
        await cluster.asked.update(longest, largest, written, ttl_s=TTL_S_MAX)

    play(scenario)


def test_the_largest_value_of_a_voter_is_read_by_an_edge() -> None:
    async def scenario(cluster: Cluster) -> None:
        await cluster.values.put("k", bytes(VALUE_BYTES_MAX))
        found = await cluster.asked.get("k")
        assert found is not None
        assert found.value == bytes(VALUE_BYTES_MAX)

    play(scenario)


def test_without_a_leader_there_is_no_quorum() -> None:
    async def scenario(cluster: Cluster) -> None:
        cluster.leads = False
        with pytest.raises((QuorumUnavailable, TransportError)):
            await cluster.asked.put("k", b"")
        assert await cluster.values.records() == ()

    play(scenario)


def test_many_at_once_are_paced_so_that_none_is_dropped() -> None:
    async def scenario(cluster: Cluster) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(300):
                group.create_task(cluster.asked.put(f"k.{number}", b""))
        assert len(await cluster.values.records()) == 300
        assert cluster.leader.counters["refused"] == 0
        assert VirtualClock().now_ms() < 4_500

    play(scenario)


@pytest.mark.parametrize("answer", [b"\xff", msgspec.msgpack.encode({"revision": -1})])
def test_a_malformed_answer_is_no_answer(answer: bytes) -> None:
    async def ask(_operation: str, _body: bytes) -> bytes:
        return answer

    async def body() -> None:
        with pytest.raises(TransportError):
            await AskedKeyValue(DHT, ask).get("k")

    run(body())


def test_pages_that_do_not_go_on_are_no_answer() -> None:
    async def ask(_operation: str, _body: bytes) -> bytes:
        found = {"key": "slot.a", "value": b"", "revision": 1}
        return msgspec.msgpack.encode({"records": [found], "more": True})

    async def body() -> None:
        with pytest.raises(TransportError):
            await AskedKeyValue(PROVIDERS, ask).records("slot")

    run(body())


def test_a_node_that_becomes_a_voter_uses_the_bucket_itself() -> None:
    async def scenario(cluster: Cluster) -> None:
        votes = False
        bucket = SwitchedKeyValue(own=cluster.values, asked=cluster.asked, votes=lambda: votes)
        await bucket.put("k", b"asked")
        with pytest.raises(PermissionDenied, match="only voters"):
            await bucket.watch()
        answered = cluster.leader.counters["answered"]
        votes = True
        watch = await bucket.watch()
        await watch.listed()
        found = await bucket.get("k")
        assert found == watch.get("k")
        assert found is not None
        await bucket.update("k", b"own", found.revision)
        assert await bucket.keys() == ("k",)
        assert [record.value for record in await bucket.records()] == [b"own"]
        await bucket.delete("k")
        await bucket.create("k", b"")
        assert cluster.leader.counters["answered"] == answered
        votes = False
        await bucket.get("k")
        assert cluster.leader.counters["answered"] == answered + 1

    play(scenario)
