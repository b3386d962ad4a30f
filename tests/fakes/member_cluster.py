"""Many members in one process: real rosters and services on a counted fabric, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from bzzz_core.config.sections import RosterTimings
from bzzz_core.membership.beat import Capabilities, Report
from bzzz_core.membership.events import Changed
from bzzz_core.membership.machine import Roster
from bzzz_core.membership.service import MembershipService
from bzzz_core.model import MemberState, NodeId, Sample
from tests.fakes import virtual_time
from tests.fakes.counted_fabric import CountedHub, LeaderLine
from tests.fakes.virtual_time import VirtualClock

TIMINGS = RosterTimings(beat_ms=1_000, suspect_ms=3_000, dead_ms=8_000)
MODELS = ("llama3:70b", "qwen2.5-coder:32b", "nomic-embed-text")


@dataclass(eq=False)
class SimulatedNode:
    """One member and what its agent would know."""

    node: NodeId
    voter: bool
    cluster: MemberCluster
    incarnation: int = 1
    voter_count: int = 0
    noisy: bool = False
    changes: list[Changed] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)
    """What this node publishes while it leads."""
    heard_versions: dict[str, int] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.clock = VirtualClock()
        self.service = self.build()

    def build(self) -> MembershipService:
        """Return a service as the composition root builds it."""
        cluster = self.cluster
        line = cluster.line
        service = MembershipService(
            Roster(
                TIMINGS, me=self.node, nodes=cluster.ids, edge=not self.voter, now_ms=cluster.now_ms
            ),
            me=self.node,
            fabric=cluster.hub.attach(self.node),
            clock=self.clock,
            beat_ms=TIMINGS.beat_ms,
            edge=not self.voter,
            incarnation=self.incarnation,
            outlive=self._outlive,
            report=self._report,
            leader=lambda: line.leader,
            leads=lambda: line.leader == self.node,
            proof=lambda: b"proof" * 60,
            on_proof=lambda _: None,
            ask=lambda body: line.ask(self.node, body),
            versions=lambda: self.versions,
            on_versions=self._on_versions,
            notify=self.changes.append,
        )
        line.handlers[self.node] = service.answer
        return service

    def states(self) -> dict[NodeId, MemberState]:
        """Return what this node believes of everybody."""
        return {member.node: member.state for member in self.service.members()}

    def _outlive(self, seen: int) -> int:
        self.incarnation = seen + 1
        return self.incarnation

    def _on_versions(self, versions: Mapping[str, int]) -> None:
        self.heard_versions = dict(versions)

    def _report(self) -> Report:
        load = self.cluster.hub.random.uniform(0, 100) if self.noisy else 3.0
        return Report(
            name=f"host-{self.node[:8]}",
            address="192.0.2.17",
            version="0.1.0",
            uptime_s=1_000,
            voter=self.voter,
            sample=Sample(
                cpu_percent=load,
                cpu_count=16,
                load_1m=0.5,
                memory_used_bytes=3_000_000_000,
                memory_total_bytes=64_000_000_000,
            ),
            broker=f"{self.node}-0a1b2c3d",
            capabilities=Capabilities(models=MODELS, languages=("python", "go", "rust")),
        )


class MemberCluster:
    """`count` nodes, of which the first 1, 3 or 5 vote; the first one leads."""

    def __init__(self, count: int, *, seed: int = 0, noisy: float = 0.0) -> None:
        """Lay out the nodes; `noisy` is the share whose load jumps with each beat."""
        self.hub = CountedHub(seed)
        self.line = LeaderLine(self.hub)
        self.ids = tuple(NodeId(f"{number:04}".rjust(26, "n")) for number in range(count))
        self.now_ms = 0
        voters = 1 if count < 3 else 3 if count < 5 else 5
        self.nodes = [
            SimulatedNode(node, place < voters, self) for place, node in enumerate(self.ids)
        ]
        for place, each in enumerate(self.nodes):
            each.noisy = place % 100 < noisy * 100
        self.line.leader = self.ids[0]

    @property
    def voters(self) -> list[SimulatedNode]:
        """Return the nodes that vote."""
        return [node for node in self.nodes if node.voter]

    @property
    def edges(self) -> list[SimulatedNode]:
        """Return the others."""
        return [node for node in self.nodes if not node.voter]

    def start(self, group: asyncio.TaskGroup, *nodes: SimulatedNode) -> None:
        """Run the services of `nodes`, or of all."""
        for node in nodes or self.nodes:
            node.task = group.create_task(node.service.run())

    def stop(self, *nodes: SimulatedNode) -> None:
        """End the services of `nodes`, or of all."""
        for node in nodes or self.nodes:
            if node.task is not None:
                node.task.cancel()
                node.task = None

    def agrees(self, **states: MemberState) -> bool:
        """Return whether every running node believes the same: alive, but for `states` by id."""
        expected = {node: states.get(node, MemberState.ALIVE) for node in self.ids}
        return all(node.states() == expected for node in self.nodes if node.task is not None)


def in_cluster(
    count: int,
    story: Callable[[MemberCluster, asyncio.TaskGroup], Awaitable[None]],
    *,
    seed: int = 0,
    noisy: float = 0.0,
) -> None:
    """Run `story` with all nodes running."""

    async def main() -> None:
        cluster = MemberCluster(count, seed=seed, noisy=noisy)
        async with asyncio.TaskGroup() as group:
            cluster.start(group)
            await story(cluster, group)
            cluster.stop()

    virtual_time.run(main())
