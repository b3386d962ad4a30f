"""The log of a chaos run is read to its end, or the reading says that it was cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import pytest

from bzzz_core.errors import QuorumUnavailable
from tests.chaos.final_log import (
    GIVE_UP_MS,
    SETTLE_MS,
    LogMessage,
    Reading,
    ReadingCut,
    StreamEnd,
)
from tests.fakes.virtual_time import VirtualClock, run

OTHERS = ("b", "c")


def said(
    last: int,
    *,
    leader: str = "a",
    since: str = "12:00",
    with_it: int = 2,
    active: int = 1_000_000,
) -> StreamEnd:
    """Return an answer of a broker of three."""
    replicas = [
        {"name": name, "current": place < with_it, "active": active}
        for place, name in enumerate(OTHERS)
    ]
    group = {"leader": leader, "leader_since": since, "replicas": replicas}
    return msgspec.convert({"state": {"last_seq": last}, "cluster": group}, StreamEnd)


@dataclass
class Brokers:
    """Brokers of which one or another answers; `ends` is used up, the last answer stays."""

    ends: list[StreamEnd | QuorumUnavailable]
    held: int = 963
    """How many messages whoever answers has now."""
    failures: int = 0
    """How many questions for a message are not answered from now on."""
    fails_each: int = 0
    """Of so many questions for a message one is not answered; 0: all are."""
    lacks: int = 0
    """A message that whoever answers does not have."""
    on_end: Callable[[], None] = lambda: None
    asked: list[int] = field(default_factory=list)

    async def end(self) -> StreamEnd:
        self.on_end()
        answer = self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]
        if isinstance(answer, QuorumUnavailable):
            raise answer
        return answer

    async def message(self, revision: int) -> LogMessage | None:
        self.asked.append(revision)
        if self.failures:
            self.failures -= 1
            raise QuorumUnavailable("the stream has no leader")
        if self.fails_each and len(self.asked) % self.fails_each == 0:
            raise QuorumUnavailable("no answer came in time")
        has = revision <= self.held and revision != self.lacks
        return LogMessage(revision, "log", b"") if has else None


def read(
    brokers: Brokers, *, at_least: int = 963, wanted: str | None = None
) -> tuple[str, int, int]:
    """Return who led, how many messages were found, and how long that took."""

    async def body() -> tuple[str, int, int]:
        clock = VirtualClock()
        leader, messages = await Reading(brokers, clock, at_least, wanted).whole()
        assert [m.revision for m in messages] == sorted({m.revision for m in messages})
        return leader, len(messages), clock.now_ms()

    return run(body())


def test_whole_log_is_read_once() -> None:
    brokers = Brokers([said(963)])
    assert read(brokers) == ("a", 963, 0)
    assert sorted(brokers.asked) == list(range(1, 964))


@pytest.mark.parametrize(
    "stale",
    [
        said(508, leader=""),
        said(508, with_it=0),
        said(508, active=10_000_000_000),
        said(508),
        QuorumUnavailable("nobody answers"),
    ],
    ids=["leaderless", "alone", "not heard", "behind", "silent"],
)
def test_an_earlier_end_is_not_believed(stale: StreamEnd | QuorumUnavailable) -> None:
    """One replica that was left behind, and 455 acknowledged writes looked lost."""
    leader, count, took_ms = read(Brokers([stale, stale, stale, said(963)]))
    assert (leader, count) == ("a", 963)
    assert took_ms < SETTLE_MS


def test_message_that_a_leader_of_the_past_lacked_is_asked_for_again() -> None:
    brokers = Brokers([said(963), said(963, leader="b")], held=508)

    def caught_up() -> None:
        brokers.held = 508 if len(brokers.asked) < 963 else 963

    brokers.on_end = caught_up
    assert read(brokers)[:2] == ("b", 963)


def test_question_that_is_not_answered_is_no_missing_message() -> None:
    assert read(Brokers([said(963)], failures=300))[:2] == ("a", 963)


def test_question_that_is_not_answered_takes_no_answer_with_it() -> None:
    """A slow machine leaves one of each batch unanswered."""
    assert read(Brokers([said(963)], fails_each=40))[:2] == ("a", 963)


def test_what_another_leader_had_hides_no_hole() -> None:
    """Leadership moves to b during the reading and back: what b gave is not what a holds."""
    brokers = Brokers([said(963), said(963, leader="b"), said(963)])

    def b_led() -> None:
        brokers.lacks = 500 if brokers.asked else 0

    brokers.on_end = b_led
    assert read(brokers, wanted="a")[:2] == ("a", 962)


@pytest.mark.parametrize(
    "ends",
    [
        [said(963), said(963, since="12:05")],
        [said(963), QuorumUnavailable("nobody answers"), said(963)],
        [said(963), said(963, leader=""), said(963, since="12:05")],
    ],
    ids=["between two answers", "unanswered", "leaderless"],
)
def test_what_came_while_nobody_knows_who_led_hides_no_hole(
    ends: list[StreamEnd | QuorumUnavailable],
) -> None:
    """For a moment b led and gave what a lacks; whoever is asked before and after says a."""
    brokers = Brokers(ends)

    def a_is_back() -> None:
        brokers.lacks = 500 if brokers.asked else 0

    brokers.on_end = a_is_back
    assert read(brokers, wanted="a")[:2] == ("a", 962)


def test_what_came_before_the_majority_was_in_doubt_is_not_asked_for_again() -> None:
    brokers = Brokers([said(963), said(963, active=10_000_000_000), said(963)])
    assert read(brokers)[:2] == ("a", 963)
    assert len(brokers.asked) == 963


def test_leader_that_does_not_say_since_when_is_not_believed() -> None:
    with pytest.raises(ReadingCut, match="a does not say since when it leads"):
        read(Brokers([said(963, since="")]))


def test_leadership_that_never_rests_cuts_the_reading() -> None:
    brokers = Brokers([said(9)])

    def moves() -> None:
        brokers.ends = [said(9, leader="b" if brokers.ends[0].leader == "a" else "a")]

    brokers.on_end = moves
    with pytest.raises(ReadingCut, match="another leadership began"):
        read(brokers, at_least=9)


def test_what_the_leader_with_its_majority_does_not_have_is_lost() -> None:
    """Whether anybody acknowledged it is for the checker to say, which gets what is there."""
    leader, count, took_ms = read(Brokers([said(508)]))
    assert (leader, count) == ("a", 508)
    assert SETTLE_MS <= took_ms < GIVE_UP_MS
    assert read(Brokers([said(963)], held=962))[:2] == ("a", 962)


@pytest.mark.parametrize("never", [said(508, leader=""), said(508, with_it=0)])
def test_without_a_leader_with_a_majority_the_reading_was_cut(never: StreamEnd) -> None:
    with pytest.raises(ReadingCut, match="cut at 0 of 963 messages: "):
        read(Brokers([never]))


def test_reading_that_is_never_answered_in_full_was_cut() -> None:
    with pytest.raises(ReadingCut, match="cut at 0 of 963 messages: the stream has no leader"):
        read(Brokers([said(963)], failures=1_000_000))


def test_replica_that_is_to_be_read_leads_all_the_while() -> None:
    ends = [said(963, leader="b"), said(963), said(963, leader="b"), said(963)]
    assert read(Brokers(list(ends)), wanted="a")[:2] == ("a", 963)
    with pytest.raises(ReadingCut, match="b leads, not a"):
        read(Brokers([said(963, leader="b")]), wanted="a")


def test_stream_of_one_broker_has_no_majority_to_prove() -> None:
    alone = msgspec.convert({"state": {"last_seq": 9}}, StreamEnd)
    assert read(Brokers([alone]), at_least=9)[1] == 9
