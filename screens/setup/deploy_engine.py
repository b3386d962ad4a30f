"""The wizard's engine: `bzzz_core.deploy`, the same one that the headless command drives."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from bzzz_core import __version__
from bzzz_core.api.documents import Status
from bzzz_core.clock import utc_instant
from bzzz_core.config.profile_places import cluster_directory
from bzzz_core.config.schema import ClusterSpec, HostSpec
from bzzz_core.config.secrets import Secret
from bzzz_core.config.sections import AiEndpoint
from bzzz_core.deploy import (
    existing,
    kit,
    last_answers,
    model_search,
    phases,
    preflight,
    reach,
    sweep,
)
from bzzz_core.deploy.ai_check import Completion, complete_from_all
from bzzz_core.deploy.detached.follow import death_words, follow
from bzzz_core.deploy.detached.orders import give
from bzzz_core.deploy.detached.place import Run
from bzzz_core.deploy.detached.start import refuse_second, start
from bzzz_core.deploy.events import Finding, Refusal, Summary
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.fleet import Fleet
from bzzz_core.deploy.generate import texts
from bzzz_core.deploy.generate.command import Wanted, asked_of
from bzzz_core.deploy.generate.writing import differing, write
from bzzz_core.deploy.operation import Means
from bzzz_core.deploy.runner import Deployment
from bzzz_core.deploy.state import ClusterState
from bzzz_core.deploy.steering import Steering, Stop
from bzzz_core.deploy.supply import offered
from bzzz_core.deploy.wishes import Wishes
from bzzz_core.errors import BzzzError, HostKeyChanged, HostKeyUnknown, PreconditionFailed
from bzzz_core.integrations import ai_endpoint
from bzzz_core.integrations.ai_endpoint import EndpointReport
from bzzz_core.ports import Clock
from bzzz_tui.feed.opening import Target, sources_of
from bzzz_tui.feed.source import Source
from screens.setup.engine import Confirm, Emit, Look, LookState, Written

_BUILD: Final = "build_release"
_VIEW_S: Final = 8
_FINGERPRINT: Final = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")


class DeployEngine:
    """Does to hosts what the wizard asks for."""

    def __init__(self, clock: Clock) -> None:
        """Take the clock; connect to nobody."""
        self._clock = clock
        self._sources: Sequence[Source] = ()
        self._cluster = ""

    @property
    def phases(self) -> tuple[str, ...]:
        """Return the names of a run's phases, in order."""
        before = phases.ALL[: -len(phases.FINISH)]
        names = [phase.name for phase in before]
        finish = [phase.name for phase in phases.FINISH]
        return ("probe", _BUILD, *names, phases.VERIFY_CLUSTER, *finish)

    @property
    def shared_phases(self) -> tuple[str, ...]:
        """Return those of the phases that are about all hosts at once."""
        return (_BUILD, phases.VERIFY_CLUSTER)

    async def look(self, spec: ClusterSpec, host: HostSpec) -> Look:
        """Connect to one host, learn what it is, and change nothing."""
        state = ClusterState(spec.cluster.name)
        fleet = Fleet(spec, state.known_hosts, own_key=state.ssh_key(spec))
        try:
            facts = await fleet.probe(host)
            known = state.known(spec)
            supply = await asyncio.to_thread(
                offered,
                spec.services.bundle,
                base=None,
                now_s=int(utc_instant().timestamp()),
            )
        except HostKeyUnknown as exc:
            found = _FINGERPRINT.search(str(exc))
            return Look(
                state=LookState.KEY_UNKNOWN,
                words="first contact: t trusts this key if `ssh-keygen -lf` there says so too",
                fingerprint=found[0] if found else None,
            )
        except HostKeyChanged as exc:
            return Look(state=LookState.KEY_CHANGED, words=str(exc))
        except BzzzError as exc:
            return Look(state=LookState.FAILED, words=str(exc))
        finally:
            await fleet.close()
        alone = spec.model_copy(update={"hosts": (host,)})
        findings = preflight.check(alone, {host.name: facts}, {}, known, supply)
        own = [finding for finding in findings if finding.host == host.name]
        return Look(
            state=_judge(own),
            words="; ".join(_sentence(finding) for finding in own) or facts.os_name or "",
            fingerprint=facts.host_key_sha256,
            facts=facts,
            findings=tuple(own),
            existing=existing.judge(facts, cluster_id=known.cluster_id, version=__version__),
        )

    async def sweep(self, addresses: tuple[str, ...], port: int) -> tuple[str, ...]:
        """Return those of the addresses where something takes connections at a port."""
        return await sweep.sweep(
            addresses, port, clock=self._clock, connects=sweep.takes_connections
        )

    async def search_models(
        self, spec: ClusterSpec, facts: Mapping[str, HostFacts]
    ) -> model_search.ModelSearch:
        """Look for model servers in the cluster's network, from here and from the hosts."""
        state = ClusterState(spec.cluster.name)
        fleet = Fleet(spec, state.known_hosts, own_key=state.ssh_key(spec))
        try:
            return await model_search.search(spec, facts, fleet, self._clock)
        finally:
            await fleet.close()

    async def reach(self, spec: ClusterSpec) -> reach.Matrix:
        """Let every host connect to the others' ports, listening there for a few seconds.

        Raises:
            BzzzError: A host could not be looked at, or cannot listen.
        """
        state = ClusterState(spec.cluster.name)
        fleet = Fleet(spec, state.known_hosts, own_key=state.ssh_key(spec))
        ports = (spec.network.ports.fabric_client, spec.network.ports.fabric_cluster)
        try:
            found = await asyncio.gather(*(fleet.probe(host) for host in spec.hosts))
            names = [host.name for host in spec.hosts]
            facts = dict(zip(names, found, strict=True))
            return await reach.everybody(reach.nodes_of(spec, fleet.hosts, facts), ports)
        finally:
            await fleet.close()

    def manifests(self, spec: ClusterSpec, *, replace: bool = False) -> Written:
        """Write the manifests of `services.target`, over files of other content only if told so.

        Raises:
            ConfigError: An answer that they need is missing, or they cannot be written.
        """
        directory = cluster_directory(spec.cluster.name) / "manifests"
        files = texts.generate(spec.services.target, asked_of(spec, Wanted()))
        taken = () if replace else differing(directory, files)
        if not taken:
            write(directory, files, force=True)
        return Written(path=directory, count=len(files), in_the_way=taken)

    async def apply(
        self,
        spec: ClusterSpec,
        *,
        emit: Emit,
        confirm: Confirm,
        steering: Steering,
        only_failed: bool = False,
    ) -> None:
        """Look, plan and ask here; let an engine of its own make it so, and follow it.

        Raises:
            PreconditionFailed: A host is not fit; nothing was changed.
            BzzzError: The run could not even start.
        """
        refuse_second(spec.cluster.name)
        wishes = Wishes(only_failed=only_failed)
        means = Means(sink=emit, clock=self._clock)
        async with Deployment(spec, means, wishes=wishes) as deployment:
            prepared = await deployment.prepare()
            if prepared.plan is None:
                raise PreconditionFailed("; ".join(_sentence(error) for error in prepared.errors))
            if not await confirm(prepared.plan):
                return
        wishes = dataclasses.replace(wishes, plan_hash=prepared.plan.hash)
        # Not in a thread: whoever leaves now has a run to give orders to, or none at all.
        run = start(spec, wishes, hold=True)
        await self.attach(run, emit=emit, steering=steering)

    async def attach(self, run: Run, *, emit: Emit, steering: Steering) -> None:
        """Follow a run that goes on by itself, from its beginning to its end.

        Raises:
            PreconditionFailed: The run could not be, or its engine has died.
        """
        refusal, ended = "", False
        if steering.stopping:  # said before there was a run
            give(run, Stop())
        steering.relay = partial(give, run)
        with run.attending():
            async for event in follow(run, self._clock):
                if isinstance(event, Refusal):
                    refusal = event.message
                    continue
                emit(event)
                ended = isinstance(event, Summary)
        await self.close()  # The run may have changed the profile, by which nodes are found.
        if refusal or not ended:
            raise PreconditionFailed(refusal or death_words(run))

    async def pending(self, spec: ClusterSpec) -> int:
        """Return how many changes a new run would make.

        Raises:
            PreconditionFailed: A host is no longer fit.
            BzzzError: A host could not be looked at.
        """
        means = Means(sink=lambda _event: None, clock=self._clock)
        async with Deployment(spec, means) as deployment:
            prepared = await deployment.prepare()
        if prepared.plan is None:
            raise PreconditionFailed("; ".join(_sentence(error) for error in prepared.errors))
        return prepared.plan.change_count

    async def views(self, cluster: str) -> dict[str, Status | str]:
        """Ask every host of an installed cluster for its own view.

        Raises:
            ConfigError: The cluster has no profile here.
        """
        if cluster != self._cluster or not self._sources:
            await self.close()
            self._sources, self._cluster = sources_of(Target(cluster=cluster)), cluster
        sources = self._sources  # A run that ends meanwhile lets go of them.
        answers = await asyncio.gather(*(_view(source) for source in sources))
        return {source.name: view for source, view in zip(sources, answers, strict=True)}

    async def export_kit(self, cluster: str, target: Path, passphrase: Secret) -> int:
        """Write what operates a cluster to an encrypted file; return how many files are in it.

        Raises:
            ConfigError: The cluster is not known here, or the file is there already.
            TrustError: The passphrase is too short, or a file cannot be read.
        """
        last = last_answers.path_of(cluster)
        answers = last if last.is_file() else None
        packed = await asyncio.to_thread(
            kit.export_kit, cluster, target, passphrase, answers=answers
        )
        return len(packed.files)

    async def complete_ai(self, spec: ClusterSpec) -> tuple[Completion, ...]:
        """Ask every AI endpoint from every host for a few words."""
        state = ClusterState(spec.cluster.name)
        fleet = Fleet(spec, state.known_hosts, own_key=state.ssh_key(spec))
        try:
            opened = await asyncio.gather(*(fleet.connected(host) for host in spec.hosts))
            return await complete_from_all({host.name: host for host in opened}, spec.ai)
        finally:
            await fleet.close()

    async def examine_ai(self, endpoint: AiEndpoint) -> EndpointReport:
        """Ask an AI endpoint what it is and which models it has."""
        return await ai_endpoint.examine(endpoint, clock=self._clock)

    async def close(self) -> None:
        """End the connections to the nodes' APIs."""
        sources, self._sources = self._sources, ()
        await asyncio.gather(*(source.close() for source in sources))


async def _view(source: Source) -> Status | str:
    try:
        async with asyncio.timeout(_VIEW_S):
            return await source.fetch()
    except TimeoutError:
        await source.close()
        return f"no answer within {_VIEW_S} s"
    except BzzzError as exc:
        await source.close()
        return str(exc)


def _judge(findings: Sequence[Finding]) -> LookState:
    if any(finding.severity == "error" for finding in findings):
        return LookState.FAILED
    return LookState.WARN if findings else LookState.READY


def _sentence(finding: Finding) -> str:
    return f"{finding.message}{f' ({finding.fix})' if finding.fix else ''}"
