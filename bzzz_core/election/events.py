"""What happens to an election, and what it wants done: the vocabulary around `machine`.

Events go in, actions come out, all of them values. The shell carries out actions in their order and
answers each `SaveVote`, `CastBallot` to oneself, `WriteTerm` and `ReadTerm` with an event, sooner
or later; it may fail to do so only by ending.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from bzzz_core.election.messages import (
    Ballot,
    Message,
    Standing,
    Stock,
    TermRecord,
    Warrant,
)
from bzzz_core.model import NodeId, Revision, Term, Vote


class StepDown(StrEnum):
    """Why a leadership ended on the node that held it."""

    QUORUM_LOST = "quorum lost"
    OVERTAKEN = "overtaken"
    GUARD_REFUSED = "guard refused"
    VOTED_OUT = "a voter will not follow any more"
    UNABLE = "its writes were not acknowledged"
    RESIGNED = "resigned"
    TRANSFERRED = "handed over"
    VOTERS_CHANGED = "the voters changed"


class Cause(StrEnum):
    """Why somebody stood."""

    FIRST = "first election"
    TIMEOUT = "the leader fell silent"
    RESIGNED = "the leader resigned"
    TRANSFER = "handed over"
    OPERATOR = "an operator asked for it"
    VOTERS_CHANGED = "the voters changed"
    UNPROVEN = "the term record named nobody who was elected"


NO_TERM: Final = Term(0)

# ---- events


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing happened but time."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A message arrived; the shell has proven its sender, its ballot and its certificate."""

    sender: NodeId
    message: Message


@dataclass(frozen=True, slots=True)
class Scored:
    """This node's capability score is another one now."""

    score: float


@dataclass(frozen=True, slots=True)
class VoteSaved:
    """The vote is durable: its ballot may leave."""

    vote: Vote


@dataclass(frozen=True, slots=True)
class TermWritten:
    """The store accepted this node's record of `term`."""

    term: Term
    sequence: Revision


@dataclass(frozen=True, slots=True)
class TermRefused:
    """The record is not at the revision that the ballots name, or no longer."""

    term: Term


@dataclass(frozen=True, slots=True)
class TermUnknown:
    """No answer: the record of `term` may have been written, or may still be."""

    term: Term


@dataclass(frozen=True, slots=True)
class TermRead:
    """What the store says `_term` is; perhaps an old answer."""

    sequence: Revision
    record: TermRecord | None
    """None if nobody wrote it yet (`sequence` 0), or if its certificate does not hold."""
    claimed: Term = NO_TERM
    """The term that a record without a valid certificate names: nobody leads by it, but it is spent
    all the same, so that terms only grow."""


@dataclass(frozen=True, slots=True)
class TermUnread:
    """The store did not answer."""


@dataclass(frozen=True, slots=True)
class Served:
    """The first guarded write of `term` was acknowledged."""

    term: Term
    revision: Revision


@dataclass(frozen=True, slots=True)
class GuardRefused:
    """The store refused a write guarded by the token of `term`: the record has moved on."""

    term: Term


@dataclass(frozen=True, slots=True)
class Resign:
    """This node shall not lead: an operator or the shutdown wants it, or `reason` forbids it."""

    reason: StepDown = StepDown.RESIGNED


@dataclass(frozen=True, slots=True)
class Stand:
    """The operator wants this node to stand now, for want of a leader."""


@dataclass(frozen=True, slots=True)
class HandOver:
    """The operator wants another voter to lead; None: the fittest."""

    to: NodeId | None


@dataclass(frozen=True, slots=True)
class Drained:
    """The leader's writes have stopped; this is what they left behind."""

    term: Term
    stock: Stock


@dataclass(frozen=True, slots=True)
class NotDrained:
    """The leader's writes did not come to an end."""

    term: Term


@dataclass(frozen=True, slots=True)
class Suspend:
    """Act as no leader from now on, heartbeats apart: the voters are being changed."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """These voters, and no others, are not to be trusted with votes."""

    nodes: frozenset[NodeId]


Event: TypeAlias = (
    Tick
    | Heard
    | Scored
    | VoteSaved
    | TermWritten
    | TermRefused
    | TermUnknown
    | TermRead
    | TermUnread
    | Served
    | GuardRefused
    | Resign
    | Stand
    | HandOver
    | Drained
    | NotDrained
    | Suspend
    | Quarantined
)

# ---- actions


class Refusal(StrEnum):
    """Why a voter does not give its vote."""

    ABSTAINS = "abstains: the vote file was lost"
    LEADS = "leads itself"
    LEADER_ALIVE = "the leader was heard"
    STALE = "a newer term record is known"
    BEHIND = "the named term record is not known yet"
    VOTED = "voted in this term or a later one"
    QUARANTINED = "the candidate is quarantined"
    TERM_JUMP = "the term jumps too far"


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Send to every other voter."""

    message: Message


@dataclass(frozen=True, slots=True)
class Send:
    """Send to one voter."""

    to: NodeId
    message: Message


@dataclass(frozen=True, slots=True)
class SaveVote:
    """Make the vote durable, in the order of these actions, then answer `VoteSaved`."""

    vote: Vote


@dataclass(frozen=True, slots=True)
class CastBallot:
    """Sign the ballot and send it in a `VoteReply`; to oneself it comes back as `Heard`."""

    ballot: Ballot


@dataclass(frozen=True, slots=True)
class WriteTerm:
    """Write the record if `_term` is still at `record.previous`."""

    record: TermRecord


@dataclass(frozen=True, slots=True)
class ReadTerm:
    """Read `_term` from the stream's leader and check its certificate."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """How an election went, as its winner saw it; for the history."""

    cause: Cause
    words: str
    """What the leader before said when it went; empty if it said nothing."""
    predecessor: NodeId | None
    predecessor_term: Term
    began_ms: int
    """When the winner believed in no leader any more."""
    candidates: tuple[Standing, ...]
    """Who asked this node for votes in this time, and the node itself."""
    given: tuple[NodeId, ...] = ()
    """Whose ballots are in the certificate."""
    refused: tuple[tuple[NodeId, str], ...] = ()
    """Who gave none, and why."""
    warrant: Warrant | None = None
    """What the leader before handed over."""


@dataclass(frozen=True, slots=True)
class BecameLeader:
    """This node leads; do the first guarded write, then answer `Served`."""

    term: Term
    sequence: Revision
    record: TermRecord
    campaign: Campaign


@dataclass(frozen=True, slots=True)
class SteppedDown:
    """This node no longer leads: stop everything that only a leader does."""

    term: Term
    reason: StepDown


@dataclass(frozen=True, slots=True)
class LeaderFound:
    """Another node proved that it leads; once per term."""

    term: Term
    leader: NodeId
    sequence: Revision


@dataclass(frozen=True, slots=True)
class LeaderLost:
    """The leader of `term` has been silent for `detect_ms`, or has resigned."""

    term: Term
    why: str = ""


@dataclass(frozen=True, slots=True)
class LeaderBack:
    """The leader of `term` leads on: it was lost, or this node slept, and now it is heard again."""

    term: Term


@dataclass(frozen=True, slots=True)
class Decided:
    """A candidate was given this voter's vote, or not; for people and the audit."""

    candidate: NodeId
    term: Term
    refusal: Refusal | None


@dataclass(frozen=True, slots=True)
class PollFailed:
    """This node's poll for `term` found no majority; for people and the history."""

    term: Term
    given: tuple[NodeId, ...]
    refused: tuple[tuple[NodeId, str], ...]


@dataclass(frozen=True, slots=True)
class Drain:
    """Let the writes under way end, take stock, and answer `Drained` or `NotDrained`."""

    term: Term
    to: NodeId


@dataclass(frozen=True, slots=True)
class HandingFailed:
    """This node could not hand its office over; if it led before, it goes on."""

    reason: str


@dataclass(frozen=True, slots=True)
class SendWarrant:
    """Sign the warrant and send it to everybody in a `Transfer` of this number."""

    warrant: Warrant
    number: int


@dataclass(frozen=True, slots=True)
class CheckVoters:
    """Read `_voters`: it may name another set by now."""


Action: TypeAlias = (
    Broadcast
    | Send
    | SaveVote
    | CastBallot
    | WriteTerm
    | ReadTerm
    | BecameLeader
    | SteppedDown
    | LeaderFound
    | LeaderLost
    | LeaderBack
    | Decided
    | PollFailed
    | Drain
    | HandingFailed
    | SendWarrant
    | CheckVoters
)
