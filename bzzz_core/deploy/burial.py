"""Withdrawing the trust in hosts that nobody can ask any more: a voter that stays does it.

The host itself is not touched, for it is gone or must not be spoken to. The leader refuses to take
the living majority from the voters; that refusal comes through as it is (`bzzz-agent node revoke`
says what may be done about it). Who is forgotten once is forgotten for ever: the same machine comes
back as a new node.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bzzz_core.clock import SystemClock, utc_now
from bzzz_core.config.schema import ClusterSpec, HostSpec
from bzzz_core.deploy import departure
from bzzz_core.deploy.change import Change, Plan, make_plan
from bzzz_core.deploy.events import Planned, Sink, Status, Step, Summary
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.fleet import Fleet, OpenSession, probe_all
from bzzz_core.deploy.goal import Sponsor
from bzzz_core.deploy.journal import Journal, Redactor, new_run_id
from bzzz_core.deploy.membership import Membership, membership
from bzzz_core.deploy.plan import sponsors_of
from bzzz_core.deploy.record import Record
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.ssh.session import session
from bzzz_core.deploy.state import ClusterState
from bzzz_core.deploy.steering import Steering
from bzzz_core.errors import BzzzError, PlanChanged, PreconditionFailed
from bzzz_core.ports import Clock

PHASE: Final = "revoke_node"


class Burial:
    """Hosts that are revoked from afar. An async context manager, as `Uninstall`."""

    def __init__(
        self,
        spec: ClusterSpec,
        *,
        dead: frozenset[str],
        sink: Sink,
        base: Path | None = None,
        clock: Clock | None = None,
        open_session: OpenSession = session,
        steering: Steering | None = None,
    ) -> None:
        """Take the answers without the dead, and the names of the dead."""
        self._steering = steering or Steering()
        self._spec = spec
        self._dead = sorted(dead)
        self._clock = clock or SystemClock()
        self._record = Record(sink=sink, clock=self._clock)
        self._state = ClusterState(spec.cluster.name, base)
        self._fleet = Fleet(
            spec, self._state.known_hosts, open_session, own_key=self._state.ssh_key(spec)
        )
        self._run_id = new_run_id(self._state.directory)
        self._hosts: Mapping[str, RemoteHost] = self._fleet.steady(
            [host.name for host in spec.hosts],
            run_id=self._run_id,
            clock=self._clock,
            witness=self._record.witness,
        )

    async def __aenter__(self) -> Self:
        """Return it."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close all connections."""
        await self._fleet.close()

    def redact(self, text: str) -> str:
        """Return a text, of an error say, without the secrets of this run."""
        return self._record.redact(text)

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
            with Journal(self._state.journal, self._run_id) as journal:
                journal.write(utc_now(), {"event": "burial", "plan": plan.hash})
                self._record.journal = journal
                try:
                    return await self._bury(plan, sponsors_of(cluster, facts))
                except asyncio.CancelledError:
                    self._record.drop(self._dead)
                    self._finish()
                    raise
                finally:
                    self._record.journal = None

    async def _bury(self, plan: Plan, sponsors: tuple[Sponsor, ...]) -> Summary:
        for name in self._dead:
            if self._steering.stopping:
                self._record.stopped = True
                self._record.skip([name], PHASE, "stopped by the operator")
            elif not plan.hosts[name]:
                self._record.emit(Step(name, PHASE, Status.UNCHANGED))
            else:
                await self._revoke(name, plan.hosts[name][0].target, sponsors)
        self._state.forget(frozenset(self._record.standing(self._dead)))
        return self._finish()

    async def _revoke(self, name: str, node_id: str, sponsors: tuple[Sponsor, ...]) -> None:
        begun_ms = self._clock.now_ms()
        self._record.emit(Step(name, PHASE, Status.STARTED))
        try:
            await departure.revoke(self._hosts, sponsors, node_id)
        except BzzzError as exc:
            self._record.fail(name, PHASE, self._clock.now_ms() - begun_ms, str(exc))
            return
        self._record.changed(name, 1)
        elapsed_ms = self._clock.now_ms() - begun_ms
        self._record.emit(Step(name, PHASE, Status.CHANGED, elapsed_ms, "revoked for ever"))

    def _finish(self) -> Summary:
        summary = self._record.summary(self._dead, operator_changes=0, leader=None, term=0)
        self._record.emit(summary)
        return summary

    def _plan(self, cluster: Membership) -> Plan:
        members = {name: cluster.named(name) for name in self._dead}
        hosts: dict[str, tuple[Change, ...]] = {
            name: (_revocation(name, member.node_id),) if member else ()
            for name, member in members.items()
        }
        return make_plan(cluster=self._spec.cluster.name, release="", operator=(), hosts=hosts)

    async def _look(self) -> tuple[Membership, dict[str, HostFacts]]:
        self._record.redact = Redactor(self._state.secrets(self._spec))

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
