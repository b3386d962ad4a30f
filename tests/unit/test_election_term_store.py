"""What each answer of the store means."""

import asyncio
from collections.abc import Iterable

import msgspec
import pytest

from bzzz_core.election.ballot import encode_record, sign_record
from bzzz_core.election.events import (
    Event,
    TermRead,
    TermRefused,
    TermUnknown,
    TermUnread,
    TermWritten,
)
from bzzz_core.election.messages import TermRecord
from bzzz_core.election.quarantine import Offence, Rejected
from bzzz_core.election.term_store import TermStore
from bzzz_core.errors import (
    BzzzError,
    PermissionDenied,
    QuorumUnavailable,
    RequestTimeout,
    RevisionConflict,
    StreamBusy,
)
from bzzz_core.model import NodeId, Revision, Term, Voter, VoterSet
from bzzz_core.ports import Record
from bzzz_core.trust.keys import IdentityKey
from tests.fakes.scripted_records import JumpingClock, Lost, ScriptedRecords

KEY = IdentityKey.generate()
VOTERS = VoterSet((Voter(KEY.node_id, "n", KEY.public_key),))
RECORD = TermRecord(Term(2), KEY.node_id, Revision(1), ())


class Bench:
    """A term store over scripted records, believing every certificate unless told otherwise."""

    def __init__(self, faults: Iterable[BzzzError | Lost | None] = ()) -> None:
        self.records = ScriptedRecords(faults)
        self.clock = JumpingClock()
        self.unproven: list[Rejected] = []
        self.proves = True
        self.ours: bool | None = True
        self.offence = Offence.UNPROVEN
        self.store = TermStore(
            self.records,
            clock=self.clock,
            signer=KEY,
            voters=VOTERS,
            prove=self.prove,
            unproven=lambda rejected, _data: self.unproven.append(rejected),
            confirm_voters=self.confirm,
        )

    async def confirm(self) -> bool | None:
        return self.ours

    def prove(self, record: TermRecord) -> None:
        if not self.proves:
            raise Rejected(f"term {record.term}", self.offence)

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


@pytest.mark.parametrize(
    "value", [b"", b"\xa1\x80", encode_record(RECORD)], ids=["empty", "foreign", "no votes"]
)
def test_what_proves_nothing_is_told_with_its_revision(value: bytes) -> None:
    """Someone wrote it past the fence: that leadership is over, and nobody leads by it."""
    bench = Bench()
    bench.proves = False
    bench.records.held["_term"] = Record("_term", value, Revision(7))
    assert bench.read() == TermRead(Revision(7), None, Term(2 if len(value) > 9 else 0))
    (rejected,) = bench.unproven
    assert rejected.culprit is None, "nobody has signed it"


def test_a_false_record_is_held_against_whoever_signed_it() -> None:
    """Anyone who may write the stream can name a leader; only that leader can sign for it."""
    bench = Bench()
    bench.proves = False
    signed = sign_record(RECORD, KEY)
    bench.records.held["_term"] = Record("_term", encode_record(signed), Revision(7))
    assert bench.read() == TermRead(Revision(7), None, Term(2))
    assert (bench.unproven[0].culprit, bench.unproven[0].proven) == (KEY.node_id, True)
    framed = sign_record(RECORD, IdentityKey.generate())
    bench.records.held["_term"] = Record("_term", encode_record(framed), Revision(8))
    bench.read()
    assert bench.unproven[1].culprit is None
    unknown = sign_record(msgspec.structs.replace(RECORD, leader=NodeId("x")), KEY)
    bench.records.held["_term"] = Record("_term", encode_record(unknown), Revision(9))
    bench.read()
    assert bench.unproven[2].culprit is None


@pytest.mark.parametrize(
    ("ours", "event"),
    [
        (True, TermRead(Revision(7), None, Term(2))),
        (False, TermUnread()),
        (None, TermUnread()),
    ],
)
def test_a_record_of_other_voters_is_believed_void_only_if_ours_are_confirmed(
    ours: bool | None,  # noqa: FBT001
    event: Event,
) -> None:
    """This node's voters may be the old ones; then it must not go on by them."""
    bench = Bench()
    bench.proves = False
    bench.offence = Offence.OTHER_VOTERS
    bench.ours = ours
    signed = sign_record(RECORD, KEY)
    bench.records.held["_term"] = Record("_term", encode_record(signed), Revision(7))
    assert bench.read() == event
    assert all(rejected.culprit is None for rejected in bench.unproven), "no offence at all"
