"""What voters say to each other, and the record that an election leaves behind.

Plain values with bounds; nothing here is believed before `wire` has proven who sent it and `ballot`
has proven what was signed. Unknown fields are ignored, so that agents one release apart understand
each other; a change that an older agent would misread raises `WIRE_VERSION`.

Rules: a `Ballot` is encoded as an array without optional parts, because it is signed and must have
exactly one form in bytes.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, TypeAlias

import msgspec

from bzzz_core.model import ClusterId, NodeId, Revision, StreamId, Term

WIRE_VERSION = 1
STOCK_VERSION = 1
STOCK_MAX = 32
STORY_BYTES_MAX = 8_192
VOTERS_MAX = 15
"""Three times the largest voter set of the architecture; a bound for parsers, not a goal."""

_NUMBER_MAX = 2**53
"""The largest count that every language and JSON hold exactly."""

Node = Annotated[NodeId, msgspec.Meta(min_length=1, max_length=64)]
Text = Annotated[str, msgspec.Meta(max_length=64)]
Key = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Count = Annotated[int, msgspec.Meta(ge=0, le=_NUMBER_MAX)]
TermNumber = Annotated[Term, msgspec.Meta(ge=0, le=_NUMBER_MAX)]
Sequence = Annotated[Revision, msgspec.Meta(ge=0, le=_NUMBER_MAX)]
Capability = Annotated[float, msgspec.Meta(ge=0, le=100)]
Signature = Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]
Digest = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class Ballot(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What one voter signs; it is worth something for this one write of `_term` only."""

    cluster: Annotated[ClusterId, msgspec.Meta(max_length=128)]
    stream: Annotated[StreamId, msgspec.Meta(max_length=128)]
    previous: Sequence
    """Revision of the `_term` record to be superseded; 0 if there is none yet."""
    term: TermNumber
    candidate: Node
    voter: Node
    voters: Key
    """`VoterSet.digest()`: a ballot counts in the set it was cast in, and in no other."""


class SignedBallot(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A ballot with its voter's Ed25519 signature."""

    ballot: Ballot
    signature: Signature


class TermRecord(msgspec.Struct, frozen=True):
    """The content of `_term`: who leads, and the ballots that make it so."""

    term: TermNumber
    leader: Node
    previous: Sequence
    """Revision of the record that this one took the place of."""
    certificate: Annotated[tuple[SignedBallot, ...], msgspec.Meta(max_length=VOTERS_MAX)]
    wire: Annotated[int, msgspec.Meta(ge=1)] = WIRE_VERSION
    author: Annotated[bytes, msgspec.Meta(max_length=64)] = b""
    """The leader's signature over all else, in the store only: a record whose certificate does not
    hold can be held against a node only if that node signed it."""


class StockEntry(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One key of the stream: where its last value lies, and what that is."""

    key: Text
    revision: Sequence
    sha256: Digest


class Stock(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a leader leaves behind, so that its successor can tell whether it has all of it."""

    version: Annotated[int, msgspec.Meta(ge=1)]
    """How to read `entries`; a successor that does not know it does not take over."""
    entries: Annotated[tuple[StockEntry, ...], msgspec.Meta(max_length=STOCK_MAX)]
    """One for each key of the leader's stream that was ever written, ordered by key."""

    def digest(self) -> bytes:
        """Return SHA-256 over version and entries, for people who compare two of them."""
        return hashlib.sha256(msgspec.msgpack.encode(self)).digest()


class Warrant(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a leader signs to hand its office over; it says: vote now, do not wait for silence."""

    cluster: Annotated[ClusterId, msgspec.Meta(max_length=128)]
    stream: Annotated[StreamId, msgspec.Meta(max_length=128)]
    sequence: Sequence
    """Revision of the `_term` record that the leader holds; on no other it is worth anything."""
    term: TermNumber
    leader: Node
    successor: Node
    stock: Stock


class SignedWarrant(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A warrant with its leader's Ed25519 signature."""

    warrant: Warrant
    signature: Signature


class PreVoteRequest(msgspec.Struct, frozen=True, tag="pre-vote-request"):
    """Would you vote for me? Asked before a term is spent: a returning node disturbs nobody."""

    round: Count
    """Counts the candidate's questions; an answer to an older one is worth nothing."""
    previous: Sequence
    score: Capability


class PreVoteReply(msgspec.Struct, frozen=True, tag="pre-vote-reply"):
    """Yes or no, and what the candidate may not know."""

    candidate: Node
    round: Count
    granted: bool
    reason: Text
    """Why not; empty if granted."""
    voted: TermNumber
    """The highest term this voter has voted in: the candidate must ask for a higher one."""
    sequence: Sequence
    """The newest `_term` revision this voter has proof of."""


class VoteRequest(msgspec.Struct, frozen=True, tag="vote-request"):
    """Give me your ballot for `term`, to supersede the record at `previous`."""

    term: TermNumber
    previous: Sequence
    score: Capability
    warrant: SignedWarrant | None = None
    """The leader's own word that this candidate shall follow it."""


class VoteReply(msgspec.Struct, frozen=True, tag="vote-reply"):
    """A ballot, or why there is none."""

    candidate: Node
    term: TermNumber
    ballot: SignedBallot | None
    reason: Text
    voted: TermNumber
    sequence: Sequence


class Standing(msgspec.Struct, frozen=True, array_like=True):
    """A voter that the leader heard lately, and its capability score."""

    node: Node
    score: Capability


class Heartbeat(msgspec.Struct, frozen=True, tag="heartbeat"):
    """I lead. The record travels along, so that whoever hears this can check it."""

    term: TermNumber
    sequence: Sequence
    """Revision of `record` in the stream: with the stream's identity, the fencing token."""
    number: Annotated[int, msgspec.Meta(ge=1, le=_NUMBER_MAX)]
    """Counts the leader's heartbeats of this term, from 1."""
    leader: Node
    record: TermRecord
    served: Sequence
    """Revision of the leader's first guarded write, or 0 while none is acknowledged."""
    standings: Annotated[tuple[Standing, ...], msgspec.Meta(max_length=VOTERS_MAX)]
    """All followers rank themselves by the same table, so rarely two of them stand at once."""


class HeartbeatAck(msgspec.Struct, frozen=True, tag="heartbeat-ack"):
    """I heard heartbeat `number` of that leadership."""

    term: TermNumber
    sequence: Sequence
    number: Count
    score: Capability


class HeartbeatRefusal(msgspec.Struct, frozen=True, tag="heartbeat-refusal"):
    """I hear you, but I gave my ballot to another for superseding your record."""

    term: TermNumber
    sequence: Sequence


class Resignation(msgspec.Struct, frozen=True, tag="resignation"):
    """I lead no more: do not wait for silence. `number` follows that of the last heartbeat."""

    term: TermNumber
    sequence: Sequence
    number: Count
    reason: Text = ""
    """Why, in the words of `events.StepDown`."""


class Transfer(msgspec.Struct, frozen=True, tag="transfer"):
    """I lead no more: the voter named in the warrant shall stand at once, the others wait."""

    warrant: SignedWarrant
    number: Count
    """Follows that of the last heartbeat."""


class Evidence(msgspec.Struct, frozen=True, tag="evidence"):
    """Two ballots of one voter that no honest voter signs both; it proves itself."""

    first: SignedBallot
    second: SignedBallot


class Proclamation(msgspec.Struct, frozen=True, tag="proclamation"):
    """I lead, and a majority has my first write; on pub/sub for everybody, once per term."""

    sequence: Sequence
    """Revision of `record`."""
    record: TermRecord
    served: Sequence
    story: Annotated[bytes, msgspec.Meta(max_length=STORY_BYTES_MAX)]
    """The first entry that the leader wrote to the log (`history.Leadership`)."""


Message: TypeAlias = (
    PreVoteRequest
    | PreVoteReply
    | VoteRequest
    | VoteReply
    | Heartbeat
    | HeartbeatAck
    | HeartbeatRefusal
    | Resignation
    | Transfer
    | Evidence
    | Proclamation
)
