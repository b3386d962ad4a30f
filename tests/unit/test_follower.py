"""A follower keeps its place: over lost hints, lagging replicas, failures and new streams."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from bzzz_core.errors import QuorumUnavailable
from bzzz_core.fabric.follower import LOOK_MS, SURE_MS, Follower, Stored
from bzzz_core.fabric.stream import ANSWER_MS_MAX
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


def play(scenario: Scenario, *, ahead_ms: int = 0, refusing: bool = False) -> None:
    async def body() -> None:
        clock, told = SharedClock(), Told()
        stream = ScriptedStream(clock, ahead_ms=ahead_ms)
        stream.refusing = refusing
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
        assert 1 <= len(stream.reads) - before <= 7

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


@pytest.mark.parametrize("stored_ms", [SURE_MS + 10, ANSWER_MS_MAX - 10])
def test_a_message_stored_while_its_writer_still_waits_is_found_soon(stored_ms: int) -> None:
    """The leader did not have it yet when it was asked first."""

    async def scenario(
        clock: SharedClock, stream: ScriptedStream, told: Told, follower: Follower
    ) -> None:
        del follower
        await clock.run(100)
        stream.hint()
        await clock.run(100 + stored_ms)
        stream.write(b"late", hint=False)
        await clock.run(100 + ANSWER_MS_MAX + 10)
        assert told.data == [b"late"]
        assert told.events == ["caught up"]

    play(scenario)


def test_one_of_two_that_is_stored_late_is_found_though_the_other_came() -> None:
    async def scenario(
        clock: SharedClock, stream: ScriptedStream, told: Told, follower: Follower
    ) -> None:
        del follower
        await clock.run(100)
        stream.hint()
        stream.hint()
        await clock.run(100 + SURE_MS - 10)
        stream.hidden = 1
        stream.write(b"1", hint=False)
        await clock.run(100 + SURE_MS + 10)
        stream.hidden = 0
        await clock.run(100 + SURE_MS + 200)
        assert told.data == [b"1"]
        stream.write(b"2", hint=False)
        await clock.run(100 + SURE_MS + 2 * SURE_MS + 10)
        assert told.data == [b"1", b"2"]

    play(scenario)


def test_a_burst_of_writes_costs_two_or_three_questions() -> None:
    async def scenario(
        clock: SharedClock, stream: ScriptedStream, told: Told, follower: Follower
    ) -> None:
        del told, follower
        await clock.run(100)
        asked = stream.asked
        for number in range(20):
            stream.write(b"%d" % number)
            await clock.run(clock.ms + 20)
        await clock.run(LOOK_MS - 1_000)
        assert 2 <= stream.asked - asked <= 3

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


def test_a_copy_that_the_leader_says_is_behind_is_not_called_current_if_the_leader_then_fails() -> (
    None
):
    """It need not say how far it goes: its first message that does not come is enough."""

    async def scenario(
        clock: SharedClock, stream: ScriptedStream, told: Told, follower: Follower
    ) -> None:
        del follower
        await clock.run(100)
        stream.hidden, stream.endless = 1, True
        stream.write(b"1")
        await clock.run(LOOK_MS - 1_000)
        assert told.events[:2] == ["caught up", "lost"]
        assert told.events[-1] == "lost"
        stream.hidden, stream.endless = 0, False
        await clock.run(clock.ms + LOOK_MS)
        assert told.data == [b"1"]
        assert told.events[-1] == "caught up"

    play(scenario)


def test_what_the_leader_said_is_enough_if_it_comes_and_the_leader_is_asked_again() -> None:
    async def scenario(
        clock: SharedClock, stream: ScriptedStream, told: Told, follower: Follower
    ) -> None:
        del follower
        await clock.run(100)
        stream.hint()
        await clock.run(100 + SURE_MS - 10)
        stream.hidden, stream.endless = 1, True
        stream.write(b"late", hint=False)
        await clock.run(100 + SURE_MS + 100)
        stream.hidden = 0
        await clock.run(100 + SURE_MS + 600)
        assert told.data == [b"late"]
        asked = stream.asked
        await clock.run(100 + 4 * SURE_MS)
        assert stream.asked > asked
        assert told.events == ["caught up"]

    play(scenario)


def test_a_replica_that_resumes_is_current_only_when_it_has_everything() -> None:
    """After a pause it gives the first missing messages long before the last."""

    async def scenario(
        clock: SharedClock, stream: ScriptedStream, told: Told, follower: Follower
    ) -> None:
        await clock.run(100)
        for number in range(1_000):
            stream.write(b"%d" % number, hint=False)
        stream.hidden = 1_000
        follower.look()
        await clock.run(101)
        stream.hidden = 500
        await clock.run(8_000)
        assert len(told.data) == 500
        assert told.events[-1] == "lost"
        stream.hidden = 0
        await clock.run(clock.ms + LOOK_MS)
        assert told.data == [b"%d" % number for number in range(1_000)]
        assert told.events[-1] == "caught up"

    play(scenario)


def test_a_replica_that_is_well_again_is_found_within_a_look() -> None:
    """However long it was behind; and nobody need write for that."""

    async def scenario(
        clock: SharedClock, stream: ScriptedStream, told: Told, follower: Follower
    ) -> None:
        stream.write(b"1", hint=False)
        stream.hidden = 1
        follower.look()
        await clock.run(40_000)
        assert told.events[-1] == "lost"
        stream.hidden = 0
        await clock.run(clock.ms + LOOK_MS + SURE_MS)
        assert told.data == [b"1"]
        assert told.events[-1] == "caught up"

    play(scenario)


def test_under_steady_writes_the_leader_is_asked_once_a_second() -> None:
    """Also if there is more than has been read each time; looks come on top."""

    async def scenario(
        clock: SharedClock, stream: ScriptedStream, told: Told, follower: Follower
    ) -> None:
        del told, follower
        await clock.run(100)
        asked, looks = stream.asked, stream.looks
        for number in range(1_100):
            stream.write(b"%d" % number)
            stream.hidden = 1  # The replica gets each message with the next.
            await clock.run(clock.ms + 20)
        looks = stream.looks - looks
        assert looks == 2
        assert 16 <= stream.asked - asked - 2 * looks <= 22

    play(scenario)


def test_while_nothing_happens_the_leader_is_asked_twice_a_look() -> None:
    async def scenario(
        clock: SharedClock, stream: ScriptedStream, told: Told, follower: Follower
    ) -> None:
        del told, follower
        stream.write(b"1")
        await clock.run(LOOK_MS - 1_000)
        asked, looks = stream.asked, stream.looks
        await clock.run(clock.ms + 5 * LOOK_MS)
        assert (stream.asked - asked, stream.looks - looks) == (5, 5)

    play(scenario)


def test_hints_do_not_put_off_the_look() -> None:
    """Only a look tells that the stream of this name is another one."""

    async def scenario(
        clock: SharedClock, stream: ScriptedStream, told: Told, follower: Follower
    ) -> None:
        del follower
        stream.write(b"1")
        stream.write(b"2")
        await clock.run(100)
        stream.make_anew()
        stream.write(b"a", hint=False)
        while clock.ms < 2 * LOOK_MS:
            stream.hint()
            await clock.run(clock.ms + 700)
        assert told.data == [b"1", b"2", b"a"]
        assert told.events == ["caught up", "anew", "caught up"]

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


@pytest.mark.parametrize("hint_each_ms", [200_000, 5_000, 50])
def test_while_nobody_leads_the_copy_is_current_until_the_next_look_only(
    hint_each_ms: int,
) -> None:
    """A cut-off voter's refused writes are hints, too, and bring it nothing.

    They must neither make it ask all the time nor hide that it was away too long.
    """

    async def scenario(
        clock: SharedClock, stream: ScriptedStream, told: Told, follower: Follower
    ) -> None:
        del follower

        async def hinted_until(end_ms: int) -> None:
            while clock.ms < end_ms:
                stream.hint()
                await clock.run(min(end_ms, clock.ms + hint_each_ms))

        stream.write(b"1")
        await clock.run(100)
        stream.leaderless = True
        await hinted_until(LOOK_MS - 100)
        assert told.events == ["caught up"]
        await hinted_until(LOOK_MS + 700)
        assert told.events[:2] == ["caught up", "lost"]
        before = stream.asked + stream.looks
        await hinted_until(AWAY_MS_MAX + LOOK_MS)
        assert "caught up" not in told.events[1:]
        seconds = (clock.ms - LOOK_MS) // 1_000
        assert stream.asked + stream.looks - before <= seconds + 6
        stream.leaderless = False
        await clock.run(clock.ms + LOOK_MS + SURE_MS)
        assert told.data == [b"1", b"1"]
        assert told.events[-2:] == ["again", "caught up"]

    play(scenario)


def test_a_leader_that_died_is_not_waited_for_while_the_next_one_takes_writes() -> None:
    async def scenario(
        clock: SharedClock, stream: ScriptedStream, told: Told, follower: Follower
    ) -> None:
        del follower
        await clock.run(100)
        stream.hint()
        stream.silent = True
        await clock.run(100 + SURE_MS + 100)
        stream.write(b"after")
        await clock.run(100 + SURE_MS + 600)
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


def test_a_new_connection_ends_the_wait_after_a_failure() -> None:
    async def scenario(
        clock: SharedClock, stream: ScriptedStream, told: Told, follower: Follower
    ) -> None:
        stream.failure = QuorumUnavailable("told so")
        follower.look()
        await clock.run(30_000)
        assert told.events[-1] == "lost"
        stream.failure = None
        follower.look()
        await clock.run(clock.ms + 5)
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
        assert stream.looks < 40

    play(scenario)


def test_who_may_not_hear_of_writes_tries_again_ever_later() -> None:
    async def scenario(
        clock: SharedClock, stream: ScriptedStream, told: Told, follower: Follower
    ) -> None:
        await clock.run(60_000)
        assert told.events[-1] == "lost"
        assert stream.listened < 20
        stream.refusing = False
        stream.write(b"1")
        follower.look()
        await clock.run(clock.ms + 5)
        assert told.data == [b"1"]
        assert told.events[-1] == "caught up"

    play(scenario, refusing=True)


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
        await clock.run(2_100)
        reads = len(stream.reads)
        await clock.run(2_400)
        assert len(stream.reads) == reads
        told.due_ms = None if clock.ms > 2_500 else 2_500
        await clock.run(2_600)
        assert len(stream.reads) > reads

    play(scenario)
