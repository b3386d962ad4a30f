"""A follower keeps its place: over lost hints, lagging replicas, failures and new streams."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from bzzz_core.errors import QuorumUnavailable
from bzzz_core.fabric.follower import LOOK_MS, SURE_MS, Follower, Stored
from tests.fakes.election_nodes import SharedClock
from tests.fakes.scripted_stream import ScriptedStream

AWAY_MS_MAX = 60_000


class Told:
    """A sink that writes everything down."""

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.expiries: list[int | None] = []
        self.events: list[str] = []
        self.due_ms: int | None = None

    def take(self, stored: Stored) -> None:
        self.data.append(stored.data)
        self.expiries.append(stored.expires_ms)

    def caught_up(self, now_ms: int) -> None:
        del now_ms
        if self.events[-1:] != ["caught up"]:
            self.events.append("caught up")

    def lost(self) -> None:
        self.events.append("lost")

    def restart(self, *, anew: bool) -> None:
        self.events.append("anew" if anew else "again")

    def next_due_ms(self) -> int | None:
        return self.due_ms


Scenario = Callable[[SharedClock, ScriptedStream, Told, Follower], Awaitable[None]]


def play(scenario: Scenario, *, ahead_ms: int = 0) -> None:
    async def body() -> None:
        clock, told = SharedClock(), Told()
        stream = ScriptedStream(clock, ahead_ms=ahead_ms)
        follower = Follower(
            cast("Any", stream),
            pattern="s.>",
            start=1,
            sink=told,
            clock=clock,
            away_ms_max=AWAY_MS_MAX,
        )
        async with asyncio.TaskGroup() as group:
            running = group.create_task(follower.run())
            await clock.run(1)
            await scenario(clock, stream, told, follower)
            running.cancel()

    asyncio.run(body())


def test_a_hint_brings_a_message_within_milliseconds() -> None:
    async def scenario(
        clock: SharedClock, stream: ScriptedStream, told: Told, follower: Follower
    ) -> None:
        del follower
        await clock.run(500)
        stream.write(b"1")
        await clock.run(510)
        assert told.data == [b"1"]

    play(scenario)


def test_a_write_that_is_stored_late_is_found_by_reading_again() -> None:
    """The hint comes before a majority has the message."""

    async def scenario(
        clock: SharedClock, stream: ScriptedStream, told: Told, follower: Follower
    ) -> None:
        del follower
        stream.hidden = 1
        stream.write(b"1")
        await clock.run(100)
        assert told.data == []
        stream.hidden = 0
        await clock.run(1_000)
        assert told.data == [b"1"]

    play(scenario)


def test_a_refused_write_costs_some_reads_and_no_more() -> None:
    async def scenario(
        clock: SharedClock, stream: ScriptedStream, told: Told, follower: Follower
    ) -> None:
        del told, follower
        await clock.run(100)
        before = len(stream.reads)
        stream.hint()
        await clock.run(5_000)
        assert 1 <= len(stream.reads) - before <= 6

    play(scenario)


def test_a_flood_of_hints_is_no_flood_of_reads() -> None:
    async def scenario(
        clock: SharedClock, stream: ScriptedStream, told: Told, follower: Follower
    ) -> None:
        del follower
        before = len(stream.reads)
        for number in range(200):
            stream.write(b"%d" % number)
            await clock.run(clock.ms + 1)
        await clock.run(clock.ms + 1_000)
        assert told.data == [b"%d" % number for number in range(200)]
        assert len(stream.reads) - before < 60

    play(scenario)


def test_a_lost_hint_is_made_up_for_by_looking() -> None:
    async def scenario(
        clock: SharedClock, stream: ScriptedStream, told: Told, follower: Follower
    ) -> None:
        del follower
        await clock.run(1_000)
        stream.write(b"1", hint=False)
        await clock.run(LOOK_MS - 1_000)
        assert told.data == []
        await clock.run(LOOK_MS + 1_100)
        assert told.data == [b"1"]

    play(scenario)


def test_a_message_stored_after_all_tries_is_found_soon() -> None:
    """On a slow machine a write takes longer than the reads that its hint caused."""

    async def scenario(
        clock: SharedClock, stream: ScriptedStream, told: Told, follower: Follower
    ) -> None:
        del follower
        await clock.run(100)
        stream.hint()
        await clock.run(100 + SURE_MS - 10)
        stream.write(b"late", hint=False)
        assert told.data == []
        await clock.run(100 + SURE_MS + 10)
        assert told.data == [b"late"]
        assert told.events == ["caught up"]

    play(scenario)


def test_what_was_there_before_it_listened_settles_no_hint() -> None:
    """A hint during the first reading is of a write that this reading does not bring."""

    async def scenario(
        clock: SharedClock, stream: ScriptedStream, told: Told, follower: Follower
    ) -> None:
        await clock.run(1_000)
        for number in range(20):
            stream.write(b"%d" % number, hint=False)
        stream.on_read = stream.hint
        follower.look()
        await clock.run(1_002)
        stream.write(b"hinted at", hint=False)
        assert told.data[-1] == b"19"
        await clock.run(1_100)
        assert told.data[-1] == b"hinted at"

    play(scenario)


def test_a_replica_that_stays_behind_is_not_called_current() -> None:
    """Also while writes go on: each hint makes it read, and the replica says that it is all."""

    async def scenario(
        clock: SharedClock, stream: ScriptedStream, told: Told, follower: Follower
    ) -> None:
        del follower
        await clock.run(100)
        for number in range(1, 31):
            stream.hidden = number
            stream.write(b"%d" % number)
            await clock.run(100 + 100 * number)
        assert told.events[:2] == ["caught up", "lost"]
        assert told.data == []
        stream.hidden = 0
        await clock.run(clock.ms + 5_000)
        assert told.data == [b"%d" % number for number in range(1, 31)]
        assert told.events[-1] == "caught up"

    play(scenario)


def test_the_leader_is_asked_at_most_once_a_second_and_only_after_hints() -> None:
    async def scenario(
        clock: SharedClock, stream: ScriptedStream, told: Told, follower: Follower
    ) -> None:
        del told, follower
        await clock.run(100)
        before = stream.asked
        for number in range(300):
            stream.write(b"%d" % number)
            await clock.run(clock.ms + 10)
        await clock.run(clock.ms + SURE_MS)
        asked = stream.asked - before
        assert 2 <= asked <= 4
        await clock.run(clock.ms + LOOK_MS - 2 * SURE_MS)
        assert stream.asked - before == asked

    play(scenario)


def test_a_leader_that_cannot_be_asked_is_a_matter_for_the_next_look() -> None:
    """An election among the brokers takes seconds; the copy serves as long as before."""

    async def scenario(
        clock: SharedClock, stream: ScriptedStream, told: Told, follower: Follower
    ) -> None:
        del follower
        await clock.run(100)
        stream.leaderless = True
        stream.hint()
        await clock.run(LOOK_MS - 1_000)
        assert told.events == ["caught up"]
        stream.leaderless = False
        stream.write(b"after", hint=False)
        await clock.run(LOOK_MS + SURE_MS)
        assert told.data == [b"after"]
        assert told.events == ["caught up"]

    play(scenario)


def test_a_new_connection_looks_at_once() -> None:
    async def scenario(
        clock: SharedClock, stream: ScriptedStream, told: Told, follower: Follower
    ) -> None:
        await clock.run(1_000)
        stream.write(b"1", hint=False)
        follower.look()
        await clock.run(1_010)
        assert told.data == [b"1"]

    play(scenario)


def test_after_a_failure_it_goes_on_where_it_was() -> None:
    async def scenario(
        clock: SharedClock, stream: ScriptedStream, told: Told, follower: Follower
    ) -> None:
        stream.write(b"1")
        await clock.run(100)
        stream.failure = QuorumUnavailable("told so")
        follower.look()
        await clock.run(2_000)
        assert told.events == ["caught up", "lost", *["lost"] * told.events[2:].count("lost")]
        stream.write(b"2", hint=False)
        stream.failure = None
        follower.look()
        await clock.run(40_000)
        assert told.data == [b"1", b"2"]
        assert told.events[-1] == "caught up"

    play(scenario)


def test_retries_come_ever_later() -> None:
    """A broker that is down must not be asked by everybody twenty times a second."""

    async def scenario(
        clock: SharedClock, stream: ScriptedStream, told: Told, follower: Follower
    ) -> None:
        del told
        stream.failure = QuorumUnavailable("told so")
        follower.look()
        await clock.run(300_000)
        assert stream.looks < 25

    play(scenario)


def test_another_stream_of_the_name_is_read_from_its_start() -> None:
    """Its sequences start over and say nothing about the old one."""

    async def scenario(
        clock: SharedClock, stream: ScriptedStream, told: Told, follower: Follower
    ) -> None:
        for data in (b"1", b"2"):
            stream.write(data)
        await clock.run(100)
        stream.make_anew()
        for data in (b"a", b"b", b"c"):
            stream.write(data, hint=False)
        follower.look()
        await clock.run(200)
        assert told.data == [b"1", b"2", b"a", b"b", b"c"]
        assert told.events == ["caught up", "anew", "caught up"]

    play(scenario)


def test_after_being_away_too_long_everything_is_read_again() -> None:
    """Marks of deletion may have come and gone."""

    async def scenario(
        clock: SharedClock, stream: ScriptedStream, told: Told, follower: Follower
    ) -> None:
        stream.write(b"1")
        await clock.run(100)
        stream.failure = QuorumUnavailable("told so")
        follower.look()
        await clock.run(100 + AWAY_MS_MAX + 1_000)
        stream.failure = None
        follower.look()
        await clock.run(clock.ms + 40_000)
        assert told.data == [b"1", b"1"]
        assert told.events[-2:] == ["again", "caught up"]

    play(scenario)


def test_a_lifetime_is_counted_from_the_write_by_our_own_clock() -> None:
    """The leader's clock may be hours from ours."""

    async def scenario(
        clock: SharedClock, stream: ScriptedStream, told: Told, follower: Follower
    ) -> None:
        await clock.run(1_000)
        stream.write(b"1", hint=False, Nats_TTL="5s")
        await clock.run(3_000)
        stream.write(b"2", Nats_TTL="1h0m1s")
        stream.write(b"3")
        stream.write(b"4", Nats_TTL="for ever")
        follower.look()
        await clock.run(3_100)
        assert told.expiries == [1_000 + 5_000, 3_000 + 3_601_000, None, None]

    play(scenario, ahead_ms=7_200_000)


def test_it_reports_when_the_sink_wants_to_know() -> None:
    async def scenario(
        clock: SharedClock, stream: ScriptedStream, told: Told, follower: Follower
    ) -> None:
        del follower
        told.due_ms = 2_500
        stream.write(b"1")
        await clock.run(2_000)
        reads = len(stream.reads)
        await clock.run(2_400)
        assert len(stream.reads) == reads
        told.due_ms = None if clock.ms > 2_500 else 2_500
        await clock.run(2_600)
        assert len(stream.reads) > reads

    play(scenario)
