"""Connects the roster with the node's other parts, and reads answers for them out of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from bzzz_core.config.schema import AgentConfig
from bzzz_core.errors import PermissionDenied, TransportError
from bzzz_core.fabric.nats import NatsFabric
from bzzz_core.fabric.store import node_of
from bzzz_core.leadership import Leadership
from bzzz_core.membership.beat import BEAT_SUBJECT
from bzzz_core.membership.events import Changed
from bzzz_core.membership.incarnation import next_incarnation
from bzzz_core.membership.machine import Roster
from bzzz_core.membership.service import MembershipService
from bzzz_core.model import MemberState, NodeId
from bzzz_core.ports import Clock
from bzzz_core.self_report import SelfReport
from bzzz_core.telemetry import logs

_LEAVE_S_MAX: Final = 1.0
_ATTACHED_S_MAX: Final = 2.0
_GRANT_MS: Final = 250


def membership_of(
    config: AgentConfig,
    *,
    fabric: NatsFabric,
    clock: Clock,
    report: SelfReport,
    leadership: Leadership,
    ask: Callable[[bytes], Awaitable[bytes]],
    versions: Callable[[], Mapping[str, int]],
    on_versions: Callable[[Mapping[str, int]], None],
) -> MembershipService:
    """Return the roster of a node whose parts these are; see `MembershipService`."""
    log = logs.get("roster")
    me = NodeId(config.me.id)
    incarnation = Path(config.resources.paths.data) / "incarnation"
    roster = Roster(
        config.cluster.roster,
        me=me,
        nodes=tuple(NodeId(node.id) for node in config.cluster.nodes),
        edge=not config.me.voter,
        now_ms=clock.now_ms(),
    )

    def leader() -> NodeId | None:
        view = leadership.view()
        return view.leader if view else None

    def tell(change: Changed) -> None:
        log.info("member", member=change.node, was=change.before, now=change.after)

    return MembershipService(
        roster,
        me=me,
        fabric=fabric,
        clock=clock,
        beat_ms=config.cluster.roster.beat_ms,
        edge=not config.me.voter,
        incarnation=next_incarnation(incarnation),
        outlive=lambda seen: next_incarnation(incarnation, above=seen),
        report=report.report,
        leader=leader,
        leads=leadership.serves,
        proof=lambda: leadership.sealed_heartbeat,
        on_proof=leadership.hear_proof,
        ask=ask,
        versions=versions,
        on_versions=on_versions,
        notify=tell,
    )


def other_voters_brokers(
    membership: MembershipService, leadership: Leadership, me: NodeId
) -> list[str]:
    """Return the server names of the other voters' brokers, as far as those nodes are alive."""
    others = {voter.node for voter in leadership.voters.voters} - {me}
    return [
        member.beat.broker
        for member in membership.members()
        if member.beat is not None
        and member.beat.broker
        and member.state is MemberState.ALIVE
        and member.node in others
        and node_of(member.beat.broker) == member.node
    ]


async def has_rights_of_voter(fabric: NatsFabric, clock: Clock) -> bool:
    """Return whether the broker lets this node hear beats, which only voters may.

    The brokers follow the registry each in its own time, so a no comes after a moment's wait.
    """
    try:
        async with asyncio.timeout(_ATTACHED_S_MAX):
            await fabric.wait_attached()
        probe = await fabric.subscribe(f"{BEAT_SUBJECT}.*", lambda _message: None)
    except (PermissionDenied, TransportError, TimeoutError):
        await clock.sleep_ms(_GRANT_MS)
        return False
    await probe.stop()
    return True


async def say_goodbye(membership: MembershipService) -> None:
    """Tell the others that this node leaves the roster, within a bounded time."""
    try:
        async with asyncio.timeout(_LEAVE_S_MAX):
            await membership.leave()
    except TimeoutError:
        logs.get("agent").info("left without a word: the fabric does not answer")
