"""What `leader_operations` reads from callers of the API and answers them with.

Inside, nodes are ids; what is made here names them as operators know them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias

import msgspec

from bzzz_core.api.operations import By
from bzzz_core.election.diary import PollNote, VoteNote
from bzzz_core.election.history import Leadership as Story
from bzzz_core.model import NodeId

Name = Annotated[str, msgspec.Meta(max_length=64)]
NameOf: TypeAlias = Callable[[NodeId], str]


class TransferWish(msgspec.Struct, frozen=True):
    """Body of `POST /v1/leader/transfer`."""

    to: Name | None = None
    by: By = ""


class ElectWish(msgspec.Struct, frozen=True):
    """Body of `POST /v1/leader/elect`."""

    by: By = ""


class NodeNamed(msgspec.Struct, frozen=True):
    """Body of `POST /v1/leader/release`."""

    node: Name
    by: By = ""


class QuarantineNote(msgspec.Struct, frozen=True):
    """A voter whose votes this node ignores."""

    node: str
    offence: str
    reason: str
    at: str
    until_released: bool


class LeaderDocument(msgspec.Struct, frozen=True):
    """`GET /v1/leader`."""

    node: str
    role: str
    leader: str | None
    leader_id: NodeId | None
    term: int
    serving: bool
    since_at: str | None
    token: int
    """Revision of the term record: the fencing token."""
    cause: str
    """Why this leadership began; empty if this node does not know."""
    voters: tuple[str, ...]
    voters_number: int
    majority: int
    failover: str
    waits_for_operator: bool
    without_quorum: str
    stale: bool
    """Whether there is no leader, so that all else this node shows may be out of date."""
    quarantined: tuple[QuarantineNote, ...]
    counters: dict[str, int]


class Scored(msgspec.Struct, frozen=True):
    """Somebody who stood."""

    name: str
    score: float


class BallotDocument(msgspec.Struct, frozen=True):
    """What one voter did."""

    voter: str
    given: bool
    reason: str


class LeadershipDocument(msgspec.Struct, frozen=True):
    """One leadership."""

    term: int
    leader: str
    leader_id: NodeId
    token: int
    began_at: str
    ended_at: str
    end: str
    cause: str
    words: str
    predecessor: str | None
    took_ms: int
    state: str
    candidates: tuple[Scored, ...]
    ballots: tuple[BallotDocument, ...]


class DecisionDocument(msgspec.Struct, frozen=True):
    """A vote of the answering node, or a poll of its own that failed."""

    at: str
    term: int
    candidate: str
    given: bool
    reason: str


class HistoryDocument(msgspec.Struct, frozen=True):
    """`GET /v1/leader/history`."""

    node: str
    complete: bool
    """Whether the cluster's own record was read; else this is what the node itself has seen."""
    stale: bool
    leaderships: tuple[LeadershipDocument, ...]
    decisions: tuple[DecisionDocument, ...]


class WishDocument(msgspec.Struct, frozen=True):
    """What came of a wish."""

    leader: str
    term: int


def document_of(story: Story, name_of: NameOf) -> LeadershipDocument:
    """Return one leadership with the names of its nodes."""
    return LeadershipDocument(
        term=story.term,
        leader=name_of(story.leader),
        leader_id=story.leader,
        token=story.sequence,
        began_at=story.began_at,
        ended_at=story.ended_at,
        end=story.end,
        cause=story.cause,
        words=story.words,
        predecessor=name_of(story.predecessor) if story.predecessor else None,
        took_ms=story.took_ms,
        state=story.state,
        candidates=tuple(Scored(name_of(c.node), c.score) for c in story.candidates),
        ballots=tuple(BallotDocument(name_of(b.voter), b.given, b.reason) for b in story.ballots),
    )


def decision_of(note: VoteNote | PollNote, me: NodeId, name_of: NameOf) -> DecisionDocument:
    """Return a vote, or a poll of `me` that failed, with the names of its nodes."""
    match note:
        case VoteNote(at, term, candidate, given, reason):
            return DecisionDocument(at, term, name_of(candidate), given, reason)
        case PollNote(at, term, ballots):
            why = "; ".join(f"{name_of(b.voter)}: {b.reason}" for b in ballots if b.reason)
            return DecisionDocument(at, term, name_of(me), False, why or "no majority answered")  # noqa: FBT003
