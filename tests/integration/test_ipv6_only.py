"""Hosts with no IPv4 address but on their own loopback form a cluster and survive in it (Q9)."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.cluster import ChaosCluster
from tests.chaos.matrix import STREAM_S, cells, play
from tests.chaos.nemesis import Nemesis
from tests.chaos.network import SYSTEM_PATH
from tests.chaos.verdict import judge

pytestmark = [pytest.mark.integration, pytest.mark.netns]
PLAYED = ("kill-machine-of-leader", "cut-of-follower")


def ipv4_of(cluster: ChaosCluster, number: int) -> str:
    """Return the IPv4 addresses of a host's link to the others, one a line."""
    command = cluster.network.inside(number, ["ip", "-4", "-o", "address", "show", "dev", "eth0"])
    answer = subprocess.run(
        command, check=True, capture_output=True, text=True, env={"PATH": SYSTEM_PATH}
    )
    return answer.stdout


@pytest.mark.journey
@pytest.mark.timeout(600)
def test_a_cluster_elects_loses_its_leader_and_heals_without_ipv4(
    tmp_path: Path, aloud: Callable[[Iterable[str]], None]
) -> None:
    async def story(cluster: ChaosCluster) -> None:
        async with cluster.looked_after():
            await cluster.roles()
            # How quick it is, the fault matrix says; here the brokers may have just begun.
            chosen = [replace(c, within_s=STREAM_S) for c in cells() if c.name in PLAYED]
            assert len(chosen) == len(PLAYED)
            for cell in chosen:
                outcome, told = await play(
                    cluster,
                    cell,
                    Nemesis(cluster, say=print),
                    strict="BZZZ_TEST_FULL" in os.environ,
                )
                aloud(told)
                assert outcome.broken == [], outcome
            assert (await judge(cluster)).violations == []

    with ChaosCluster(tmp_path / "chaos", nodes=4, ipv6=True) as cluster:
        assert [ipv4_of(cluster, number) for number in range(4)] == [""] * 4
        asyncio.run(story(cluster))
