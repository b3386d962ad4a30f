"""What a voter gives to candidates, and whom a follower believes.

Rules: as in `machine`, whose page explains the whole. A ballot leaves only when its vote is saved.
"""

from __future__ import annotations

from bzzz_core.election.candidate import poll
from bzzz_core.election.events import (
    Action,
    CastBallot,
    CheckVoters,
    Decided,
    LeaderBack,
    LeaderFound,
    Refusal,
    Send,
    StepDown,
)
from bzzz_core.election.messages import (
    STOCK_VERSION,
    Heartbeat,
    HeartbeatAck,
    HeartbeatRefusal,
    PreVoteReply,
    PreVoteRequest,
    Resignation,
    Transfer,
    VoteReply,
    VoteRequest,
    Warrant,
)
from bzzz_core.election.stages import Office, Polling, Sounding
from bzzz_core.election.state import TERM_JUMP_MAX, Known, NodeState
from bzzz_core.model import NodeId, Revision, Vote


def answer_sounding(
    node: NodeState, candidate: NodeId, request: PreVoteRequest, now_ms: int
) -> list[Action]:
    """Say whether this voter would vote for a candidate; it promises nothing."""
    if not node.votes:
        return []
    node.rivals[candidate] = request.score
    refusal = _why_not(node, candidate, request.previous, now_ms)
    reply = PreVoteReply(
        candidate,
        request.round,
        refusal is None,
        refusal or "",
        node.highest_term(),
        node.known.sequence,
    )
    return [Send(candidate, reply), *_catch_up(node, refusal)]


def _catch_up(node: NodeState, refusal: Refusal | None) -> list[Action]:
    """Read `_term` if a candidate names a newer one; it will ask again."""
    return node.read() if refusal is Refusal.BEHIND else []


def _why_not(
    node: NodeState,
    candidate: NodeId,
    previous: Revision,
    now_ms: int,
    warrant: Warrant | None = None,
) -> Refusal | None:
    """Return why a candidate would get no vote on `previous` now."""
    if candidate in node.quarantined:
        return Refusal.QUARANTINED
    if node.memory.abstains:
        return Refusal.ABSTAINS
    if isinstance(node.stage, Office):
        return Refusal.LEADS
    alive = now_ms - node.heard_ms < node.timings.detect_ms
    if alive and not _released(node, candidate, warrant):
        return Refusal.LEADER_ALIVE
    if previous > node.known.sequence or not node.placed:
        return Refusal.BEHIND
    return Refusal.STALE if previous < node.known.sequence else None


def _released(node: NodeState, candidate: NodeId, warrant: Warrant | None) -> bool:
    """Return whether the leader known wants this candidate to follow it, in its own words."""
    if warrant is None or warrant.successor != candidate:
        return False
    return (warrant.term, warrant.sequence, warrant.leader) == (
        node.known.term,
        node.known.sequence,
        node.known.leader,
    )


def answer_request(
    node: NodeState, candidate: NodeId, request: VoteRequest, now_ms: int
) -> list[Action]:
    """Vote, or say why not."""
    if not node.votes:
        return []
    wanted = Vote(request.term, candidate, request.previous, node.stream)
    node.rivals[candidate] = request.score
    warrant = request.warrant.warrant if request.warrant else None
    refusal = _why_not(node, candidate, request.previous, now_ms, warrant)
    if refusal is None and node.memory.gave(wanted):
        return cast(node, wanted) if node.memory.saved else []  # Our answer was lost.
    if refusal is None and request.term <= node.highest_term():
        refusal = Refusal.VOTED
    if refusal is None and request.term - node.highest_term() > TERM_JUMP_MAX:
        refusal = Refusal.TERM_JUMP
    decided = Decided(candidate, request.term, refusal)
    if refusal is not None:
        reply = VoteReply(
            candidate,
            request.term,
            None,
            refusal,
            node.highest_term(),
            node.known.sequence,
        )
        return [decided, Send(candidate, reply), *_catch_up(node, refusal)]
    if isinstance(node.stage, Sounding | Polling):
        node.stage = None
    # Time for the candidate to finish; it only postpones our own candidacy.
    patience_ms = node.timings.detect_ms + node.delay_ms(node.rank())
    node.not_before_ms = max(node.not_before_ms, now_ms + patience_ms)
    return [decided, *node.vote_for(candidate, request.term, request.previous)]


def cast(node: NodeState, vote: Vote) -> list[Action]:
    """Let the ballot of a saved vote leave, unless a later vote took its place."""
    if not node.memory.confirm(vote):
        return []
    return [CastBallot(node.ballot(vote.candidate, vote.term, vote.previous, voter=node.me))]


def follow(node: NodeState, sender: NodeId, heartbeat: Heartbeat, now_ms: int) -> list[Action]:
    """Believe a heartbeat that is new, and answer it."""
    known = node.known
    if node.memory.abandoned(heartbeat.sequence):
        return _refuse(node, sender, heartbeat)
    actions: list[Action] = []
    if heartbeat.term > known.term and heartbeat.sequence > known.sequence:
        newer = Known(heartbeat.term, heartbeat.sequence, sender)
        actions += node.move_on(newer, now_ms, placed=False)
        if node.votes:
            actions += node.read()
    elif (heartbeat.term, heartbeat.sequence, sender) != (
        known.term,
        known.sequence,
        known.leader,
    ):
        return []
    if heartbeat.number <= node.heard_number:
        return []  # Doubled, or overtaken on the way; after moving on it is at least 1.
    if isinstance(node.stage, Sounding):
        node.stage = None
    node.heard_ms = node.mandate_until_ms = now_ms  # Whoever wished for a leader has one.
    node.heard_number = heartbeat.number
    node.served = heartbeat.served
    node.standings = heartbeat.standings
    return [*actions, *_see_leader(node, sender, now_ms), *_acknowledge(node, sender, now_ms)]


def _refuse(node: NodeState, sender: NodeId, heartbeat: Heartbeat) -> list[Action]:
    """Tell a leader that is heard again after this voter has voted on its record."""
    if heartbeat.sequence != node.known.sequence:
        return []
    return [Send(sender, HeartbeatRefusal(heartbeat.term, heartbeat.sequence))]


def _see_leader(node: NodeState, leader: NodeId, now_ms: int) -> list[Action]:
    lost = node.leader is None
    if lost:
        node.leader = leader
        node.leader_since_ms = now_ms
    if node.known.term <= node.announced:
        return [LeaderBack(node.known.term)] if lost else []
    node.announced = node.known.term
    return [LeaderFound(node.known.term, leader, node.known.sequence)]


def _acknowledge(node: NodeState, leader: NodeId, now_ms: int) -> list[Action]:
    if not node.votes or node.memory.mute(now_ms):
        return []
    known = node.known
    return [Send(leader, HeartbeatAck(known.term, known.sequence, node.heard_number, node.score))]


def release(node: NodeState, sender: NodeId, farewell: Resignation, now_ms: int) -> list[Action]:
    """Let a leader go that says it leads no more."""
    if (sender, farewell.sequence) != (node.known.leader, node.known.sequence):
        return []
    if farewell.number <= node.heard_number or sender == node.me:
        return []
    node.farewell = farewell.reason
    node.not_before_ms = now_ms
    actions: list[Action] = []
    if farewell.reason == StepDown.VOTERS_CHANGED:
        actions.append(CheckVoters())
    return actions + _let_go(node, farewell.number, now_ms)


def succeed(node: NodeState, sender: NodeId, transfer: Transfer, now_ms: int) -> list[Action]:
    """Let a leader go that hands over; its successor stands at once, the others give it time."""
    warrant = transfer.warrant.warrant
    if (sender, warrant.term, warrant.sequence) != (
        node.known.leader,
        node.known.term,
        node.known.sequence,
    ):
        return []
    if transfer.number <= node.heard_number or sender == node.me:
        return []
    node.farewell = StepDown.TRANSFERRED
    actions = _let_go(node, transfer.number, now_ms)
    if warrant.successor != node.me or warrant.stock.version != STOCK_VERSION:
        node.not_before_ms = now_ms + node.timings.detect_ms
        return actions
    node.not_before_ms = now_ms
    if node.stands_at(now_ms) is None or not isinstance(node.stage, Sounding | None):
        return actions
    node.warrant = transfer.warrant
    return [*actions, *poll(node, now_ms)]


def _let_go(node: NodeState, number: int, now_ms: int) -> list[Action]:
    """Hear a leader no more; heartbeats still on their way are too late."""
    node.heard_number = number
    node.heard_ms = now_ms - node.timings.detect_ms
    return node.lose_leader(now_ms) if node.leader is not None else []
