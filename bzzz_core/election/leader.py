"""Holding office: the record is written, the heartbeats go out, a majority answers or it ends.

Rules: as in `machine`, whose page explains the whole.
"""

from __future__ import annotations

from typing import Final

from bzzz_core.election.events import (
    Action,
    BecameLeader,
    Broadcast,
    Drain,
    Drained,
    HandingFailed,
    SendWarrant,
    StepDown,
)
from bzzz_core.election.messages import (
    Heartbeat,
    HeartbeatAck,
    HeartbeatRefusal,
    Resignation,
    Warrant,
)
from bzzz_core.election.stages import Handing, Office, Polling, Sounding, Writing
from bzzz_core.election.state import Known, NodeState
from bzzz_core.model import NodeId, Revision, Term

UNABLE_DETECTS: Final = 20
"""A leader with a write that is not acknowledged for this many `detect_ms` goes, for it may be the
only one that cannot reach the store. A stream without leader comes back in 4 to 9 s (measured)."""

HANDING_DETECTS: Final = 3
"""How many `detect_ms` a leader waits for its own writes before it gives up handing over."""

VOTED_OUT_DETECTS: Final = 4
"""A leader goes when a voter has refused its heartbeats for this many `detect_ms`: long enough for
that voter's candidate to win, and a bound on how often one hostile voter can force an election."""


def take_office(node: NodeState, writing: Writing, sequence: Revision, now_ms: int) -> list[Action]:
    """Begin to hold the record that is written; leading begins with the first answers."""
    others = [voter.node for voter in node.voters.voters if voter.node != node.me]
    record = writing.record
    office = Office(
        record,
        writing.campaign,
        sequence,
        since_ms=now_ms,
        due_ms=now_ms,
        acked_ms=dict.fromkeys(others),
        served=Revision(0),
    )
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
    node.leader_since_ms = node.mandate_until_ms = now_ms
    node.announced = office.record.term
    record = office.record
    return [BecameLeader(record.term, office.sequence, record, office.campaign)]


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


def expire(node: NodeState, office: Office, now_ms: int) -> list[Action]:
    """End what has lasted too long: an office without answers or writes, or handing it over."""
    confirmed, timings = office.confirmed, node.timings
    if confirmed and not node.has_quorum(office, now_ms):
        return node.leave_office(StepDown.QUORUM_LOST, now_ms)
    if not confirmed and now_ms - office.since_ms >= timings.detect_ms:
        return node.leave_office(StepDown.QUORUM_LOST, now_ms)
    if not office.served and now_ms - office.since_ms >= UNABLE_DETECTS * timings.detect_ms:
        return give_up(node, office, StepDown.UNABLE, now_ms)
    if office.handing is not None and now_ms >= office.handing.deadline_ms:
        return lead_on(node, office.record.term)
    return []


def give_up(node: NodeState, office: Office, reason: StepDown, now_ms: int) -> list[Action]:
    """Leave office on our own will, so that nobody waits for silence."""
    farewell = Resignation(office.record.term, office.sequence, office.number + 1, reason)
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


def hand_over(node: NodeState, to: NodeId | None, now_ms: int) -> list[Action]:
    """Stop writing, to hand over to `to` or to the fittest; it goes on if that takes too long."""
    office = node.stage
    if not isinstance(office, Office) or not office.served or not office.writes:
        return [HandingFailed("this node does not lead, or is handing over already")]
    current = [
        standing
        for standing in office.standings(now_ms, within_ms=node.timings.detect_ms)
        if standing.node not in node.quarantined
    ]
    if to is None and current:
        to = min(current, key=lambda standing: (-standing.score, standing.node)).node
    if to is None:
        return [HandingFailed("no other voter was heard lately and may lead")]
    if to not in {standing.node for standing in current}:
        return [HandingFailed(_unfit(node, to))]
    office.handing = Handing(to, now_ms + HANDING_DETECTS * node.timings.detect_ms)
    return [Drain(office.record.term, to)]


def _unfit(node: NodeState, to: NodeId) -> str:
    """Return why a node may not follow this leader now."""
    voter = node.voters.find(to)
    if voter is None:
        return f"{to} has no vote"
    if to == node.me:
        return f"{voter.name} leads already"
    if to in node.quarantined:
        return f"{voter.name} is quarantined; `bzzz-agent leader release` trusts it again"
    return f"{voter.name} was not heard lately"


def send_warrant(node: NodeState, drained: Drained, now_ms: int) -> list[Action]:
    """Leave office and tell everybody who shall follow; from here on there is no way back."""
    office = node.stage
    if not isinstance(office, Office) or office.record.term != drained.term:
        return []
    if office.handing is None:
        return []  # It took too long, and this node leads on.
    warrant = Warrant(
        node.cluster,
        node.stream,
        office.sequence,
        office.record.term,
        node.me,
        office.handing.to,
        drained.stock,
    )
    number = office.number + 1
    return [*node.leave_office(StepDown.TRANSFERRED, now_ms), SendWarrant(warrant, number)]


def lead_on(node: NodeState, term: Term) -> list[Action]:
    """Give up handing over."""
    office = node.stage
    if not isinstance(office, Office) or office.record.term != term or office.handing is None:
        return []
    office.handing = None
    return [HandingFailed("its writes did not come to an end in time; it leads on")]


def resign(node: NodeState, reason: StepDown, now_ms: int) -> list[Action]:
    """Give up office or candidacy because someone wants it so."""
    node.not_before_ms = now_ms + node.behind_everyone_ms()
    node.mandate_until_ms = now_ms
    match node.stage:
        case Office() as office:
            return give_up(node, office, reason, now_ms)
        case Sounding() | Polling():
            node.stage = None
        case Writing() | None:  # pragma: no branch
            pass  # What the store may have taken already cannot be taken back here.
    return []
