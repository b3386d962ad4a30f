"""Withdrawing the trust in hosts that nobody can ask any more: a voter that stays does it.

The host itself is not touched, for it is gone or must not be spoken to. The leader refuses to take
the living majority from the voters; that refusal comes through as it is (`bzzz-agent node revoke`
says what may be done about it). Who is forgotten once is forgotten for ever: the same machine comes
back as a new node.
"""

from __future__ import annotations

from typing import Final

from bzzz_core.config.schema import ClusterSpec, HostSpec
from bzzz_core.deploy import departure
from bzzz_core.deploy.change import Change, Plan, make_plan
from bzzz_core.deploy.events import Planned, Status, Step, Summary
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.fleet import probe_all
from bzzz_core.deploy.goal import Sponsor
from bzzz_core.deploy.membership import Membership, membership
from bzzz_core.deploy.operation import Means, Operation
from bzzz_core.deploy.plan import sponsors_of
from bzzz_core.errors import PlanChanged, PreconditionFailed

PHASE: Final = "revoke_node"


class Burial(Operation):
    """Hosts that are revoked from afar."""

    def __init__(self, spec: ClusterSpec, means: Means, *, dead: frozenset[str]) -> None:
        """Take the answers without the dead, and the names of the dead."""
        super().__init__(spec, means, names=sorted(dead))

    async def prepare(self) -> Plan:
        """Return who would be revoked; nobody who is no member any more."""
        cluster, _ = await self._look()
        plan = self._plan(cluster)
        self._record.emit(Planned(plan.hash, release="", operator=(), hosts=plan.hosts))
        return plan

    async def apply(self, plan: Plan) -> Summary:
        """Revoke, and forget the hosts.

        No host is changed, so no lease is needed: what a voter is told, its leader decides.

        Raises:
            PlanChanged: Somebody else goes by one of the names now; nobody was revoked.
            PreconditionFailed: Another setup works on this cluster.
        """
        with self._state.locked():
            cluster, facts = await self._look()
            if self._plan(cluster).hash != plan.hash:
                raise PlanChanged("the cluster is not as it was; look at the plan again")
            with self._journaled("burial", plan):
                return await self._bury(plan, sponsors_of(cluster, facts))

    async def _bury(self, plan: Plan, sponsors: tuple[Sponsor, ...]) -> Summary:
        for name in self._names:
            if self.steering.stopping:
                self._record.stopped = True
                self._record.skip([name], PHASE, "stopped by the operator")
            elif not plan.hosts[name]:
                self._record.emit(Step(name, PHASE, Status.UNCHANGED))
            else:
                await self._revoke(name, plan.hosts[name][0].target, sponsors)
        self._state.forget(frozenset(self._record.standing(self._names)))
        return self.finish()

    async def _revoke(self, name: str, node_id: str, sponsors: tuple[Sponsor, ...]) -> None:
        with self._step(name, PHASE) as done:
            self._record.intend(name, PHASE)
            await departure.revoke(self._hosts, sponsors, node_id)
            done(1, "revoked for ever")

    def _plan(self, cluster: Membership) -> Plan:
        members = {name: cluster.named(name) for name in self._names}
        hosts: dict[str, tuple[Change, ...]] = {
            name: (_revocation(name, member.node_id),) if member else ()
            for name, member in members.items()
        }
        return make_plan(cluster=self._spec.cluster.name, release="", operator=(), hosts=hosts)

    async def _look(self) -> tuple[Membership, dict[str, HostFacts]]:
        self._learn_secrets()

        def done(host: HostSpec, facts: HostFacts | None, failure: str) -> None:
            del host, facts, failure  # Whoever stays was looked at, and spoken of, before.

        facts, _ = await probe_all(self._fleet, self._spec, done=done)
        cluster = membership(facts)
        if cluster is None:
            raise PreconditionFailed("no host of the answers belongs to a cluster")
        return cluster, facts


def _revocation(name: str, node_id: str) -> Change:
    """Return the change; its target is the very node, for its name may be another's tomorrow."""
    return Change(
        phase=PHASE,
        action="remove",
        target=node_id,
        before="member",
        after="revoked",
        sentence=f"withdraw the trust in {name} ({node_id}), for ever; nothing is done on the host",
    )
