"""Leadership by signed ballots and a fenced record, decided without I/O.

Theory of operation
-------------------
The record `_term` = {term, leader, certificate} lies in a compare-and-set store. A leadership *is*
one revision of it; stream identity and revision are the fencing token that the store checks on
every write of a leader. So this machine can be late or wrong about time without two leaders ever
being accepted; what it must get right is ballots, and what it should get right is being quick.

A follower that hears no leader for `detect_ms` goes through

    Sounding   would a majority vote for me?             (nothing is spent; a returning node stays
                                                          here and disturbs nobody)
    Polling    ballots for (term, previous revision)     (each voter saves its vote first)
    Writing    compare-and-set of the record at `previous`
    Office     heartbeats; leading once, and as long as, a majority answers

and falls back to follower when it hears a newer record, proven by its certificate.

Why a term has one leader: a voter signs one candidate per term and previous revision, across
restarts, because (term, candidate) is saved before the ballot leaves; two majorities share a voter;
and the store takes one record per previous revision. A voter that lost its memory abstains until
`_term` has moved past the revision at its own start: ballots it forgot are void by then.

Why a leader stops before another one starts, on clocks whose rates differ by up to 10 %:

    leads while   now - send time of the newest heartbeat a majority acknowledged < check_quorum_ms
    votes when    now - arrival of the last heartbeat >= detect_ms       check_quorum <= 0.8 detect

A voter gives its ballot only on the newest revision S that it knows itself, and has then abandoned
the leader of S: it answers no heartbeats of S and older any more, it refuses them. If such a leader
leads on without it (the poll failed), it resigns after a while, or that voter would be lost until
the next election. A node that starts waits `detect_ms` before it votes, as if it had just answered
a heartbeat; one without memory besides answers none for 2 x detect_ms, in which any poll it took
part in is over.

Who stands first, so that two rarely do: `detect_ms + rank x rank_delay_ms` after the last
heartbeat, where rank is the place by (score, id) in the table that the leader sent with it. A
failed candidacy waits (1 + place by id) x rank_delay_ms, different for each voter: no lockstep.
A node that lost or gave up leadership waits detect_ms + voters x rank_delay_ms: behind everyone.

Rules: every transition lives in this file; time arrives as `now_ms` and is never read; messages and
records in events are proven (`wire`, `ballot`) before they get here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bzzz_core.config.sections import Timings
from bzzz_core.election.events import (
    Action,
    BecameLeader,
    Broadcast,
    CastBallot,
    Decided,
    Event,
    GuardRefused,
    Heard,
    LeaderFound,
    LeaderLost,
    ReadTerm,
    Refusal,
    Resign,
    SaveVote,
    Scored,
    Send,
    Served,
    StepDown,
    SteppedDown,
    TermRead,
    TermRefused,
    TermUnknown,
    TermUnread,
    TermWritten,
    Tick,
    VoteSaved,
    WriteTerm,
)
from bzzz_core.election.memory import Memory
from bzzz_core.election.messages import (
    Ballot,
    Heartbeat,
    HeartbeatAck,
    HeartbeatRefusal,
    Message,
    PreVoteReply,
    PreVoteRequest,
    Resignation,
    Standing,
    TermRecord,
    VoteReply,
    VoteRequest,
)
from bzzz_core.election.stages import Office, Outcome, Polling, Role, Sounding, Stage, Writing
from bzzz_core.model import (
    ClusterId,
    FencingToken,
    NodeId,
    Revision,
    StreamId,
    Term,
    Vote,
    VoterSet,
)

TERM_JUMP_MAX: Final = 1_000_000
"""A term further ahead than this is refused: one hostile request must not use up the numbers."""


VOTED_OUT_DETECTS: Final = 4
"""A leader goes when a voter has refused its heartbeats for this many `detect_ms`: long enough for
that voter's candidate to win, and a bound on how often one hostile voter can force an election."""

UNABLE_DETECTS: Final = 20
"""A leader whose first write is not acknowledged for this many `detect_ms` goes, for it may be the
only one that cannot reach the store. A stream without leader comes back in 4 to 9 s (measured)."""


@dataclass(frozen=True, slots=True)
class View:
    """What a node believes of leadership, for people and status."""

    role: Role
    leader: NodeId | None
    """Whoever leads now as far as this node knows; None while nobody is heard."""
    term: Term
    """Term of the newest record known; 0 if there is none."""
    sequence: Revision
    """Its revision; with the stream's identity the fencing token."""
    since_ms: int
    """When `leader` became what it is."""
    served: Revision
    """Revision of the leader's first guarded write, or 0 while none is acknowledged."""
    abstains: bool
    """Whether this voter must not vote because it lost its memory."""


@dataclass(frozen=True, slots=True)
class _Known:
    """The newest `_term` that this node has proof of."""

    term: Term
    sequence: Revision
    leader: NodeId | None


class Election:
    """One node's part in the election. `now_ms` is the node's own monotonic clock."""

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
        """Start as a follower that knows the voters, its last vote, and nothing else.

        Args:
            timings: The clockwork; its bounds are checked by its own model.
            me: This node; if it is no voter it only follows.
            cluster: Signed into every ballot.
            stream: Identity of the stream that holds `_term`.
            voters: The committed set.
            vote: What the vote store returned: an empty vote on the first start, None if lost.
            now_ms: The time of the start.
        """
        self._timings = timings
        self._me = me
        self._cluster = cluster
        self._stream = stream
        self._voters = voters
        self._votes = voters.find(me) is not None
        self._memory = Memory(
            vote,
            stream=stream,
            voters=len(voters.voters),
            mute_until_ms=now_ms + 2 * timings.detect_ms,
        )
        self._known = _Known(Term(0), Revision(0), None)
        self._based = False  # Whether the store or a leader told what `_term` is.
        self._reading = False
        self._read_at_ms: int | None = now_ms
        self._leader: NodeId | None = None
        self._leader_since_ms = now_ms
        self._announced = Term(0)
        self._heard_ms = now_ms
        self._heard_number = 0
        self._served = Revision(0)
        self._standings: tuple[Standing, ...] = ()
        self._not_before_ms = now_ms
        self._voted_elsewhere = Term(0)
        self._rounds = 0
        self._score = 0.0
        self._stage: Stage | None = None

    def view(self) -> View:
        """Return what this node believes, as of the last event."""
        match self._stage:
            case Office(confirmed=True):
                role = Role.LEADER
            case None:
                role = Role.FOLLOWER if self._votes else Role.EDGE
            case _:
                role = Role.CANDIDATE
        return View(
            role,
            self._leader,
            self._known.term,
            self._known.sequence,
            self._leader_since_ms,
            self._served,
            self._memory.abstains and self._votes,
        )

    def token_at(self, now_ms: int) -> FencingToken | None:
        """Return the token for a write made now, or None if this node does not lead now."""
        office = self._stage
        if isinstance(office, Office) and office.confirmed and self._has_quorum(office, now_ms):
            return FencingToken(self._stream, office.sequence)
        return None

    def handle(self, event: Event, now_ms: int) -> list[Action]:
        """Advance on one event and return what the caller must do, in order."""
        actions = self._expire(now_ms)
        match event:
            case Tick():
                actions += self._tick(now_ms)
            case Heard(sender, message):
                actions += self._hear(sender, message, now_ms)
            case Scored(score):
                self._score = score
            case VoteSaved(vote):
                actions += self._cast(vote)
            case TermWritten() | TermRefused() | TermUnknown() | TermRead() | TermUnread():
                actions += self._hear_store(event, now_ms)
            case Served(term, revision):
                self._serve(term, revision)
            case GuardRefused(term):
                actions += self._lose_guard(term, now_ms)
            case Resign():
                actions += self._resign(now_ms)
        return actions

    # ---- time

    def _expire(self, now_ms: int) -> list[Action]:
        """End what has lasted too long, before anything else is looked at: we may have slept."""
        match self._stage:
            case Office(confirmed=True) as office if not self._has_quorum(office, now_ms):
                return self._leave_office(StepDown.QUORUM_LOST, now_ms)
            case Office(confirmed=True, served=0, since_ms=since_ms) as office:
                if now_ms - since_ms >= UNABLE_DETECTS * self._timings.detect_ms:
                    return self._give_up(office, StepDown.UNABLE, now_ms)
            case Office(confirmed=False, since_ms=since_ms):
                if now_ms - since_ms >= self._timings.detect_ms:
                    return self._leave_office(StepDown.QUORUM_LOST, now_ms)
            case Polling(deadline_ms=deadline_ms) if now_ms >= deadline_ms:
                self._fail(now_ms)
        if self._leader is None or isinstance(self._stage, Office):
            return []
        if now_ms - self._heard_ms < self._timings.detect_ms:
            return []
        return self._lose_leader(now_ms)

    def _tick(self, now_ms: int) -> list[Action]:
        actions: list[Action] = []
        if self._read_at_ms is not None and now_ms >= self._read_at_ms:
            actions += self._read()
        match self._stage:
            case None if self._may_stand(now_ms):
                actions += self._sound(now_ms)
            case Sounding(sent_ms=sent_ms) if self._is_late(sent_ms, now_ms):
                actions += self._sound(now_ms)
            case Polling(sent_ms=sent_ms) as poll if self._is_late(sent_ms, now_ms):
                poll.sent_ms = now_ms
                actions.append(Broadcast(VoteRequest(poll.term, poll.previous, self._score)))
            case Office(due_ms=due_ms) as office if now_ms >= due_ms:
                actions += self._beat(office, now_ms)
            case _:
                pass  # Nothing is due; Writing is moved on by the store's answers.
        return actions

    def _is_late(self, sent_ms: int, now_ms: int) -> bool:
        """Return whether an answer should have come: rank_delay_ms is more than a round trip."""
        return now_ms - sent_ms >= self._timings.rank_delay_ms

    def _may_stand(self, now_ms: int) -> bool:
        due_ms = self._heard_ms + self._timings.detect_ms + self._delay_ms(self._rank())
        return (
            self._votes
            and not self._memory.abstains
            and self._based
            and now_ms >= max(due_ms, self._not_before_ms)
        )

    def _delay_ms(self, places: int) -> int:
        """Return the head start of those `places` before this node."""
        return places * self._timings.rank_delay_ms

    def _rank(self) -> int:
        """Return this node's place among the voters that the last leader heard, itself excepted.

        Ties go to the smaller id. Without a table everyone is believed alive and equal.
        """
        table = self._standings or tuple(
            Standing(voter.node, 0.0)
            for voter in self._voters.voters
            if voter.node == self._me or voter.node != self._known.leader
        )
        queue = sorted(table, key=lambda standing: (-standing.score, standing.node))
        places = [standing.node for standing in queue]
        return places.index(self._me) if self._me in places else len(places)

    # ---- candidate

    def _sound(self, now_ms: int) -> list[Action]:
        self._rounds += 1
        self._stage = Sounding(self._rounds, now_ms, granted={self._me})
        if self._voters.majority == 1:
            return self._poll(now_ms)
        request = PreVoteRequest(self._rounds, self._known.sequence, self._score)
        return [Broadcast(request)]

    def _count_sounding(self, sender: NodeId, reply: PreVoteReply, now_ms: int) -> list[Action]:
        sounding = self._stage
        if not isinstance(sounding, Sounding):
            return []
        if (reply.candidate, reply.round) != (self._me, sounding.round):
            return []
        actions = self._note(reply.voted, reply.sequence)
        if reply.granted:
            sounding.granted.add(sender)
        if len(sounding.granted) >= self._voters.majority:
            actions += self._poll(now_ms)
        return actions

    def _note(self, voted: Term, sequence: Revision) -> list[Action]:
        """Learn from a voter's answer which term to ask for, and whether a record was missed."""
        if voted - self._highest_term() <= TERM_JUMP_MAX // 2:
            self._voted_elsewhere = max(self._voted_elsewhere, voted)
        return self._read() if sequence > self._known.sequence else []

    def _highest_term(self) -> Term:
        return max(self._known.term, self._memory.term)

    def _poll(self, now_ms: int) -> list[Action]:
        term = Term(max(self._highest_term(), self._voted_elsewhere) + 1)
        previous = self._known.sequence
        deadline_ms = now_ms + self._timings.detect_ms
        self._stage = Polling(term, previous, deadline_ms, now_ms)
        actions = self._vote_for(self._me, term, previous)
        return [*actions, Broadcast(VoteRequest(term, previous, self._score))]

    def _count_ballot(self, sender: NodeId, reply: VoteReply, now_ms: int) -> list[Action]:
        poll = self._stage
        if not isinstance(poll, Polling):
            return []
        if (reply.candidate, reply.term) != (self._me, poll.term):
            return []
        if reply.ballot is None:
            actions = self._note(reply.voted, reply.sequence)
            poll.refused.add(sender)
            if len(self._voters.voters) - len(poll.refused) < self._voters.majority:
                self._fail(now_ms)
            return actions
        if reply.ballot.ballot != self._ballot(self._me, poll.term, poll.previous, voter=sender):
            return []
        poll.ballots[sender] = reply.ballot
        if len(poll.ballots) < self._voters.majority:
            return []
        certificate = tuple(poll.ballots[voter] for voter in sorted(poll.ballots))
        record = TermRecord(poll.term, self._me, poll.previous, certificate)
        self._stage = Writing(record)
        return [WriteTerm(record)]

    def _fail(self, now_ms: int) -> None:
        """Give up a poll; everyone waits for another time before the next one."""
        self._stage = None
        place = [voter.node for voter in self._voters.voters].index(self._me)
        self._not_before_ms = now_ms + self._delay_ms(1 + place)

    def _ballot(
        self, candidate: NodeId, term: Term, previous: Revision, *, voter: NodeId
    ) -> Ballot:
        digest = self._voters.digest()
        return Ballot(self._cluster, self._stream, previous, term, candidate, voter, digest)

    # ---- the record

    def _hear_store(
        self,
        event: TermWritten | TermRefused | TermUnknown | TermRead | TermUnread,
        now_ms: int,
    ) -> list[Action]:
        match event:
            case TermRead(sequence, record):
                return self._learn(sequence, record, now_ms)
            case TermUnread():
                self._reading = False
                self._read_at_ms = now_ms + self._timings.rank_delay_ms
                return []
            case _:
                return self._settle(event, now_ms)

    def _settle(self, event: TermWritten | TermRefused | TermUnknown, now_ms: int) -> list[Action]:
        writing = self._stage
        if not isinstance(writing, Writing) or writing.record.term != event.term:
            return []
        match event:
            case TermWritten(_, sequence):
                return self._take_office(writing.record, sequence, now_ms)
            case TermRefused():
                writing.outcome = Outcome.REFUSED
            case TermUnknown():
                writing.outcome = Outcome.UNKNOWN
        return self._read()

    def _read(self) -> list[Action]:
        self._read_at_ms = None
        if self._reading:
            return []
        self._reading = True
        return [ReadTerm()]

    def _learn(self, sequence: Revision, record: TermRecord | None, now_ms: int) -> list[Action]:
        self._reading = False
        self._based = True
        self._memory.start_from(max(sequence, self._known.sequence))
        actions = self._remember()
        if isinstance(self._stage, Writing):
            if record == self._stage.record:
                return actions + self._take_office(self._stage.record, sequence, now_ms)
            if sequence <= self._stage.record.previous:
                return actions + self._write_again(self._stage, now_ms)
        if sequence > self._known.sequence:
            leader = record.leader if record else None
            term = record.term if record else self._known.term
            actions += self._move_on(_Known(term, sequence, leader), now_ms)
        return actions

    def _write_again(self, writing: Writing, now_ms: int) -> list[Action]:
        """Go on after the store has shown the record that we want to supersede, or an older one."""
        match writing.outcome:
            case Outcome.UNKNOWN:
                # The same write again is safe: if the first one arrives yet, one of them is
                # refused, and the next read shows our own record.
                writing.outcome = Outcome.IN_FLIGHT
                return [WriteTerm(writing.record)]
            case Outcome.REFUSED:
                self._read_at_ms = now_ms + self._timings.rank_delay_ms  # That was an old answer.
            case Outcome.IN_FLIGHT:
                pass
        return []

    def _move_on(self, known: _Known, now_ms: int) -> list[Action]:
        """Believe in a newer record; whoever it names has `detect_ms` to be heard."""
        actions: list[Action] = []
        if isinstance(self._stage, Office):
            actions += self._leave_office(StepDown.OVERTAKEN, now_ms)
        if self._leader is not None:
            actions += self._lose_leader(now_ms)
        self._stage = None
        self._known = known
        self._based = True
        self._heard_ms = now_ms
        self._heard_number = 0
        self._served = Revision(0)
        return actions + self._remember()

    def _remember(self) -> list[Action]:
        """End an abstention if the record known now makes forgotten ballots void."""
        if not self._votes or not self._memory.may_return(self._known.sequence):
            return []
        return [SaveVote(self._memory.return_at(self._known.term))]

    # ---- leader

    def _take_office(self, record: TermRecord, sequence: Revision, now_ms: int) -> list[Action]:
        others = [voter.node for voter in self._voters.voters if voter.node != self._me]
        office = Office(record, sequence, now_ms, now_ms, dict.fromkeys(others), served=Revision(0))
        actions = self._move_on(_Known(record.term, sequence, self._me), now_ms)
        self._stage = office
        return actions + self._beat(office, now_ms)

    def _has_quorum(self, office: Office, now_ms: int) -> bool:
        age_ms = office.quorum_age_ms(self._voters.majority, now_ms)
        return age_ms is not None and age_ms < self._timings.check_quorum_ms

    def _beat(self, office: Office, now_ms: int) -> list[Action]:
        number = office.send(
            now_ms, every_ms=self._timings.heartbeat_ms, keep_ms=self._timings.detect_ms
        )
        heartbeat = Heartbeat(
            office.record.term,
            office.sequence,
            number,
            self._me,
            office.record,
            office.served,
            office.standings(now_ms, within_ms=self._timings.detect_ms),
        )
        return [Broadcast(heartbeat), *self._confirm(office, now_ms)]

    def _count_ack(self, sender: NodeId, ack: HeartbeatAck, now_ms: int) -> list[Action]:
        office = self._stage
        if not isinstance(office, Office) or ack.sequence != office.sequence:
            return []
        office.acknowledge(sender, ack.number, ack.score)
        return self._confirm(office, now_ms)

    def _count_refusal(
        self, sender: NodeId, refusal: HeartbeatRefusal, now_ms: int
    ) -> list[Action]:
        office = self._stage
        if not isinstance(office, Office) or refusal.sequence != office.sequence:
            return []
        since_ms = office.refused_ms.setdefault(sender, now_ms)
        if now_ms - since_ms < VOTED_OUT_DETECTS * self._timings.detect_ms:
            return []  # If its candidate won, the record will move on without our help.
        return self._give_up(office, StepDown.VOTED_OUT, now_ms)

    def _give_up(self, office: Office, reason: StepDown, now_ms: int) -> list[Action]:
        """Leave office on our own will, so that nobody waits for silence."""
        farewell = Resignation(office.record.term, office.sequence, office.number + 1)
        return [*self._leave_office(reason, now_ms), Broadcast(farewell)]

    def _confirm(self, office: Office, now_ms: int) -> list[Action]:
        if office.confirmed or not self._has_quorum(office, now_ms):
            return []
        office.confirmed = True
        office.since_ms = now_ms
        self._leader = self._me
        self._leader_since_ms = now_ms
        self._announced = office.record.term
        return [BecameLeader(office.record.term, office.sequence)]

    def _serve(self, term: Term, revision: Revision) -> None:
        if isinstance(self._stage, Office) and self._stage.record.term == term:
            self._stage.served = self._served = revision
            self._stage.due_ms = 0  # Tell everyone at the next tick.

    def _lose_guard(self, term: Term, now_ms: int) -> list[Action]:
        if not isinstance(self._stage, Office) or self._stage.record.term != term:
            return []
        return [*self._leave_office(StepDown.GUARD_REFUSED, now_ms), *self._read()]

    def _resign(self, now_ms: int) -> list[Action]:
        self._not_before_ms = now_ms + self._behind_everyone_ms()
        match self._stage:
            case Office() as office:
                return self._give_up(office, StepDown.RESIGNED, now_ms)
            case Sounding() | Polling():
                self._stage = None
            case Writing() | None:
                pass  # What the store may have taken already cannot be taken back here.
        return []

    def _leave_office(self, reason: StepDown, now_ms: int) -> list[Action]:
        """Stop leading. The record still names this node, but it never leads by it again."""
        office = self._stage
        assert isinstance(office, Office)
        self._stage = None
        self._leader = None
        self._leader_since_ms = now_ms
        self._standings = ()
        self._heard_ms = now_ms - self._timings.detect_ms  # Free to vote for another at once.
        self._not_before_ms = now_ms + self._behind_everyone_ms()
        return [SteppedDown(office.record.term, reason)] if office.confirmed else []

    def _behind_everyone_ms(self) -> int:
        return self._timings.detect_ms + self._delay_ms(len(self._voters.voters))

    # ---- voter and follower

    def _hear(self, sender: NodeId, message: Message, now_ms: int) -> list[Action]:
        match message:
            case PreVoteRequest():
                actions = self._answer_sounding(sender, message, now_ms)
            case PreVoteReply():
                actions = self._count_sounding(sender, message, now_ms)
            case VoteRequest():
                actions = self._answer_request(sender, message, now_ms)
            case VoteReply():
                actions = self._count_ballot(sender, message, now_ms)
            case Heartbeat():
                actions = self._follow(sender, message, now_ms)
            case HeartbeatAck():
                actions = self._count_ack(sender, message, now_ms)
            case HeartbeatRefusal():
                actions = self._count_refusal(sender, message, now_ms)
            case Resignation():
                actions = self._release(sender, message, now_ms)
        return actions

    def _answer_sounding(
        self, candidate: NodeId, request: PreVoteRequest, now_ms: int
    ) -> list[Action]:
        if not self._votes:
            return []
        refusal = self._refusal(request.previous, now_ms)
        reply = PreVoteReply(
            candidate,
            request.round,
            refusal is None,
            refusal or "",
            self._highest_term(),
            self._known.sequence,
        )
        return [Send(candidate, reply), *self._catch_up(refusal)]

    def _catch_up(self, refusal: Refusal | None) -> list[Action]:
        """Read `_term` if a candidate names a newer one; it will ask again."""
        return self._read() if refusal is Refusal.BEHIND else []

    def _refusal(self, previous: Revision, now_ms: int) -> Refusal | None:
        """Return why nobody would get a vote on `previous` now."""
        if self._memory.abstains:
            return Refusal.ABSTAINS
        if isinstance(self._stage, Office):
            return Refusal.LEADS
        if now_ms - self._heard_ms < self._timings.detect_ms:
            return Refusal.LEADER_ALIVE
        if previous < self._known.sequence:
            return Refusal.STALE
        if previous > self._known.sequence:
            return Refusal.BEHIND
        return None

    def _answer_request(self, candidate: NodeId, request: VoteRequest, now_ms: int) -> list[Action]:
        if not self._votes:
            return []
        wanted = Vote(request.term, candidate, request.previous, self._stream)
        refusal = self._refusal(request.previous, now_ms)
        if refusal is None and self._memory.gave(wanted):
            return self._cast(wanted) if self._memory.saved else []  # Our answer was lost.
        if refusal is None and request.term <= self._highest_term():
            refusal = Refusal.VOTED
        if refusal is None and request.term - self._highest_term() > TERM_JUMP_MAX:
            refusal = Refusal.TERM_JUMP
        decided = Decided(candidate, request.term, refusal)
        if refusal is not None:
            reply = VoteReply(
                candidate,
                request.term,
                None,
                refusal,
                self._highest_term(),
                self._known.sequence,
            )
            return [decided, Send(candidate, reply), *self._catch_up(refusal)]
        if isinstance(self._stage, Sounding | Polling):
            self._stage = None
        # Time for the candidate to finish; it only postpones our own candidacy.
        patience_ms = self._timings.detect_ms + self._delay_ms(self._rank())
        self._not_before_ms = max(self._not_before_ms, now_ms + patience_ms)
        return [decided, *self._vote_for(candidate, request.term, request.previous)]

    def _vote_for(self, candidate: NodeId, term: Term, previous: Revision) -> list[Action]:
        return [SaveVote(self._memory.give(term, candidate, previous))]

    def _cast(self, vote: Vote) -> list[Action]:
        """Let the ballot of a saved vote leave, unless a later vote took its place."""
        if not self._memory.confirm(vote):
            return []
        return [CastBallot(self._ballot(vote.candidate, vote.term, vote.previous, voter=self._me))]

    def _follow(self, sender: NodeId, heartbeat: Heartbeat, now_ms: int) -> list[Action]:
        known = self._known
        if self._memory.abandoned(heartbeat.sequence):
            return self._refuse(sender, heartbeat)
        actions: list[Action] = []
        if heartbeat.term > known.term and heartbeat.sequence > known.sequence:
            newer = _Known(heartbeat.term, heartbeat.sequence, sender)
            actions += self._move_on(newer, now_ms)
        elif (heartbeat.term, heartbeat.sequence, sender) != (
            known.term,
            known.sequence,
            known.leader,
        ):
            return []
        if heartbeat.number <= self._heard_number:
            return []  # Doubled, or overtaken on the way; after moving on it is at least 1.
        if isinstance(self._stage, Sounding):
            self._stage = None
        self._heard_ms = now_ms
        self._heard_number = heartbeat.number
        self._served = heartbeat.served
        self._standings = heartbeat.standings
        return [*actions, *self._see_leader(sender, now_ms), *self._acknowledge(sender, now_ms)]

    def _refuse(self, sender: NodeId, heartbeat: Heartbeat) -> list[Action]:
        """Tell a leader that is heard again after this voter has voted on its record."""
        if heartbeat.sequence != self._known.sequence:
            return []
        return [Send(sender, HeartbeatRefusal(heartbeat.term, heartbeat.sequence))]

    def _see_leader(self, leader: NodeId, now_ms: int) -> list[Action]:
        if self._leader is None:
            self._leader = leader
            self._leader_since_ms = now_ms
        if self._known.term <= self._announced:
            return []
        self._announced = self._known.term
        return [LeaderFound(self._known.term, leader, self._known.sequence)]

    def _acknowledge(self, leader: NodeId, now_ms: int) -> list[Action]:
        if not self._votes or self._memory.mute(now_ms):
            return []
        known = self._known
        return [
            Send(leader, HeartbeatAck(known.term, known.sequence, self._heard_number, self._score))
        ]

    def _release(self, sender: NodeId, farewell: Resignation, now_ms: int) -> list[Action]:
        if (sender, farewell.sequence) != (self._known.leader, self._known.sequence):
            return []
        if farewell.number <= self._heard_number or sender == self._me:
            return []
        self._heard_number = farewell.number  # Heartbeats still on their way are not heard.
        self._heard_ms = now_ms - self._timings.detect_ms
        self._not_before_ms = now_ms
        return self._lose_leader(now_ms) if self._leader is not None else []

    def _lose_leader(self, now_ms: int) -> list[Action]:
        self._leader = None
        self._leader_since_ms = now_ms
        return [LeaderLost(self._known.term)]
