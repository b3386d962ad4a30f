"""What is written down of leaderships: complete, bounded, and readable after a power loss."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from bzzz_core.election.announce import Announcer
from bzzz_core.election.clerk import DECISIONS_MAX, QUIET_MS, Clerk
from bzzz_core.election.diary import LINES, Diary, End, LeadershipNote, VoteNote
from bzzz_core.election.events import (
    BecameLeader,
    Campaign,
    Cause,
    Decided,
    PollFailed,
    Refusal,
)
from bzzz_core.election.herald import Herald
from bzzz_core.election.history import (
    KEPT,
    RECORD_BYTES_MAX,
    BallotNote,
    Leadership,
    conclude,
    decode_leadership,
    decode_records,
    encode_leadership,
    encode_records,
    merge,
    tell,
)
from bzzz_core.election.messages import Ballot, SignedBallot, Standing, Stock, TermRecord, Warrant
from bzzz_core.election.quarantine import Offence, Rejected
from bzzz_core.errors import IntegrityError
from bzzz_core.model import NodeId, Revision, Term
from tests.fakes.election_world import CLUSTER, STREAM, A, B, C, voter_set
from tests.fakes.scripted_records import JumpingClock

VOTERS = voter_set("abc")


def leadership(term: int, leader: NodeId = A, **more: str) -> Leadership:
    return Leadership(Term(term), leader, Revision(term), began_at=f"at {term}", **more)


def elected(warrant: Warrant | None = None) -> BecameLeader:
    campaign = Campaign(
        Cause.TIMEOUT,
        words="resigned",
        predecessor=B,
        predecessor_term=Term(1),
        began_ms=100,
        candidates=(Standing(A, 40.0), Standing(B, 30.0)),
        given=(A, C),
        refused=((B, "leads itself"),),
        warrant=warrant,
    )
    return BecameLeader(Term(2), Revision(7), TermRecord(Term(2), A, Revision(1), ()), campaign)


def test_the_winner_tells_who_stood_who_voted_and_why() -> None:
    story = tell(A, elected(), at="now", now_ms=350)
    assert (story.term, story.sequence, story.cause) == (2, 7, "the leader fell silent")
    assert (story.words, story.predecessor, story.took_ms) == ("resigned", B, 250)
    assert [(one.node, one.score) for one in story.candidates] == [(A, 40.0), (B, 30.0)]
    assert story.ballots == (
        BallotNote(A, given=True),
        BallotNote(C, given=True),
        BallotNote(B, given=False, reason="leads itself"),
    )
    assert story.state == ""
    stock = Stock(1, ())
    warrant = Warrant(CLUSTER, STREAM, Revision(1), Term(1), B, A, stock)
    assert tell(A, elected(warrant), at="now", now_ms=0).state == stock.digest().hex()
    assert decode_leadership(encode_leadership(story)) == story


def test_histories_are_merged_into_the_most_that_is_known() -> None:
    """A story goes before hearsay, an end before none, and the first before the second."""
    hearsay, told = leadership(1), leadership(1, cause="first election")
    ended = leadership(1, ended_at="later", end="fell silent")
    assert merge([hearsay], [told]) == (told,)
    assert merge([told], [hearsay]) == (told,)
    (complete,) = merge([told], [ended])
    assert (complete.cause, complete.ended_at, complete.end) == (
        "first election",
        "later",
        "fell silent",
    )
    assert merge([complete], [leadership(1, ended_at="never", end="x")]) == (complete,)
    (later_known,) = merge([ended], [told])
    assert (later_known.cause, later_known.end) == ("first election", "fell silent")


def test_a_leader_that_slept_ended_when_the_next_one_began() -> None:
    """It said so when it woke. What is only hearsay began before it was heard."""
    late = leadership(1, ended_at="at 9", end="quorum lost")
    first, _ = conclude((late, leadership(2, cause="the leader fell silent")))
    assert (first.ended_at, first.end) == ("at 2", "quorum lost")
    early = leadership(1, ended_at="at 1", end="quorum lost")
    assert conclude((early, leadership(2, cause="the leader fell silent")))[0] == early
    assert conclude((late, leadership(2)))[0] == late


@pytest.mark.parametrize(
    ("cause", "end"),
    [
        ("the leader fell silent", "fell silent"),
        ("the voters changed", "the voters changed"),
        ("", "another leader followed"),
    ],
)
def test_an_end_that_nobody_told_follows_from_the_successor(cause: str, end: str) -> None:
    first, second = conclude((leadership(1), leadership(2, cause=cause)))
    assert conclude(()) == ()
    assert (first.ended_at, first.end) == ("at 2", end)
    assert second.ended_at == ""


def test_a_history_is_bounded_and_ordered_by_term() -> None:
    terms = [one.term for one in merge(leadership(n) for n in range(2 * KEPT, 0, -1))]
    assert terms == list(range(KEPT + 1, 2 * KEPT + 1))
    kept = merge(leadership(n) for n in range(KEPT))
    assert decode_records(encode_records(kept)) == kept


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\xa1\xff", bytes(RECORD_BYTES_MAX + 1)])
def test_bytes_that_are_no_history_are_an_error_of_ours(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        decode_records(data)
    with pytest.raises(IntegrityError):
        decode_leadership(data)


def test_the_first_entry_of_the_release_before_is_a_leadership_too() -> None:
    old = msgspec.msgpack.encode({"type": "leadership", "term": 3, "leader": "a"})
    assert decode_leadership(old) == Leadership(Term(3), A)


# ---- the diary


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def test_a_diary_comes_back_with_ends_and_votes(tmp_path: Path) -> None:
    path = tmp_path / "diary.jsonl"
    diary = Diary(path)
    diary.load()
    vote = VoteNote("at 1", Term(1), B, given=False, reason="leads itself")
    for line in (
        LeadershipNote(leadership(1)),
        vote,
        End("at 2", Term(1), "fell silent"),
        End("at 3", Term(1), "again"),
        End("at 3", Term(9), "of nobody"),
        LeadershipNote(leadership(2, ended_at="known", end="resigned")),
        End("at 4", Term(2), "fell silent"),
    ):
        diary.note(line)
    diary.write()
    diary.write()
    assert path.stat().st_mode & 0o777 == 0o640
    assert len(lines_of(path)) == 7
    again = Diary(path)
    again.load()
    assert again.leaderships() == diary.leaderships()
    first, second = again.leaderships()
    assert (first.ended_at, first.end) == ("at 2", "fell silent")
    assert (second.ended_at, second.end) == ("known", "resigned")
    assert again.decisions() == (vote,)


def test_an_end_is_void_once_the_leader_is_heard_again(tmp_path: Path) -> None:
    """Also in the next run; a later end counts."""
    desk = Desk(tmp_path)
    clerk = desk.begin()
    clerk.note_hearsay(Term(1), B)
    clerk.note_back(Term(1))
    clerk.note_end(Term(1), "fell silent")
    desk.work()
    assert len(lines_of(tmp_path / "leadership.jsonl")) == 2, "it was not lost, so it is not back"
    later = Desk(tmp_path)
    clerk = later.begin()

    async def morning() -> None:
        """Let it read what the run before wrote, then hear the leader, then lose it."""
        task = asyncio.get_running_loop().create_task(clerk.run())
        while not clerk.leaderships():
            await asyncio.to_thread(lambda: None)
        assert clerk.leaderships()[0].end == "fell silent"
        clerk.note_hearsay(Term(1), B)
        assert clerk.leaderships()[0].ended_at == ""
        later.clock.ms = 7
        clerk.note_end(Term(1), "resigned")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(morning())
    last = Desk(tmp_path)
    last.begin()
    last.work()
    (one,) = last.clerk.leaderships()
    assert (one.ended_at, one.end) == ("at 7", "resigned")


def test_a_torn_or_foreign_line_is_left_behind(tmp_path: Path) -> None:
    """The power took the last one; nothing else is lost by it."""
    path = tmp_path / "diary.jsonl"
    diary = Diary(path)
    diary.note(LeadershipNote(leadership(1)))
    diary.write()
    with path.open("ab") as file:
        file.write(b'{"kind":"mystery"}\n' + b"x" * 20_000 + b'\n{"kind":"vo')
    again = Diary(path)
    again.load()
    again.note(End("at 2", Term(1), "fell silent"))
    again.write()
    last = Diary(path)
    last.load()
    (one,) = last.leaderships()
    assert one.end == "fell silent"


def test_a_diary_does_not_grow_without_end(tmp_path: Path) -> None:
    path = tmp_path / "diary.jsonl"
    diary = Diary(path)
    for n in range(3 * LINES):
        diary.note(VoteNote("", Term(n), A, given=True))
        diary.write()
        assert len(lines_of(path)) <= 2 * LINES
    again = Diary(path)
    again.load()
    assert [note.term for note in again.decisions()] == list(range(2 * LINES, 3 * LINES))


def test_what_could_not_be_written_is_written_with_the_next(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "diary.jsonl"
    diary = Diary(path)
    diary.note(VoteNote("", Term(1), A, given=True))
    with pytest.raises(FileNotFoundError):
        diary.write()
    path.parent.mkdir()
    diary.note(VoteNote("", Term(2), A, given=True))
    diary.write()
    assert len(lines_of(path)) == 2


# ---- the clerk


class Desk:
    """A clerk, and what it told whom."""

    def __init__(self, data: Path) -> None:
        self.clock = JumpingClock()
        self.reports: list[tuple[str, dict[str, object]]] = []
        self.audited: list[tuple[str, dict[str, object]]] = []
        self.data = data
        self.clerk = Clerk(
            me=A,
            data=data,
            clock=self.clock,
            now=lambda: f"at {self.clock.ms}",
            report=self.report,
            audit=lambda what, **fields: self.audited.append((what, fields)),
        )

    def begin(self) -> Clerk:
        asyncio.run(self.clerk.begin(VOTERS))
        return self.clerk

    def work(self) -> None:
        """Let it do what it has to do, and go home."""

        async def day() -> None:
            task = asyncio.get_running_loop().create_task(self.clerk.run())
            await asyncio.to_thread(lambda: None)
            for _ in range(10):
                await asyncio.to_thread(lambda: None)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        asyncio.run(day())

    def report(self, what: str, fields: dict[str, object]) -> None:
        self.reports.append((what, fields))

    def reported(self, what: str) -> int:
        return sum(name == what for name, _ in self.reports)


def test_a_clerk_writes_down_what_it_is_told(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    clerk = desk.begin()
    assert clerk.counters == {}
    clerk.note_hearsay(Term(1), B)
    clerk.note_hearsay(Term(1), B)
    clerk.note_leadership(leadership(1, B, cause="first election"))
    clerk.note_leadership(leadership(1, B, cause="another story"))
    clerk.note_end(Term(1), "fell silent")
    clerk.note_vote(Decided(B, Term(2), None))
    clerk.note_vote(Decided(C, Term(2), Refusal.VOTED))
    clerk.note_poll(PollFailed(Term(3), (A,), ((B, "leads itself"),)))
    desk.work()
    later = Desk(tmp_path)
    later.begin()
    later.work()
    (one,) = later.clerk.leaderships()
    assert (one.cause, one.end) == ("first election", "fell silent")
    assert [note.term for note in later.clerk.decisions()] == [2, 2, 3]


def two_ballots() -> tuple[SignedBallot, SignedBallot]:
    first, second = (
        SignedBallot(
            Ballot(CLUSTER, STREAM, Revision(1), Term(2), candidate, B, VOTERS.digest()), bytes(64)
        )
        for candidate in (A, C)
    )
    return first, second


def test_a_proof_is_audited_and_outlives_the_process_until_it_is_pardoned(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    clerk = desk.begin()
    first, second = two_ballots()
    assert clerk.look_at(first) is None
    evidence = clerk.look_at(second)
    assert evidence is not None
    assert clerk.look_at(second) is None, "told once"
    assert not clerk.convict(evidence)
    assert clerk.quarantined() == {B}
    desk.work()
    assert [what for what, _ in desk.audited] == ["voter quarantined"]
    later = Desk(tmp_path)
    assert later.clerk.convictions() == ()
    assert later.begin().quarantined() == {B}
    assert later.clerk.pardon(C) is None
    pardoned = later.clerk.pardon(B)
    assert pardoned is not None
    assert pardoned.offence == "equivocal"
    later.work()
    assert [what for what, _ in later.audited] == ["quarantine ended"]
    assert Desk(tmp_path).begin().quarantined() == frozenset()


def test_other_voters_begin_with_the_proofs_and_the_counters_of_before(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    clerk = desk.begin()
    clerk.count_stale(C)
    for signed in two_ballots():
        clerk.look_at(signed)
    desk.begin()
    assert clerk.quarantined() == {B}
    assert clerk.counters == {"stale": 1, "stale:c": 1, "equivocal": 1, "equivocal:b": 1}


def test_a_flood_is_counted_and_not_written_down(tmp_path: Path) -> None:
    """Once in a while, for each kind and voter; any other name is one name."""
    desk = Desk(tmp_path)
    clerk = desk.begin()
    for n in range(100):
        clerk.reject(Rejected("forged", Offence.FORGED, claimed="b"), b"")
        clerk.reject(Rejected("strange", Offence.STRANGER, claimed=f"x{n}"), b"")
        clerk.reject(Rejected("other", Offence.OTHER_VOTERS), b"")
    assert desk.reported("rejected") == 3
    asyncio.run(desk.clock.sleep_ms(QUIET_MS))
    clerk.reject(Rejected("forged", Offence.FORGED, claimed="b"), b"")
    assert desk.reported("rejected") == 4
    assert clerk.counters["forged"] == 101
    desk.work()
    assert len(desk.audited) == 3, "what is harmless is not audited"


def test_a_candidate_that_asks_without_end_fills_no_disk(tmp_path: Path) -> None:
    """Nor does it take the place of what others ask."""
    desk = Desk(tmp_path)
    clerk = desk.begin()
    noted = [clerk.note_vote(Decided(B, Term(n), Refusal.VOTED)) for n in range(100)]
    assert noted == [True] * DECISIONS_MAX + [False] * (100 - DECISIONS_MAX)
    assert clerk.note_vote(Decided(C, Term(1), None))
    asyncio.run(desk.clock.sleep_ms(QUIET_MS))
    assert clerk.note_vote(Decided(B, Term(101), Refusal.VOTED))
    assert len(clerk.decisions()) == DECISIONS_MAX + 2
    herald = Herald(stream=STREAM, announcer=Announcer(), clerk=clerk, report=desk.report)
    for n in range(100):
        herald.tell(Decided(B, Term(n), Refusal.VOTED))
    assert desk.reported("vote refused") == DECISIONS_MAX - 1, "nor the log"


def test_a_suspicion_is_not_kept(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    clerk = desk.begin()
    lie = Rejected("a lie", Offence.UNTRUE).against(B)
    assert [clerk.reject(lie, b"") for _ in range(10)].count(True) == 1
    assert clerk.quarantined() == {B}
    desk.work()
    assert Desk(tmp_path).begin().quarantined() == frozenset()


def test_a_full_disk_is_told_and_stops_nobody(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "missing")
    clerk = desk.begin()
    clerk.note_hearsay(Term(1), B)
    desk.work()
    assert desk.reported("not written down") == 1
    assert len(clerk.leaderships()) == 1


def test_what_is_left_to_do_is_done_before_the_clerk_goes_home(tmp_path: Path) -> None:
    """A shutdown loses no line."""
    desk = Desk(tmp_path)
    clerk = desk.begin()

    async def short_day() -> None:
        task = asyncio.get_running_loop().create_task(clerk.run())
        await asyncio.sleep(0)
        clerk.note_hearsay(Term(1), B)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(short_day())
    assert len(lines_of(tmp_path / "leadership.jsonl")) == 1
