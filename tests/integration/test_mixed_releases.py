"""Voters one release apart work together: a rolling upgrade, and back again in the middle of it.

The wire between them is the election's messages, beats and certificates; the store between them is
the control stream; and an upgraded agent reads the files that the older one left.

Edges are upgraded last. How they hear of the cluster (digests, and where answers go) has changed in
this release: between the first upgraded voter and its own upgrade an edge may stand outside.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from bzzz_core.api.documents import Status
from tests.chaos.release import MixedCluster, previous_missing

pytestmark = pytest.mark.integration


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[MixedCluster]:
    """Three voters and an edge, all of the previous release, running."""
    reason = previous_missing()
    if reason:
        pytest.skip(reason)
    with MixedCluster(tmp_path, agents=4) as cluster:
        for agent in cluster.agents:
            cluster.start(agent, cluster.previous)
        yield cluster


def voters_well(status: Status) -> bool:
    return all(member.state == "alive" for member in status.members if member.voter)


def all_well(status: Status) -> bool:
    return all(member.state == "alive" for member in status.members)


def later(term: int, status: Status) -> bool:
    return status.term > term


async def upgraded_one_by_one(cluster: MixedCluster) -> None:
    before = await cluster.agreed(all_well)
    # The leader last of the voters, as an operator would; so it leads followers of both releases.
    order = sorted(cluster.agents, key=lambda a: (not a.voter, a.name == before.leader))
    for agent in order:
        cluster.stop(agent)
        cluster.start(agent, cluster.present)
        after = await cluster.agreed(voters_well, edges=False)
        assert after.term >= before.term
        before = after
    await cluster.agreed(all_well)


@pytest.mark.journey
def test_a_cluster_is_upgraded_node_by_node(cluster: MixedCluster) -> None:
    """At every step all agree on one serving leader and see each other alive."""
    asyncio.run(upgraded_one_by_one(cluster))


async def lost_leader_of_either_release(cluster: MixedCluster) -> None:
    before = await cluster.agreed(all_well)
    voters = {member.name for member in before.members if member.voter}
    follower = next(a for a in cluster.agents if a.name in voters - {before.leader})
    cluster.stop(follower)
    cluster.start(follower, cluster.present)
    before = await cluster.agreed(voters_well, edges=False)

    led = {cluster.named(before.leader).tree}
    for _ in range(6):
        if led == {cluster.previous, cluster.present}:
            return
        leader = cluster.named(before.leader)
        cluster.stop(leader, signal.SIGKILL)
        term = before.term
        await cluster.agreed(partial(later, term), edges=False)
        # It comes back as the other release: an upgrade, or a rollback.
        other = cluster.present if leader.tree == cluster.previous else cluster.previous
        cluster.start(leader, other)
        before = await cluster.agreed(voters_well, edges=False)
        led.add(cluster.named(before.leader).tree)
    raise AssertionError("one of the releases never led")


@pytest.mark.journey
def test_each_release_follows_a_leader_of_the_other(cluster: MixedCluster) -> None:
    """Leaders are killed until both releases have led; a killed one comes back as the other."""
    asyncio.run(lost_leader_of_either_release(cluster))
