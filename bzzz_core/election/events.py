"""What happens to an election, and what it wants done: the vocabulary around `machine`.

Events go in, actions come out, all of them values. The shell carries out actions in their order and
answers each `SaveVote`, `CastBallot` to oneself, `WriteTerm` and `ReadTerm` with an event, sooner
or later; it may fail to do so only by ending.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from bzzz_core.election.messages import Ballot, Message, TermRecord
from bzzz_core.model import NodeId, Revision, Term, Vote

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
    """The operator or the shutdown wants this node not to lead."""


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
)

# ---- actions


class StepDown(StrEnum):
    """Why a leadership ended on the node that held it."""

    QUORUM_LOST = "quorum lost"
    OVERTAKEN = "overtaken"
    GUARD_REFUSED = "guard refused"
    VOTED_OUT = "a voter will not follow any more"
    UNABLE = "its first write was not acknowledged"
    RESIGNED = "resigned"


class Refusal(StrEnum):
    """Why a voter does not give its vote."""

    ABSTAINS = "abstains: the vote file was lost"
    LEADS = "leads itself"
    LEADER_ALIVE = "the leader was heard"
    STALE = "a newer term record is known"
    BEHIND = "the named term record is not known yet"
    VOTED = "voted in this term or a later one"
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
class BecameLeader:
    """This node leads; do the first guarded write, then answer `Served`."""

    term: Term
    sequence: Revision


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


@dataclass(frozen=True, slots=True)
class Decided:
    """A candidate was given this voter's vote, or not; for people and the audit."""

    candidate: NodeId
    term: Term
    refusal: Refusal | None


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
    | Decided
)
