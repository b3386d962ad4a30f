"""Holding office: the record is written, the heartbeats go out, a majority answers or it ends.

Rules: as in `machine`, whose page explains the whole.
"""

from __future__ import annotations

from typing import Final

from bzzz_core.election.events import Action, BecameLeader, Broadcast, StepDown
from bzzz_core.election.messages import (
    Heartbeat,
    HeartbeatAck,
    HeartbeatRefusal,
    Resignation,
    TermRecord,
)
from bzzz_core.election.stages import Office, Polling, Sounding, Writing
from bzzz_core.election.state import Known, NodeState
from bzzz_core.model import NodeId, Revision, Term

VOTED_OUT_DETECTS: Final = 4
"""A leader goes when a voter has refused its heartbeats for this many `detect_ms`: long enough for
that voter's candidate to win, and a bound on how often one hostile voter can force an election."""


def take_office(
    node: NodeState, record: TermRecord, sequence: Revision, now_ms: int
) -> list[Action]:
    """Begin to hold the record that is written; leading begins with the first answers."""
    others = [voter.node for voter in node.voters.voters if voter.node != node.me]
    office = Office(record, sequence, now_ms, now_ms, dict.fromkeys(others), served=Revision(0))
    actions = node.move_on(Known(record.term, sequence, node.me), now_ms)
    node.stage = office
    return actions + beat(node, office, now_ms)


def beat(node: NodeState, office: Office, now_ms: int) -> list[Action]:
    """Send a heartbeat."""
    number = office.send(now_ms, every_ms=node.timings.heartbeat_ms, keep_ms=node.timings.detect_ms)
    heartbeat = Heartbeat(
        office.record.term,
        office.sequence,
        number,
        node.me,
        office.record,
        office.served,
        office.standings(now_ms, within_ms=node.timings.detect_ms),
    )
    return [Broadcast(heartbeat), *_confirm(node, office, now_ms)]


def _confirm(node: NodeState, office: Office, now_ms: int) -> list[Action]:
    if office.confirmed or not node.has_quorum(office, now_ms):
        return []
    office.confirmed = True
    office.since_ms = now_ms
    node.leader = node.me
    node.leader_since_ms = now_ms
    node.announced = office.record.term
    return [BecameLeader(office.record.term, office.sequence)]


def count_ack(node: NodeState, sender: NodeId, ack: HeartbeatAck, now_ms: int) -> list[Action]:
    """Count the answer of a voter; the majority's first one makes this node lead."""
    office = node.stage
    if not isinstance(office, Office) or ack.sequence != office.sequence:
        return []
    office.acknowledge(sender, ack.number, ack.score)
    return _confirm(node, office, now_ms)


def count_refusal(
    node: NodeState, sender: NodeId, refusal: HeartbeatRefusal, now_ms: int
) -> list[Action]:
    """Note a voter that voted this leader out, and go if that lasts."""
    office = node.stage
    if not isinstance(office, Office) or refusal.sequence != office.sequence:
        return []
    since_ms = office.refused_ms.setdefault(sender, now_ms)
    if now_ms - since_ms < VOTED_OUT_DETECTS * node.timings.detect_ms:
        return []  # If its candidate won, the record will move on without our help.
    return give_up(node, office, StepDown.VOTED_OUT, now_ms)


def give_up(node: NodeState, office: Office, reason: StepDown, now_ms: int) -> list[Action]:
    """Leave office on our own will, so that nobody waits for silence."""
    farewell = Resignation(office.record.term, office.sequence, office.number + 1)
    return [*node.leave_office(reason, now_ms), Broadcast(farewell)]


def serve(node: NodeState, term: Term, revision: Revision) -> None:
    """Note that the first guarded write is acknowledged."""
    if isinstance(node.stage, Office) and node.stage.record.term == term:
        node.stage.served = node.served = revision
        node.stage.due_ms = 0  # Tell everyone at the next tick.


def lose_guard(node: NodeState, term: Term, now_ms: int) -> list[Action]:
    """Step down: the store has refused the token."""
    if not isinstance(node.stage, Office) or node.stage.record.term != term:
        return []
    return [*node.leave_office(StepDown.GUARD_REFUSED, now_ms), *node.read()]


def resign(node: NodeState, now_ms: int) -> list[Action]:
    """Give up office or candidacy because someone wants it so."""
    node.not_before_ms = now_ms + node.behind_everyone_ms()
    match node.stage:
        case Office() as office:
            return give_up(node, office, StepDown.RESIGNED, now_ms)
        case Sounding() | Polling():
            node.stage = None
        case Writing() | None:  # pragma: no branch
            pass  # What the store may have taken already cannot be taken back here.
    return []
