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

A voter gives its ballot only on the newest revision S that it knows itself and that the store has
shown it (a leader may claim what it likes: that would cost its followers every leader to come, for
they wait for a revision that never was), and has then abandoned
the leader of S: it answers no heartbeats of S and older any more, it refuses them. If such a leader
leads on without it (the poll failed), it resigns after a while, or that voter would be lost until
the next election. A node that starts waits `detect_ms` before it votes, as if it had just answered
a heartbeat; one without memory besides answers none for 2 x detect_ms, in which any poll it took
part in is over. It votes again when the record has moved, or after a long time without leader, in
terms far above all it knows.

Who stands first, so that two rarely do: `detect_ms + rank x rank_delay_ms` after the last
heartbeat, where rank is the place by (score, id) in the table that the leader sent with it. A
failed candidacy waits (1 + place by id) x rank_delay_ms, different for each voter: no lockstep.
A node that lost or gave up leadership waits detect_ms + voters x rank_delay_ms: behind everyone.

A leader that hands over leads no more from the moment in which its warrant leaves; the warrant
frees the voters from waiting for silence, for its successor only. One that changes the voters leads
no more from the moment in which it sends them. With manual failover silence makes no candidate.

The parts, all as pure as this one: `state` holds what a node knows, `stages` what it is busy with,
`memory` what a voter must not forget; `candidate`, `leader` and `voter` hold the transitions, each
for one of the three parts that a node may play; `deadlines` says when to look again; this module
hands events to them and ends what has lasted too long.

Rules: time arrives as `now_ms` and is never read; messages and records in events are proven
(`wire`, `ballot`) before they get here; no part imports anything that does I/O. Every `match` over
a union is complete, which mypy proves; "no branch" tells the coverage of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from bzzz_core.config.sections import Timings
from bzzz_core.election.candidate import (
    ask,
    count_ballot,
    count_sounding,
    fail,
    hear_store,
    is_late,
    may_stand,
    sound,
    stand,
)
from bzzz_core.election.deadlines import next_deadline_ms
from bzzz_core.election.events import (
    NO_TERM,
    Action,
    CheckVoters,
    Drained,
    Event,
    GuardRefused,
    HandOver,
    Heard,
    NotDrained,
    Quarantined,
    Resign,
    Scored,
    Served,
    Stand,
    Suspend,
    TermRead,
    TermRefused,
    TermUnknown,
    TermUnread,
    TermWritten,
    Tick,
    VoteSaved,
)
from bzzz_core.election.leader import (
    beat,
    count_ack,
    count_refusal,
    expire,
    hand_over,
    lead_on,
    lose_guard,
    resign,
    send_warrant,
    serve,
)
from bzzz_core.election.memory import Memory
from bzzz_core.election.messages import (
    Evidence,
    Heartbeat,
    HeartbeatAck,
    HeartbeatRefusal,
    Message,
    PreVoteReply,
    PreVoteRequest,
    Proclamation,
    Resignation,
    Transfer,
    VoteReply,
    VoteRequest,
)
from bzzz_core.election.stages import Office, Polling, Role, Sounding
from bzzz_core.election.state import NodeState
from bzzz_core.election.voter import (
    answer_request,
    answer_sounding,
    cast,
    follow,
    release,
    succeed,
)
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
    waits_for_operator: bool = False
    """Whether nobody leads and this voter stands only if an operator asks (manual failover)."""


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
        manual: bool = False,
        floor: Term = NO_TERM,
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
            manual: Whether a leader that falls silent is replaced only if an operator asks.
            floor: The highest term that this node knew under the voters before.
        """
        memory = Memory(
            vote,
            stream=stream,
            voters=len(voters.voters),
            mute_until_ms=now_ms + 2 * timings.detect_ms,
        )
        self._node = NodeState(
            timings=timings,
            me=me,
            cluster=cluster,
            stream=stream,
            voters=voters,
            memory=memory,
            manual=manual,
            floor=max(floor, voters.term),
            heard_ms=now_ms,
            leader_since_ms=now_ms,
            unsure_ms=now_ms,
            read_at_ms=now_ms,
            not_before_ms=now_ms,
            mandate_until_ms=now_ms,
        )

    def view(self) -> View:
        """Return what this node believes, as of the last event."""
        node = self._node
        match node.stage:
            case Office(confirmed=True):
                role = Role.LEADER
            case None:
                role = Role.FOLLOWER if node.votes else Role.EDGE
            case _:
                role = Role.CANDIDATE
        return View(
            role,
            node.leader,
            node.known.term,
            node.known.sequence,
            node.leader_since_ms,
            node.served,
            node.memory.abstains and node.votes,
            self._waits(),
        )

    def _waits(self) -> bool:
        node = self._node
        idle = node.votes and node.leader is None and node.stage is None
        return idle and node.based and not node.permitted()

    def highest_term(self) -> Term:
        """Return the highest term that this node has proof of or voted in."""
        return self._node.highest_term()

    def next_deadline_ms(self, now_ms: int) -> int | None:
        """Return when a `Tick` is due at the latest if nothing else happens; None: never."""
        return next_deadline_ms(self._node, now_ms)

    def token_at(self, now_ms: int) -> FencingToken | None:
        """Return the token for a write made now, or None if this node does not lead now."""
        node = self._node
        office = node.stage
        if isinstance(office, Office) and office.writes and node.has_quorum(office, now_ms):
            return FencingToken(node.stream, office.sequence)
        return None

    def handle(self, event: Event, now_ms: int) -> list[Action]:
        """Advance on one event and return what the caller must do, in order."""
        node = self._node
        actions = self._expire(now_ms)
        match event:
            case Tick():
                actions += self._tick(now_ms)
            case Heard(sender, message):
                actions += self._hear(sender, message, now_ms)
            case Scored(score):
                node.score = score
            case VoteSaved(vote):
                actions += cast(node, vote)
            case TermWritten() | TermRefused() | TermUnknown() | TermRead() | TermUnread():
                actions += hear_store(node, event, now_ms)
            case Served(term, revision):
                serve(node, term, revision)
            case GuardRefused(term):
                actions += lose_guard(node, term, now_ms)
            case Stand():
                actions += stand(node, now_ms)
            case Quarantined(nodes):
                node.quarantined = nodes - {node.me}
            case _:
                actions += self._be_told(event, now_ms)
        return actions

    def _be_told(
        self, event: Resign | HandOver | Drained | NotDrained | Suspend, now_ms: int
    ) -> list[Action]:
        """Take what concerns whoever leads, and nobody else."""
        node = self._node
        match event:
            case Resign(reason):
                return resign(node, reason, now_ms)
            case HandOver(to):
                return hand_over(node, to, now_ms)
            case Drained():
                return send_warrant(node, event, now_ms)
            case NotDrained(term):
                return lead_on(node, term)
            case Suspend():  # pragma: no branch
                if isinstance(node.stage, Office):
                    node.stage.suspended = True
        return []

    def _expire(self, now_ms: int) -> list[Action]:
        """End what has lasted too long, before anything else is looked at: we may have slept."""
        node = self._node
        if isinstance(node.stage, Office):
            return expire(node, node.stage, now_ms)
        actions: list[Action] = []
        if isinstance(node.stage, Polling) and now_ms >= node.stage.deadline_ms:
            actions += fail(node, node.stage, now_ms)
        if node.leader is not None and now_ms - node.heard_ms >= node.timings.detect_ms:
            actions += node.lose_leader(now_ms)
        return actions

    def _tick(self, now_ms: int) -> list[Action]:
        node = self._node
        actions: list[Action] = []
        if node.read_at_ms is not None and now_ms >= node.read_at_ms:
            actions += node.read()
        lonely_ms, unsure_ms = node.lonely_at(), node.unsure_at()
        if lonely_ms is not None and now_ms >= lonely_ms:
            actions += node.return_lonely()
        if unsure_ms is not None and now_ms >= unsure_ms:
            node.unsure_ms = now_ms
            actions.append(CheckVoters())
        match node.stage:
            case None if may_stand(node, now_ms):
                actions += sound(node, now_ms)
            case Sounding(sent_ms=sent_ms) if is_late(node, sent_ms, now_ms):
                node.stage = None
                actions += sound(node, now_ms) if node.stands_at(now_ms) is not None else []
            case Polling(sent_ms=sent_ms) as polling if is_late(node, sent_ms, now_ms):
                polling.sent_ms = now_ms
                actions.append(ask(node, polling))
            case Office(due_ms=due_ms) as office if now_ms >= due_ms:
                actions += beat(node, office, now_ms)
            case _:
                pass  # Nothing is due; Writing is moved on by the store's answers.
        return actions

    def _hear(self, sender: NodeId, message: Message, now_ms: int) -> list[Action]:
        node = self._node
        match message:
            case PreVoteRequest():
                return answer_sounding(node, sender, message, now_ms)
            case PreVoteReply():
                return count_sounding(node, sender, message, now_ms)
            case VoteRequest():
                return answer_request(node, sender, message, now_ms)
            case VoteReply():
                return count_ballot(node, sender, message, now_ms)
            case _:
                return self._hear_of_office(sender, message, now_ms)

    def _hear_of_office(
        self,
        sender: NodeId,
        message: Heartbeat
        | HeartbeatAck
        | HeartbeatRefusal
        | Resignation
        | Transfer
        | Evidence
        | Proclamation,
        now_ms: int,
    ) -> list[Action]:
        """Take what leaders say, and what they are told."""
        node = self._node
        match message:
            case Heartbeat():
                actions = follow(node, sender, message, now_ms)
            case HeartbeatAck():
                actions = count_ack(node, sender, message, now_ms)
            case HeartbeatRefusal():
                actions = count_refusal(node, sender, message, now_ms)
            case Resignation():
                actions = release(node, sender, message, now_ms)
            case Transfer():
                actions = succeed(node, sender, message, now_ms)
            case Evidence() | Proclamation():  # pragma: no branch
                actions = []  # They say nothing that decides an election.
        return actions
