"""A deploy engine without hosts: what it finds and how it goes is told to it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from bzzz_core.api.documents import Status as StatusDocument
from bzzz_core.config.schema import ClusterSpec, HostSpec
from bzzz_core.config.secrets import Secret
from bzzz_core.config.sections import AiEndpoint
from bzzz_core.deploy.ai_check import Completion
from bzzz_core.deploy.change import Change, Plan, make_plan
from bzzz_core.deploy.detached.place import Run
from bzzz_core.deploy.events import Began, HostResult, Result, Status, Step, Summary
from bzzz_core.deploy.existing import Existing, Verdict
from bzzz_core.deploy.facts.firewall import Firewall
from bzzz_core.deploy.facts.gpus import CardState, Gpu, GpuDriver
from bzzz_core.deploy.facts.hardware import BlockDevice, Cpu, Memory, NumaNode
from bzzz_core.deploy.facts.host import Clock, Disk, HostFacts
from bzzz_core.deploy.facts.network import Interface, InterfaceKind
from bzzz_core.deploy.facts.routes import Resolver, Route, Routing
from bzzz_core.deploy.facts.system import System, TimeSource
from bzzz_core.deploy.model_search import ModelSearch
from bzzz_core.deploy.reach import Matrix, Reached, State
from bzzz_core.deploy.steering import Steering
from bzzz_core.integrations.ai_endpoint import EndpointReport
from screens.setup.engine import Confirm, Emit, Look, LookState, Written

PHASES = ("create_account", "upload_release", "write_config", "start_fabric", "start_agent")
FINGERPRINT = "SHA256:" + "k" * 43


class FakeEngine:
    """Hosts whose key must be trusted first, and a run that goes well unless told otherwise."""

    def __init__(self, views: dict[str, StatusDocument | str] | None = None) -> None:
        """Take what the nodes will say of the cluster."""
        self.nodes = views or {}
        self.phases: tuple[str, ...] = ("probe", *PHASES)
        """Those of the run; it steps through `PHASES` whatever else is named."""
        self.failing: str | None = None
        """Host on which `upload_release` fails."""
        self.hold = asyncio.Event()
        """Cleared: a run stops before `start_fabric` until it is set."""
        self.hold.set()
        self.looked: list[str] = []
        self.closed = 0
        self.in_the_way: tuple[str, ...] = ()
        """Manifests that somebody changed by hand."""
        self.kits: list[tuple[str, Path, str]] = []
        self.waits = False
        """Whether a run waits for a word about a host that failed."""
        self.only_failed: list[bool] = []
        """What each run was asked."""
        self.followed: list[str] = []
        self.unreached = ""
        """Host that no other one reaches."""
        self.models_found = ModelSearch(addresses=1)
        """What a search of the network for model servers finds."""
        self.answering: tuple[str, ...] = ()
        """Addresses at which a sweep finds something."""
        self.applied: list[ClusterSpec] = []
        self.completions: tuple[Completion, ...] = (
            Completion(
                host="bzzz-1",
                endpoint="main",
                works=True,
                words="llama3:latest answers in 310 ms",
                latency_ms=310,
            ),
        )
        self.ai = EndpointReport(
            works=True,
            words="Ollama 0.9.0 answers in 12 ms with 2 models",
            models=("llama3:latest", "qwen3-coder:30b"),
        )

    @property
    def shared_phases(self) -> tuple[str, ...]:
        """Return none: every phase of the fake is about one host."""
        return ()

    async def look(self, spec: ClusterSpec, host: HostSpec) -> Look:
        """Ask for trust until the answers hold the fingerprint."""
        self.looked.append(host.name)
        if host.host_key_sha256 is None and not spec.security.ssh.accept_new_host_keys:
            words = "first contact: t trusts this key if `ssh-keygen -lf` there says so too"
            return Look(state=LookState.KEY_UNKNOWN, words=words, fingerprint=FINGERPRINT)
        return Look(
            state=LookState.READY,
            words="Debian GNU/Linux 12 (bookworm)",
            fingerprint=FINGERPRINT,
            facts=facts(),
            existing=Existing(Verdict.NONE, "no BZZZ yet"),
        )

    async def sweep(self, addresses: tuple[str, ...], port: int) -> tuple[str, ...]:
        """Return the addresses that were told to answer."""
        del port
        return tuple(address for address in addresses if address in self.answering)

    async def search_models(self, spec: ClusterSpec, facts: Mapping[str, HostFacts]) -> ModelSearch:
        """Return the servers that were told to be there."""
        del spec, facts
        return self.models_found

    async def reach(self, spec: ClusterSpec) -> Matrix:
        """Let everybody reach everybody but the host that was told to be out of reach."""
        return Matrix(
            tuple(
                Reached(
                    source=source.name,
                    target=target.name,
                    port=port,
                    state=State.SILENT if target.name == self.unreached else State.OPEN,
                    rtt_us=0 if target.name == self.unreached else 420,
                )
                for source in spec.hosts
                for target in spec.hosts
                for port in (4222, 6222)
                if source is not target
            )
        )

    def manifests(self, spec: ClusterSpec, *, replace: bool = False) -> Written:
        """Pretend to write."""
        taken = () if replace else self.in_the_way
        return Written(path=Path("/manifests") / spec.services.target, count=2, in_the_way=taken)

    async def apply(  # noqa: C901  one run, told from its beginning to its end
        self,
        spec: ClusterSpec,
        *,
        emit: Emit,
        confirm: Confirm,
        steering: Steering,
        only_failed: bool = False,
    ) -> None:
        """Probe, plan, ask, and step through the phases; wait for orders about who failed."""
        self.applied.append(spec)
        self.only_failed.append(only_failed)
        skipped: set[str] = set()
        names = [host.name for host in spec.hosts]
        for name in names:
            emit(Step(name, "probe", Status.UNCHANGED, 210, "Debian GNU/Linux 12, x86_64"))
        if not await confirm(plan(spec)):
            return
        failed = False
        for phase in PHASES:
            if phase == "start_fabric":
                await self.hold.wait()
            if steering.stopping:
                break
            for name in names:
                if (failed and name == self.failing) or name in skipped:
                    emit(Step(name, phase, Status.SKIPPED))
                    continue
                emit(Step(name, phase, Status.STARTED))
                if phase == "upload_release" and name == self.failing:
                    failed = True
                    detail = "no space on /opt: 12 MiB free, 64 MiB needed"
                    emit(Step(name, phase, Status.FAILED, 1_300, detail))
                    continue
                emit(Step(name, phase, Status.CHANGED, 1_200, f"{phase} done"))
            if failed and self.waits and phase == "upload_release" and self.failing:
                if await steering.to_retry([self.failing]):
                    failed = False
                    emit(Step(self.failing, phase, Status.STARTED))
                    emit(Step(self.failing, phase, Status.CHANGED, 900, "this time"))
                elif steering.skips(self.failing):
                    skipped.add(self.failing)
        results = tuple(
            HostResult(name, Result.FAILED if name == self.failing else Result.CHANGED, 5)
            for name in names
        )
        emit(Summary(results, 4 if failed else 0, 31_000, leader="bzzz-2", term=1))

    async def attach(self, run: Run, *, emit: Emit, steering: Steering) -> None:
        """Let a run that was begun elsewhere end at once."""
        del steering
        self.followed.append(run.id)
        emit(Began(run.id, 1))
        names = [host.name for host in run.spec().hosts]
        for name in names:
            for phase in PHASES:
                emit(Step(name, phase, Status.CHANGED, 1_200, f"{phase} done"))
        await self.hold.wait()
        emit(Summary(tuple(HostResult(name, Result.CHANGED, 5) for name in names), 0, 31_000))

    async def pending(self, spec: ClusterSpec) -> int:
        """Nothing is left to change."""
        del spec
        return 0

    async def views(self, cluster: str) -> dict[str, StatusDocument | str]:
        """Return what the nodes say."""
        del cluster
        return self.nodes

    async def export_kit(self, cluster: str, target: Path, passphrase: Secret) -> int:
        """Pretend to write, and remember what for."""
        self.kits.append((cluster, target, passphrase.reveal()))
        return 9

    async def complete_ai(self, spec: ClusterSpec) -> tuple[Completion, ...]:
        """Return the completions that were set."""
        del spec
        return self.completions

    async def close(self) -> None:
        """Count."""
        self.closed += 1

    async def examine_ai(self, endpoint: AiEndpoint) -> EndpointReport:
        """Return the report that was set."""
        del endpoint
        return self.ai


def facts() -> HostFacts:
    """Return a fit Debian host."""
    return HostFacts(
        uid=0,
        os_id="debian",
        os_version="12",
        os_name="Debian GNU/Linux 12 (bookworm)",
        arch="x86_64",
        cpus=8,
        memory_total_bytes=16 << 30,
        clock=Clock(3, 1),
        disks=(Disk("/opt", 91 << 30, 1_000_000, "/"),),
        addresses=("10.20.0.11",),
        cpu=Cpu(
            model="AMD EPYC 7313P",
            sockets=1,
            cores=8,
            threads=8,
            nodes=(NumaNode(0, "0-7"),),
            flags=("avx2",),
            allowed="0-7",
            quota_milli=0,
        ),
        memory=Memory(swap_total_bytes=2 << 30, swap_free_bytes=2 << 30, limit_bytes=0),
        devices=(BlockDevice(name="nvme0n1", kind="disk", size_bytes=960 << 30, rotating=False),),
        interfaces=(
            Interface(
                name="eno1",
                kind=InterfaceKind.PHYSICAL,
                state="up",
                carrier=True,
                speed_mbps=10_000,
                addresses=("10.20.0.11/24",),
            ),
        ),
        routing=Routing(
            routes=(Route(destination="0.0.0.0/0", gateway="10.20.0.1", interface="eno1"),)
        ),
        resolver=Resolver(servers=("10.20.0.2",)),
        firewall=Firewall(backend="none", active=False, ssh_allowed=True),
        time_source=TimeSource(synchronised=True, service="chronyd"),
        system=System(virtualisation="kvm", selinux="", package_lock="", reboot_required=False),
        gpus=(
            Gpu(
                slot="0000:01:00.0",
                vendor="nvidia",
                driver="nvidia",
                state=CardState.WORKING,
                name="NVIDIA L4",
                memory_total_bytes=23_034 << 20,
            ),
        ),
        gpu_drivers=(GpuDriver(vendor="nvidia", module="550.54.15", platform="12.4"),),
        docker=(),
        podman="",
        ai_servers=(),
        host_key_sha256=FINGERPRINT,
    )


def plan(spec: ClusterSpec) -> Plan:
    """Return a plan with one change a phase."""

    def change(phase: str, target: str, sentence: str) -> Change:
        return Change(
            phase=phase, action="create", target=target, before="", after="", sentence=sentence
        )

    each = (
        change("create_account", "bzzz", "create the system user bzzz"),
        change("upload_release", "/opt/bzzz/releases/0.1.0", "upload release 0.1.0 (52 MiB)"),
        change("write_config", "/etc/bzzz/agent.yaml", "write /etc/bzzz/agent.yaml"),
        change("start_fabric", "bzzz-fabric", "start and enable bzzz-fabric.service"),
        change("start_agent", "bzzz-agent", "start and enable bzzz-agent.service"),
    )
    return make_plan(
        cluster=spec.cluster.name,
        release="0.1.0",
        operator=(change("authorities", "ca", "create the two authorities"),),
        hosts={host.name: each for host in spec.hosts},
    )
