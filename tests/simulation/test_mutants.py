"""Proves the simulator: every planted bug must be noticed by it.

A mutant names a seed that shows it (`seed`), tried first. When a change has made that seed another
history, the search goes on through the others; `scripts/simulate --mutants` prints what it finds,
so that the list can be brought up to date.
"""

from types import ModuleType

import pytest

from tests.simulation.election_sim import Broken, World
from tests.simulation.mutation import Mutant, load_mutants, planted

SEEDS_MAX = 600


def find_death(mutant: Mutant) -> tuple[int, str] | None:
    """Return the first seed tried that notices the bug, and how."""
    seeds = [mutant.seed, *range(SEEDS_MAX)]
    with planted(mutant) as module:
        for seed in seeds:
            broken = run(seed, module)
            if broken is not None:
                return seed, broken
    return None


def run(seed: int, module: ModuleType) -> str | None:
    """Return what broke."""
    try:
        World(seed, module).run()
    except (Broken, AssertionError, KeyError, ValueError) as exc:
        return f"{type(exc).__name__}: {exc}"
    return None


@pytest.mark.parametrize("mutant", load_mutants(), ids=lambda mutant: mutant.name)
def test_the_simulation_notices_that(mutant: Mutant) -> None:
    """A simulation that lets a planted bug live would let a real one live, too."""
    death = find_death(mutant)
    assert death is not None, f"{SEEDS_MAX} seeds did not notice: {mutant.name}"
    print(f"\nseed {death[0]}: {death[1]}")  # noqa: T201  shown with -s


def test_a_copy_without_a_bug_is_as_good_as_the_original() -> None:
    """Else the copies would die of being copies."""
    harmless = Mutant(
        "none",
        "state.py",
        0,
        (("TERM_JUMP_MAX: Final = 1_000_000", "TERM_JUMP_MAX: Final = 1_000_001"),),
    )
    with planted(harmless) as module:
        assert World(3, module).run() == World(3).run()
