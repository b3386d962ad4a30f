"""What `scripts/bench tui` and `agent` make of figures: verdicts, a table, an exit code."""

from __future__ import annotations

import json

import pytest

from tests.bench.measuring.figures import Figure, Goal, at_least, at_most, below, run


@pytest.mark.parametrize(
    ("goal", "value", "met"),
    [
        (at_most(5), 5.0, True),
        (at_most(5), 5.01, False),
        (below(5), 5.0, False),
        (below(5), 4.99, True),
        (at_least(10), 10.0, True),
        (at_least(10), 9.9, False),
        (None, 1.0, None),
    ],
)
def test_a_goal_is_met_or_not(*, goal: Goal | None, value: float, met: bool | None) -> None:
    assert Figure("tick", value, "ms", goal).met is met


GOOD = Figure("tick", 1.2345, "ms", at_most(5))
BAD = Figure("start", 130.0, "ms", at_most(120))
TOLD = Figure("filter", 250.0, "ms")


def test_a_missed_goal_is_named_and_ends_in_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("x", {"table": lambda: [GOOD, TOLD], "start": lambda: [BAD]}, []) == 1
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["tick", "1.23", "ms", "<=", "5", "met"] in lines
    assert ["filter", "250.00", "ms", "-"] in lines
    assert ["start", "130.00", "ms", "<=", "120", "MISSED"] in lines
    assert lines[-1] == ["1", "missed"]


def test_the_document_is_one_object_and_met_goals_end_in_0(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sections = {"table": lambda: [GOOD], "start": lambda: [BAD]}
    assert run("x", sections, ["--json", "--only", "table"]) == 0
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert document["figures"] == {
        "table": [{"name": "tick", "value": 1.234, "unit": "ms", "goal": {"<=": 5}, "met": True}]
    }
    assert document["missed"] == []
    assert {"cores", "load"} <= set(document["machine"])
    assert said.err == "measuring table\n"
