"""What a node is busy with on its way to leadership, and the arithmetic of a leader's quorum.

    follower --> Sounding --> Polling --> Writing --> Office (unconfirmed --> leading)

A node is in one stage at a time; a follower in none. The stages only hold facts; `machine` moves
between them. Times are this node's monotonic milliseconds.

Rules: no transition here; everything that a stage computes follows from its own fields.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from typing import TypeAlias

from bzzz_core.election.events import Campaign
from bzzz_core.election.messages import SignedBallot, Standing, TermRecord
from bzzz_core.model import NodeId, Revision, Term


class Role(StrEnum):
    """What a node is in the eyes of an operator."""

    LEADER = "leader"
    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    EDGE = "edge"
    """No voter: it follows and never stands."""


class Outcome(Enum):
    """What is known of a write of `_term`."""

    IN_FLIGHT = auto()
    REFUSED = auto()
    UNKNOWN = auto()


@dataclass(slots=True)
class Sounding:
    """Asks who would vote for it; costs nobody anything."""

    round: int
    sent_ms: int
    granted: set[NodeId]


@dataclass(slots=True)
class Polling:
    """Collects ballots for one term."""

    term: Term
    previous: Revision
    deadline_ms: int
    sent_ms: int
    campaign: Campaign
    ballots: dict[NodeId, SignedBallot] = field(default_factory=dict)
    refused: dict[NodeId, str] = field(default_factory=dict)
    """Who gives none, and why."""


@dataclass(slots=True)
class Writing:
    """Holds a certificate and has asked the store to write the record."""

    record: TermRecord
    campaign: Campaign
    outcome: Outcome = Outcome.IN_FLIGHT


@dataclass(frozen=True, slots=True)
class Handing:
    """A leader lets its writes end, to hand over."""

    to: NodeId
    deadline_ms: int
    """When it leads on if they have not ended."""


@dataclass(slots=True)
class Office:
    """Owns the record; leads once, and as long as, a majority answers its heartbeats."""

    record: TermRecord
    campaign: Campaign
    sequence: Revision
    since_ms: int
    """When the record was known to be written; from the confirmation on, when that came."""
    due_ms: int
    """When the next heartbeat is due."""
    acked_ms: dict[NodeId, int | None]
    """For each other voter the *send* time of the newest heartbeat it acknowledged."""
    served: Revision
    """Revision of the first guarded write, or 0 while none is acknowledged."""
    confirmed: bool = False
    handing: Handing | None = None
    suspended: bool = False
    """Whether it must not write any more, come what may: it ends with a resignation."""
    number: int = 0
    sent_ms: dict[int, int] = field(default_factory=dict)
    """Send time of each heartbeat young enough to count."""
    scores: dict[NodeId, float] = field(default_factory=dict)
    refused_ms: dict[NodeId, int] = field(default_factory=dict)
    """When each voter that will not follow any more first said so."""

    @property
    def writes(self) -> bool:
        """Return whether the leader may write, as far as it depends on itself."""
        return self.confirmed and self.handing is None and not self.suspended

    def send(self, now_ms: int, *, every_ms: int, keep_ms: int) -> int:
        """Count one heartbeat as sent now and return its number."""
        self.number += 1
        self.sent_ms[self.number] = now_ms
        for number in [n for n, at_ms in self.sent_ms.items() if now_ms - at_ms > keep_ms]:
            del self.sent_ms[number]
        self.due_ms += every_ms
        if self.due_ms <= now_ms:  # Slept: go on from now, without a burst of missed beats.
            self.due_ms = now_ms + every_ms
        return self.number

    def acknowledge(self, voter: NodeId, number: int, score: float) -> None:
        """Count an answer of another voter; one to a forgotten heartbeat counts for nothing."""
        sent_ms = self.sent_ms.get(number)
        if sent_ms is None or voter not in self.acked_ms:
            return
        self.acked_ms[voter] = max(sent_ms, self.acked_ms[voter] or sent_ms)
        self.scores[voter] = score

    def quorum_age_ms(self, majority: int, now_ms: int) -> int | None:
        """Return how long ago the newest heartbeat known to a majority was sent.

        The leader knows its own at once, so `majority - 1` others decide. The age counts from the
        send time: the voter heard it no earlier, so its promise not to vote for another runs at
        least until `detect_ms` after that. None if there never was such a heartbeat.
        """
        known_ms = sorted(at_ms for at_ms in self.acked_ms.values() if at_ms is not None)
        if majority == 1:
            return 0
        if len(known_ms) < majority - 1:
            return None
        return now_ms - known_ms[-(majority - 1)]

    def standings(self, now_ms: int, *, within_ms: int) -> tuple[Standing, ...]:
        """Return the voters heard lately with their scores, ordered by id."""
        return tuple(
            Standing(node, self.scores[node])
            for node, at_ms in sorted(self.acked_ms.items())
            if at_ms is not None and now_ms - at_ms < within_ms
        )


Stage: TypeAlias = Sounding | Polling | Writing | Office
