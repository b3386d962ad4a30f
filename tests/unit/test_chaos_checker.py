"""The checker of chaos runs, proven the only way there is: plant each violation and see it found.

The run below is a good one: node a leads term 1 and writes, b takes over in term 2 and writes, a
tries once more with its old token and is refused. `Story` lets a test change one thing in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from bzzz_core.election.ballot import encode_record
from bzzz_core.election.messages import TermRecord
from bzzz_core.errors import TrustError
from bzzz_core.fabric.batch import Batch, encode_batch
from bzzz_core.model import NodeId, Revision, Term
from tests.chaos.checker import LOG_KEY, TERM_KEY, Violation, check, check_replicas, same_log
from tests.chaos.entry import RECORD_KEY, Entry, encode_entry
from tests.chaos.final_log import FinalLog, LogMessage
from tests.chaos.history import (
    Answered,
    Believed,
    Ended,
    Event,
    Fault,
    Followed,
    Healed,
    HistoryWriter,
    Invoked,
    Started,
    read_history,
)
from tests.chaos.verdict import read_each

MS = 1_000_000


@dataclass
class Story:
    """A history and a log that a test may bend."""

    events: list[Event] = field(default_factory=list)
    messages: list[LogMessage] = field(default_factory=list)
    unproven: set[int] = field(default_factory=set)

    def add(self, *events: Event) -> None:
        self.events += events

    def term(self, at: int, term: int, leader: str, previous: int) -> None:
        record = TermRecord(Term(term), NodeId(leader), Revision(previous), ())
        self.messages.append(LogMessage(at, TERM_KEY, encode_record(record)))

    def batch(self, at: int, name: str, *entries: Entry) -> None:
        content = encode_batch(Batch(name, tuple(encode_entry(entry) for entry in entries)))
        self.messages.append(LogMessage(at, LOG_KEY, content))

    def record(self, at: int, entry: Entry) -> None:
        self.messages.append(LogMessage(at, RECORD_KEY, encode_entry(entry)))

    def without(self, revision: int) -> None:
        self.messages = [each for each in self.messages if each.revision != revision]

    def answered(self, op: str, **changes: object) -> None:
        """Change what a client was told."""
        self.events = [
            msgspec.structs.replace(event, **changes)
            if isinstance(event, Answered) and event.op == op
            else event
            for event in self.events
        ]

    def asked(self, op: str, **changes: object) -> None:
        """Change what a client asked for."""
        self.events = [
            msgspec.structs.replace(event, **changes)
            if isinstance(event, Invoked) and event.op == op
            else event
            for event in self.events
        ]

    def rules(self) -> set[str]:
        return {violation.rule for violation in self.violations()}

    def violations(self) -> list[Violation]:
        def prove(record: TermRecord) -> None:
            if record.term in self.unproven:
                raise TrustError("planted")

        return check(self.in_time(), FinalLog("s", tuple(self.messages)), prove=prove)

    def in_time(self) -> list[Event]:
        return sorted(self.events, key=lambda event: event.at_ns)

    def log(self, led_by: str, *, until: int = 1_000, without: int = 0) -> FinalLog:
        """Return what a replica holds that may lack a message or end early."""
        held = (m for m in self.messages if m.revision <= until and m.revision != without)
        return FinalLog("s", tuple(held), led_by)

    def on_replicas(self, *logs: FinalLog) -> list[tuple[str, str]]:
        found = check_replicas(self.in_time(), logs, prove=lambda _: None)
        return [(violation.rule, violation.what) for violation in found]


def asked(at_ms: int, op: str, token: int, number: int, **more: bool) -> Invoked:
    term = {1: 1, 5: 2}[token]
    return Invoked(at_ms * MS, op[0], op, token, term, number, more.get("past", False))


def written(at_ms: int, op: str, revision: int) -> Answered:
    return Answered(at_ms * MS, op, "written", revision)


@pytest.fixture
def story() -> Story:
    good = Story()
    good.add(
        Started(0, "a", "a1"),
        Started(0, "b", "b1"),
        Followed(1 * MS, "a", "a1", 1, "a", 1, mine=True),
        Followed(2 * MS, "b", "b1", 1, "a", 1, mine=False),
        asked(10, "a.1", 1, 1),
        asked(11, "a.2", 1, 2),
        written(12, "a.1", 2),
        written(12, "a.2", 2),
        asked(13, "a.3", 1, 3),
        written(14, "a.3", 3),
        Fault(15 * MS, "kill"),
        asked(16, "a.4", 1, 4),
        Answered(20 * MS, "a.4", "unknown", reason="request_timeout"),
        asked(21, "a.5", 1, 5),
        Believed(21 * MS, "a", 1),
        Ended(22 * MS, "a", "a1", 1, "check quorum"),
        Followed(25 * MS, "b", "b1", 2, "b", 5, mine=True),
        asked(26, "b.1", 5, 1),
        written(27, "b.1", 6),
        asked(28, "a.6", 1, 6, past=True),
        Answered(29 * MS, "a.6", "not written", reason="deposed"),
        Healed(30 * MS, "kill", 10),
        Followed(31 * MS, "a", "a1", 2, "b", 5, mine=False),
        asked(32, "b.2", 5, 2),
        written(34, "b.2", 7),
        Fault(60 * MS, "the run goes on"),
    )
    good.term(1, 1, "a", 0)
    good.batch(2, "a-1", Entry("a.1", 1, 1), Entry("a.2", 1, 2))
    good.record(3, Entry("a.3", 1, 3))
    good.batch(4, "a-2", Entry("a.4", 1, 4))
    good.term(5, 2, "b", 1)
    good.batch(6, "b-1", Entry("b.1", 5, 1))
    good.batch(7, "b-2", Entry("b.2", 5, 2))
    return good


def test_a_run_that_kept_every_promise_has_no_violation(story: Story) -> None:
    """Unknown writes may be there (a.4) or not (a.5): neither is held against anybody."""
    assert story.violations() == []


def test_a_batch_that_came_twice_under_its_name_counts_once(story: Story) -> None:
    story.batch(8, "b-2", Entry("b.2", 5, 2))
    assert story.violations() == []


def lose(story: Story) -> None:
    story.without(7)


def lose_a_record(story: Story) -> None:
    story.without(3)


def misplace(story: Story) -> None:
    story.answered("b.2", revision=9)


def double(story: Story) -> None:
    story.batch(8, "b-3", Entry("b.2", 5, 2))


def deny(story: Story) -> None:
    story.answered("a.4", outcome="not written")


def invent(story: Story) -> None:
    story.batch(8, "b-3", Entry("b.9", 5, 9))


def damage(story: Story) -> None:
    story.messages.append(LogMessage(8, LOG_KEY, b"\xff"))


def swap(story: Story) -> None:
    story.without(2)
    story.batch(2, "a-1", Entry("a.2", 1, 2), Entry("a.1", 1, 1))


def travel_in_time(story: Story) -> None:
    """The answer that b.1 lies at 6 came before b.2 was asked for, and b.2 lies before it."""
    story.answered("b.2", revision=6)
    story.without(7)
    story.without(6)
    story.batch(6, "b-1", Entry("b.1", 5, 1), Entry("b.2", 5, 2))


def slip_past_the_fence(story: Story) -> None:
    story.answered("a.6", outcome="written", revision=8)
    story.batch(8, "a.6", Entry("a.6", 1, 6))


def slip_past_the_fence_unseen(story: Story) -> None:
    """Nobody was told, but an entry of the old leadership lies behind the new one's record."""
    story.batch(8, "a-3", Entry("a.5", 1, 5))


def write_before_any_term(story: Story) -> None:
    story.without(1)


def reuse_a_term(story: Story) -> None:
    story.term(8, 2, "a", 5)


def go_back_a_term(story: Story) -> None:
    story.term(8, 1, "a", 5)


def skip_a_record(story: Story) -> None:
    story.term(8, 3, "a", 1)


def forge(story: Story) -> None:
    story.unproven.add(2)


def follow_another_in_the_same_term(story: Story) -> None:
    story.add(Followed(40 * MS, "c", "c1", 2, "c", 5, mine=True))


def follow_without_a_record(story: Story) -> None:
    story.add(Followed(40 * MS, "c", "c1", 3, "c", 9, mine=True))


def forget(story: Story) -> None:
    story.add(Followed(40 * MS, "a", "a1", 1, "a", 1, mine=False))


def believe_too_long(story: Story) -> None:
    story.add(Believed(28 * MS, "a", 1))


def never_recover(story: Story) -> None:
    story.answered("b.2", at_ns=41 * MS)


def recover_by_an_old_write_only(story: Story) -> None:
    """A write that was asked for before the healing proves nothing about the time after it."""
    story.asked("b.2", at_ns=29 * MS)


PLANTED: list[tuple[Callable[[Story], None], str]] = [
    (lose, "lost"),
    (lose_a_record, "lost"),
    (misplace, "lost"),
    (double, "twice"),
    (deny, "denied"),
    (invent, "unasked"),
    (damage, "unasked"),
    (swap, "order"),
    (travel_in_time, "time"),
    (slip_past_the_fence, "fence"),
    (slip_past_the_fence_unseen, "fence"),
    (write_before_any_term, "fence"),
    (reuse_a_term, "term"),
    (go_back_a_term, "term"),
    (skip_a_record, "term"),
    (forge, "certificate"),
    (follow_another_in_the_same_term, "accepted"),
    (follow_without_a_record, "accepted"),
    (forget, "forgetful"),
    (believe_too_long, "belief"),
    (never_recover, "recovery"),
    (recover_by_an_old_write_only, "recovery"),
]


def test_a_run_that_ends_too_early_to_tell_is_not_blamed(story: Story) -> None:
    story.without(7)
    story.events = [event for event in story.events if event.at_ns < 32 * MS]
    assert story.violations() == []


@pytest.mark.parametrize(("plant", "rule"), PLANTED, ids=[each.__name__ for each, _ in PLANTED])
def test_a_planted_violation_is_found(
    story: Story, plant: Callable[[Story], None], rule: str
) -> None:
    plant(story)
    assert rule in story.rules()


def test_a_node_that_was_restarted_may_follow_its_way_up_again(story: Story) -> None:
    """What a process knew dies with it; only a living one must not go back."""
    story.add(
        Started(40 * MS, "a", "a2"),
        Followed(41 * MS, "a", "a2", 1, "a", 1, mine=False),
        Followed(42 * MS, "a", "a2", 2, "b", 5, mine=False),
    )
    assert story.violations() == []


def test_replicas_that_differ_are_found(story: Story) -> None:
    """One that is read later may hold more; what both have must be the same."""
    whole = FinalLog("s", tuple(story.messages), "a")
    behind = FinalLog("s", tuple(story.messages[:-1]), "b")
    other = (*story.messages[:-1], LogMessage(7, LOG_KEY, b"something else"))
    assert same_log([behind, whole, whole]) == []
    assert [each.rule for each in same_log([whole, FinalLog("s", other, "b")])] == ["replica"]
    assert [each.rule for each in same_log([whole, FinalLog("t", (), "b")])] == ["replica"]


def test_replica_that_ends_before_one_read_earlier_is_found(story: Story) -> None:
    """455 messages could be cut from the second and the third replica, and the run passed."""
    logs = [story.log("a"), story.log("b", until=3), story.log("c", until=3)]
    assert [(each.rule, each.what) for each in same_log(logs)] == [
        ("replica", "a and b hold 7 and 3 messages"),
        ("replica", "a and c hold 7 and 3 messages"),
    ]


def test_replica_is_compared_with_the_longest_not_with_a_short_neighbour(story: Story) -> None:
    changed = (*story.messages[:-1], LogMessage(7, LOG_KEY, b"something else"))
    logs = [story.log("a"), story.log("b", until=3), FinalLog("s", changed, "c")]
    assert [each.what for each in same_log(logs)][1:] == ["a and c differ at message 7"]


def test_what_was_acknowledged_has_to_be_on_each_replica(story: Story) -> None:
    assert story.on_replicas(story.log("a"), story.log("b"), story.log("c")) == []
    found = story.on_replicas(story.log("a"), story.log("b", until=6), story.log("c", without=3))
    lost = [what for rule, what in found if rule == "lost"]
    assert lost == [
        "b.2 was acknowledged at 7, in the log of b",
        "a.3 was acknowledged at 3, in the log of c",
    ]


def test_rules_look_at_the_log_that_goes_furthest(story: Story) -> None:
    """What was still under way when the first replica was read is judged, too."""
    story.record(8, Entry("a.9", 5, 9))
    found = story.on_replicas(story.log("a", until=7), story.log("b"), story.log("c"))
    assert [rule for rule, _ in found] == ["unasked"]


def test_each_replica_is_to_come_as_far_as_those_before_it(story: Story) -> None:
    """A broker that has just begun to lead may still be applying what nobody was told of."""
    asked_for: list[tuple[str, int]] = []

    def read(*, led_by: str, at_least: int) -> FinalLog:
        asked_for.append((led_by, at_least))
        return story.log(led_by, until={"a": 3, "b": 6, "c": 5}[led_by])

    logs = read_each(read, ["a", "b", "c"], 4)
    assert asked_for == [("a", 4), ("b", 4), ("c", 6)]
    assert [log.led_by for log in logs] == ["a", "b", "c"]


def test_a_history_comes_back_in_the_order_of_time(story: Story, tmp_path: Path) -> None:
    for name, part in (("one", story.events[::2]), ("two", story.events[1::2])):
        with HistoryWriter(tmp_path / name) as writer:
            for event in part:
                writer.add(event)
    events = read_history([tmp_path / "one", tmp_path / "two"])
    assert [e.at_ns for e in events] == sorted(e.at_ns for e in story.events)
    assert {msgspec.json.encode(e) for e in events} == {
        msgspec.json.encode(e) for e in story.events
    }


def test_half_a_line_of_a_process_that_died_counts_as_nothing(story: Story, tmp_path: Path) -> None:
    with HistoryWriter(tmp_path / "one") as writer:
        for event in story.events:
            writer.add(event)
    content = (tmp_path / "one").read_bytes()
    (tmp_path / "one").write_bytes(content[:-10])
    assert len(read_history([tmp_path / "one"])) == len(story.events) - 1
