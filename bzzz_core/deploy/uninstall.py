"""Taking BZZZ off hosts: look, say per host what would go, and after a yes remove just that.

    prepare   connect, probe, survey; the plan names every unit, path, user
    apply     survey again: another plan than the confirmed one stops it; then per host:
                leave the cluster, if it goes on without this host      one host after the other
                stop the services, remove what the plan names           all hosts at once

Where all hosts of a cluster go, nobody leaves: nothing is left to keep, so no quorum is needed and
a cluster that has lost its majority is uninstalled like any other. A host that cannot be reached is
named, and the others go on; the command is simply given again for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bzzz_core.config.schema import ClusterSpec, HostSpec
from bzzz_core.deploy import departure, undo
from bzzz_core.deploy.change import Change, Plan, make_plan
from bzzz_core.deploy.events import Finding, Planned, Status, Step, Summary
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.fleet import probe_all
from bzzz_core.deploy.goal import Sponsor, choose_python
from bzzz_core.deploy.membership import Membership, doubt, leavers, membership
from bzzz_core.deploy.operation import Means, Operation
from bzzz_core.deploy.paths_in_use import paths_in_use
from bzzz_core.deploy.plan import sponsors_of
from bzzz_core.deploy.removals import Survey, Wish, removals
from bzzz_core.deploy.together import together
from bzzz_core.errors import (
    BzzzError,
    CommandFailed,
    ConfigError,
    PlanChanged,
    PreconditionFailed,
)

PHASE: Final = "uninstall"
LEAVE: Final = "leave_cluster"


class Uninstall(Operation):
    """One uninstall; orders are taken between hosts that leave, and before any is cleared."""

    def __init__(
        self, spec: ClusterSpec, means: Means, *, chosen: frozenset[str], wish: Wish
    ) -> None:
        """Take the answers and who is meant; nothing happens yet.

        Args:
            spec: The answers; their other hosts are looked at too, for the cluster goes on there.
            means: Whom to tell, where to keep things, how to connect.
            chosen: Names of the hosts to uninstall.
            wish: What is kept.

        Raises:
            ConfigError: A name is none of the answers.
        """
        unknown = sorted(chosen - {host.name for host in spec.hosts})
        if unknown:
            raise ConfigError(f"the answers have no host {', '.join(unknown)}")
        names = [host.name for host in spec.hosts if host.name in chosen]
        super().__init__(spec, means, names=names)
        self._wish = wish
        self._surveys: dict[str, Survey] = {}
        self._leaving: dict[str, str] = {}
        """Host -> node id, of those whose cluster goes on without them."""
        self._departed: set[str] = set()
        """Those of them whose turn has come."""
        self._facts: Mapping[str, HostFacts] = {}

    async def prepare(self) -> Plan:
        """Look at the hosts and return what would be removed; say it as an event too."""
        plan = await self._look(again=False)
        self._record.emit(
            Planned(plan.hash, release=plan.release, operator=plan.operator, hosts=plan.hosts)
        )
        return plan

    async def apply(self, plan: Plan) -> Summary:
        """Carry out a plan that `prepare` returned, and say how it went.

        Raises:
            PlanChanged: The hosts are not as they were; nothing was changed.
            PreconditionFailed: Another setup works on this cluster, or holds one of the hosts.
        """
        with self._state.locked():
            names = self._record.standing(plan.hosts)
            return await self._leased(names, lambda: self._changed(plan))

    async def _changed(self, plan: Plan) -> Summary:
        if (await self._look(again=True)).hash != plan.hash:
            raise PlanChanged("the hosts are not as they were; look at the plan again")
        with self._journaled("uninstall", plan):
            for name in self._in_turn():
                if not self.steering.stopping:
                    await self._depart(name)
            if self.steering.stopping:
                self._record.stopped = True
                self._record.skip(self._names, PHASE, "stopped by the operator")
            await together(self._clear(n, plan.hosts[n]) for n in self._record.standing(plan.hosts))
            self._forget()
            return self.finish()

    def _in_turn(self) -> list[str]:
        """Return the hosts that leave; who votes stays longest, for it may revoke the others."""
        cluster = membership(self._facts)
        voters = {voter.name for voter in cluster.voters} if cluster else set()
        return sorted(self._record.standing(self._leaving), key=lambda name: name in voters)

    async def _look(self, *, again: bool) -> Plan:
        self._learn_secrets()

        def done(host: HostSpec, facts: HostFacts | None, failure: str) -> None:
            if facts is None and host.name in self._names:
                self._record.fail(host.name, "probe", 0, failure)
            elif not again:
                detail = failure if facts is None else f"{facts.os_name}, {facts.arch}"
                self._record.emit(Step(host.name, "probe", Status.UNCHANGED, detail=detail))

        self._facts, _ = await probe_all(self._fleet, self._spec, done=done)
        self._leaving = leavers(self._names, self._facts, membership(self._facts))
        hosts: dict[str, tuple[Change, ...]] = {}
        for name in self._record.standing(self._names):
            try:
                self._refuse_foreign(name)
                self._surveys[name] = await self._survey(name)
            except BzzzError as exc:
                self._record.fail(name, "survey", 0, str(exc))
                continue
            node = self._leaving.get(name)
            leave = (_leave_change(name, node, former=self._former(name)),) if node else ()
            hosts[name] = (*leave, *removals(self._surveys[name], self._wish))
        if not again:
            self._say_what_ends()
        return make_plan(cluster=self._spec.cluster.name, release="", operator=(), hosts=hosts)

    def _refuse_foreign(self, name: str) -> None:
        facts = self._facts[name]
        if facts.uid != 0:
            raise PreconditionFailed(f"{name}: the login cannot become root")
        why = doubt(facts, self._state.cluster_id())
        if why is not None:
            raise PreconditionFailed(f"{name}: {why}")

    def _say_what_ends(self) -> None:
        if self._leaving or not any(one.cluster_id for one in self._facts.values()):
            return
        self._record.emit(
            Finding(
                "warning",
                "uninstall",
                "",
                f"the cluster {self._spec.cluster.name} ends with its last host; its data are"
                f" {'kept on the hosts' if self._wish.keep_data else 'removed'}",
                "",
            )
        )

    async def _survey(self, name: str) -> Survey:
        data, logs = self._places(name)
        return await undo.survey(self._hosts[name], data=data, logs=logs)

    def _places(self, name: str) -> tuple[str, str]:
        """Return the directories that the host's own configuration names, else the answers'."""
        in_use = paths_in_use(self._facts[name].config_text or "")
        paths = in_use or self._spec.resources.paths
        return paths.data, paths.logs

    async def _depart(self, name: str) -> None:
        with self._step(name, LEAVE) as done:
            self._record.intend(name, LEAVE)
            self._departed.add(name)
            done(1, await self._left_and_revoked(name))

    async def _left_and_revoked(self, name: str) -> str:
        """Let a host leave, as far as it has not, and revoke it; return what was done.

        A host that has left is cleared also where all who may revoke it are somebody else's.
        """
        facts, node = self._facts[name], self._leaving[name]
        python = choose_python(facts)
        running = (facts.units or {}).get("bzzz-agent")
        left = self._former(name)
        if not left and running is not None and running.active == "active" and python is not None:
            await departure.leave(self._hosts[name], python.path)
            left = True
        try:
            await departure.revoke(self._hosts, self._sponsors(), node)
        except CommandFailed:
            if not left or await self._has_voter():
                raise
            return (
                "left; no host of these answers votes, so the cluster's operator may revoke it: "
                f"`bzzz-agent node revoke {node}`"
            )
        return "left; identity revoked"

    async def _has_voter(self) -> bool:
        """Return whether a host of the answers votes still, or nobody can say that now."""
        cluster = await self._known_now()
        ours = {host.name for host in self._spec.hosts}.difference(self._departed)
        return cluster is None or any(voter.name in ours for voter in cluster.voters)

    async def _known_now(self) -> Membership | None:
        def done(host: HostSpec, facts: HostFacts | None, failure: str) -> None:
            del host, facts, failure  # Each of them was spoken of before.

        facts, _ = await probe_all(self._fleet, self._spec, done=done)
        return membership(facts)

    def _former(self, name: str) -> bool:
        """Return whether a node has left already, and only its identity is still good."""
        cluster = membership(self._facts)
        known = cluster.find(self._leaving[name]) if cluster else None
        return known is not None and not known.belongs

    def _sponsors(self) -> tuple[Sponsor, ...]:
        """Return who may revoke: members that are there still, those first that voted at the start.

        Of the others one may vote by now, in the place of whoever left. Who is to leave comes last.
        """
        cluster = membership(self._facts)
        there = tuple(
            sponsor
            for sponsor in sponsors_of(cluster, self._facts, edges=True)
            if sponsor.name not in self._departed
        )
        voters = {voter.name for voter in cluster.voters} if cluster else set()
        return tuple(
            sorted(there, key=lambda one: (one.name in self._names, one.name not in voters))
        )

    async def _clear(self, name: str, changes: tuple[Change, ...]) -> None:
        changes = tuple(change for change in changes if change.phase == PHASE)
        if not changes:
            self._record.emit(Step(name, PHASE, Status.UNCHANGED))
            return
        with self._step(name, PHASE) as done:
            self._record.intend(name, PHASE)
            await undo.carry_out(self._hosts[name], self._surveys[name], changes)
            left = removals(await self._survey(name), self._wish)
            if left:
                raise CommandFailed(f"still there: {', '.join(one.target for one in left)}")
            done(len(changes), "; ".join(change.sentence for change in changes))

    def _forget(self) -> None:
        """Take the hosts out of the cluster's profile, which ends with its last host."""
        self._state.forget(frozenset(self._record.standing(self._names)))


def _leave_change(name: str, node: str, *, former: bool) -> Change:
    leave = f"let {name} leave the cluster, and revoke its identity for ever"
    return Change(
        phase=LEAVE,
        action="remove",
        target="membership",
        before="left" if former else "member",
        after=f"left, {node} revoked",
        sentence=f"revoke the identity under which {name} left, for ever" if former else leave,
    )
