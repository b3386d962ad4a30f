"""Where the time of a run went is told by folder, with the tests that the time limit ended."""

from __future__ import annotations

from dataclasses import dataclass

from tests.spent import Spent


@dataclass
class Watch:
    """A clock that a test sets."""

    at_s: float = 0.0

    def now_s(self) -> float:
        return self.at_s


def test_seconds_are_told_by_folder_in_the_order_of_the_run() -> None:
    watch = Watch()
    spent = Spent(watch.now_s)
    for test, takes_s in (
        ("tests/unit/test_a.py::test_1", 2),
        ("tests/unit/deep/test_b.py::test_1[x/y]", 3),
        ("tests/testbed/test_c.py::test_1", 1200),
    ):
        spent.begin(test)
        watch.at_s += takes_s
        spent.end(test)
    assert spent.lines() == ["      5 s  tests/unit, 2 tests", "   1200 s  tests/testbed, 1 tests"]


def test_tests_that_were_ended_count_and_are_named() -> None:
    watch = Watch()
    spent = Spent(watch.now_s)
    spent.begin("tests/tui/test_c.py::test_1")
    watch.at_s += 300
    spent.begin("tests/tui/test_d.py::test_1")
    watch.at_s += 600
    assert spent.lines() == [
        "   1500 s  tests/tui, 2 tests",
        "ended in tests/tui/test_c.py::test_1",
        "ended in tests/tui/test_d.py::test_1",
    ]
