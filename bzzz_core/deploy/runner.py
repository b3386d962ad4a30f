"""One deployment from connection to summary: what the wizard and the command line both call.

    check     connect, probe, preflight
    prepare   the same, build releases, and plan; changes nothing on any host
    apply     take the hosts' leases, probe and plan again; if the plan is not the one that was
              confirmed, stop; else drive, and give the leases back

Running it again after a failure, or after it was killed, continues where it stopped: every phase
looks at what is there. The journal only says how far the last run came, and chooses hosts
(`only_failed`): those that came through it are looked at, as the cluster needs them, and not
changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bzzz_core.clock import utc_instant
from bzzz_core.config.schema import ClusterSpec, HostSpec
from bzzz_core.deploy import back, fitness, left_behind, model_search, phases, preflight, reach
from bzzz_core.deploy.change import Plan
from bzzz_core.deploy.drive import Drive
from bzzz_core.deploy.events import Finding, Planned, Result, Status, Step, Summary
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.fleet import probe_all
from bzzz_core.deploy.goal import Goal, Known
from bzzz_core.deploy.node_record import remember, run_of
from bzzz_core.deploy.operation import Means, Operation
from bzzz_core.deploy.past import last_run, left_out, warning
from bzzz_core.deploy.phases.verify_cluster import Verdict, verify_cluster
from bzzz_core.deploy.plan import build_goals, build_plan
from bzzz_core.deploy.release import Release, kept
from bzzz_core.deploy.releases import get_all
from bzzz_core.deploy.supply import Building, Source, open_bundle
from bzzz_core.deploy.together import together
from bzzz_core.deploy.wishes import Wishes
from bzzz_core.deploy.work import Work
from bzzz_core.errors import BzzzError, PlanChanged, PreconditionFailed

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


class Deployment(Operation):
    """One run of setup."""

    def __init__(self, spec: ClusterSpec, means: Means, *, wishes: Wishes = NOTHING) -> None:
        """Take the answers, and what is asked of this run beyond them; nothing happens yet."""
        names = [host.name for host in spec.hosts]
        super().__init__(spec, means, names=names, run_id=wishes.run_id)
        self._releases: dict[str, Release] = {}
        self._wishes = wishes
        self._base = means.base
        self._source: Source = Building()

    async def check(self) -> Prepared:
        """Connect, probe and check.

        Raises:
            ConfigError: The operator's own files are damaged, or a secret is missing.
        """
        facts, findings, _ = await self._look()
        if self._spec.ai.servers.search:
            found = await model_search.search(self._spec, facts, self._fleet, self._clock)
            for finding in model_search.findings(found):
                self._record.emit(finding)
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
            # Before the second look: what is seen then, nobody changes any more.
            chosen = [name for name in self._names if name not in self._record.left_out]
            return await self._leased(chosen, lambda: self._changed(plan))

    async def _changed(self, plan: Plan) -> Summary:
        facts, findings, known = await self._look(again=True)
        misfits = self._misfits(facts)
        errors = [f.message for f in (*findings, *misfits) if f.severity == "error"]
        if errors:
            raise PreconditionFailed("; ".join(errors))
        if not self._plan(facts, known).within(plan):
            raise PlanChanged("the hosts are not as they were when the plan was made; plan again")
        cluster = await asyncio.to_thread(self._state.open_cluster, self._spec)
        self._learn_secrets()
        created = self._state.known(self._spec)
        work = Work(
            cluster=cluster,
            releases=self._releases,
            say=self._record.say,
            allow_downgrade=self._wishes.allow_downgrade,
            fresh=self._fleet.fresh,
            nodes=reach.nodes_of(self._spec, self._hosts, facts),
            hosts=self._hosts,
        )
        drive = Drive(
            hosts=self._hosts,
            work=work,
            record=self._record,
            clock=self._clock,
            goals=lambda learned: self._goals(learned, created),
            steering=self.steering,
        )
        if not self._wishes.back:
            self._name_what_stays(facts)
        with self._journaled("run", plan, **self._headline(plan)):
            done = self._go_back(facts, created) if self._wishes.back else drive.run(facts)
            verdict = await done
            self._state.write_profile(self._spec)
            await self._remember(plan)
            return self.finish(
                operator_changes=len(plan.operator),
                leader=verdict.leader if verdict else None,
                term=verdict.term if verdict else 0,
            )

    def _name_what_stays(self, facts: Mapping[str, HostFacts]) -> None:
        """Have the summary name directories that hosts stop using; the next run knows none."""
        for name, one in facts.items():
            for path in left_behind.left_behind(self._spec, one):
                self._record.warn(name, left_behind.sentence(path))

    def _headline(self, plan: Plan) -> dict[str, object]:
        return {
            "release": plan.release,
            "hosts": self._names,
            "left_out": sorted(self._record.left_out),
        }

    async def _remember(self, plan: Plan) -> None:
        """Leave a note of this run on each host that it changed, and that can be reached."""

        async def one(name: str) -> None:
            came = self._record.result(name)
            untouched = came.result is not Result.FAILED and not came.changes
            if untouched or not self._fleet.hosts[name].alive:
                return
            run = run_of(self._owner, plan.release, came)
            with suppress(BzzzError):  # a note that cannot be left is no failure of the run
                await remember(self._hosts[name], self._spec.resources.paths.data, run)

        await together(one(name) for name in self._names)

    def _recall(self) -> tuple[Finding, ...]:
        """Read how the last run ended: choose hosts by it, and say if it was killed."""
        past = last_run(self._state.journal)
        if self._wishes.only_failed:
            self._record.left_out = left_out(past, self._names)
        killed = past is not None and not past.ended and not self._state.busy
        return (warning(past),) if past is not None and killed else ()

    async def _look(
        self, *, again: bool = False
    ) -> tuple[dict[str, HostFacts], tuple[Finding, ...], Known]:
        """Probe and check; the second time only what went wrong is an event."""
        self._learn_secrets()
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

        recalled = () if again else self._recall()
        facts, failures = await probe_all(self._fleet, self._spec, done=done)
        findings = tuple(
            self._record.clean(finding)
            for finding in (
                *recalled,
                *preflight.check(
                    *(self._spec, facts, failures, known, self._source.supply),
                    answered=self._wishes.answered,
                ),
            )
        )
        for finding in findings:
            if not again or finding.severity == "error":
                self._record.emit(finding)
        return facts, findings, known

    async def _go_back(self, facts: Mapping[str, HostFacts], known: Known) -> Verdict | None:
        goals = self._goals(facts, known)
        await back.go_back(self._hosts, goals, self._record, self._clock)
        standing = self._record.standing(goals)
        limit_ms = self._spec.validation.elect_ms_max
        if len(standing) < len(goals):
            return None
        try:
            return await verify_cluster(self._hosts, goals, self._clock, limit_ms)
        except BzzzError as exc:
            self._record.fail("", phases.VERIFY_CLUSTER, 0, str(exc))
            return None

    async def _open_source(self) -> None:
        """Check the bundle, if there is one: before anything is asked of a host."""
        named = self._wishes.bundle or self._spec.services.bundle
        if named is None or self._wishes.back or self._source.manifest is not None:
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
        self._releases = await get_all(facts, self._source, record=self._record, clock=self._clock)

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
        return build_plan(
            self._goals(facts, known),
            self._state.changes(self._spec, known),
            left_out=self._record.left_out,
        )
