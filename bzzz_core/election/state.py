"""What one node knows of an election and is busy with, and the steps that several parts share.

`machine` hands events to `candidate`, `leader` and `voter`; each of them reads and changes this one
object, and returns actions. Nobody else has it.

Rules: as in `machine`, whose page explains the whole. All times are this node's monotonic
milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from bzzz_core.config.sections import Timings
from bzzz_core.election.events import (
    NO_TERM,
    Action,
    LeaderLost,
    ReadTerm,
    SaveVote,
    StepDown,
    SteppedDown,
)
from bzzz_core.election.memory import Memory
from bzzz_core.election.messages import Ballot, SignedWarrant, Standing
from bzzz_core.election.stages import Office, Stage
from bzzz_core.model import ClusterId, NodeId, Revision, StreamId, Term, VoterSet

LONELY_DETECTS: Final = 15
"""For how many `detect_ms` a voter without memory abstains while nobody leads and `_term` rests:
no poll lasts that long."""

UNSURE_DETECTS: Final = 2
"""How many `detect_ms` without leader make a node ask whether the voters are still those it knows:
those that it knows may have changed the set without it."""

LEADER_UNSURE_DETECTS: Final = 10
"""How often a leader asks the same: an old read may have told it so when it began."""

TERM_LEAP: Final = 1_000
"""By how much it then refuses terms that it may have voted in: each failed poll on one record costs
one term and at least `detect_ms`, so it had not come that far."""

TERM_JUMP_MAX: Final = 1_000_000
"""A term further ahead than this is refused: one hostile request must not use up the numbers."""


@dataclass(frozen=True, slots=True)
class Known:
    """The newest `_term` that this node has proof of."""

    term: Term
    sequence: Revision
    leader: NodeId | None
    """None if nobody leads by it: it was never written, or proves nothing."""


@dataclass(slots=True, kw_only=True)
class NodeState:
    """One node's knowledge."""

    timings: Timings
    me: NodeId
    cluster: ClusterId
    stream: StreamId
    voters: VoterSet
    memory: Memory
    manual: bool
    """Whether silence alone makes no candidate."""
    floor: Term
    """A term that is spent, whatever `_term` says."""
    heard_ms: int
    """When the leader was last heard, or had its time to be heard begun."""
    leader_since_ms: int
    """When `leader` became what it is."""
    unsure_ms: int
    """When the voters' record was last asked for, or the want of a leader began."""
    read_at_ms: int | None
    """When the next read of `_term` is due, if one is wanted."""
    not_before_ms: int
    """No candidacy before this, whatever else says that it is due."""
    mandate_until_ms: int
    """Until when an operator wants this node to lead."""
    votes: bool = field(init=False)
    """Whether this node is a voter; only then it votes, stands and answers."""
    stage: Stage | None = None
    """What this node is busy with; None: nothing, it follows."""
    known: Known = Known(Term(0), Revision(0), None)
    based: bool = False
    """Whether the store or a leader has told what `_term` is."""
    placed: bool = True
    """Whether the store has shown where the record known lies; its leader may say anything. While
    it has not, a voter reads and has no vote to give: on a revision that never was, it would be
    lost to every leader to come."""
    reading: bool = False
    """Whether a read of `_term` is under way."""
    leader: NodeId | None = None
    """Who leads and was heard within `detect_ms`."""
    announced: Term = NO_TERM
    """The last term whose leader the shell was told of."""
    heard_number: int = 0
    served: Revision = Revision(0)  # noqa: RUF009  a number
    """The leader's first guarded write, as its heartbeats say; 0 for none yet."""
    standings: tuple[Standing, ...] = ()
    """The table of scores in the leader's last heartbeat."""
    farewell: str | None = None
    """What the leader of the record known said when it went; None if it said nothing."""
    warrant: SignedWarrant | None = None
    """The word of that leader that this node shall follow it."""
    rivals: dict[NodeId, float] = field(default_factory=dict)
    """Who else asked for votes on the record known, with its score."""
    quarantined: frozenset[NodeId] = frozenset()
    """Voters that get no vote of this node and whose votes do not count here."""
    voted_elsewhere: Term = NO_TERM
    """The highest credible term that others said is spent."""
    rounds: int = 0
    """How often this node has sounded the others out."""
    score: float = 0.0
    """This node's own capability."""

    def __post_init__(self) -> None:
        """Find out whether this node votes."""
        self.votes = self.voters.find(self.me) is not None

    def has_quorum(self, office: Office, now_ms: int) -> bool:
        """Return whether a majority has answered lately enough to lead now."""
        age_ms = office.quorum_age_ms(self.voters.majority, now_ms)
        return age_ms is not None and age_ms < self.timings.check_quorum_ms

    def highest_term(self) -> Term:
        """Return the highest term that this node has proof of or voted in."""
        return max(self.known.term, self.memory.term, self.floor)

    def note_voted(self, term: Term) -> None:
        """Note that a term is spent as others say, if that is credible."""
        if term - self.highest_term() <= TERM_JUMP_MAX // 2:
            self.voted_elsewhere = max(self.voted_elsewhere, term)

    def delay_ms(self, places: int) -> int:
        """Return the head start of those `places` before this node."""
        return places * self.timings.rank_delay_ms

    def permitted(self) -> bool:
        """Return whether this node may stand without being asked by an operator.

        With manual failover: for the first leader, after one that went of its own will, and if it
        was itself the last one. Nobody takes over from a leader that merely fell silent.
        """
        if not self.manual or self.farewell is not None or self.voters.majority == 1:
            return True
        return self.known.leader in {None, self.me}

    def stands_at(self, now_ms: int) -> int | None:
        """Return when it is this node's turn to replace a leader that is not heard; None: never."""
        if not self.votes or self.memory.abstains or not self.based:
            return None
        if not self.placed:
            return None
        mandated = now_ms < self.mandate_until_ms
        if not mandated and not self.permitted():
            return None
        delay_ms = 0 if mandated else self.delay_ms(self.rank())
        return max(self.heard_ms + self.timings.detect_ms + delay_ms, self.not_before_ms)

    def rank(self) -> int:
        """Return this node's place among the voters that the last leader heard, itself excepted.

        Ties go to the smaller id. Without a table everyone is believed alive and equal.
        """
        table = self.standings or tuple(
            Standing(voter.node, 0.0)
            for voter in self.voters.voters
            if voter.node == self.me or voter.node != self.known.leader
        )
        queue = sorted(table, key=lambda standing: (-standing.score, standing.node))
        places = [standing.node for standing in queue]
        return places.index(self.me) if self.me in places else len(places)

    def behind_everyone_ms(self) -> int:
        """Return how long a node waits that has lost or given up leadership."""
        return self.timings.detect_ms + self.delay_ms(len(self.voters.voters))

    def ballot(self, candidate: NodeId, term: Term, previous: Revision, *, voter: NodeId) -> Ballot:
        """Return what a voter of this set signs for such a vote."""
        digest = self.voters.digest()
        return Ballot(self.cluster, self.stream, previous, term, candidate, voter, digest)

    def vote_for(self, candidate: NodeId, term: Term, previous: Revision) -> list[Action]:
        """Vote; the ballot leaves when the vote is saved (`voter.cast`)."""
        return [SaveVote(self.memory.give(term, candidate, previous))]

    def read(self) -> list[Action]:
        """Read `_term`, unless that is under way."""
        self.read_at_ms = None
        if self.reading:
            return []
        self.reading = True
        return [ReadTerm()]

    def move_on(self, known: Known, now_ms: int, *, placed: bool = True) -> list[Action]:
        """Believe in a newer record; whoever it names has `detect_ms` to be heard."""
        actions: list[Action] = []
        if isinstance(self.stage, Office):
            actions += self.leave_office(StepDown.OVERTAKEN, now_ms)
        if self.leader is not None:
            actions += self.lose_leader(now_ms, "another leader was found")
        self.stage = None
        self.known = known
        self.placed = placed
        self.based = True
        self.heard_ms = now_ms
        self.heard_number = 0
        self.served = Revision(0)
        self.farewell = None
        self.warrant = None
        self.rivals.clear()
        # A leader's claim where its record lies ends no abstention; the store does.
        return actions + (self.remember() if placed else [])

    def unsure_at(self) -> int | None:
        """Return when to read the voters' record: for want of a leader, or as one."""
        if isinstance(self.stage, Office):
            return self.unsure_ms + LEADER_UNSURE_DETECTS * self.timings.detect_ms
        if self.leader is not None:
            return None
        return self.unsure_ms + UNSURE_DETECTS * self.timings.detect_ms

    def lonely_at(self) -> int | None:
        """Return when an abstention ends because nobody can have an old ballot in hand any more."""
        if not (self.votes and self.based and self.memory.abstains and self.leader is None):
            return None
        return self.heard_ms + LONELY_DETECTS * self.timings.detect_ms

    def return_lonely(self) -> list[Action]:
        """Vote again, but in no term in which this node may have voted before its loss."""
        last = max(self.highest_term(), self.voted_elsewhere)
        return [SaveVote(self.memory.return_at(Term(last + TERM_LEAP)))]

    def remember(self) -> list[Action]:
        """End an abstention if the record known now makes forgotten ballots void."""
        if not self.votes or not self.memory.may_return(self.known.sequence):
            return []
        return [SaveVote(self.memory.return_at(self.known.term))]

    def lose_leader(self, now_ms: int, why: str = "") -> list[Action]:
        """Believe in nobody for now; `why` unless the leader said so itself."""
        self.leader = None
        self.leader_since_ms = self.unsure_ms = now_ms
        return [LeaderLost(self.known.term, self.farewell or why or "fell silent")]

    def leave_office(self, reason: StepDown, now_ms: int) -> list[Action]:
        """Stop leading. The record still names this node, but it never leads by it again."""
        office = self.stage
        assert isinstance(office, Office)
        self.stage = None
        self.leader = None
        self.leader_since_ms = self.unsure_ms = now_ms
        self.standings = ()
        self.heard_ms = now_ms - self.timings.detect_ms  # Free to vote for another at once.
        self.not_before_ms = now_ms + self.behind_everyone_ms()
        return [SteppedDown(office.record.term, reason)] if office.confirmed else []
