"""What one node knows of an election and is busy with, and the steps that several parts share.

`machine` hands events to `candidate`, `leader` and `voter`; each of them reads and changes this one
object, and returns actions. Nobody else has it.

Rules: as in `machine`, whose page explains the whole. All times are this node's monotonic
milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bzzz_core.config.sections import Timings
from bzzz_core.election.events import (
    Action,
    LeaderLost,
    ReadTerm,
    SaveVote,
    StepDown,
    SteppedDown,
)
from bzzz_core.election.memory import Memory
from bzzz_core.election.messages import Ballot, Standing
from bzzz_core.election.stages import Office, Stage
from bzzz_core.model import ClusterId, NodeId, Revision, StreamId, Term, Vote, VoterSet

TERM_JUMP_MAX: Final = 1_000_000
"""A term further ahead than this is refused: one hostile request must not use up the numbers."""


@dataclass(frozen=True, slots=True)
class Known:
    """The newest `_term` that this node has proof of."""

    term: Term
    sequence: Revision
    leader: NodeId | None
    """None if nobody leads by it: it was never written, or proves nothing."""


class NodeState:
    """One node's knowledge; see the attributes."""

    def __init__(
        self,
        timings: Timings,
        *,
        me: NodeId,
        cluster: ClusterId,
        stream: StreamId,
        voters: VoterSet,
        vote: Vote | None,
        now_ms: int,
    ) -> None:
        """Start as `machine.Election` describes."""
        self.timings = timings
        self.me = me
        self.cluster = cluster
        self.stream = stream
        self.voters = voters
        self.votes = voters.find(me) is not None
        """Whether this node is a voter; only then it votes, stands and answers."""
        self.memory = Memory(
            vote,
            stream=stream,
            voters=len(voters.voters),
            mute_until_ms=now_ms + 2 * timings.detect_ms,
        )
        self.stage: Stage | None = None
        """What this node is busy with; None: nothing, it follows."""
        self.known = Known(Term(0), Revision(0), None)
        self.based = False
        """Whether the store or a leader has told what `_term` is."""
        self.reading = False
        """Whether a read of `_term` is under way."""
        self.read_at_ms: int | None = now_ms
        """When the next read is due, if one is wanted."""
        self.leader: NodeId | None = None
        """Who leads and was heard within `detect_ms`."""
        self.leader_since_ms = now_ms
        self.announced = Term(0)
        """The last term whose leader the shell was told of."""
        self.heard_ms = now_ms
        """When the leader was last heard, or had its time to be heard begun."""
        self.heard_number = 0
        self.served = Revision(0)
        """The leader's first guarded write, as its heartbeats say; 0 for none yet."""
        self.standings: tuple[Standing, ...] = ()
        """The table of scores in the leader's last heartbeat."""
        self.not_before_ms = now_ms
        """No candidacy before this, whatever else says that it is due."""
        self.voted_elsewhere = Term(0)
        """The highest credible term in which others said that they had voted."""
        self.rounds = 0
        """How often this node has sounded the others out."""
        self.score = 0.0
        """This node's own capability."""

    def has_quorum(self, office: Office, now_ms: int) -> bool:
        """Return whether a majority has answered lately enough to lead now."""
        age_ms = office.quorum_age_ms(self.voters.majority, now_ms)
        return age_ms is not None and age_ms < self.timings.check_quorum_ms

    def highest_term(self) -> Term:
        """Return the highest term that this node has proof of or voted in."""
        return max(self.known.term, self.memory.term)

    def delay_ms(self, places: int) -> int:
        """Return the head start of those `places` before this node."""
        return places * self.timings.rank_delay_ms

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

    def move_on(self, known: Known, now_ms: int) -> list[Action]:
        """Believe in a newer record; whoever it names has `detect_ms` to be heard."""
        actions: list[Action] = []
        if isinstance(self.stage, Office):
            actions += self.leave_office(StepDown.OVERTAKEN, now_ms)
        if self.leader is not None:
            actions += self.lose_leader(now_ms)
        self.stage = None
        self.known = known
        self.based = True
        self.heard_ms = now_ms
        self.heard_number = 0
        self.served = Revision(0)
        return actions + self.remember()

    def remember(self) -> list[Action]:
        """End an abstention if the record known now makes forgotten ballots void."""
        if not self.votes or not self.memory.may_return(self.known.sequence):
            return []
        return [SaveVote(self.memory.return_at(self.known.term))]

    def lose_leader(self, now_ms: int) -> list[Action]:
        """Believe in nobody for now."""
        self.leader = None
        self.leader_since_ms = now_ms
        return [LeaderLost(self.known.term)]

    def leave_office(self, reason: StepDown, now_ms: int) -> list[Action]:
        """Stop leading. The record still names this node, but it never leads by it again."""
        office = self.stage
        assert isinstance(office, Office)
        self.stage = None
        self.leader = None
        self.leader_since_ms = now_ms
        self.standings = ()
        self.heard_ms = now_ms - self.timings.detect_ms  # Free to vote for another at once.
        self.not_before_ms = now_ms + self.behind_everyone_ms()
        return [SteppedDown(office.record.term, reason)] if office.confirmed else []
