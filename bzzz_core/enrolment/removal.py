"""Letting nodes out: leaving in order, and revocation.

An edge that asks to leave has left at once; the answer is the registry without it, because it will
hear of nothing else any more. A voter is first marked as leaving; the steward gives its place to
another or shrinks the voter set, and when the registry says that it votes no more, the node asks
again. Should it be gone by then, the leader writes so in its stead (`tend`). Nothing is lost. Until
it has left it may stay after all (`stay`); what was changed for its sake by then is changed again.

Revocation is the opposite: at once and without asking. The broker user of the node is gone as soon
as each broker has seen the new registry (below two seconds), which also closes its connections; the
steward tidies up afterwards, if those voters that live are still a majority. If they would not be,
it takes an operator who says that this is known. Only an operator at a voter may order it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Final

from bzzz_core.enrolment.messages import Leaving, Nothing, Revocation, pack, unpack
from bzzz_core.enrolment.registrar import Registrar
from bzzz_core.enrolment.registry import EnrolledNode, NodeState, Registry, encode
from bzzz_core.enrolment.renewing import find_member
from bzzz_core.errors import RequestInvalid
from bzzz_core.model import NodeId, VoterSet
from bzzz_core.ports import Clock

_ITS_TURN_MS: Final = 10_000
"""A node that votes no more asks again within a second or two, if it is there."""
COSTS_QUORUM: Final = "--at-the-cost-of-the-quorum"

Audit = Callable[..., None]
VotersOnly = Callable[[NodeId, str], Awaitable[Registry]]


class Removal:
    """The leader's side of leaving and revocation."""

    def __init__(
        self,
        *,
        registrar: Registrar,
        voters_only: VotersOnly,
        committed: Callable[[], VoterSet],
        alive: Callable[[NodeId], bool],
        clock: Clock,
        now: Callable[[], datetime],
        audit: Audit,
    ) -> None:
        """Take what it decides with; nothing is read yet.

        Args:
            registrar: The pen of the registry.
            voters_only: Refuses whoever may not order a revocation.
            committed: The voters that count in elections now, as this leader knows them.
            alive: Whether the roster is sure that a node is there.
            clock: For a leaving node's turn.
            now: Wall-clock UTC.
            audit: Writes down what was done.
        """
        self._clock = clock
        self._since_ms: dict[NodeId, int] = {}
        self._registrar = registrar
        self._committed = committed
        self._alive = alive
        self._voters_only = voters_only
        self._now = now
        self._audit = audit
        self.counters: Counter[str] = Counter()
        """left, leaving, stayed, revoked."""

    async def leave(self, asker: NodeId, body: bytes) -> bytes:
        """Let the asker go, at once or as soon as it is replaced.

        Raises:
            NotEnrolled: It is no member (any more).
            RequestInvalid: It is the last one.
        """
        wish = unpack(body, Leaving)
        member = find_member(await self._registrar.registry(), asker)
        if member.voter:
            if not wish.again or member.leaving:  # Else it was called off meanwhile.
                await self._registrar.change(lambda registry: registry.with_leaving(asker))
                self.counters["leaving"] += 1
                self._audit("leaving", actor=asker, name=member.name)
        else:
            await self._end(member, NodeState.LEFT, actor=asker, only_leaving=wish.again)
        return encode(await self._registrar.registry())

    async def stay(self, asker: NodeId, body: bytes) -> bytes:
        """Let the asker stay that wanted to leave; it votes again if it is among the fittest.

        Raises:
            NotEnrolled: It is no member (any more): it has left.
        """
        unpack(body, Nothing)
        before = await self._registrar.registry()
        member = find_member(before, asker)
        after = await self._registrar.change(lambda registry: registry.with_staying(asker))
        if after is not before:
            self.counters["stayed"] += 1
            self._audit("leaving called off", actor=asker, name=member.name)
        return encode(after)

    async def revoke(self, asker: NodeId, body: bytes) -> bytes:
        """Withdraw the trust in a node, named by its name or id.

        Raises:
            PermissionDenied: The asker is no voter.
            RequestInvalid: There is no such node, or its vote is needed and the asker did not say
                that the quorum may be lost.
        """
        registry = await self._voters_only(asker, "node revoke")
        wish = unpack(body, Revocation)
        wanted = wish.name
        node = registry.named(wanted) or registry.find(NodeId(wanted)) or _former(registry, wanted)
        # Asked of the very registry that it changes: two revocations may be on their way at once.
        check = partial(self._keep_majority, node, at_any_price=wish.costs_quorum)
        await self._end(node, NodeState.REVOKED, actor=asker, check=check)
        return pack(Nothing())

    def _keep_majority(self, node: EnrolledNode, registry: Registry, *, at_any_price: bool) -> None:
        """Refuse to take the living majority from the voters that count; at any price, the last.

        Until the steward has changed the voters, those that are dead or revoked count as well; and
        it cannot change them without a majority.
        """
        if [voter.id for voter in registry.voters] == [node.id]:
            return  # The registry itself refuses that, and says what to do.
        members = {member.id for member in registry.members}
        voters = self._committed().voters
        others = [voter for voter in voters if voter.node in members - {node.id}]
        living = [voter for voter in others if self._alive(voter.node)]
        votes = node.id in members and any(voter.node == node.id for voter in voters)
        if not votes or 2 * len(living) > len(voters):
            return
        if not others:
            raise RequestInvalid(
                f"{node.name} is the only voter that counts yet, and no price gets the cluster over"
                " its loss; wait until others count as well (`bzzz-agent leader show`)"
            )
        if at_any_price:
            return
        silent = ", ".join(voter.name for voter in others if voter not in living)
        raise RequestInvalid(
            f"without {node.name} only {len(living)} of {len(voters)} voters would be left alive"
            + (f" ({silent}: dead or not heard)" if silent else "")
            + ", and nothing could be decided any more. Bring a voter back, or wait until the one"
            " before is replaced (`bzzz-agent fabric status`). If this node must be shut out now,"
            f" whatever it costs: `bzzz-agent node revoke {node.name} {COSTS_QUORUM}`, and then"
            " `bzzz-agent fabric rescue` on a voter that is left"
        )

    async def tend(self) -> None:
        """Write that those have left who wanted to and vote no more.

        Raises:
            NotLeader: This node does not lead.
            BzzzError: The registry cannot be read or written.
        """
        now_ms = self._clock.now_ms()
        members = (await self._registrar.registry()).members
        waiting = {node.id: node for node in members if node.leaving and not node.voter}
        self._since_ms = {node: self._since_ms.get(node, now_ms) for node in waiting}
        for node, since_ms in self._since_ms.items():
            if now_ms - since_ms >= _ITS_TURN_MS:
                await self._end(waiting[node], NodeState.LEFT, actor=node, only_leaving=True)

    async def _end(
        self,
        node: EnrolledNode,
        state: NodeState,
        *,
        actor: NodeId,
        only_leaving: bool = False,
        check: Callable[[Registry], None] | None = None,
    ) -> None:
        at = self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        before = await self._registrar.registry()

        def step(registry: Registry) -> Registry:
            known = registry.find(node.id)
            if only_leaving and (known is None or not known.leaving):
                return registry  # Called off meanwhile.
            if check is not None:
                check(registry)
            return registry.without(node.id, state, at=at)

        after = await self._registrar.change(step)
        if after is not before:
            self.counters[state.value] += 1
            self._audit(state.value, actor=actor, name=node.name, id=node.id)


def _former(registry: Registry, name: str) -> EnrolledNode:
    """Return the node that had a name, if it was revoked: to revoke it again changes nothing.

    Raises:
        RequestInvalid: There is none, or it left in order and only its id says which is meant.
    """
    former = [node for node in registry.nodes if node.name == name]
    left = [node.id for node in former if node.state is not NodeState.REVOKED]
    if left:
        raise RequestInvalid(
            f"{name} is no member any more; to revoke an identity that left, say its id:"
            f" {', '.join(left)}"
        )
    if not former:
        raise RequestInvalid(f"no node {name} is enrolled; `bzzz-agent node list` shows them")
    return former[0]
