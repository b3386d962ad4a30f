"""What a ballot signs, and when a pile of ballots makes a leader.

A ballot signs `(cluster, stream, previous, term, candidate, voter, digest of the voter set)` under
a context of its own, so that it cannot be replayed in another cluster, in a stream made anew, on
another state of the `_term` record, for another candidate, or after the voters have changed. A
certificate is a majority of such ballots by distinct voters of the committed set. The store cannot
read ballots: that everyone checks the certificate before following is what gives them force.

Rules: no decisions about time or terms here, that is `machine`'s; whatever does not hold raises
`TrustError`, never anything else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from bzzz_core.election.messages import Ballot, SignedBallot, TermRecord
from bzzz_core.errors import TrustError
from bzzz_core.model import ClusterId, StreamId, VoterSet
from bzzz_core.ports import Signer
from bzzz_core.trust import keys

BALLOT_CONTEXT = b"bzzz ballot 1"
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
        TrustError: The voter is none, the set is another, or the signature does not hold.
    """
    ballot = signed.ballot
    voter = voters.find(ballot.voter)
    if voter is None:
        raise TrustError(f"ballot of {ballot.voter}, which is no voter")
    if ballot.voters != voters.digest():
        raise TrustError(f"ballot of {ballot.voter} was cast in another voter set")
    verify(voter.public_key, BALLOT_CONTEXT, _encoder.encode(ballot), signed.signature)


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
        TrustError: The leader is no voter, a ballot says something else or is forged, a voter
            counts twice, or they are too few.
    """
    if voters.find(record.leader) is None:
        raise TrustError(f"term {record.term} names {record.leader}, which is no voter")
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
            raise TrustError(f"certificate of term {record.term}: ballot of {voter} is not for it")
        if voter in counted:
            raise TrustError(f"certificate of term {record.term}: {voter} counts twice")
        verify_ballot(signed, voters, verify)
        counted.add(voter)
    if len(counted) < voters.majority:
        raise TrustError(
            f"certificate of term {record.term}: {len(counted)} ballots, "
            f"{voters.majority} make a majority"
        )


def encode_record(record: TermRecord) -> bytes:
    """Return the bytes that are stored under `_term`."""
    return _encoder.encode(record)


def decode_record(data: bytes) -> TermRecord:
    """Parse the content of `_term`; the certificate is not checked here.

    Raises:
        TrustError: Too large or malformed.
    """
    if len(data) > RECORD_BYTES_MAX:
        raise TrustError(f"_term holds {len(data)} bytes, more than {RECORD_BYTES_MAX}")
    try:
        return _records.decode(data)
    except (ValueError, RecursionError) as exc:
        raise TrustError("_term holds no term record") from exc
