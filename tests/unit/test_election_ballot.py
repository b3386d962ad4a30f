"""What makes a certificate, and everything that does not."""

import msgspec
import pytest

from bzzz_core.election.ballot import (
    BALLOT_CONTEXT,
    RECORD_BYTES_MAX,
    decode_record,
    encode_record,
    sign_ballot,
    verify_ballot,
    verify_certificate,
)
from bzzz_core.election.messages import Ballot, SignedBallot, TermRecord
from bzzz_core.election.quarantine import Rejected
from bzzz_core.errors import TrustError
from bzzz_core.model import ClusterId, NodeId, Revision, StreamId, Term, Voter, VoterSet
from bzzz_core.trust.keys import IdentityKey

CLUSTER = ClusterId("cluster")
STREAM = StreamId("stream")
KEYS = sorted((IdentityKey.generate() for _ in range(3)), key=lambda key: key.node_id)
OUTSIDER = IdentityKey.generate()
VOTERS = VoterSet(tuple(Voter(key.node_id, "n", key.public_key) for key in KEYS))
LEADER = KEYS[0].node_id


def ballot_of(key: IdentityKey, **changes: object) -> SignedBallot:
    ballot = Ballot(CLUSTER, STREAM, Revision(3), Term(2), LEADER, key.node_id, VOTERS.digest())
    return sign_ballot(msgspec.structs.replace(ballot, **changes), key)


def record_of(*ballots: SignedBallot, **changes: object) -> TermRecord:
    record = TermRecord(Term(2), LEADER, Revision(3), ballots)
    return msgspec.structs.replace(record, **changes)


def check(record: TermRecord) -> None:
    verify_certificate(record, cluster=CLUSTER, stream=STREAM, voters=VOTERS)


def test_a_majority_of_ballots_makes_a_leader() -> None:
    """Two of three, and three as well."""
    check(record_of(ballot_of(KEYS[0]), ballot_of(KEYS[1])))
    check(record_of(*(ballot_of(key) for key in KEYS)))


@pytest.mark.parametrize(
    "changes",
    [
        {"cluster": "other"},
        {"stream": "made anew"},
        {"previous": 2},
        {"term": 1},
        {"candidate": KEYS[1].node_id},
        {"voters": bytes(32)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_ballot_for_anything_else_does_not_count(changes: dict[str, object]) -> None:
    """Each part of what is signed closes one way of replaying a ballot."""
    with pytest.raises(Rejected, match=r"is not for it|of other voters or another stream"):
        check(record_of(ballot_of(KEYS[0]), ballot_of(KEYS[1], **changes)))


def test_a_minority_does_not_make_a_leader() -> None:
    """Nor does nobody."""
    with pytest.raises(TrustError, match="1 ballots, 2 make a majority"):
        check(record_of(ballot_of(KEYS[0])))
    with pytest.raises(TrustError, match="0 ballots"):
        check(record_of())


def test_a_voter_counts_once() -> None:
    """The same ballot twice is one voter."""
    with pytest.raises(TrustError, match="counts twice"):
        check(record_of(ballot_of(KEYS[0]), ballot_of(KEYS[0])))


def test_an_outsider_neither_votes_nor_leads() -> None:
    """A key alone is no vote."""
    with pytest.raises(TrustError, match="is no voter"):
        check(record_of(ballot_of(KEYS[0]), ballot_of(OUTSIDER)))
    with pytest.raises(TrustError, match="is no voter"):
        check(record_of(ballot_of(KEYS[0]), leader=OUTSIDER.node_id))


def test_a_forged_signature_does_not_count() -> None:
    """Signed by another voter, or for another purpose."""
    ballot = ballot_of(KEYS[1]).ballot
    borrowed = sign_ballot(ballot, KEYS[0])
    with pytest.raises(Rejected, match="does not belong"):
        check(record_of(ballot_of(KEYS[0]), borrowed))
    content = msgspec.msgpack.encode(ballot)
    elsewhere = SignedBallot(ballot, KEYS[1].sign(b"bzzz something else", content))
    with pytest.raises(Rejected, match="does not belong"):
        check(record_of(ballot_of(KEYS[0]), elsewhere))
    KEYS[1].sign(BALLOT_CONTEXT, content)


def test_a_single_ballot_is_checked_in_its_voter_set() -> None:
    """What a candidate collects must hold before it counts."""
    verify_ballot(ballot_of(KEYS[2]), VOTERS)
    with pytest.raises(TrustError, match="another voter set"):
        verify_ballot(ballot_of(KEYS[2], voters=bytes(32)), VOTERS)


def test_a_record_survives_its_bytes() -> None:
    """And comes back equal, certificate and all."""
    record = record_of(ballot_of(KEYS[0]), ballot_of(KEYS[1]))
    assert decode_record(encode_record(record)) == record


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x91" * 10_000,
        bytes(RECORD_BYTES_MAX + 1),
        msgspec.msgpack.encode({"term": -1, "leader": "x", "previous": 0, "certificate": []}),
        msgspec.msgpack.encode({"term": 1, "leader": "", "previous": 0, "certificate": []}),
        msgspec.msgpack.encode({"term": 1, "leader": "x", "previous": 2**60, "certificate": []}),
        msgspec.msgpack.encode({"term": 1, "leader": "x", "previous": 0, "certificate": [1] * 16}),
    ],
)
def test_bytes_that_are_no_record_are_a_trust_error(data: bytes) -> None:
    """Whatever lies in the store, reading it raises one kind of error."""
    with pytest.raises(TrustError):
        decode_record(data)


def test_unknown_fields_of_a_newer_release_are_ignored() -> None:
    """Agents one release apart work together; a signed ballot has one form only."""
    record = {"term": 1, "leader": "x", "previous": 0, "certificate": [], "colour": "red"}
    assert decode_record(msgspec.msgpack.encode(record)).leader == NodeId("x")
    signed = [["c", "s", 0, 1, "x", "x", bytes(32), "more"], bytes(64)]
    with pytest.raises(TrustError):
        decode_record(msgspec.msgpack.encode(record | {"certificate": [signed]}))
