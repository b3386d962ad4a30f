"""Composes the status document from what the domains believe. Pure: values in, a document out."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bzzz_core import __version__
from bzzz_core.api.documents import ClusterRef, FabricStatus, MemberStatus, Status
from bzzz_core.api.events.sampling import Sight
from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.sections import NodeEntry
from bzzz_core.election.machine import View
from bzzz_core.membership.beat import Capabilities
from bzzz_core.membership.member import Member
from bzzz_core.model import FabricState, NodeId, Term, VoterSet


@dataclass(frozen=True, slots=True)
class Moment:
    """When a status is taken, on both clocks."""

    now_ms: int
    """Monotonic."""
    uptime_ms: int
    """Since the agent's start."""
    at: str
    """UTC, for people."""
    leader_since_at: str | None
    """UTC; None while nobody leads."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """How this node is attached to the fabric."""

    state: FabricState
    broker: str | None
    stream_leader: NodeId | None


def compose(
    config: AgentConfig,
    *,
    voters: VoterSet,
    view: View | None,
    members: Iterable[Member],
    attachment: Attachment,
    moment: Moment,
    alarms: tuple[str, ...] = (),
) -> Status:
    """Return the document; `view` is None as long as the node knows nothing of leadership.

    Args:
        config: The configuration in force.
        voters: The committed voters as this node knows them.
        view: What it believes of leadership.
        members: The roster.
        attachment: Its place in the fabric.
        moment: When.
        alarms: What an operator has to look at.
    """
    nodes = {NodeId(node.id): node for node in config.cluster.nodes}
    leader = view.leader if view else None
    return Status(
        node=config.system.node_name,
        node_id=NodeId(config.me.id),
        version=__version__,
        at=moment.at,
        uptime_s=moment.uptime_ms // 1000,
        cluster=ClusterRef(config.cluster.id, config.cluster.name),
        leader=nodes[leader].name if leader in nodes else None,
        leader_id=leader,
        alarms=tuple(alarm[:253] for alarm in alarms),
        leader_serving=bool(view and leader and view.served),
        leader_since_at=moment.leader_since_at if leader else None,
        term=view.term if view else Term(0),
        role=_role(config, view),
        members=tuple(_member(nodes[member.node], member, moment.now_ms) for member in members),
        fabric=FabricStatus(
            state=attachment.state,
            broker=attachment.broker,
            stream_leader=_name(nodes, attachment.stream_leader),
            voters=len(voters.voters),
            quorum=voters.majority,
        ),
    )


def sight_of(config: AgentConfig, head: Status, members: Iterable[Member], *, now_ms: int) -> Sight:
    """Return a status of which a member's document is made only when somebody wants it.

    Args:
        config: The configuration in force.
        head: The document without members.
        members: The roster; may be walked later than now, and must not change until then.
        now_ms: When, on the clock that times silence.
    """
    nodes = {NodeId(node.id): node for node in config.cluster.nodes}
    return Sight(
        head=head,
        # When somebody was heard last is not in it: a mark is another one when something is new.
        members=(
            (one.node, (nodes[one.node], one.state, one.beat, one.rtt_ms), one) for one in members
        ),
        document=lambda one: _member(nodes[one.node], one, now_ms),
    )


def not_ready(status: Status, *, addresses: frozenset[str], address: str) -> list[str]:
    """Return why this node cannot do its part, each reason with what to look at; empty if it can.

    Anybody who reaches the API is told: no reason names a node or an address.

    Args:
        status: The node's own status.
        addresses: The addresses of this machine's interfaces.
        address: What the other nodes were told; a name, not an address, is not checked.
    """
    reasons = []
    if status.fabric.state not in {FabricState.CONNECTED, FabricState.DEGRADED}:
        reasons.append(f"fabric is {status.fabric.state}: look at bzzz-fabric.service")
    if status.leader is None:
        reasons.append("no leader: fewer than a majority of the voters reach each other")
    elif not status.leader_serving:
        reasons.append("the leader has not had a write acknowledged yet")
    if _is_ip(address) and address not in addresses:
        reasons.append("network.address is on no interface of this machine")
    return reasons


def _role(config: AgentConfig, view: View | None) -> str:
    if not config.me.voter:
        return "edge"
    return str(view.role) if view else "follower"


def _name(nodes: dict[NodeId, NodeEntry], node: NodeId | None) -> str | None:
    return nodes[node].name if node in nodes else None


def _member(entry: NodeEntry, member: Member, now_ms: int) -> MemberStatus:
    beat = member.beat
    common: dict[str, Any] = {
        "name": entry.name,
        "node_id": member.node,
        "state": member.state,
        "voter": entry.voter,
        "address": entry.address,
    }
    if beat is None:
        return MemberStatus(**common)
    sample = beat.sample
    able = beat.capabilities or Capabilities()
    return MemberStatus(
        **common,
        version=beat.version,
        heard_ms_ago=max(0, now_ms - member.heard_ms),
        uptime_s=beat.uptime_s,
        cpu_percent=sample.cpu_percent,
        cpu_count=sample.cpu_count,
        load_1m=sample.load_1m,
        memory_used_bytes=sample.memory_used_bytes,
        memory_total_bytes=sample.memory_total_bytes,
        gpus=sample.gpus,
        broker=beat.broker,
        rtt_ms=member.rtt_ms,
        models=able.models,
        languages=able.languages,
        node_roles=able.node_roles,
    )


def _is_ip(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True
