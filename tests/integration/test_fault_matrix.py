"""Every fault against every target, on a real cluster whose hosts have networks of their own.

A run plays the shard that its commit chooses, and says which; `scripts/test --full` plays all.
After each cell the checker judges everything that happened since the cluster was started, so a cell
also answers for what the cells before it left behind.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator

import pytest

from tests.chaos.cluster import ChaosCluster
from tests.chaos.matrix import (
    FULL_BUSY_S,
    SHARDS,
    Cell,
    cells,
    chosen,
    play,
)
from tests.chaos.nemesis import Nemesis
from tests.chaos.plays import Outcome
from tests.chaos.verdict import Verdict, judge, judge_at_the_end
from tests.shards import head, in_words

pytestmark = [pytest.mark.integration, pytest.mark.netns]
FULL = "BZZZ_TEST_FULL" in os.environ
CELLS = cells(busy_s=FULL_BUSY_S) if FULL else chosen(head())


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[ChaosCluster]:
    """Three voters, each on a disk of its own that can be filled, and an edge."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    which = "all" if FULL else in_words(head(), SHARDS)
    with capture.global_and_fixture_disabled():
        print(f"\nfault matrix: {len(CELLS)} of {len(cells())} cells ({which})")  # noqa: T201
    with ChaosCluster(tmp_path_factory.mktemp("chaos"), nodes=4, small_disks=3) as cluster:
        yield cluster


async def played(cluster: ChaosCluster, cell: Cell) -> tuple[Outcome, list[str], Verdict]:
    async with cluster.looked_after():
        outcome, told = await play(cluster, cell, Nemesis(cluster, say=print), strict=FULL)
        return outcome, told, await judge(cluster)


@pytest.mark.timeout(FULL_BUSY_S + 300)
@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_the_cluster_does_what_the_matrix_says(
    cluster: ChaosCluster, cell: Cell, aloud: Callable[[Iterable[str]], None]
) -> None:
    """Whatever breaks: nothing acknowledged is lost, and the expected happens in time."""
    outcome, told, verdict = asyncio.run(played(cluster, cell))
    aloud(told)
    print(outcome)  # noqa: T201  shown when the test fails, or with -s
    assert outcome.broken == []
    assert verdict.violations == []
    assert verdict.ended_by_themselves == []


def test_all_replicas_hold_the_same_log_after_all_of_that(cluster: ChaosCluster) -> None:
    """Read through one broker after the other, when nothing is written any more."""
    verdict = asyncio.run(judge_at_the_end(cluster))
    assert verdict.violations == []
    assert verdict.replicas_read == 3
    assert verdict.operations["written"] > 100
