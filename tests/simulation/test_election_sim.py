"""The election under every fault we could think of: 200 histories by default.

`SEED=123 scripts/simulate` replays one; `SEEDS=100000 scripts/simulate` looks further.
"""

import os

import pytest

from tests.simulation.election_sim import World

DEFAULT = "5000" if "BZZZ_TEST_FULL" in os.environ else "200"
SEEDS = range(int(os.getenv("SEEDS", DEFAULT)))
if "SEED" in os.environ:
    SEEDS = range(int(os.environ["SEED"]), int(os.environ["SEED"]) + 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_one_leader_per_term_and_a_serving_leader_in_the_end(seed: int) -> None:
    """Whatever the faults, no term has two leaders and nobody leads beside another."""
    World(seed).run()


def test_the_same_seed_is_the_same_history() -> None:
    """A seed is a complete bug report."""
    first, second = World(7), World(7)
    assert first.run() == second.run()
    assert len(first.history) > 1
