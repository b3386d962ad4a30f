"""The plan of a chaos run: from its seed, and with everything in it that can break."""

from __future__ import annotations

from itertools import islice
from typing import get_args

import pytest

from tests.chaos.faults import Kind
from tests.chaos.matrix import SHARDS, Cell, cells, chosen
from tests.chaos.schedule import HOLD_S, Step, steps
from tests.shards import shard_of


def plan(seed: int, *, edges: bool = True) -> list[Step]:
    return list(islice(steps(seed, edges=edges), 400))


def test_a_seed_names_the_whole_plan() -> None:
    assert plan(7) == plan(7)
    assert plan(7) != plan(8)


def test_every_kind_of_fault_comes_sooner_or_later() -> None:
    assert {fault.kind for step in plan(1) for fault in step.faults} == set(get_args(Kind))


def test_a_cluster_without_edges_has_none_of_them_broken() -> None:
    assert all(f.target != "edge" for step in plan(1, edges=False) for f in step.faults)


def test_faults_last_from_a_blink_to_longer_than_most_limits() -> None:
    held = [step.hold_s for step in plan(1)]
    low, high = HOLD_S
    assert low <= min(held) < 1
    assert 10 < max(held) <= high


COMMITS = [f"{number:040x}"[-8:] + "0" * 32 for number in range(SHARDS)]


def test_all_shards_together_are_the_whole_matrix() -> None:
    """Nothing is left out for good: another commit plays it."""
    assert {shard_of(commit, SHARDS) for commit in COMMITS} == set(range(SHARDS))
    played = {cell.name for commit in COMMITS for cell in chosen(commit)}
    assert played == {cell.name for cell in cells()}


@pytest.mark.parametrize("commit", COMMITS)
def test_each_run_plays_faults_of_many_kinds(commit: str) -> None:
    """A shard takes cells from the whole matrix, not all from one corner."""
    taken = chosen(commit)
    assert len({cell.name for cell in taken}) == len(taken) <= -(-len(cells()) // SHARDS) + 1
    assert len({cell.fault.kind for cell in taken}) >= 4
    assert {"replaced", "waits"} <= {cell.expect for cell in taken}


def test_cells_have_names_of_their_own() -> None:
    names = [cell.name for cell in cells()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("cell", cells(), ids=lambda cell: cell.name)
def test_what_is_left_decides_what_is_expected(cell: Cell) -> None:
    """With leader and stream's leader gone two of three are gone: nobody may be acknowledged."""
    if cell.expect == "waits":
        assert cell.fault.target == "both"
    if cell.expect == "replaced":
        assert cell.fault.target == "leader"
