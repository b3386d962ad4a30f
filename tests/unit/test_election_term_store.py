"""What each answer of the store means."""

import asyncio
from collections.abc import Iterable

import pytest

from bzzz_core.election.ballot import encode_record
from bzzz_core.election.events import (
    Event,
    TermRead,
    TermRefused,
    TermUnknown,
    TermUnread,
    TermWritten,
)
from bzzz_core.election.messages import TermRecord
from bzzz_core.election.term_store import TermStore
from bzzz_core.errors import (
    BzzzError,
    PermissionDenied,
    QuorumUnavailable,
    RequestTimeout,
    RevisionConflict,
    StreamBusy,
    TrustError,
)
from bzzz_core.model import NodeId, Revision, Term
from bzzz_core.ports import Record
from tests.fakes.scripted_records import JumpingClock, Lost, ScriptedRecords

RECORD = TermRecord(Term(2), NodeId("a"), Revision(1), ())


class Bench:
    """A term store over scripted records, believing every certificate unless told otherwise."""

    def __init__(self, faults: Iterable[BzzzError | Lost | None] = ()) -> None:
        self.records = ScriptedRecords(faults)
        self.clock = JumpingClock()
        self.unproven: list[TrustError] = []
        self.proves = True
        self.store = TermStore(
            self.records, clock=self.clock, prove=self.prove, unproven=self.unproven.append
        )

    def prove(self, record: TermRecord) -> None:
        if not self.proves:
            raise TrustError(f"term {record.term}")

    def write(self) -> Event:
        return asyncio.run(self.store.write(RECORD))

    def read(self) -> Event:
        return asyncio.run(self.store.read())


def test_a_write_at_the_named_revision_is_written() -> None:
    """The guard is the revision that the ballots name."""
    bench = Bench()
    assert bench.write() == TermWritten(Term(2), Revision(2))
    assert bench.records.asked[0][1].revision == RECORD.previous
    assert bench.read() == TermRead(Revision(2), RECORD)


def test_a_busy_store_is_asked_again_soon() -> None:
    """Nothing was written, so nothing is lost by trying again."""
    bench = Bench([StreamBusy("told so")] * 5)
    assert bench.write() == TermWritten(Term(2), Revision(2))
    assert bench.clock.slept == [5, 10, 15, 20, 20]


def test_a_store_that_stays_busy_leaves_the_outcome_open() -> None:
    """The machine looks at the record before it goes on."""
    assert Bench([StreamBusy("told so")] * 60).write() == TermUnknown(Term(2))


@pytest.mark.parametrize(
    ("fault", "event"),
    [
        (RevisionConflict("told so"), TermRefused(Term(2))),
        (RequestTimeout("told so"), TermUnknown(Term(2))),
        (QuorumUnavailable("told so"), TermUnknown(Term(2))),
        (Lost(RequestTimeout("told so")), TermUnknown(Term(2))),
    ],
)
def test_every_other_answer_is_an_event(fault: BzzzError | Lost, event: Event) -> None:
    """Without an answer it may have been written, or may be yet."""
    assert Bench([fault]).write() == event


def test_the_same_write_again_is_written_once() -> None:
    """The request id is the same, whatever happened to the first."""
    bench = Bench([Lost(RequestTimeout("told so"))])
    assert bench.write() == TermUnknown(Term(2))
    assert bench.write() == TermWritten(Term(2), Revision(2))


def test_what_no_waiting_cures_is_raised() -> None:
    """A missing permission is no outcome of an election."""
    with pytest.raises(PermissionDenied):
        Bench([PermissionDenied("told so")]).write()


def test_a_store_without_answer_is_unread() -> None:
    """The machine asks again later."""
    bench = Bench()
    bench.records.readable = False
    assert bench.read() == TermUnread()


def test_a_record_never_written_is_revision_0() -> None:
    """The first election starts from there."""
    bench = Bench()
    bench.records.held.clear()
    assert bench.read() == TermRead(Revision(0), None)


@pytest.mark.parametrize("value", [b"", b"\xa1\x80", encode_record(RECORD)])
def test_what_proves_nothing_is_told_with_its_revision(value: bytes) -> None:
    """Someone wrote it past the fence: that leadership is over, and nobody leads by it."""
    bench = Bench()
    bench.proves = False
    bench.records.held["_term"] = Record("_term", value, Revision(7))
    assert bench.read() == TermRead(Revision(7), None)
    assert len(bench.unproven) == 1
