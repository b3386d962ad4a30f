"""Which plays of a cell decide whether it held."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chaos import matrix
from tests.chaos.matrix import DISTURBED_MS, PLAYS_MAX, Cell, Outcome, cells, play

HELD = Outcome("undisturbed", 40)
BROKE = Outcome("undisturbed", 40, broken=["it follows nobody"], lost_ms=DISTURBED_MS)
KEPT = Outcome("undisturbed", 40, broken=["it follows nobody"], lost_ms=DISTURBED_MS + 1)
LATE = Outcome("undisturbed", 40, broken=["it follows nobody"], late_ms=DISTURBED_MS + 1)


class Told:
    """Takes what a nemesis would tell."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        """Keep a line."""
        self.lines.append(line)


def cell(name: str = "cut-of-follower") -> Cell:
    return next(one for one in cells() if one.name == name)


@pytest.mark.parametrize(
    ("plays", "strict", "held"),
    [
        ([HELD], False, True),
        ([BROKE, HELD, HELD], False, True),
        ([BROKE, BROKE], False, False),
        ([BROKE, HELD, BROKE], False, False),
        ([BROKE], True, False),
        ([KEPT, HELD], False, True),
        ([LATE, HELD], True, True),
        ([KEPT, BROKE, HELD, KEPT, HELD], False, True),
        ([KEPT] * PLAYS_MAX, False, False),
    ],
)
def test_a_cell_is_played_until_that_is_decided(
    monkeypatch: pytest.MonkeyPatch, *, plays: list[Outcome], strict: bool, held: bool
) -> None:
    outcome, told, left = decided(monkeypatch, plays, cell(), strict=strict)
    assert (outcome.broken == []) is held
    assert left == []
    assert len(told) == len(plays) - 1, "each play that was not the last is told"


@pytest.mark.parametrize("name", ["cut-of-both", "busy-of-all"])
def test_what_is_about_safety_or_load_is_played_once(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    outcome, told, left = decided(monkeypatch, [KEPT, HELD], cell(name), strict=False)
    assert outcome is KEPT
    assert (told, left) == ([], [HELD])


def decided(
    monkeypatch: pytest.MonkeyPatch, plays: list[Outcome], of: Cell, *, strict: bool
) -> tuple[Outcome, list[str], list[Outcome]]:
    """Return what was decided, what was told, and which plays were not needed."""
    script: Iterator[Outcome] = iter(plays)

    async def once(*_: Any) -> Outcome:
        return next(script)

    monkeypatch.setattr(matrix, "_play_once", once)
    told = Told()
    unused: Any = None
    nemesis: Any = told
    outcome = asyncio.run(play(unused, of, nemesis, strict=strict))
    return outcome, told.lines, list(script)
