"""A new leader fences every stream that leaders write before it serves."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from bzzz_core.errors import (
    ConsistencyError,
    Deposed,
    QuorumUnavailable,
    RequestTimeout,
    RevisionConflict,
    StreamBusy,
)
from bzzz_core.fabric.memory import MemoryHub, MemoryRecords
from bzzz_core.fabric.takeover import LedStream, advance
from bzzz_core.leading import LeadersLog
from bzzz_core.model import FencingToken, NodeId, Revision, StreamId
from bzzz_core.ports import Guard
from tests.fakes.scripted_records import JumpingClock, Lost, ScriptedRecords

CONTROL = StreamId("control")


def leadership(sequence: int, stream: StreamId = CONTROL) -> FencingToken:
    return FencingToken(stream, Revision(sequence))


def fresh(*faults: object) -> ScriptedRecords:
    records = ScriptedRecords(faults)  # type: ignore[arg-type]
    records.held.clear()
    return records


def take(records: ScriptedRecords, sequence: int, **options: bool) -> FencingToken:
    return asyncio.run(advance(records, leadership(sequence), clock=JumpingClock(), **options))


def test_the_first_leader_makes_the_mark() -> None:
    records = fresh()
    assert take(records, 5) == FencingToken(records.stream, Revision(2))
    assert msgspec.msgpack.decode(records.held["_term"].value, type=FencingToken) == leadership(5)


def test_a_later_leader_moves_it_and_an_earlier_one_is_deposed() -> None:
    records = fresh()
    first, second = take(records, 5), take(records, 9)
    assert second.sequence > first.sequence
    with pytest.raises(Deposed):
        take(records, 5)


def test_doing_it_again_changes_nothing() -> None:
    """The election tries its first write again after any failure that may pass."""
    records = fresh()
    assert take(records, 5) == take(records, 5)
    assert records.last == 2


@pytest.mark.parametrize(
    "fault",
    [
        RequestTimeout("lost request"),
        Lost(RequestTimeout("lost answer")),
        StreamBusy("busy"),
        QuorumUnavailable("none"),
        RevisionConflict("raced"),
    ],
    ids=repr,
)
def test_whatever_happens_on_the_way_the_mark_is_written_once(fault: object) -> None:
    records = fresh(fault)
    token = take(records, 5)
    assert records.held["_term"].revision == token.sequence == records.last


def test_a_mark_of_another_control_stream_is_taken_over_only_on_purpose() -> None:
    """Sequences of two streams say nothing about which leader is newer."""
    records = fresh()
    take(records, 5)
    other = leadership(3, StreamId("made anew"))
    with pytest.raises(ConsistencyError, match="adopt"):
        asyncio.run(advance(records, other, clock=JumpingClock()))
    asyncio.run(advance(records, other, clock=JumpingClock(), adopt=True))
    with pytest.raises(ConsistencyError):
        take(records, 6)


@pytest.mark.parametrize("content", [b"", b"\xc1", b"\x80", b"x" * 2_000, b"\x91" * 1_000])
def test_a_damaged_mark_is_refused(content: bytes) -> None:
    records = fresh()
    records.put("_term", content, Guard("_term", Revision(0)), None)
    with pytest.raises(ConsistencyError, match="damaged"):
        take(records, 5)


class World:
    """A control stream and two more, in memory."""

    def __init__(self) -> None:
        hub = MemoryHub(clock=JumpingClock())
        fabric = hub.attach(NodeId("a"))
        names = ("control", "contexts", "audit")
        self.control, *self.others = (MemoryRecords(hub, fabric, stream=name) for name in names)
        self.caught_up: list[tuple[str, Revision]] = []
        self.trouble: list[tuple[FencingToken, str]] = []

    async def opened(self) -> LeadersLog:
        for records in (self.control, *self.others):
            await records.open()

        def led(number: int) -> LedStream:
            async def catch_up(revision: Revision) -> None:
                self.caught_up.append((f"stream {number}", revision))

            return LedStream(self.others[number], catch_up)

        return LeadersLog(
            self.control,
            clock=JumpingClock(),
            others=[led(0), led(1)],
            trouble=lambda token, reason: self.trouble.append((token, reason)),
        )

    async def elect(self) -> FencingToken:
        before = await self.control.read("_term")
        at = before.revision if before else Revision(0)
        return FencingToken(
            self.control.stream, await self.control.write("_term", b"", Guard("_term", at))
        )


def in_world(scenario: Callable[[World, LeadersLog], Awaitable[None]]) -> None:
    async def main() -> None:
        world = World()
        log = await world.opened()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(log.run())
            await scenario(world, log)
            running.cancel()

    asyncio.run(main())


def test_a_leadership_begins_with_every_stream_taken_over_and_read() -> None:
    """The announcement is acknowledged last: whoever sees it knows that all of this is done."""

    async def scenario(world: World, log: LeadersLog) -> None:
        token = await world.elect()
        assert log.tokens(token) == {}
        revision = await log.begin(token, b"I lead")
        assert revision == token.sequence + 1
        tokens = log.tokens(token)
        assert set(tokens) == {r.stream for r in (world.control, *world.others)}
        assert world.caught_up == [("stream 0", Revision(1)), ("stream 1", Revision(1))]

    in_world(scenario)


def test_a_token_says_into_which_stream_is_written() -> None:
    async def scenario(world: World, log: LeadersLog) -> None:
        token = await world.elect()
        await log.begin(token, b"I lead")
        contexts = log.tokens(token)[world.others[0].stream]
        await log.append(contexts, b"an entry")
        await log.put(contexts, "index", b"a record")
        await log.put(token, "config", b"of the cluster")
        there = await world.others[0].read("index")
        assert there is not None
        assert there.value == b"a record"
        assert await world.others[1].read("index") is None
        assert await world.control.read("config") is not None

    in_world(scenario)


def test_a_new_leadership_ends_the_lanes_of_the_old_one() -> None:
    async def scenario(world: World, log: LeadersLog) -> None:
        old = await world.elect()
        await log.begin(old, b"I lead")
        contexts = log.tokens(old)[world.others[0].stream]
        new = await world.elect()
        await log.begin(new, b"I lead again")
        for token in (old, contexts):
            with pytest.raises(Deposed):
                await log.append(token, b"late")
        assert log.tokens(old) == {}
        await log.append(log.tokens(new)[world.others[0].stream], b"in time")
        assert world.trouble == []

    in_world(scenario)


def test_a_leadership_deposed_in_one_stream_begins_nowhere() -> None:
    async def scenario(world: World, log: LeadersLog) -> None:
        token = await world.elect()
        later = FencingToken(token.stream, Revision(token.sequence + 10))
        await advance(world.others[1], later, clock=JumpingClock())
        with pytest.raises(Deposed):
            await log.begin(token, b"I lead")
        assert await world.control.read("log") is None

    in_world(scenario)


def test_trouble_is_told_once_and_names_the_leadership() -> None:
    """Election steps down on it: a leader that cannot write is none, whoever hears its beats."""

    async def scenario(world: World, log: LeadersLog) -> None:
        token = await world.elect()
        await log.begin(token, b"I lead")
        contexts = log.tokens(token)[world.others[0].stream]
        await world.elect()
        later = FencingToken(token.stream, Revision(token.sequence + 10))
        await advance(world.others[0], later, clock=JumpingClock())
        for each in (token, contexts, token):
            with pytest.raises(Deposed):
                await log.append(each, b"late")
        await asyncio.sleep(0)
        assert world.trouble == [(token, "deposed")]

    in_world(scenario)
