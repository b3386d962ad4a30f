"""One deployment from connection to summary: what the wizard and the command line both call.

    check     connect, probe, preflight
    prepare   the same, build releases, and plan; changes nothing on any host
    apply     probe and plan again; if the plan is not the one that was confirmed, stop; else drive

Running it again after a failure continues where it stopped: every phase looks at what is there.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bzzz_core.clock import SystemClock, utc_instant, utc_now
from bzzz_core.config.schema import ClusterSpec, HostSpec
from bzzz_core.deploy import back, fitness, phases, preflight, reach
from bzzz_core.deploy.change import Plan
from bzzz_core.deploy.drive import Drive
from bzzz_core.deploy.events import Finding, Planned, Sink, Status, Step, Summary
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.fleet import Fleet, OpenSession, probe_all
from bzzz_core.deploy.goal import Goal, Known, RuntimeRef, choose_python
from bzzz_core.deploy.journal import Journal, Redactor
from bzzz_core.deploy.phases.verify_cluster import Verdict, verify_cluster
from bzzz_core.deploy.plan import build_goals, build_plan
from bzzz_core.deploy.record import Record
from bzzz_core.deploy.release import Release, kept
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.ssh.session import session
from bzzz_core.deploy.state import ClusterState
from bzzz_core.deploy.supply import Building, Source, open_bundle
from bzzz_core.deploy.wishes import Wishes
from bzzz_core.deploy.work import Work
from bzzz_core.errors import BzzzError, PlanChanged, PreconditionFailed
from bzzz_core.ports import Clock

NOTHING: Final = Wishes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a look at the hosts found."""

    facts: Mapping[str, HostFacts]
    findings: tuple[Finding, ...]
    plan: Plan | None = None
    """None if preflight found an error, or no plan was asked for."""

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Return the findings that forbid a run."""
        return tuple(finding for finding in self.findings if finding.severity == "error")


class Deployment:
    """One run of setup. An async context manager: its connections end with it."""

    def __init__(
        self,
        spec: ClusterSpec,
        *,
        sink: Sink,
        base: Path | None = None,
        clock: Clock | None = None,
        open_session: OpenSession = session,
        wishes: Wishes = NOTHING,
    ) -> None:
        """Take the answers; nothing happens yet.

        Args:
            spec: The answers.
            sink: Receives every event.
            base: The operator's directory; None: the user's own.
            clock: For durations.
            open_session: How to connect.
            wishes: What is asked of this run beyond the answers.
        """
        self._spec = spec
        self._clock = clock or SystemClock()
        self._record = Record(sink=sink, clock=self._clock)
        self._state = ClusterState(spec.cluster.name, base)
        self._fleet = Fleet(
            spec, self._state.known_hosts, open_session, own_key=self._state.ssh_key(spec)
        )
        self._releases: dict[str, Release] = {}
        self._wishes = wishes
        self._base = base
        self._source: Source = Building()

    async def __aenter__(self) -> Self:
        """Return the deployment itself."""
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

    async def check(self) -> Prepared:
        """Connect, probe and check.

        Raises:
            ConfigError: The operator's own files are damaged, or a secret is missing.
        """
        facts, findings, _ = await self._look()
        return Prepared(facts=facts, findings=findings)

    async def prepare(self) -> Prepared:
        """Connect, probe, check, and plan if nothing speaks against it.

        Raises:
            ConfigError: The operator's own files are damaged, or a secret is missing.
            ReleaseError: The release could not be built.
        """
        facts, findings, known = await self._look()
        prepared = Prepared(facts=facts, findings=findings)
        if prepared.errors:
            return prepared
        await self._get_releases(facts)
        misfits = self._misfits(facts)
        if misfits:
            return Prepared(facts=facts, findings=(*findings, *misfits))
        plan = self._plan(facts, known)
        self._record.emit(
            Planned(plan.hash, release=plan.release, operator=plan.operator, hosts=plan.hosts)
        )
        return Prepared(facts=facts, findings=findings, plan=plan)

    async def reach(self, facts: Mapping[str, HostFacts]) -> reach.Matrix:
        """Prove which host reaches which other's ports, whether or not anything runs there yet.

        Args:
            facts: What `check` or `prepare` found.

        Raises:
            CommandFailed: A listener could not be started.
            HostUnreachable: A connection was lost.
        """
        nodes = reach.nodes_of(self._spec, self._fleet.hosts, facts)
        return await reach.everybody(nodes, reach.ports_of(self._spec))

    async def apply(self, plan: Plan) -> Summary:
        """Carry out a plan that `prepare` of this deployment returned, and say how it went.

        Raises:
            PlanChanged: The hosts or the answers are not what they were; nothing was changed.
            PreconditionFailed: A host is no longer fit; nothing was changed.
            TrustError: The authorities could not be unlocked; nothing was changed on any host.
        """
        with self._state.locked():
            return await self._apply(plan)

    async def _apply(self, plan: Plan) -> Summary:
        facts, findings, known = await self._look(again=True)
        misfits = self._misfits(facts)
        errors = [f.message for f in (*findings, *misfits) if f.severity == "error"]
        if errors:
            raise PreconditionFailed("; ".join(errors))
        if self._plan(facts, known).hash != plan.hash:
            raise PlanChanged("the hosts are not as they were when the plan was made; plan again")
        cluster = await asyncio.to_thread(self._state.open_cluster, self._spec)
        self._record.redact = Redactor(self._state.secrets(self._spec))
        created = self._state.known(self._spec)
        run_id = f"{utc_now()[:19].replace(':', '')}-{secrets.token_hex(3)}"
        names = [host.name for host in self._spec.hosts]
        hosts = self._fleet.steady(
            names, run_id=run_id, clock=self._clock, witness=self._record.witness
        )
        work = Work(
            cluster=cluster,
            releases=self._releases,
            say=self._record.say,
            allow_downgrade=self._wishes.allow_downgrade,
            fresh=self._fleet.fresh,
            nodes=reach.nodes_of(self._spec, hosts, facts),
        )
        drive = Drive(
            hosts=hosts,
            work=work,
            record=self._record,
            clock=self._clock,
            goals=lambda learned: self._goals(learned, created),
        )
        with Journal(self._state.journal, run_id) as journal:
            journal.write(utc_now(), {"event": "run", "plan": plan.hash, "release": plan.release})
            self._record.journal = journal
            try:
                verdict = await (
                    self._go_back(facts, created, hosts) if self._wishes.back else drive.run(facts)
                )
                self._state.write_profile(self._spec)
                summary = self._record.summary(
                    names,
                    operator_changes=len(plan.operator),
                    leader=verdict.leader if verdict else None,
                    term=verdict.term if verdict else 0,
                )
                self._record.emit(summary)
            finally:
                self._record.journal = None
        return summary

    async def _look(
        self, *, again: bool = False
    ) -> tuple[dict[str, HostFacts], tuple[Finding, ...], Known]:
        """Probe and check; the second time only what went wrong is an event."""
        self._record.redact = Redactor(self._state.secrets(self._spec))
        known = self._state.known(self._spec)
        await self._open_source()
        begun_ms = self._clock.now_ms()

        def done(host: HostSpec, facts: HostFacts | None, failure: str) -> None:
            if again and facts is not None:
                return
            status = Status.FAILED if facts is None else Status.UNCHANGED
            detail = failure if facts is None else f"{facts.os_name}, {facts.arch}"
            elapsed_ms = self._clock.now_ms() - begun_ms
            self._record.emit(Step(host.name, "probe", status, elapsed_ms, detail))

        facts, failures = await probe_all(self._fleet, self._spec, done=done)
        findings = tuple(
            self._record.clean(finding)
            for finding in preflight.check(self._spec, facts, failures, known, self._source.supply)
        )
        for finding in findings:
            if not again or finding.severity == "error":
                self._record.emit(finding)
        return facts, findings, known

    async def _go_back(
        self, facts: Mapping[str, HostFacts], known: Known, hosts: Mapping[str, RemoteHost]
    ) -> Verdict | None:
        goals = self._goals(facts, known)
        await back.go_back(hosts, goals, self._record, self._clock)
        standing = self._record.standing(goals)
        limit_ms = self._spec.validation.elect_ms_max
        if len(standing) < len(goals):
            return None
        try:
            return await verify_cluster(hosts, goals, self._clock, limit_ms)
        except BzzzError as exc:
            self._record.fail("", phases.VERIFY_CLUSTER, 0, str(exc))
            return None

    async def _open_source(self) -> None:
        """Check the bundle, if there is one: before anything is asked of a host."""
        named = self._wishes.bundle or self._spec.services.bundle
        if named is None or self._source.manifest is not None:
            return
        self._source = await asyncio.to_thread(
            open_bundle,
            Path(named),
            base=self._base,
            now_s=int(utc_instant().timestamp()),
        )

    async def _get_releases(self, facts: Mapping[str, HostFacts]) -> None:
        if self._wishes.back:
            ways = back.destinations(facts)
            self._releases = {
                name: kept(ways.get(name, one.current or "")) for name, one in facts.items()
            }
            return
        wanted: dict[tuple[str, str, RuntimeRef | None], list[str]] = {}
        for name, one in facts.items():
            python = choose_python(one, self._source.supply)
            assert python is not None, "preflight has checked"
            assert one.arch is not None, "preflight has checked"
            runtime = self._source.supply.runtimes.get(one.arch)
            if runtime is not None and python.path != runtime.python.path:
                runtime = None
            wanted.setdefault((python.minor, one.arch, runtime), []).append(name)
        for (minor, arch, runtime), names in wanted.items():
            begun_ms = self._clock.now_ms()
            self._record.emit(Step("", "build_release", Status.STARTED))
            got = await self._source.get(minor, arch, runtime)
            self._releases |= dict.fromkeys(names, got)
            elapsed_ms = self._clock.now_ms() - begun_ms
            detail = f"{got.ref.version} for Python {minor} on {arch}"
            if got.ref.bundle is not None:
                detail += f", from the bundle of {got.ref.bundle.created_at}"
            self._record.emit(Step("", "build_release", Status.UNCHANGED, elapsed_ms, detail))

    def _misfits(self, facts: Mapping[str, HostFacts]) -> tuple[Finding, ...]:
        releases = {name: got.ref for name, got in self._releases.items()}
        found = (
            back.obstacles(facts)
            if self._wishes.back
            else fitness.check_releases(facts, releases, self._source.manifest, self._wishes)
        )
        for finding in found:
            self._record.emit(finding)
        return found

    def _goals(self, facts: Mapping[str, HostFacts], known: Known) -> dict[str, Goal]:
        return build_goals(
            self._spec,
            facts=facts,
            releases={name: built.ref for name, built in self._releases.items()},
            known=known,
            now_s=int(utc_instant().timestamp()),
            supply=self._source.supply,
        )

    def _plan(self, facts: Mapping[str, HostFacts], known: Known) -> Plan:
        if self._wishes.back:
            return back.plan(self._spec.cluster.name, facts)
        return build_plan(self._goals(facts, known), self._state.changes(self._spec, known))
