"""The one way in which a leader writes: in order, once, and never after it was deposed."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bzzz_core.errors import (
    BzzzError,
    CapacityExceeded,
    Deposed,
    IntegrityError,
    PermissionDenied,
    QuorumUnavailable,
    RequestTimeout,
    RevisionConflict,
    StreamBusy,
)
from bzzz_core.fabric.batch import BATCH_BYTES_MAX, ENTRIES_MAX, decode_batch
from bzzz_core.fabric.lane import HANG_MS, FencedLane
from bzzz_core.fabric.memory import MemoryHub, MemoryRecords
from bzzz_core.model import FencingToken, NodeId, Revision
from bzzz_core.ports import Guard
from tests.fakes.scripted_records import JumpingClock, Lost, ScriptedRecords

Outcome = Revision | BaseException


def lane_on(records: ScriptedRecords, clock: JumpingClock | None = None) -> FencedLane:
    token = FencingToken(records.stream, Revision(1))
    return FencedLane(records, token=token, clock=clock or JumpingClock(), patience_ms=1_000)


def in_lane(
    records: ScriptedRecords,
    use: Callable[[FencedLane], Awaitable[list[Outcome]]],
    clock: JumpingClock | None = None,
) -> list[Outcome]:
    """Run a lane while `use` uses it."""

    async def both() -> list[Outcome]:
        lane = lane_on(records, clock)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(lane.run())
            result = await use(lane)
            running.cancel()
        return result

    return asyncio.run(both())


async def together(lane: FencedLane, *entries: bytes) -> list[Outcome]:
    return list(await asyncio.gather(*map(lane.append, entries), return_exceptions=True))


async def one_by_one(lane: FencedLane, *entries: bytes) -> list[Outcome]:
    return [(await together(lane, entry))[0] for entry in entries]


def entries_of(records: ScriptedRecords) -> list[bytes]:
    return [entry for message in records.log for entry in decode_batch(message).entries]


def test_waiting_entries_share_a_message_in_order() -> None:
    records = ScriptedRecords()
    entries = [b"%d" % number for number in range(200)]
    outcomes = in_lane(records, lambda lane: together(lane, *entries))
    assert entries_of(records) == entries
    assert [len(decode_batch(message).entries) for message in records.log] == [64, 64, 64, 8]
    assert sorted(outcomes) == outcomes, "a later entry has no earlier revision"


def test_one_message_at_a_time_is_in_flight_and_guarded_by_the_token() -> None:
    """With several in flight the store refuses nearly all of them."""
    records = ScriptedRecords()
    in_lane(records, lambda lane: together(lane, *[b"x"] * 500))
    assert records.in_flight_most == 1
    assert {guard for _, guard, _ in records.asked} == {Guard("_term", Revision(1))}


def test_a_message_stays_below_its_size() -> None:
    records = ScriptedRecords()
    half = bytes(BATCH_BYTES_MAX // 2)
    in_lane(records, lambda lane: together(lane, half, half, half, b"last"))
    assert [len(decode_batch(message).entries) for message in records.log] == [2, 2]
    with pytest.raises(ValueError, match="at most"):
        asyncio.run(lane_on(records).append(bytes(BATCH_BYTES_MAX + 1)))


def test_busy_is_tried_again_soon() -> None:
    """Another guarded write is settling: it takes milliseconds."""
    records, clock = ScriptedRecords([StreamBusy("busy")] * 4), JumpingClock()
    assert in_lane(records, lambda lane: one_by_one(lane, b"a"), clock) == [2]
    assert clock.slept == [5, 10, 20, 20]


def test_a_conflict_deposes_everyone_who_waits() -> None:
    """The first refused write is proof: `_term` has moved on, and no later write may try."""
    records = ScriptedRecords()
    records.move_term()
    outcomes = in_lane(records, lambda lane: together(lane, *[b"x"] * 200))
    assert {type(outcome) for outcome in outcomes} == {Deposed}
    assert len(records.asked) == 1
    assert not records.log


def test_a_deposed_lane_writes_nothing_more() -> None:
    records = ScriptedRecords()
    records.move_term()

    async def use(lane: FencedLane) -> list[Outcome]:
        first = await together(lane, b"a")
        assert lane.ended.is_set()
        return first + await together(lane, b"b", b"c")

    outcomes = in_lane(records, use)
    assert [type(outcome) for outcome in outcomes] == [Deposed] * 3
    assert len(records.asked) == 1


def test_a_lost_answer_is_found_by_reading_back() -> None:
    """Written once, acknowledged once: the entry is there, so it is not written again."""
    records = ScriptedRecords([Lost(RequestTimeout("lost"))])
    assert in_lane(records, lambda lane: one_by_one(lane, b"a", b"b")) == [2, 3]
    assert entries_of(records) == [b"a", b"b"]
    assert len(records.asked) == 2


def test_a_lost_request_is_sent_again_under_its_own_name() -> None:
    """The first attempt may still be on its way; the store takes the two for one."""
    records = ScriptedRecords([RequestTimeout("lost"), RequestTimeout("lost")])
    assert in_lane(records, lambda lane: one_by_one(lane, b"a")) == [2]
    assert len({request for _, _, request in records.asked}) == 1
    assert entries_of(records) == [b"a"]


def test_a_write_that_lands_late_is_not_doubled() -> None:
    """The answer is lost, reading back fails, and the second attempt meets the first."""
    records = ScriptedRecords([Lost(RequestTimeout("lost"))])
    records.readable = False
    assert in_lane(records, lambda lane: one_by_one(lane, b"a")) == [2]
    assert entries_of(records) == [b"a"]


def test_written_and_then_deposed_counts_as_written() -> None:
    """The conflict belongs to the second attempt; the first one was in time."""
    records = ScriptedRecords([Lost(RequestTimeout("lost"))], dedupes=False)
    reads = 0
    held_back = records.read

    async def read_after_the_first(key: str) -> object:
        nonlocal reads
        reads += 1
        if reads == 1:
            records.move_term()
            raise QuorumUnavailable("no leader yet")
        return await held_back(key)

    records.read = read_after_the_first  # type: ignore[assignment,method-assign]
    assert in_lane(records, lambda lane: one_by_one(lane, b"a")) == [2]


def test_unknown_and_then_deposed_says_unknown() -> None:
    """Deposed would promise that the entry is not in the log."""
    records = ScriptedRecords([RequestTimeout("lost"), RevisionConflict("moved")])
    outcomes = in_lane(records, lambda lane: together(lane, b"a"))
    assert [type(outcome) for outcome in outcomes] == [RequestTimeout]


def test_a_lost_quorum_is_waited_for() -> None:
    """A broker that is killed while it leads the stream stops writes for seconds."""
    records, clock = ScriptedRecords([QuorumUnavailable("none")] * 10), JumpingClock()
    assert in_lane(records, lambda lane: one_by_one(lane, b"a"), clock) == [2]
    assert clock.now_ms() == 500


def test_patience_ends_and_the_lane_goes_on() -> None:
    records = ScriptedRecords([QuorumUnavailable("none")] * 21)
    outcomes = in_lane(records, lambda lane: one_by_one(lane, b"a", b"b"))
    assert isinstance(outcomes[0], QuorumUnavailable)
    assert outcomes[1] == 2
    assert entries_of(records) == [b"b"]


def test_patience_that_ends_after_a_timeout_says_unknown() -> None:
    records = ScriptedRecords([RequestTimeout("lost"), *[QuorumUnavailable("none")] * 21])
    outcomes = in_lane(records, lambda lane: one_by_one(lane, b"a"))
    assert isinstance(outcomes[0], RequestTimeout)


def test_other_refusals_reach_the_caller_only() -> None:
    records = ScriptedRecords([PermissionDenied("no")])
    outcomes = in_lane(records, lambda lane: one_by_one(lane, b"a", b"b"))
    assert [type(outcome) for outcome in outcomes] == [PermissionDenied, int]


def test_stopping_leaves_nobody_waiting() -> None:
    """A leader that steps down cancels its lane; whoever appended must hear of it."""

    async def scenario() -> list[Outcome]:
        records = ScriptedRecords()
        blocked = asyncio.Event()
        started = asyncio.Event()

        async def hang(*_: object, **__: object) -> Revision:
            started.set()
            await blocked.wait()
            return Revision(0)

        records.write = hang  # type: ignore[method-assign]
        lane = lane_on(records)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(lane.run())
            first = group.create_task(together(lane, b"a"))
            await started.wait()
            rest = group.create_task(together(lane, b"b", b"c"))
            await asyncio.sleep(0)
            running.cancel()
        return first.result() + rest.result() + await together(lane, b"d")

    kinds = [type(outcome) for outcome in asyncio.run(scenario())]
    assert kinds == [RequestTimeout, Deposed, Deposed, Deposed]


def test_records_and_entries_lie_in_the_order_in_which_they_were_asked_for() -> None:
    """Whoever replays the stream sees a record change between the entries around it."""
    records = ScriptedRecords()

    async def use(lane: FencedLane) -> list[Outcome]:
        return list(
            await asyncio.gather(
                lane.append(b"a"),
                lane.append(b"b"),
                lane.put("config", b"one"),
                lane.append(b"c"),
                lane.put("config", b"two"),
                lane.put("nodes", b"x"),
            )
        )

    assert in_lane(records, use) == [2, 2, 3, 4, 5, 6]
    assert records.held["config"].value == b"two"
    assert {guard for _, guard, _ in records.asked} == {Guard("_term", Revision(1))}
    assert records.in_flight_most == 1


def test_a_put_whose_answer_was_lost_recognises_itself() -> None:
    """The value may equal what was there before: the request id tells the two apart."""
    records = ScriptedRecords([Lost(RequestTimeout("lost")), RequestTimeout("lost")])

    async def use(lane: FencedLane) -> list[Outcome]:
        return [await lane.put("config", b"same"), await lane.put("config", b"same")]

    assert in_lane(records, use) == [2, 3]
    assert len({request for _, _, request in records.asked}) == 2


@pytest.mark.parametrize("key", ["log", "_term"])
def test_the_log_and_the_term_are_no_records_of_a_leaders_own(key: str) -> None:
    with pytest.raises(ValueError, match=key):
        asyncio.run(lane_on(ScriptedRecords()).put(key, b""))


def test_after_an_unknown_write_the_lane_writes_nothing_more() -> None:
    """The attempt may still land: after a later write of the same key it would undo that one."""
    records = ScriptedRecords([RequestTimeout("lost"), *[QuorumUnavailable("none")] * 30])

    async def use(lane: FencedLane) -> list[Outcome]:
        first = await together(lane, b"a")
        assert lane.ended.is_set()
        assert isinstance(lane.ended_by, RequestTimeout)
        return [*first, *await together(lane, b"b")]

    kinds = [type(outcome) for outcome in in_lane(records, use)]
    assert kinds == [RequestTimeout, Deposed]


def test_a_strange_error_after_a_timeout_leaves_the_write_unknown() -> None:
    """Refused for good the second time says nothing about the first."""
    records = ScriptedRecords([RequestTimeout("lost"), PermissionDenied("no")])
    outcomes = in_lane(records, lambda lane: one_by_one(lane, b"a", b"b"))
    assert [type(outcome) for outcome in outcomes] == [RequestTimeout, Deposed]


def test_a_write_that_hangs_is_reported_before_patience_ends() -> None:
    """The election learns of it and lets somebody else try, who may reach the stream."""
    records, clock = ScriptedRecords([QuorumUnavailable("none")] * 400), JumpingClock()
    told: list[int] = []

    async def scenario() -> None:
        token = FencingToken(records.stream, Revision(1))
        lane = FencedLane(
            records, token=token, clock=clock, hangs=lambda: told.append(lane.waiting_ms)
        )
        async with asyncio.TaskGroup() as group:
            running = group.create_task(lane.run())
            with pytest.raises(QuorumUnavailable):
                await lane.append(b"a")
            assert lane.waiting_ms == 0
            running.cancel()

    asyncio.run(scenario())
    assert told[0] == HANG_MS


def test_whoever_gave_up_waiting_is_not_written() -> None:
    records = ScriptedRecords()

    async def scenario() -> None:
        lane = lane_on(records)
        async with asyncio.TaskGroup() as group:
            gone = group.create_task(lane.append(b"gone"))
            await asyncio.sleep(0)
            gone.cancel()
            await asyncio.sleep(0)
            running = group.create_task(lane.run())
            await lane.append(b"here")
            running.cancel()

    asyncio.run(scenario())
    assert entries_of(records) == [b"here"]


FAULTS = st.lists(
    st.sampled_from(
        [
            None,
            StreamBusy("busy"),
            QuorumUnavailable("none"),
            RequestTimeout("lost request"),
            Lost(RequestTimeout("lost answer")),
            Lost(QuorumUnavailable("lost answer, called none")),
        ]
    ),
    max_size=30,
)


@settings(max_examples=200)
@given(FAULTS, st.integers(1, 90), st.integers(0, 40))
def test_whatever_fails_acknowledged_entries_are_in_the_log_once_and_in_order(
    faults: list[BzzzError | Lost | None], count: int, deposed_after: int
) -> None:
    records = ScriptedRecords(faults)
    writes = 0

    def depose() -> None:
        nonlocal writes
        writes += 1
        if writes == deposed_after:
            records.move_term()

    records.before_write = depose
    entries = [b"%03d" % number for number in range(count)]
    outcomes = in_lane(records, lambda lane: one_by_one(lane, *entries))
    log = entries_of(records)
    assert log == sorted(set(log)), "in order, once"
    for entry, outcome in zip(entries, outcomes, strict=True):
        if not isinstance(outcome, BaseException):
            assert entry in log, "acknowledged means written"
        elif isinstance(outcome, Deposed):
            assert entry not in log, "deposed means not written"


def test_the_lane_works_on_the_memory_fabric_with_failures() -> None:
    async def scenario() -> None:
        hub = MemoryHub(clock=JumpingClock(), seed=4, latency_ms=(0, 3), failure_rate=0.4)
        records = MemoryRecords(hub, hub.attach(NodeId("a")))
        await records.open()
        hub.failure_rate = 0
        token = FencingToken(records.stream, await records.write("_term", b"", Guard("_term", 0)))
        hub.failure_rate = 0.4
        lane = FencedLane(records, token=token, clock=JumpingClock(), patience_ms=10_000)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(lane.run())
            revisions = [await lane.append(b"%d" % number) for number in range(50)]
            running.cancel()
        assert revisions == list(range(2, 52))

    asyncio.run(scenario())


def test_without_room_the_caller_is_told_at_once_and_the_lane_goes_on() -> None:
    """Waiting would not make room, and what is small has to be written all the same."""

    async def scenario() -> None:
        clock = JumpingClock()
        hub = MemoryHub(clock=clock)
        records = MemoryRecords(hub, hub.attach(NodeId("a")), bytes_max=20_000)
        await records.open()
        token = FencingToken(records.stream, await records.write("_term", b"", Guard("_term", 0)))
        lane = FencedLane(records, token=token, clock=clock)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(lane.run())
            with pytest.raises(CapacityExceeded):
                await lane.put("_nodes", bytes(30_000))
            assert clock.now_ms() == 0
            assert await lane.append(b"entry") == token.sequence + 1
            running.cancel()

    asyncio.run(scenario())


TOO_MANY = msgspec.msgpack.encode(["name", [b"x"] * (ENTRIES_MAX + 1)])


@pytest.mark.parametrize(
    "content", [b"", b"\xc1", b"\x92\xa0\x91\xc4\x00", b"\x92\xa1a\x90", TOO_MANY]
)
def test_a_damaged_message_is_an_integrity_error(content: bytes) -> None:
    """The reader's bounds are the writer's bounds."""
    with pytest.raises(IntegrityError):
        decode_batch(content)
