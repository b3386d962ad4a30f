"""When the steward looks at the brokers: seldom while all is well, at once after a change."""

from __future__ import annotations

import asyncio
from typing import cast

from bzzz_core.config.schema import AgentConfig
from bzzz_core.enrolment.registry import EnrolledNode, Registry, node_id_of
from bzzz_core.growth.steward import GLANCE_MS, IDLE_MS, NOT_LEADING_MS, Steward
from bzzz_core.model import ClusterId, NodeId, Voter, VoterSet
from tests.fakes.virtual_time import VirtualClock, pass_s, run

KEYS = [number.to_bytes(32, "big") for number in range(3)]
NODES = tuple(
    sorted(
        EnrolledNode(id=node_id_of(k), name=f"n{n}", public_key=k, address="127.0.0.1", voter=True)
        for n, k in enumerate(KEYS)
    )
)


class CountedSteward(Steward):
    """Notes when it looks instead of asking brokers; all is always well."""

    def __init__(self, cluster: Cluster) -> None:
        self.looks_ms: list[int] = []
        super().__init__(
            me=NODES[0].id,
            config=lambda: cast("AgentConfig", None),
            clock=VirtualClock(),
            leads=lambda: cluster.leads,
            registry=lambda: cluster.registry,
            committed=lambda: cluster.committed,
            alive=lambda node: node not in cluster.dead,
            set_voters=lambda _voters: asyncio.sleep(0),
            commit=lambda _voters: asyncio.sleep(0),
        )

    async def _look(self) -> bool:
        self.looks_ms.append(VirtualClock().now_ms())
        return False


class Cluster:
    def __init__(self) -> None:
        self.leads = True
        self.dead: set[NodeId] = set()
        self.registry = Registry(cluster=ClusterId("c" * 16), version=0, nodes=NODES)
        self.committed = VoterSet(tuple(Voter(n.id, n.name, n.public_key) for n in NODES))


def looks(after_ms: int, change: str) -> list[int]:
    """Return when it looked, if `change` happened a bit after its first look."""
    cluster = Cluster()
    steward = CountedSteward(cluster)

    async def story() -> None:
        running = asyncio.create_task(steward.run())
        await pass_s(GLANCE_MS * 1.5 / 1000)
        match change:
            case "somebody died":
                cluster.dead.add(NODES[1].id)
            case "somebody left":
                cluster.registry = Registry(
                    cluster=cluster.registry.cluster, version=1, nodes=NODES[:2]
                )
            case "other voters":
                cluster.committed = VoterSet(cluster.committed.voters[:1])
            case "deposed and back":
                cluster.leads = False
                await pass_s(NOT_LEADING_MS * 1.2 / 1000)
                cluster.leads = True
        await pass_s(after_ms / 1000)
        running.cancel()

    run(story())
    return steward.looks_ms


def test_while_all_is_well_it_looks_seldom() -> None:
    assert looks(2 * IDLE_MS, "nothing") == [0, IDLE_MS, 2 * IDLE_MS]


def test_whatever_changes_is_looked_at_within_a_glance() -> None:
    for change in ("somebody died", "somebody left", "other voters"):
        assert looks(GLANCE_MS, change) == [0, 2 * GLANCE_MS], change


def test_a_new_term_begins_with_a_look() -> None:
    _, again = looks(2 * GLANCE_MS, "deposed and back")
    assert again < IDLE_MS
