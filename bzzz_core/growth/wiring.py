"""Connects the steward with the node's other parts: roster, registry, leadership."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bzzz_core.config.schema import AgentConfig
from bzzz_core.enrolment.service import Enrolment
from bzzz_core.errors import NotLeader
from bzzz_core.growth.steward import Steward
from bzzz_core.leadership import Leadership
from bzzz_core.membership.service import MembershipService
from bzzz_core.model import MemberState, NodeId, VoterSet
from bzzz_core.ports import Clock

_THERE: Final = (MemberState.ALIVE, MemberState.SUSPECT)


def steward_of(
    me: NodeId,
    *,
    config: Callable[[], AgentConfig],
    clock: Clock,
    leadership: Leadership,
    enrolment: Enrolment,
    membership: MembershipService,
) -> Steward:
    """Return the steward of a node whose parts these are."""

    async def set_voters(voters: frozenset[NodeId]) -> None:
        await enrolment.registrar.change(lambda registry: registry.with_voters(voters))

    async def commit(voters: VoterSet) -> None:
        if leadership.election is None:
            raise NotLeader("this node does not vote")
        await leadership.election.wishes.change_voters(voters)

    steward = Steward(
        me=me,
        config=config,
        clock=clock,
        leads=leadership.serves,
        registry=enrolment.known,
        committed=lambda: leadership.voters,
        alive=lambda node: membership.state_of(node) in _THERE,
        set_voters=set_voters,
        commit=commit,
    )
    enrolment.growth = steward.words
    return steward
