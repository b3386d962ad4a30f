"""Who is fit to lead."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bzzz_core.election.score import Capability, score

IDLE = Capability(
    uptime_s=7_200,
    load_1m=0.0,
    cpu_count=8,
    memory_used_bytes=2_000_000_000,
    memory_total_bytes=16_000_000_000,
)
UNKNOWN = Capability(
    uptime_s=None, load_1m=None, cpu_count=None, memory_used_bytes=None, memory_total_bytes=None
)


def test_a_known_node_has_the_score_of_the_formula() -> None:
    """20 x 2/3 + 30 + 30 x 7/8 + 20 x log2(9)/log2(65), halved."""
    assert score(IDLE) == 40


@pytest.mark.parametrize(
    "change",
    [
        {"uptime_s": 60},
        {"load_1m": 8.0},
        {"cpu_count": 2, "load_1m": 0.0},
        {"memory_used_bytes": 15_000_000_000},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_lesser_node_scores_less(change: dict[str, float]) -> None:
    """Each part counts."""
    assert score(replace(IDLE, **change)) < score(IDLE)  # type: ignore[arg-type]


def test_preference_goes_before_fitness() -> None:
    """The operator's word is worth more than any machine."""
    assert score(replace(UNKNOWN, preferred=True)) >= 50 > score(IDLE)
    assert score(replace(IDLE, preferred=True)) == 90


def test_what_a_node_does_not_know_counts_nothing() -> None:
    """A node that knows itself is the safer choice."""
    assert score(UNKNOWN) == 0


@given(
    st.builds(
        Capability,
        uptime_s=st.none() | st.floats(-1e9, 1e12),
        load_1m=st.none() | st.floats(-1, 1e6),
        cpu_count=st.none() | st.integers(-1, 4096),
        memory_used_bytes=st.none() | st.integers(0, 2**60),
        memory_total_bytes=st.none() | st.integers(0, 2**60),
        preferred=st.booleans(),
    )
)
def test_a_score_is_a_whole_number_from_0_to_100(node: Capability) -> None:
    """It travels in messages that allow nothing else."""
    assert 0 <= score(node) <= 100
    assert score(node) == int(score(node))
