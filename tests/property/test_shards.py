"""Tests that take turns: none is left out for good, and none is in two parts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.shards import part_of


@given(st.integers(0, 50), st.integers(1, 12))
def test_the_parts_are_the_whole_and_share_nothing(count: int, shards: int) -> None:
    commits = [f"{number:08x}" for number in range(shards)]
    parts = [part_of(range(count), commit, shards) for commit in commits]
    assert sorted(one for part in parts for one in part) == list(range(count))


def test_without_a_commit_nothing_is_left_out() -> None:
    assert part_of(range(7), "", 3) == list(range(7))
