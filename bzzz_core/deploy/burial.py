"""Withdrawing the trust in hosts that nobody can ask any more: a voter that stays does it.

The host itself is not touched, for it is gone or must not be spoken to. The leader refuses to take
the living majority from the voters; that refusal comes through as it is (`bzzz-agent node revoke`
says what may be done about it). Who is forgotten once is forgotten for ever: the same machine comes
back as a new node.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bzzz_core.clock import SystemClock
from bzzz_core.config.schema import ClusterSpec, HostSpec
from bzzz_core.deploy import departure
from bzzz_core.deploy.change import Change, Plan, make_plan
from bzzz_core.deploy.events import Planned, Sink, Status, Step, Summary
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.fleet import Fleet, OpenSession, probe_all
from bzzz_core.deploy.journal import new_run_id
from bzzz_core.deploy.membership import Membership, membership
from bzzz_core.deploy.plan import sponsors_of
from bzzz_core.deploy.record import Record
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.ssh.session import session
from bzzz_core.deploy.state import ClusterState
from bzzz_core.errors import BzzzError, PreconditionFailed
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
    ) -> None:
        """Take the answers without the dead, and the names of the dead."""
        self._spec = spec
        self._dead = sorted(dead)
        self._clock = clock or SystemClock()
        self._record = Record(sink=sink, clock=self._clock)
        self._state = ClusterState(spec.cluster.name, base)
        self._fleet = Fleet(
            spec, self._state.known_hosts, open_session, own_key=self._state.ssh_key(spec)
        )
        self._run_id = new_run_id()
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

    async def prepare(self) -> Plan:
        """Return who would be revoked; nobody who is no member any more."""
        cluster, _ = await self._look()
        hosts: dict[str, tuple[Change, ...]] = {
            name: (_revocation(name),) if cluster.named(name) else () for name in self._dead
        }
        plan = make_plan(cluster=self._spec.cluster.name, release="", operator=(), hosts=hosts)
        self._record.emit(Planned(plan.hash, release="", operator=(), hosts=plan.hosts))
        return plan

    async def apply(self, plan: Plan) -> Summary:
        """Revoke, and forget the hosts."""
        cluster, facts = await self._look()
        for name in self._dead:
            member = cluster.named(name)
            if member is None or not plan.hosts[name]:
                self._record.emit(Step(name, PHASE, Status.UNCHANGED))
                continue
            begun_ms = self._clock.now_ms()
            self._record.emit(Step(name, PHASE, Status.STARTED))
            try:
                sponsors = sponsors_of(cluster, facts)
                await departure.revoke(self._hosts, sponsors, member.node_id)
            except BzzzError as exc:
                self._record.fail(name, PHASE, self._clock.now_ms() - begun_ms, str(exc))
                continue
            self._record.changed(name, 1)
            elapsed_ms = self._clock.now_ms() - begun_ms
            self._record.emit(Step(name, PHASE, Status.CHANGED, elapsed_ms, "revoked for ever"))
        self._state.forget(frozenset(self._record.standing(self._dead)))
        summary = self._record.summary(self._dead, operator_changes=0, leader=None, term=0)
        self._record.emit(summary)
        return summary

    async def _look(self) -> tuple[Membership, dict[str, HostFacts]]:
        def done(host: HostSpec, facts: HostFacts | None, failure: str) -> None:
            del host, facts, failure  # Whoever stays was looked at, and spoken of, before.

        facts, _ = await probe_all(self._fleet, self._spec, done=done)
        cluster = membership(facts)
        if cluster is None:
            raise PreconditionFailed("no host of the answers belongs to a cluster")
        return cluster, facts


def _revocation(name: str) -> Change:
    return Change(
        phase=PHASE,
        action="remove",
        target="membership",
        before="member",
        after="revoked",
        sentence=f"withdraw the trust in {name}, for ever; nothing is done on the host",
    )
