"""Connects the emergency stop with the node's other parts: leader, digests, roster, audit."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, Final

from bzzz_core.api.operations import Operation
from bzzz_core.backbone import Backbone
from bzzz_core.clock import utc_now
from bzzz_core.config.schema import AgentConfig
from bzzz_core.election.announce import Change, LeaderChanged
from bzzz_core.enrolled import votes
from bzzz_core.halt.file import HaltFile
from bzzz_core.halt.keeper import READ, WRITE, Audit, HaltKeeper
from bzzz_core.halt.operations import HaltApi
from bzzz_core.halt.service import Halt
from bzzz_core.model import MemberState, NodeId
from bzzz_core.ports import Clock

_READ_MS: Final = 1_500
"""A question that nobody answers because a leader is being elected should not hold up the next."""


class EmergencyStop:
    """Both sides of it in one node."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        config: Callable[[], AgentConfig],
        audit: Audit,
        clock: Clock,
    ) -> None:
        """Load what the last run kept, and begin to answer for it while this node leads."""
        now = config()
        requests, leadership = backbone.requests, backbone.leadership
        self._config = config
        self._backbone = backbone
        self._keeper = HaltKeeper(
            cluster=now.cluster.id,
            records=backbone.records,
            put=leadership.put,
            token=leadership.present_token,
            may_resume=lambda node: votes(config(), node),
            audit=audit,
            clock=clock,
            now=utc_now,
        )
        # However many other questions of a node hang, it can ask for a stop.
        requests.serve(READ, self._keeper.answer_read, own_place=True)
        requests.serve(WRITE, self._answer_write, own_place=True)
        self.halt = Halt(
            file=HaltFile(Path(now.resources.paths.data), cluster=now.cluster.id, now=utc_now),
            ask=partial(requests.ask, READ, timeout_ms=_READ_MS),
            number=lambda: self._keeper.number,
            learnt=self._keeper.saw,
            audit=audit,
            clock=clock,
            name_of=self._name_of,
            me=now.system.node_name,
        )
        """What whoever works here asks and subscribes to."""
        self._keeper.saw(self.halt.decision.number)
        self._api = HaltApi(
            self.halt,
            wish=lambda body, timeout_ms: requests.ask(WRITE, body, timeout_ms=timeout_ms),
            members=self._members,
            me=NodeId(now.me.id),
            cluster=now.cluster.id,
            clock=clock,
        )
        leadership.subscribe(self._on_leadership)
        backbone.numbered.append(self.halt)

    def operations(self) -> list[Operation]:
        """Return what the API offers."""
        return self._api.operations()

    def services(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        """Return what runs as long as the agent does."""
        return [("halt", self.halt.run())]

    async def _answer_write(self, asker: NodeId, body: bytes) -> bytes:
        answer = await self._keeper.answer_write(asker, body)
        self._backbone.membership.hurry()
        self.halt.hear(self.halt.numbers())
        return answer

    async def _on_leadership(self, change: Change) -> None:
        if isinstance(change, LeaderChanged) and change.mine:
            self.halt.look()  # What this node tells in its digests must be what the store says.

    def _members(self) -> list[tuple[NodeId, str, MemberState]]:
        states = {member.node: member.state for member in self._backbone.membership.members()}
        return [
            (NodeId(node.id), node.name, states.get(NodeId(node.id), MemberState.DEAD))
            for node in self._config().cluster.nodes
        ]

    def _name_of(self, node: NodeId) -> str:
        known = {entry.id: entry.name for entry in self._config().cluster.nodes}
        return known.get(node, node)
