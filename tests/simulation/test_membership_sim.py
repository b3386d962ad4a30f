"""Many members, real services, virtual time: rosters converge whatever was lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from bzzz_core.membership.beat import BEAT_SUBJECT, encode
from bzzz_core.model import MemberState
from tests.fakes import virtual_time
from tests.fakes.beats import beat
from tests.fakes.member_cluster import MemberCluster, in_cluster

DEAD, LEFT = MemberState.DEAD, MemberState.LEFT


async def until(condition: Callable[[], bool], within_s: float) -> float:
    """Return after how many seconds the condition held."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with asyncio.timeout(within_s):
        while not condition():
            await virtual_time.pass_s(0.1)
    return loop.time() - started


@pytest.mark.parametrize("count", [1, 2, 3, 8, 40])
def test_everybody_comes_to_know_everybody(count: int) -> None:
    async def story(cluster: MemberCluster, _: asyncio.TaskGroup) -> None:
        await until(cluster.agrees, 6)

    in_cluster(count, story)


def test_a_death_is_known_to_all_and_so_is_the_return() -> None:
    async def story(cluster: MemberCluster, group: asyncio.TaskGroup) -> None:
        await until(cluster.agrees, 6)
        victim = cluster.edges[0]
        cluster.stop(victim)
        await until(lambda: cluster.agrees(**{victim.node: DEAD}), 11)
        victim.incarnation += 1
        victim.service = victim.build()
        cluster.start(group, victim)
        await until(cluster.agrees, 6)

    in_cluster(12, story)


def test_whoever_leaves_on_purpose_is_shown_as_gone() -> None:
    async def story(cluster: MemberCluster, _: asyncio.TaskGroup) -> None:
        await until(cluster.agrees, 6)
        leaver = cluster.edges[0]
        await leaver.service.leave()
        cluster.stop(leaver)
        await until(lambda: cluster.agrees(**{leaver.node: LEFT}), 3)
        await virtual_time.pass_s(30)
        assert cluster.agrees(**{leaver.node: LEFT})

    in_cluster(12, story)


@pytest.mark.parametrize("place", [0, 1, 11], ids=["leader", "voter", "edge"])
@pytest.mark.parametrize("starts", [0, 1], ids=["copied counter", "later start"])
def test_a_node_outlives_a_goodbye_in_its_name(place: int, starts: int) -> None:
    """Once, so that two processes with one name do not go on against each other."""

    async def story(cluster: MemberCluster, _: asyncio.TaskGroup) -> None:
        await until(cluster.agrees, 6)
        living = cluster.nodes[place]
        subject = f"{BEAT_SUBJECT}.{living.node}"
        double = beat(
            living.node, incarnation=living.incarnation + starts, number=1_000, leaving=True
        )
        await cluster.hub.attach(living.node).publish(subject, encode(double))
        await virtual_time.pass_s(0.1)
        await until(cluster.agrees, 4)
        assert living.service.incarnation == double.incarnation + 1
        await virtual_time.pass_s(30)
        assert cluster.agrees()
        assert living.service.counters["outlived"] == 1

    in_cluster(12, story)


@pytest.mark.parametrize("seed", range(10))
def test_rosters_converge_after_loss_and_healing(seed: int) -> None:
    """A third of everything is lost and some nodes are cut off; afterwards all agree again."""

    async def story(cluster: MemberCluster, _: asyncio.TaskGroup) -> None:
        hub = cluster.hub
        await until(cluster.agrees, 6)
        for _round in range(3):
            hub.loss = 0.33
            hub.cut = set(hub.random.sample(cluster.ids, 5)) - {cluster.ids[0]}
            await virtual_time.pass_s(hub.random.uniform(2, 20))
        hub.loss, hub.cut = 0.0, set()
        await until(cluster.agrees, 12)

    in_cluster(30, story, seed=seed)


def test_a_new_leader_makes_nobody_ask_for_the_roster() -> None:
    """All edges asking at once would cost a new leader the square of the nodes."""

    async def story(cluster: MemberCluster, _: asyncio.TaskGroup) -> None:
        await until(cluster.agrees, 6)
        await virtual_time.pass_s(90)
        asked = sum(node.service.counters["rosters_asked"] for node in cluster.edges)
        old = cluster.nodes[0]
        cluster.stop(old)
        cluster.line.leader = cluster.nodes[1].node
        await until(lambda: cluster.agrees(**{old.node: DEAD}), 11)
        assert sum(node.service.counters["rosters_asked"] for node in cluster.edges) == asked

    in_cluster(40, story)


def test_only_the_leaders_digest_is_believed() -> None:
    async def story(cluster: MemberCluster, _: asyncio.TaskGroup) -> None:
        await until(cluster.agrees, 6)
        deposed = cluster.nodes[1]
        deposed.service._leads = lambda: True
        await virtual_time.pass_s(5)
        edge = cluster.edges[0].service
        assert edge.counters["digests_ignored"] >= 4
        assert cluster.agrees()

    in_cluster(8, story)


def test_a_lost_counter_is_found_again() -> None:
    """The disk with the incarnation is gone; others remember 7, so the node goes on from there."""

    async def story(cluster: MemberCluster, group: asyncio.TaskGroup) -> None:
        for node in cluster.nodes:
            node.incarnation = 7
        cluster.stop()
        await virtual_time.pass_s(0)
        for node in cluster.nodes:
            node.service = node.build()
        cluster.start(group)
        await until(cluster.agrees, 6)
        for lost in (cluster.voters[1], cluster.edges[0]):
            cluster.stop(lost)
            await until(lambda lost=lost: cluster.agrees(**{lost.node: DEAD}), 12)
            lost.incarnation = 1
            lost.service = lost.build()
            cluster.start(group, lost)
            await until(cluster.agrees, 12)
            assert lost.service.incarnation == 8

    in_cluster(8, story)


def test_numbers_of_what_the_leader_published_reach_everyone_at_once() -> None:
    async def story(cluster: MemberCluster, _: asyncio.TaskGroup) -> None:
        await until(cluster.agrees, 6)
        leader = cluster.nodes[0]
        leader.versions["registry"] = 12
        leader.service.hurry()
        await virtual_time.pass_s(0.01)
        assert all(node.heard_versions == {"registry": 12} for node in cluster.nodes[1:])

    in_cluster(20, story)


def test_nodes_are_enrolled_and_revoked_while_all_runs() -> None:
    async def story(cluster: MemberCluster, group: asyncio.TaskGroup) -> None:
        await until(cluster.agrees, 6)
        gone, kept = cluster.edges[0], cluster.ids
        cluster.ids = tuple(node for node in kept if node != gone.node)
        for node in cluster.nodes:
            node.service.reconfigure(cluster.ids, edge=not node.voter)
        cluster.stop(gone)
        await until(cluster.agrees, 4)
        cluster.ids = kept
        for node in cluster.nodes:
            node.service.reconfigure(kept, edge=not node.voter)
        gone.service = gone.build()
        cluster.start(group, gone)
        await until(cluster.agrees, 6)

    in_cluster(12, story)


def test_an_edge_becomes_a_voter_while_it_runs() -> None:
    async def story(cluster: MemberCluster, _: asyncio.TaskGroup) -> None:
        await until(cluster.agrees, 6)
        grown = cluster.edges[0]
        grown.voter = True
        for node in cluster.nodes:
            node.service.reconfigure(cluster.ids, edge=not node.voter)
        await virtual_time.pass_s(5)
        heard = grown.service.counters["beats_heard"]
        await virtual_time.pass_s(5)
        assert grown.service.counters["beats_heard"] >= heard + 4 * len(cluster.nodes)
        assert cluster.agrees()

    in_cluster(4, story)
