"""P7: what membership costs a node, among three nodes and among a thousand.

All nodes run the real roster and service in one process, in virtual time; a tenth of them have a
load that jumps with every beat. CPU is the whole process's, divided by the nodes: what the broker
and its client library cost on top is linear in the messages, which are counted.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter

import pytest

from bzzz_core.model import NodeId
from tests.fakes import virtual_time
from tests.fakes.member_cluster import MemberCluster, SimulatedNode, in_cluster

SPAN_S = 20
WARM_S = 20
EDGE_BYTES_A_SECOND_MAX = 6_000


def cost(count: int) -> dict[str, float]:
    """Return what a node of a cluster of `count` costs a second."""
    spent: dict[str, float] = {}

    async def story(cluster: MemberCluster, _: asyncio.TaskGroup) -> None:
        await virtual_time.pass_s(WARM_S)
        hub = cluster.hub
        for counter in (hub.sent_bytes, hub.heard_bytes, hub.heard_messages):
            counter.clear()
        # A thousand rosters in one process: each node has one, and no other's to collect.
        gc.collect()
        gc.freeze()
        began_s = time.process_time()
        await virtual_time.pass_s(SPAN_S)
        spent["cpu_us_per_node"] = (time.process_time() - began_s) / SPAN_S / count * 1e6

        def mean(counter: Counter[NodeId], nodes: list[SimulatedNode]) -> float:
            return sum(counter[each.node] for each in nodes) / max(1, len(nodes)) / SPAN_S

        spent["edge_out_bytes"] = mean(hub.sent_bytes, cluster.edges)
        spent["edge_in_bytes"] = mean(hub.heard_bytes, cluster.edges)
        spent["voter_in_bytes_per_node"] = mean(hub.heard_bytes, cluster.voters) / count
        spent["voter_in_messages"] = mean(hub.heard_messages, cluster.voters)
        assert cluster.agrees()

    in_cluster(count, story, noisy=0.1)
    gc.unfreeze()
    return {name: round(value, 1) for name, value in spent.items()}


@pytest.mark.timeout(280)
def test_a_node_costs_the_same_among_three_and_among_a_thousand() -> None:
    """The sum over all nodes then grows linearly, and no voter drowns in beats."""
    costs = {count: cost(count) for count in (3, 10, 100, 1_000)}
    for count, spent in costs.items():
        print(count, "nodes, a second:", spent)
    small, large = costs[10], costs[1_000]
    assert large["cpu_us_per_node"] <= 2 * costs[3]["cpu_us_per_node"]
    assert large["edge_out_bytes"] <= 1.1 * small["edge_out_bytes"]
    assert large["edge_in_bytes"] <= EDGE_BYTES_A_SECOND_MAX
    assert large["voter_in_bytes_per_node"] <= small["voter_in_bytes_per_node"]
    assert large["voter_in_messages"] <= 275
