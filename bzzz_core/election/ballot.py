"""What a ballot signs, and when a pile of ballots makes a leader.

A ballot signs `(cluster, stream, previous, term, candidate, voter, digest of the voter set)` under
a context of its own, so that it cannot be replayed in another cluster, in a stream made anew, on
another state of the `_term` record, for another candidate, or after the voters have changed. A
certificate is a majority of such ballots by distinct voters of the committed set. The store cannot
read ballots: that everyone checks the certificate before following is what gives them force.

A warrant is signed likewise, by the leader that hands over; and in the store a record carries its
author's signature, so that a false one can be held against whoever wrote it.

Rules: no decisions about time or terms here, that is `machine`'s; whatever does not hold raises
`Rejected`, never anything else. Ballots of voters that this node does not know come first: its own
set may be the old one, so nothing follows from them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from bzzz_core.election.messages import (
    Ballot,
    SignedBallot,
    SignedWarrant,
    TermRecord,
    Warrant,
)
from bzzz_core.election.quarantine import Offence, Rejected
from bzzz_core.errors import TrustError
from bzzz_core.model import ClusterId, StreamId, VoterSet
from bzzz_core.ports import Signer
from bzzz_core.trust import keys

BALLOT_CONTEXT = b"bzzz ballot 1"
WARRANT_CONTEXT = b"bzzz warrant 1"
AUTHOR_CONTEXT = b"bzzz term record 1"
RECORD_BYTES_MAX = 16_384

Verify: TypeAlias = Callable[[bytes, bytes, bytes, bytes], None]
"""(public key, context, payload, signature); raises `SignatureInvalid`."""

_encoder = msgspec.msgpack.Encoder()
_records = msgspec.msgpack.Decoder(TermRecord)


def sign_ballot(ballot: Ballot, signer: Signer) -> SignedBallot:
    """Return `ballot` signed; its voter must be the owner of the signer's key."""
    return SignedBallot(ballot, signer.sign(BALLOT_CONTEXT, _encoder.encode(ballot)))


def verify_ballot(signed: SignedBallot, voters: VoterSet, verify: Verify = keys.verify) -> None:
    """Check that a member of `voters` signed this ballot, for this set.

    Raises:
        Rejected: The voter is none, the set is another, or the signature does not hold.
    """
    ballot = signed.ballot
    if ballot.voters != voters.digest():
        what = f"ballot of {ballot.voter} was cast in another voter set"
        raise Rejected(what, Offence.OTHER_VOTERS)
    voter = voters.find(ballot.voter)
    if voter is None:
        raise Rejected(f"ballot of {ballot.voter}, which is no voter", Offence.UNTRUE)
    try:
        verify(voter.public_key, BALLOT_CONTEXT, _encoder.encode(ballot), signed.signature)
    except TrustError as exc:
        raise Rejected(f"ballot of {ballot.voter}: {exc}", Offence.UNPROVEN) from exc


def sign_warrant(warrant: Warrant, signer: Signer) -> SignedWarrant:
    """Return `warrant` signed; its leader must be the owner of the signer's key."""
    return SignedWarrant(warrant, signer.sign(WARRANT_CONTEXT, _encoder.encode(warrant)))


def verify_warrant(
    signed: SignedWarrant, *, cluster: ClusterId, stream: StreamId, voters: VoterSet
) -> None:
    """Check that a member of `voters` signed this warrant, for this cluster and stream.

    Raises:
        Rejected: It did not.
    """
    warrant = signed.warrant
    leader = voters.find(warrant.leader)
    if warrant.stream != stream or leader is None:
        what = f"warrant of {warrant.leader} for a leadership that is not known here"
        raise Rejected(what, Offence.OTHER_VOTERS)
    if warrant.cluster != cluster or voters.find(warrant.successor) is None:
        raise Rejected(f"warrant of {warrant.leader} for no voter of this set", Offence.UNTRUE)
    try:
        keys.verify(leader.public_key, WARRANT_CONTEXT, _encoder.encode(warrant), signed.signature)
    except TrustError as exc:
        raise Rejected(f"warrant of {warrant.leader}: {exc}", Offence.UNTRUE) from exc


def sign_record(record: TermRecord, signer: Signer) -> TermRecord:
    """Return `record` with its author's signature; the store keeps it in this form."""
    return msgspec.structs.replace(
        record, author=signer.sign(AUTHOR_CONTEXT, _encoder.encode(_unsigned(record)))
    )


def authored(record: TermRecord, voters: VoterSet) -> bool:
    """Return whether the leader that `record` names wrote it itself."""
    leader = voters.find(record.leader)
    if leader is None or not record.author:
        return False
    try:
        payload = _encoder.encode(_unsigned(record))
        keys.verify(leader.public_key, AUTHOR_CONTEXT, payload, record.author)
    except TrustError:
        return False
    return True


def _unsigned(record: TermRecord) -> TermRecord:
    return msgspec.structs.replace(record, author=b"")


def verify_certificate(
    record: TermRecord,
    *,
    cluster: ClusterId,
    stream: StreamId,
    voters: VoterSet,
    verify: Verify = keys.verify,
) -> None:
    """Check that a majority of `voters` made the leader of `record`.

    Raises:
        Rejected: The leader is no voter, a ballot says something else or is forged, a voter counts
            twice, or they are too few; or it belongs to another voter set or stream.
    """
    _check_world(record, stream=stream, voters=voters)
    if voters.find(record.leader) is None:
        what = f"term {record.term} names {record.leader}, which is no voter"
        raise Rejected(what, Offence.UNPROVEN)
    counted = set()
    for signed in record.certificate:
        voter = signed.ballot.voter
        expected = Ballot(
            cluster,
            stream,
            record.previous,
            record.term,
            record.leader,
            voter,
            voters.digest(),
        )
        if signed.ballot != expected:
            what = f"certificate of term {record.term}: ballot of {voter} is not for it"
            raise Rejected(what, Offence.UNPROVEN)
        if voter in counted:
            what = f"certificate of term {record.term}: {voter} counts twice"
            raise Rejected(what, Offence.UNPROVEN)
        verify_ballot(signed, voters, verify)
        counted.add(voter)
    if len(counted) < voters.majority:
        raise Rejected(
            f"certificate of term {record.term}: {len(counted)} ballots, "
            f"{voters.majority} make a majority",
            Offence.UNPROVEN,
        )


def _check_world(record: TermRecord, *, stream: StreamId, voters: VoterSet) -> None:
    for signed in record.certificate:
        ballot = signed.ballot
        if ballot.voters != voters.digest() or ballot.stream != stream:
            what = f"certificate of term {record.term} is of other voters or another stream"
            raise Rejected(what, Offence.OTHER_VOTERS)


def encode_record(record: TermRecord) -> bytes:
    """Return the bytes that are stored under `_term`."""
    return _encoder.encode(record)


def decode_record(data: bytes) -> TermRecord:
    """Parse the content of `_term`; the certificate is not checked here.

    Raises:
        Rejected: Too large or malformed.
    """
    if len(data) > RECORD_BYTES_MAX:
        what = f"_term holds {len(data)} bytes, more than {RECORD_BYTES_MAX}"
        raise Rejected(what, Offence.MALFORMED)
    try:
        return _records.decode(data)
    except (ValueError, RecursionError) as exc:
        raise Rejected("_term holds no term record", Offence.MALFORMED) from exc
