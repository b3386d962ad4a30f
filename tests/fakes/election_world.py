"""One election machine on a bench: say what happens, look at what it wants done."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from bzzz_core.config.sections import Timings
from bzzz_core.election.events import (
    Action,
    CastBallot,
    CheckVoters,
    Event,
    Heard,
    ReadTerm,
    SaveVote,
    TermRead,
    TermWritten,
    Tick,
    VoteSaved,
    WriteTerm,
)
from bzzz_core.election.machine import Election
from bzzz_core.election.messages import (
    Ballot,
    Heartbeat,
    HeartbeatAck,
    Message,
    PreVoteReply,
    SignedBallot,
    Standing,
    TermRecord,
    VoteReply,
)
from bzzz_core.model import ClusterId, NodeId, Revision, StreamId, Term, Vote, Voter, VoterSet

TIMINGS = Timings()
CLUSTER = ClusterId("c")
STREAM = StreamId("s")
NEVER_VOTED = Vote(Term(0), NodeId(""), Revision(0), StreamId(""))
A, B, C, D, E = (NodeId(name) for name in "abcde")
Wanted = TypeVar("Wanted")


def voter_set(names: str) -> VoterSet:
    """Return voters with one-letter names and made-up keys."""
    return VoterSet(tuple(Voter(NodeId(n), n, n.encode().ljust(32)) for n in names))


def make_record(
    leader: NodeId, term: int, previous: int, voters: VoterSet, ballots: Iterable[str] = ()
) -> TermRecord:
    """Return a record with ballots whose signatures are zeros."""
    certificate = tuple(
        SignedBallot(
            Ballot(
                CLUSTER,
                STREAM,
                Revision(previous),
                Term(term),
                leader,
                NodeId(voter),
                voters.digest(),
            ),
            bytes(64),
        )
        for voter in ballots
    )
    return TermRecord(Term(term), leader, Revision(previous), certificate)


class Bench:
    """A machine at time 0, which knows from the store that `_term` was never written."""

    def __init__(
        self,
        me: NodeId = A,
        *,
        voters: str = "abc",
        vote: Vote | None = NEVER_VOTED,
        sequence: int | None = 0,
        record: TermRecord | None = None,
        manual: bool = False,
        floor: int = 0,
    ) -> None:
        self.voters = voter_set(voters)
        self.me = me
        self.ms = 0
        self.checks = 0
        self.machine = Election(
            TIMINGS,
            me=me,
            cluster=CLUSTER,
            stream=STREAM,
            voters=self.voters,
            vote=vote,
            now_ms=0,
            manual=manual,
            floor=Term(floor),
        )
        self.started = self.machine.handle(Tick(), 0)
        if sequence is not None:
            self.started += self.on(TermRead(Revision(sequence), record))

    def on(self, event: Event) -> list[Action]:
        """Let something happen now; wishes to read `_voters` are only counted."""
        actions = self.machine.handle(event, self.ms)
        self.checks += sum(isinstance(action, CheckVoters) for action in actions)
        return [action for action in actions if not isinstance(action, CheckVoters)]

    def hear(self, sender: NodeId, message: Message) -> list[Action]:
        """Let a proven message arrive now."""
        return self.on(Heard(sender, message))

    def wait(self, duration_ms: int) -> list[Action]:
        """Let time pass, with a tick at its end."""
        self.ms += duration_ms
        return self.on(Tick())

    def stand(self) -> list[Action]:
        """Wait until the machine sounds the others out."""
        return self.wait(TIMINGS.detect_ms + len(self.voters.voters) * TIMINGS.rank_delay_ms)

    def grant(self, *senders: NodeId, round_: int = 1, voted: int = 0) -> list[Action]:
        """Let voters promise their votes."""
        actions: list[Action] = []
        for sender in senders:
            reply = PreVoteReply(self.me, round_, True, "", Term(voted), Revision(0))  # noqa: FBT003
            actions += self.hear(sender, reply)
        return actions

    def vote(self, *voters: NodeId, term: int = 1, previous: int = 0) -> list[Action]:
        """Let ballots for this node arrive."""
        actions: list[Action] = []
        for voter in voters:
            ballot = Ballot(
                CLUSTER,
                STREAM,
                Revision(previous),
                Term(term),
                self.me,
                voter,
                self.voters.digest(),
            )
            signed = SignedBallot(ballot, bytes(64))
            reply = VoteReply(self.me, Term(term), signed, "", Term(term), Revision(previous))
            actions += self.hear(voter, reply)
        return actions

    def write(self) -> WriteTerm:
        """Win the first poll, up to the write of the record."""
        self.stand()
        first, *_ = self.grant(B, D) if len(self.voters.voters) > 3 else self.grant(B)
        assert isinstance(first, SaveVote)
        (cast,) = self.on(VoteSaved(first.vote))
        assert isinstance(cast, CastBallot)
        others = (B, D) if len(self.voters.voters) > 3 else (B,)
        return only(self.vote(self.me, *others), WriteTerm)

    def lead(self, sequence: int = 1) -> list[Action]:
        """Win the first term and have it confirmed by a majority."""
        record = self.write().record
        self.on(TermWritten(record.term, Revision(sequence)))
        actions: list[Action] = []
        for voter in (B, D) if len(self.voters.voters) > 3 else (B,):
            actions += self.ack(voter, 1, sequence=sequence)
        return actions

    def ack(self, voter: NodeId, number: int, *, term: int = 1, sequence: int = 1) -> list[Action]:
        """Let an answer to heartbeat `number` arrive."""
        return self.hear(voter, HeartbeatAck(Term(term), Revision(sequence), number, 50.0))

    def beat(
        self,
        leader: NodeId,
        number: int = 1,
        *,
        term: int = 1,
        sequence: int = 1,
        previous: int = 0,
        served: int = 0,
        standings: tuple[Standing, ...] = (),
        shown: bool = True,
    ) -> list[Action]:
        """Let a heartbeat arrive; a store that is asked for its record shows it, if `shown`."""
        record = make_record(leader, term, previous, self.voters)
        actions = self.hear(
            leader,
            Heartbeat(
                Term(term),
                Revision(sequence),
                number,
                leader,
                record,
                Revision(served),
                standings,
            ),
        )
        if shown and ReadTerm() in actions:
            actions.remove(ReadTerm())
            actions += self.on(TermRead(Revision(sequence), record))
        return actions


def only(actions: list[Action], kind: type[Wanted]) -> Wanted:
    """Return the one action of a kind."""
    (found,) = every(actions, kind)
    return found


def every(actions: list[Action], kind: type[Wanted]) -> list[Wanted]:
    """Return the actions of a kind."""
    return [action for action in actions if isinstance(action, kind)]


def messages(actions: list[Action]) -> list[Message]:
    """Return what would be sent, in order."""
    return [action.message for action in actions if hasattr(action, "message")]
