"""What a voter gives to candidates, and whom a follower believes.

Rules: as in `machine`, whose page explains the whole. A ballot leaves only when its vote is saved.
"""

from __future__ import annotations

from bzzz_core.election.events import Action, CastBallot, Decided, LeaderFound, Refusal, Send
from bzzz_core.election.messages import (
    Heartbeat,
    HeartbeatAck,
    HeartbeatRefusal,
    PreVoteReply,
    PreVoteRequest,
    Resignation,
    VoteReply,
    VoteRequest,
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
    refusal = _why_not(node, request.previous, now_ms)
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


def _why_not(node: NodeState, previous: Revision, now_ms: int) -> Refusal | None:
    """Return why nobody would get a vote on `previous` now."""
    if node.memory.abstains:
        return Refusal.ABSTAINS
    if isinstance(node.stage, Office):
        return Refusal.LEADS
    if now_ms - node.heard_ms < node.timings.detect_ms:
        return Refusal.LEADER_ALIVE
    if previous < node.known.sequence:
        return Refusal.STALE
    if previous > node.known.sequence:
        return Refusal.BEHIND
    return None


def answer_request(
    node: NodeState, candidate: NodeId, request: VoteRequest, now_ms: int
) -> list[Action]:
    """Vote, or say why not."""
    if not node.votes:
        return []
    wanted = Vote(request.term, candidate, request.previous, node.stream)
    refusal = _why_not(node, request.previous, now_ms)
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
        actions += node.move_on(newer, now_ms)
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
    node.heard_ms = now_ms
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
    if node.leader is None:
        node.leader = leader
        node.leader_since_ms = now_ms
    if node.known.term <= node.announced:
        return []
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
    node.heard_number = farewell.number  # Heartbeats still on their way are not heard.
    node.heard_ms = now_ms - node.timings.detect_ms
    node.not_before_ms = now_ms
    return node.lose_leader(now_ms) if node.leader is not None else []
