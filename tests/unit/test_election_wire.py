"""Bytes from outside: a proven message or a `TrustError`, never anything else."""

import contextlib
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bzzz_core.election.ballot import sign_ballot, sign_warrant, verify_ballot, verify_warrant
from bzzz_core.election.messages import (
    Ballot,
    Evidence,
    Heartbeat,
    HeartbeatAck,
    Message,
    PreVoteReply,
    PreVoteRequest,
    Proclamation,
    Resignation,
    SignedBallot,
    SignedWarrant,
    Stock,
    TermRecord,
    Transfer,
    VoteReply,
    VoteRequest,
    Warrant,
)
from bzzz_core.election.quarantine import Offence, Rejected
from bzzz_core.election.wire import (
    ENVELOPE_BYTES_MAX,
    ENVELOPE_CONTEXT,
    Wire,
    ballots_in,
    stream_of,
)
from bzzz_core.errors import TrustError
from bzzz_core.model import ClusterId, NodeId, Revision, StreamId, Term, Voter, VoterSet
from bzzz_core.trust.keys import IdentityKey

CLUSTER = ClusterId("cluster")
STREAM = StreamId("stream")
KEYS = sorted((IdentityKey.generate() for _ in range(3)), key=lambda key: key.node_id)
OUTSIDER = IdentityKey.generate()
VOTERS = VoterSet(tuple(Voter(key.node_id, "n", key.public_key) for key in KEYS))
IDS = [key.node_id for key in KEYS]
ACK = HeartbeatAck(Term(1), Revision(1), 1, 50.0)


def wire(key: IdentityKey = KEYS[0], cluster: ClusterId = CLUSTER) -> Wire:
    return Wire(me=key.node_id, cluster=cluster, stream=STREAM, voters=VOTERS, signer=key)


def ballot(voter: int, candidate: NodeId = IDS[0]) -> Ballot:
    return Ballot(CLUSTER, STREAM, Revision(0), Term(1), candidate, IDS[voter], VOTERS.digest())


RECORD = TermRecord(
    Term(1),
    IDS[0],
    Revision(0),
    (sign_ballot(ballot(0), KEYS[0]), sign_ballot(ballot(1), KEYS[1])),
)
BEAT = Heartbeat(Term(1), Revision(5), 1, IDS[0], RECORD, Revision(0), ())
VOTE = VoteReply(IDS[0], Term(1), sign_ballot(ballot(1), KEYS[1]), "", Term(1), Revision(0))


@pytest.mark.parametrize(
    "message",
    [
        PreVoteRequest(1, Revision(0), 10.0),
        PreVoteReply(IDS[1], 1, True, "", Term(0), Revision(0)),  # noqa: FBT003
        VoteRequest(Term(1), Revision(0), 10.0),
        VoteReply(IDS[1], Term(1), None, "voted", Term(1), Revision(0)),
        BEAT,
        ACK,
        Resignation(Term(1), Revision(1), 2),
    ],
    ids=lambda message: type(message).__name__,
)
def test_what_a_voter_seals_the_others_open(message: Message) -> None:
    """Sender and content arrive as they left."""
    assert wire(KEYS[1]).open(wire().seal(message)) == (IDS[0], message)


def test_a_ballot_of_the_sender_is_opened() -> None:
    """And proven on the way."""
    assert wire().open(wire(KEYS[1]).seal(VOTE)) == (IDS[1], VOTE)


def test_a_message_of_another_cluster_is_refused() -> None:
    """The signature covers the cluster."""
    with pytest.raises(Rejected) as caught:
        wire().open(wire(KEYS[1], ClusterId("other")).seal(ACK))
    assert (caught.value.offence, caught.value.culprit) == (Offence.FORGED, None)
    assert caught.value.claimed == IDS[1]


def test_an_outsider_is_refused() -> None:
    """However well it signs."""
    with pytest.raises(TrustError, match="is no voter"):
        wire().open(wire(OUTSIDER).seal(ACK))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("wire", 2),
        ("sender", IDS[2]),
        ("kind", "vote-request"),
        ("payload", msgspec.msgpack.encode(HeartbeatAck(Term(1), Revision(1), 2, 50.0))),
        ("signature", bytes(64)),
        ("signature", b""),
    ],
    ids=["wire", "sender", "kind", "payload", "zero signature", "no signature"],
)
def test_a_changed_envelope_is_refused(field: str, value: object) -> None:
    """Every part of it is signed or checked."""
    envelope = msgspec.msgpack.decode(wire(KEYS[1]).seal(ACK)) | {field: value}
    with pytest.raises(TrustError):
        wire().open(msgspec.msgpack.encode(envelope))


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("heartbeat-ack", b"\xc1"),
        ("heartbeat-ack", msgspec.msgpack.encode({"type": "nothing we know"})),
        ("vote-request", msgspec.msgpack.encode(ACK)),
    ],
)
def test_well_signed_nonsense_is_refused(kind: str, payload: bytes) -> None:
    """A voter may have gone wrong."""
    content = msgspec.msgpack.encode((1, CLUSTER, IDS[1], kind, payload))
    envelope = {
        "wire": 1,
        "sender": IDS[1],
        "kind": kind,
        "payload": payload,
        "signature": KEYS[1].sign(ENVELOPE_CONTEXT, content),
    }
    with pytest.raises(TrustError):
        wire().open(msgspec.msgpack.encode(envelope))


CLAIMS: list[tuple[str, Callable[[], tuple[IdentityKey, Message]]]] = [
    ("a heartbeat of another leader", lambda: (KEYS[1], BEAT)),
    (
        "a record of another leader",
        lambda: (KEYS[1], msgspec.structs.replace(BEAT, leader=IDS[1])),
    ),
    ("another term than the record's", lambda: (KEYS[0], msgspec.structs.replace(BEAT, term=9))),
    ("an impossible revision", lambda: (KEYS[0], msgspec.structs.replace(BEAT, sequence=0))),
    (
        "a certificate that does not hold",
        lambda: (
            KEYS[0],
            msgspec.structs.replace(
                BEAT, record=msgspec.structs.replace(RECORD, certificate=RECORD.certificate[:1])
            ),
        ),
    ),
    ("a ballot of another voter", lambda: (KEYS[2], VOTE)),
    (
        "a ballot with another one's signature",
        lambda: (
            KEYS[1],
            msgspec.structs.replace(VOTE, ballot=sign_ballot(ballot(1), KEYS[2])),
        ),
    ),
]


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim[0])
def test_a_voter_may_not_claim(
    claim: tuple[str, Callable[[], tuple[IdentityKey, Message]]],
) -> None:
    """What a message says about its sender is checked, not believed."""
    sender, message = claim[1]()
    with pytest.raises(TrustError):
        wire().open(wire(sender).seal(message))


def test_a_record_is_proven_once() -> None:
    """The same certificate comes with every heartbeat."""
    reader = wire(KEYS[2])
    for number in (1, 2):
        reader.open(wire().seal(msgspec.structs.replace(BEAT, number=number)))
    with pytest.raises(TrustError):
        reader.prove(msgspec.structs.replace(RECORD, term=Term(2)))


@given(st.binary(max_size=400))
@settings(max_examples=200)
def test_any_bytes_are_a_trust_error(data: bytes) -> None:
    """Never another exception: the handler of a subscription must not raise."""
    with pytest.raises(TrustError):
        wire().open(data)


@given(st.integers(0, 10**6), st.integers(0, 255))
@settings(max_examples=200)
def test_a_flipped_byte_is_a_trust_error_or_nothing_at_all(place: int, value: int) -> None:
    """There is one form in bytes of each message, or the same message comes out."""
    data = bytearray(wire(KEYS[1]).seal(ACK))
    data[place % len(data)] = value
    with contextlib.suppress(TrustError):
        assert wire().open(bytes(data)) == (IDS[1], ACK)


def test_what_is_too_large_is_not_even_parsed() -> None:
    """A bound before any work."""
    with pytest.raises(TrustError, match="over"):
        wire().open(bytes(ENVELOPE_BYTES_MAX + 1))


# ---- what can be held against whom


def rejected(data: bytes) -> Rejected:
    with pytest.raises(Rejected) as caught:
        wire().open(data)
    return caught.value


def signed_by(key: IdentityKey, kind: str, payload: bytes) -> bytes:
    content = msgspec.msgpack.encode((1, CLUSTER, key.node_id, kind, payload))
    envelope = {
        "wire": 1,
        "sender": key.node_id,
        "kind": kind,
        "payload": payload,
        "signature": key.sign(ENVELOPE_CONTEXT, content),
    }
    return msgspec.msgpack.encode(envelope)


def test_a_kind_of_another_release_is_nobodys_fault() -> None:
    """Agents one release apart work together."""
    problem = rejected(signed_by(KEYS[1], "astonishment", b"\x80"))
    assert (problem.offence, problem.culprit) == (Offence.VERSION, None)


def test_nonsense_is_held_against_whoever_signed_it() -> None:
    problem = rejected(signed_by(KEYS[1], "heartbeat-ack", b"\xc1"))
    assert (problem.offence, problem.culprit, problem.proven) == (Offence.MALFORMED, IDS[1], False)
    problem = rejected(signed_by(KEYS[1], "vote-request", msgspec.msgpack.encode(ACK)))
    assert (problem.offence, problem.culprit) == (Offence.UNTRUE, IDS[1])


def test_a_false_certificate_under_its_leaders_signature_is_a_proof() -> None:
    """No honest leader puts one together."""
    few = msgspec.structs.replace(RECORD, certificate=RECORD.certificate[:1])
    for message in (
        msgspec.structs.replace(BEAT, record=few),
        Proclamation(Revision(5), few, Revision(6), b""),
    ):
        problem = rejected(wire().seal(message))
        assert (problem.offence, problem.culprit) == (Offence.UNPROVEN, IDS[0])
        assert problem.proven


@pytest.mark.parametrize("changes", [{"voters": bytes(32)}, {"stream": "another"}])
def test_other_voters_and_another_stream_are_no_offence(changes: dict[str, object]) -> None:
    """This node's own set may be the old one."""
    foreign = sign_ballot(msgspec.structs.replace(ballot(0), **changes), KEYS[0])
    record = msgspec.structs.replace(RECORD, certificate=(foreign,))
    problem = rejected(wire().seal(msgspec.structs.replace(BEAT, record=record)))
    assert (problem.offence, problem.culprit) == (Offence.OTHER_VOTERS, None)


def test_a_ballot_of_an_outsider_under_our_digest_is_a_lie() -> None:
    alien = Ballot(CLUSTER, STREAM, Revision(0), Term(1), IDS[0], OUTSIDER.node_id, VOTERS.digest())
    with pytest.raises(Rejected, match="no voter"):
        verify_ballot(sign_ballot(alien, OUTSIDER), VOTERS)


# ---- warrants, evidence, proclamations


def warrant(**changes: object) -> Warrant:
    plain = Warrant(CLUSTER, STREAM, Revision(5), Term(1), IDS[0], IDS[1], Stock(1, ()))
    return msgspec.structs.replace(plain, **changes)


def test_a_warrant_is_its_leaders_and_in_its_successors_hands() -> None:
    signed = sign_warrant(warrant(), KEYS[0])
    handing = Transfer(signed, 9)
    assert wire(KEYS[1]).open(wire().seal(handing)) == (IDS[0], handing)
    asking = VoteRequest(Term(2), Revision(5), 10.0, signed)
    assert wire().open(wire(KEYS[1]).seal(asking)) == (IDS[1], asking)
    for data in (wire(KEYS[1]).seal(handing), wire(KEYS[2]).seal(asking)):
        problem = rejected(data)
        assert (problem.offence, problem.culprit is None) == (Offence.UNTRUE, False)


@pytest.mark.parametrize(
    ("changes", "offence"),
    [
        ({"stream": "another"}, Offence.OTHER_VOTERS),
        ({"cluster": "another"}, Offence.UNTRUE),
        ({"successor": OUTSIDER.node_id}, Offence.UNTRUE),
    ],
)
def test_a_warrant_for_anything_else_frees_nobody(
    changes: dict[str, object], offence: Offence
) -> None:
    signed = sign_warrant(warrant(**changes), KEYS[0])
    assert rejected(wire().seal(Transfer(signed, 9))).offence is offence


def test_a_forged_warrant_frees_nobody() -> None:
    forged = SignedWarrant(warrant(), sign_warrant(warrant(term=2), KEYS[0]).signature)
    asking = VoteRequest(Term(2), Revision(5), 10.0, forged)
    assert rejected(wire(KEYS[1]).seal(asking)).culprit == IDS[1]
    stranger = sign_warrant(warrant(leader=OUTSIDER.node_id), OUTSIDER)
    with pytest.raises(Rejected) as caught:
        verify_warrant(stranger, cluster=CLUSTER, stream=STREAM, voters=VOTERS)
    assert caught.value.offence is Offence.OTHER_VOTERS


def test_evidence_proves_itself_whoever_brings_it() -> None:
    first, second = (sign_ballot(ballot(1, candidate), KEYS[1]) for candidate in IDS[:2])
    evidence = Evidence(first, second)
    assert wire().open(wire(KEYS[2]).seal(evidence)) == (IDS[2], evidence)
    for nothing in (
        Evidence(first, first),
        Evidence(first, SignedBallot(second.ballot, first.signature)),
        Evidence(SignedBallot(first.ballot, second.signature), second),
    ):
        assert rejected(wire(KEYS[2]).seal(nothing)).culprit == IDS[2]


def test_a_proclamation_is_opened_and_names_its_stream() -> None:
    told = Proclamation(Revision(5), RECORD, Revision(6), b"story")
    assert wire(KEYS[1]).open(wire().seal(told)) == (IDS[0], told)
    assert stream_of(wire().seal(told)) == STREAM
    assert ballots_in(told) == RECORD.certificate
    assert rejected(wire(KEYS[1]).seal(told)).culprit == IDS[1]
