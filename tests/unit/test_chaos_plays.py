"""Which plays of a cell decide whether it held."""

from __future__ import annotations

import pytest

from tests.chaos.plays import AGAIN_S_MAX, LOST_MS, PLAYS_MAX, Expectation, Judge, Outcome


def held() -> Outcome:
    return Outcome("undisturbed", 40)


def broke(expected: Expectation = "undisturbed") -> Outcome:
    return Outcome(expected, 40, broken=["it follows nobody"], lost_ms=LOST_MS)


def away(expected: Expectation = "undisturbed") -> Outcome:
    return Outcome(expected, 40, broken=["it follows nobody"], lost_ms=LOST_MS + 1)


PLAYS = {"H": held, "B": broke, "A": away}


def judged(plays: str, *, strict: bool = False) -> bool:
    """Return whether the cell held after exactly these plays."""
    judge = Judge(strict=strict)
    for number, play in enumerate(plays, 1):
        decided = judge.take(PLAYS[play](), after_s=0.0)
        assert decided is (number == len(plays)), f"after play {number} of {plays}"
    return judge.verdict.broken == []


@pytest.mark.parametrize("plays", ["H", "BHH", "AH", "ABHH", "BAHH", "BHAHH", "AAAAH"])
def test_it_held(plays: str) -> None:
    assert judged(plays)


@pytest.mark.parametrize("plays", ["BB", "BHB", "BAB", "AAAAA", "AAABH", "BHAHA", "BAAAH"])
def test_it_broke(plays: str) -> None:
    """A doubt wants two plays in a row that hold, and a machine that is always away proves none."""
    assert PLAYS_MAX == 5
    assert not judged(plays)


def test_a_strict_judge_has_no_doubts() -> None:
    assert not judged("B", strict=True)
    assert not judged("AB", strict=True)
    assert judged("AH", strict=True)


def test_no_play_begins_when_time_is_up() -> None:
    for first in (broke(), away()):
        judge = Judge()
        assert judge.take(first, after_s=AGAIN_S_MAX + 1)
        assert judge.verdict is first
    judge = Judge()
    doubt = broke()
    assert not judge.take(doubt, after_s=1)
    assert judge.take(held(), after_s=AGAIN_S_MAX + 1)
    assert judge.verdict is doubt, "once is not enough after a doubt"


def test_safety_is_never_excused() -> None:
    judge = Judge()
    assert judge.take(away("waits"), after_s=0.0)
    assert judge.verdict.broken


def test_load_is_no_excuse_for_what_load_must_not_do() -> None:
    judge = Judge(load=True)
    assert judge.take(away(), after_s=0.0)
    assert judge.verdict.broken


@pytest.mark.parametrize("expected", ["replaced", "goes on", "heals"])
def test_what_has_seconds_of_time_is_not_excused_by_fractions_of_one(expected: Expectation) -> None:
    """It is in doubt like any other."""
    judge = Judge()
    assert not judge.take(away(expected), after_s=0.0)
    assert judge.take(away(expected), after_s=0.0)
    assert judge.verdict.broken
