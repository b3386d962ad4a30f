"""Words shared by every part of BZZZ. Pure values: no clock, no network, no files.

`docs/glossary.md` says what each word means; where two readings are possible, this file follows it.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Annotated, Literal, NewType, TypeAlias

import msgspec

NodeId = NewType("NodeId", str)
"""26 characters of lower-case base32: the first 16 bytes of SHA-256 over the node's public key."""

ClusterId = NewType("ClusterId", str)
Term = NewType("Term", int)
"""Number of one leadership; grows by one with each election that succeeds."""

Revision = NewType("Revision", int)
"""Write counter of a store: the sequence of a message in its stream. 0 means "never written"."""

StreamId = NewType("StreamId", str)
"""Random name given to a stream when it is created, so that a stream that was deleted and made anew
(its sequences start over) can never pass for the old one."""


class MemberState(StrEnum):
    """What the roster believes of a node."""

    ALIVE = "alive"
    SUSPECT = "suspect"
    DEAD = "dead"
    LEFT = "left"


class FabricState(StrEnum):
    """How well this node is attached to the fabric."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    DEGRADED = "degraded"
    LOST = "lost"


class Voter(msgspec.Struct, frozen=True, order=True):
    """One member of the fabric's voter set."""

    node: NodeId
    name: str
    """What operators call the node; unique in a cluster, never used as identity."""
    public_key: bytes
    """Ed25519, 32 bytes raw. `node` is derived from it, so the pair proves itself."""


class VoterSet(msgspec.Struct, frozen=True):
    """The committed voters, ordered by node id. Its majority counts dead voters too."""

    voters: tuple[Voter, ...]
    number: Annotated[int, msgspec.Meta(ge=1)] = 1
    """+1 with each change of the committed set. No ballot signs it: who may vote counts, not when
    that was agreed."""
    term: Term = Term(0)
    """The term in which it was committed: elections under it begin above."""

    def __post_init__(self) -> None:
        """Reject a set that two readers could order or count differently."""
        nodes = [voter.node for voter in self.voters]
        if nodes != sorted(set(nodes)) or not nodes:
            raise ValueError("voters must be distinct, ordered by node id, and at least one")

    @property
    def majority(self) -> int:
        """Return the least number of ballots that wins: floor(n / 2) + 1."""
        return len(self.voters) // 2 + 1

    def find(self, node: NodeId) -> Voter | None:
        """Return the voter with this id, if it is one."""
        return next((voter for voter in self.voters if voter.node == node), None)

    def digest(self) -> bytes:
        """Return SHA-256 (32 bytes) over the ordered ids and keys; every ballot signs it."""
        sha = hashlib.sha256(b"bzzz voter set 1\0")
        for voter in self.voters:
            sha.update(voter.node.encode() + b"\0" + voter.public_key)
        return sha.digest()


def voter_count(hosts: int) -> int:
    """Return how many of `hosts` nodes vote: 1, 3 or 5, never an even number (ARCHITECTURE 10).

    Two voters would lose their majority with either one; more than five only slow every write.
    """
    if hosts < 3:  # noqa: PLR2004
        return 1
    return 3 if hosts < 5 else 5  # noqa: PLR2004


class FencingToken(msgspec.Struct, frozen=True):
    """What a leader-only write carries and the store checks: the place of the `_term` record."""

    stream: StreamId
    sequence: Revision


Text = Annotated[str, msgspec.Meta(max_length=253)]
"""Short text from the wire; 253 is the longest host name (RFC 1035)."""

ApiRole: TypeAlias = Literal["viewer", "operator", "admin"]
"""What a token of the API may do; `api.permissions` says it."""

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Percent = Annotated[float, msgspec.Meta(ge=0, le=10_000)]


class Gpu(msgspec.Struct, frozen=True):
    """One graphics processor at one moment; None is "could not be read"."""

    name: Text
    memory_used_bytes: Count | None = None
    memory_total_bytes: Count | None = None
    utilization_percent: Percent | None = None


class Sample(msgspec.Struct, frozen=True):
    """A node's resources at one moment; None is "could not be read", never 0."""

    cpu_percent: Percent | None = None
    cpu_count: Count | None = None
    load_1m: Percent | None = None
    memory_used_bytes: Count | None = None
    memory_total_bytes: Count | None = None
    gpus: Annotated[tuple[Gpu, ...], msgspec.Meta(max_length=64)] = ()


class Vote(msgspec.Struct, frozen=True):
    """The last vote of a voter, as it must survive a crash."""

    term: Term
    candidate: NodeId
    """Whom the ballot is for; empty in the vote of a voter that has not voted yet."""
    previous: Revision
    """The `_term` revision that the ballot supersedes. Once the record has moved past it, no store
    accepts a certificate with this ballot any more."""
    stream: StreamId
    """The stream of that record. Sequences of another stream say nothing about this one."""
