"""The contract of `ports.Fabric` and `ports.Records`, held against every adapter.

The same tests run on the fabric in memory and on three real brokers. A test gets three nodes; what
it writes lies below keys of its own, since the brokers and their stream live as long as the run.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import pytest

from bzzz_core.clock import SystemClock
from bzzz_core.errors import (
    CapacityExceeded,
    NoResponders,
    PermissionDenied,
    RequestTimeout,
    RevisionConflict,
    StreamBusy,
)
from bzzz_core.fabric.hybrid import Backend, HybridFabric
from bzzz_core.fabric.layout import permissions
from bzzz_core.fabric.memory import MemoryHub, MemoryRecords
from bzzz_core.fabric.room import SMALL_BYTES_MAX
from bzzz_core.fabric.subjects import matches
from bzzz_core.model import FabricState, NodeId, Revision
from bzzz_core.ports import Fabric, Guard, Message, Records
from tests.fakes.broker_cluster import BrokerCluster

WAIT_S_MAX = 5.0


class Opened(Records, Protocol):
    """Records with the step that comes first."""

    async def open(self, timeout_ms: int = ...) -> None: ...


@dataclass
class World:
    """Three attached nodes with opened records."""

    nodes: list[NodeId]
    fabrics: list[Fabric]
    records: list[Records]
    leave: AsyncExitStack
    """What ends with the test, before the fabrics do."""
    counters: list[Counter[str]]
    bounded: Callable[[int], Opened]
    """Makes records of the first node that refuse large values beyond so many bytes."""


Worlds = Callable[[], AbstractAsyncContextManager[World]]


@asynccontextmanager
async def in_memory() -> AsyncIterator[World]:
    hub = MemoryHub(clock=SystemClock(), seed=1, latency_ms=(0, 2))
    nodes = [NodeId(letter * 26) for letter in "abc"]
    fabrics = [hub.attach(node, allowed=permissions(node, voter=True)) for node in nodes]
    records = [MemoryRecords(hub, fabric) for fabric in fabrics]
    for each in records:
        await each.open()
    async with AsyncExitStack() as leave:
        counters = [fabric.counters for fabric in fabrics]
        bounded = lambda limit: MemoryRecords(hub, fabrics[0], bytes_max=limit)  # noqa: E731
        yield World(nodes, list(fabrics), list(records), leave, counters, bounded)


@asynccontextmanager
async def on_brokers(cluster: BrokerCluster) -> AsyncIterator[World]:
    fabrics = [cluster.fabric(number) for number in range(3)]
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(fabric.run()) for fabric in fabrics]
        records = [cluster.records(fabric) for fabric in fabrics]
        await asyncio.gather(*(each.open() for each in records))
        async with AsyncExitStack() as leave:
            nodes = [cluster.node(number) for number in range(3)]
            counters = [fabric.counters for fabric in fabrics]
            bounded = partial(cluster.records, fabrics[0])
            yield World(nodes, list(fabrics), list(records), leave, counters, bounded)
        for task in running:
            task.cancel()


@asynccontextmanager
async def hybrid(inner: Worlds) -> AsyncIterator[World]:
    """The same world through hybrid fabrics; records never are."""
    async with inner() as world:
        fabrics: list[Fabric] = [
            HybridFabric(fabric, clock=SystemClock(), backend=Backend.HYBRID)
            for fabric in world.fabrics
        ]
        yield replace(world, fabrics=fabrics)


@pytest.fixture(
    params=[
        "memory",
        "hybrid over memory",
        pytest.param("nats", marks=pytest.mark.integration),
        pytest.param("hybrid over nats", marks=pytest.mark.integration),
    ]
)
def worlds(request: pytest.FixtureRequest) -> Worlds:
    inner: Worlds = in_memory
    if request.param.endswith("nats"):
        cluster: BrokerCluster = request.getfixturevalue("brokers")
        inner = lambda: on_brokers(cluster)  # noqa: E731  one of two
    return (lambda: hybrid(inner)) if request.param.startswith("hybrid") else inner


def in_world(worlds: Worlds, scenario: Callable[[World], Awaitable[None]]) -> None:
    async def play() -> None:
        async with worlds() as world:
            await scenario(world)

    asyncio.run(play())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S_MAX):
        while not condition():  # noqa: ASYNC110  other processes set no event of ours
            await asyncio.sleep(0.002)


async def spread(world: World, subject: str, *inboxes: list[Message], sender: int = 0) -> None:
    """Publish probes until every inbox has one, then forget them.

    Interest made at one broker is known to the others a moment later; a message published before is
    missed, as "at most once" allows. A last probe that all have heard shows that none is under way.
    """
    fabric = world.fabrics[sender]
    async with asyncio.timeout(WAIT_S_MAX):
        while not all(inboxes):
            await fabric.publish(subject, b"probe")
            await asyncio.sleep(0.005)
    await fabric.publish(subject, b"last probe")
    await until(lambda: all(inbox[-1].data == b"last probe" for inbox in inboxes))
    for inbox in inboxes:
        inbox.clear()


def fresh_key() -> str:
    return f"test.{secrets.token_hex(8)}"


def test_an_attached_node_is_connected(worlds: Worlds) -> None:
    async def scenario(world: World) -> None:
        assert {fabric.state for fabric in world.fabrics} == {FabricState.CONNECTED}

    in_world(worlds, scenario)


def test_everyone_interested_hears_in_order(worlds: Worlds) -> None:
    async def scenario(world: World) -> None:
        heard: list[list[Message]] = [[], [], []]
        for fabric, inbox in zip(world.fabrics, heard, strict=True):
            await fabric.subscribe("bz.el.all", inbox.append)
        await spread(world, "bz.el.all", *heard)
        sent = [Message("bz.el.all", b"%d" % number) for number in range(500)]
        for message in sent:
            await world.fabrics[0].publish(message.subject, message.data)
        await until(lambda: all(len(inbox) >= 500 for inbox in heard))
        assert heard == [sent, sent, sent]

    in_world(worlds, scenario)


def test_a_star_hears_every_node_but_no_other_subject(worlds: Worlds) -> None:
    async def scenario(world: World) -> None:
        beats: list[Message] = []
        await world.fabrics[0].subscribe("bz.beat.*", beats.append)
        for sender, node in enumerate(world.nodes):
            await spread(world, f"bz.beat.{node}", beats, sender=sender)
        for node, fabric in zip(world.nodes, world.fabrics, strict=True):
            await fabric.publish("bz.el.all", b"not this")
            await fabric.publish(f"bz.beat.{node}", node.encode())
        await until(lambda: len(beats) >= 3)
        assert {beat.subject for beat in beats} == {f"bz.beat.{node}" for node in world.nodes}

    in_world(worlds, scenario)


def test_a_message_to_one_node_is_heard_by_that_node(worlds: Worlds) -> None:
    async def scenario(world: World) -> None:
        heard: list[list[Message]] = [[], [], []]
        for node, fabric, inbox in zip(world.nodes, world.fabrics, heard, strict=True):
            await fabric.subscribe(f"bz.el.to.{node}", inbox.append)
            await spread(world, f"bz.el.to.{node}", inbox)
        await world.fabrics[0].publish(f"bz.el.to.{world.nodes[2]}", b"ballot")
        await world.fabrics[0].publish(f"bz.el.to.{world.nodes[0]}", b"mine")
        await until(lambda: bool(heard[0] and heard[2]))
        assert [[message.data for message in inbox] for inbox in heard] == [
            [b"mine"],
            [],
            [b"ballot"],
        ]

    in_world(worlds, scenario)


def test_after_stopping_nothing_is_heard(worlds: Worlds) -> None:
    async def scenario(world: World) -> None:
        stopped: list[Message] = []
        still: list[Message] = []
        interest = await world.fabrics[1].subscribe("bz.el.all", stopped.append)
        await world.fabrics[1].subscribe("bz.el.all", still.append)
        await spread(world, "bz.el.all", stopped, still)
        await interest.stop()
        await interest.stop()
        await world.fabrics[0].publish("bz.el.all", b"late")
        await until(lambda: len(still) == 1)
        assert stopped == []

    in_world(worlds, scenario)


def test_a_handler_that_fails_is_counted_and_the_next_message_comes(worlds: Worlds) -> None:
    """One peer's odd message must not deafen the node."""

    async def scenario(world: World) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        heard: list[Message] = []

        def handler(message: Message) -> None:
            if message.data == b"bad":
                raise ZeroDivisionError
            heard.append(message)

        await world.fabrics[0].subscribe("bz.el.all", handler)
        await spread(world, "bz.el.all", heard, sender=1)
        for data in (b"one", b"bad", b"two"):
            await world.fabrics[1].publish("bz.el.all", data)
        await until(lambda: [message.data for message in heard] == [b"one", b"two"])
        assert world.counters[0]["handler_failures"] == 1

    in_world(worlds, scenario)


async def answering(world: World, number: int, subject: str, answer: bytes) -> None:
    """Let a node answer on `subject`, and return once the others' questions reach it."""
    fabric = world.fabrics[number]
    answers = asyncio.TaskGroup()

    def handler(message: Message) -> None:
        if message.reply:
            answers.create_task(fabric.reply(message, answer + message.data))

    await answers.__aenter__()
    world.leave.push_async_exit(answers)
    await fabric.subscribe(subject, handler)
    probes: list[Message] = []
    await fabric.subscribe(subject, probes.append)
    for sender in range(len(world.nodes)):
        await spread(world, subject.replace("*", world.nodes[sender], 1), probes, sender=sender)


def test_a_request_gets_the_answer_of_the_one_who_listens(worlds: Worlds) -> None:
    async def scenario(world: World) -> None:
        await answering(world, 1, "bz.lead.*.greet", b"hello ")
        for node, fabric in zip(world.nodes, world.fabrics, strict=True):
            subject = f"bz.lead.{node}.greet"
            answers = await asyncio.gather(
                *(fabric.request(subject, b"%d" % n, timeout_ms=2_000) for n in range(100))
            )
            assert answers == [b"hello %d" % number for number in range(100)]

    in_world(worlds, scenario)


def test_a_request_that_nobody_hears_ends_at_once(worlds: Worlds) -> None:
    async def scenario(world: World) -> None:
        subject = f"bz.lead.{world.nodes[0]}.{secrets.token_hex(4)}"
        started = time.monotonic()
        with pytest.raises(NoResponders):
            await world.fabrics[0].request(subject, b"", timeout_ms=5_000)
        assert time.monotonic() - started < 1.0

    in_world(worlds, scenario)


def test_a_request_that_nobody_answers_ends_with_its_time(worlds: Worlds) -> None:
    async def scenario(world: World) -> None:
        heard: list[Message] = []
        subject = f"bz.lead.{world.nodes[0]}.silence"
        await world.fabrics[1].subscribe("bz.lead.*.silence", heard.append)
        await spread(world, subject, heard)
        with pytest.raises(RequestTimeout):
            await world.fabrics[0].request(subject, b"", timeout_ms=100)
        await until(lambda: bool(heard))  # A busy machine may deliver it after that time.
        assert [message.subject for message in heard] == [subject]

    in_world(worlds, scenario)


def test_what_a_node_may_not_do_is_refused_at_once(worlds: Worlds) -> None:
    """A refusal is not learnt by waiting for a time limit."""

    async def scenario(world: World) -> None:
        other = world.nodes[1]
        started = time.monotonic()
        with pytest.raises(PermissionDenied, match="publish"):
            await world.fabrics[0].request(f"bz.lead.{other}.x", b"", timeout_ms=5_000)
        with pytest.raises(PermissionDenied, match="subscribe"):
            await world.fabrics[0].subscribe(f"bz.el.to.{other}", lambda _: None)
        await world.fabrics[0].publish(f"bz.beat.{other}", b"forged")  # Only counted: at most once.
        assert time.monotonic() - started < 1.0

    in_world(worlds, scenario)


def test_a_message_that_asks_nothing_has_no_answer(worlds: Worlds) -> None:
    async def scenario(world: World) -> None:
        heard: list[Message] = []
        await world.fabrics[0].subscribe("bz.el.all", heard.append)
        await spread(world, "bz.el.all", heard)
        await world.fabrics[0].publish("bz.el.all", b"")
        await until(lambda: bool(heard))
        with pytest.raises(ValueError, match="nobody waits"):
            await world.fabrics[0].reply(heard[0], b"answer")

    in_world(worlds, scenario)


def test_a_record_is_read_as_it_was_written_by_every_node(worlds: Worlds) -> None:
    async def scenario(world: World) -> None:
        key, value = fresh_key(), bytes(range(256))
        assert await world.records[1].read(key) is None
        revision = await world.records[0].write(key, value, Guard(key, Revision(0)))
        for records in world.records:
            record = await records.read(key)
            assert record is not None
            assert (record.key, record.value, record.revision) == (key, value, revision)

    in_world(worlds, scenario)


def test_all_nodes_see_one_stream(worlds: Worlds) -> None:
    async def scenario(world: World) -> None:
        assert len({records.stream for records in world.records}) == 1

    in_world(worlds, scenario)


def test_revisions_grow(worlds: Worlds) -> None:
    async def scenario(world: World) -> None:
        key = fresh_key()
        last = Revision(0)
        for number in range(20):
            records = world.records[number % 3]
            written = await records.write(key, b"%d" % number, Guard(key, last))
            assert written > last
            last = written

    in_world(worlds, scenario)


def test_compare_and_set_lets_one_of_many_through(worlds: Worlds) -> None:
    """Election rests on this: of three candidates with one majority each, one advances the term."""

    async def scenario(world: World) -> None:
        for _ in range(20):
            key = fresh_key()
            outcomes = await asyncio.gather(
                *(
                    records.write(key, node.encode(), Guard(key, Revision(0)))
                    for node, records in zip(world.nodes, world.records, strict=True)
                ),
                return_exceptions=True,
            )
            won = [outcome for outcome in outcomes if isinstance(outcome, int)]
            lost = [outcome for outcome in outcomes if not isinstance(outcome, int)]
            assert len(won) == 1
            assert all(isinstance(outcome, RevisionConflict | StreamBusy) for outcome in lost)
            record = await world.records[0].read(key)
            assert record is not None
            assert record.revision == won[0]

    in_world(worlds, scenario)


def test_a_stale_guard_is_a_conflict_and_writes_nothing(worlds: Worlds) -> None:
    async def scenario(world: World) -> None:
        key = fresh_key()
        first = await world.records[0].write(key, b"first", Guard(key, Revision(0)))
        second = await world.records[1].write(key, b"second", Guard(key, first))
        for stale in (Revision(0), first, Revision(second + 1_000)):
            with pytest.raises(RevisionConflict):
                await world.records[2].write(key, b"stale", Guard(key, stale))
        record = await world.records[0].read(key)
        assert record is not None
        assert (record.value, record.revision) == (b"second", second)

    in_world(worlds, scenario)


def test_a_fence_holds_for_the_present_token_only(worlds: Worlds) -> None:
    """What a deposed leader writes is refused by the store itself."""

    async def scenario(world: World) -> None:
        term, log = fresh_key(), fresh_key()
        old = await world.records[0].write(term, b"1", Guard(term, Revision(0)))
        kept = await world.records[0].write(log, b"of term 1", Guard(term, old))
        new = await world.records[1].write(term, b"2", Guard(term, old))
        with pytest.raises(RevisionConflict):
            await world.records[0].write(log, b"of the past", Guard(term, old))
        record = await world.records[2].read(log)
        assert record is not None
        assert record.revision == kept
        assert await world.records[1].write(log, b"of term 2", Guard(term, new)) > kept

    in_world(worlds, scenario)


def test_a_fence_at_zero_is_refused(worlds: Worlds) -> None:
    """JetStream accepts it whatever the other key holds."""

    async def scenario(world: World) -> None:
        term = fresh_key()
        await world.records[0].write(term, b"", Guard(term, Revision(0)))
        with pytest.raises(ValueError, match="fence"):
            await world.records[0].write(fresh_key(), b"", Guard(term, Revision(0)))

    in_world(worlds, scenario)


def test_a_record_names_the_request_that_wrote_it(worlds: Worlds) -> None:
    """A writer whose answer was lost finds out by it whether what is there is its own."""

    async def scenario(world: World) -> None:
        key, request = fresh_key(), secrets.token_hex(8)
        named = await world.records[0].write(key, b"v", Guard(key, Revision(0)), request_id=request)
        found = await world.records[1].read(key)
        assert found is not None
        assert (found.revision, found.request_id) == (named, request)
        await world.records[0].write(key, b"v", Guard(key, named))
        found = await world.records[1].read(key)
        assert found is not None
        assert found.request_id is None

    in_world(worlds, scenario)


def test_one_request_is_written_once(worlds: Worlds) -> None:
    """An attempt that was believed lost may arrive after the one that replaced it."""

    async def scenario(world: World) -> None:
        term, log, request = fresh_key(), fresh_key(), secrets.token_hex(8)
        token = await world.records[0].write(term, b"", Guard(term, Revision(0)))
        guard = Guard(term, token)
        first = await world.records[0].write(log, b"once", guard, request_id=request)
        assert await world.records[0].write(log, b"once", guard, request_id=request) == first
        await world.records[1].write(term, b"moved on", Guard(term, token))
        assert await world.records[0].write(log, b"once", guard, request_id=request) == first

    in_world(worlds, scenario)


def test_a_full_store_refuses_what_is_large_at_once_and_opens_terms(worlds: Worlds) -> None:
    """A leader must be electable however full it is, and whoever asks for more hears why."""

    async def scenario(world: World) -> None:
        before, key = fresh_key(), fresh_key()
        full = world.bounded(2 * SMALL_BYTES_MAX)
        await full.open()
        term = await full.write(before, bytes(SMALL_BYTES_MAX), Guard(before, Revision(0)))
        await full.write(fresh_key(), bytes(SMALL_BYTES_MAX), Guard(before, term))
        large = bytes(SMALL_BYTES_MAX + 1)
        with pytest.raises(CapacityExceeded, match="store_bytes_max"):
            await full.write(key, large, Guard(before, term))
        assert await full.read(key) is None
        later = await full.write(before, b"of the next leader", Guard(before, term))
        assert later > term
        await world.records[1].write(key, large, Guard(before, later))

    in_world(worlds, scenario)


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.c", False),
        ("a.b", "a.b.c", False),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("*.b", "a.b", True),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        (">", "a", True),
        ("a.*.c", "a.b.c", True),
    ],
)
def test_subjects_match_by_token(pattern: str, subject: str, *, expected: bool) -> None:
    assert matches(pattern, subject) is expected
