"""A figure, what was promised of it, and whether that holds: for `scripts/bench tui` and `agent`.

Goals are those of the specification and are meant for a quiet machine. The exit code says whether
all were met, so a release can be held by them; what is measured on a busy machine proves nothing,
and the load stands beside the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from bzzz_core import __version__

MISSED: Final = 1
"""Exit code: at least one goal was missed."""
Relation = Literal["<=", "<", ">="]


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure has to be."""

    relation: Relation
    limit: float

    def met_by(self, value: float) -> bool:
        """Return whether a figure is as it has to be."""
        if self.relation == "<=":
            return value <= self.limit
        return value < self.limit if self.relation == "<" else value >= self.limit

    def __str__(self) -> str:
        """Return it as a table shows it."""
        return f"{self.relation} {self.limit:,g}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure; without a goal it is told for comparison."""

    name: str
    value: float
    unit: str
    goal: Goal | None = None

    @property
    def met(self) -> bool | None:
        """Return whether the goal is met; None: there is none."""
        return None if self.goal is None else self.goal.met_by(self.value)

    def row(self) -> str:
        """Return it as a line of a table."""
        verdict = {None: "", True: "met", False: "MISSED"}[self.met]
        goal = "-" if self.goal is None else str(self.goal)
        return f"  {self.name:<58}{self.value:>10,.2f} {self.unit:<9}{goal:>10}  {verdict}".rstrip()

    def document(self) -> dict[str, object]:
        """Return it as data."""
        return {
            "name": self.name,
            "value": round(self.value, 3),
            "unit": self.unit,
            "goal": None if self.goal is None else {self.goal.relation: self.goal.limit},
            "met": self.met,
        }


def at_most(limit: float) -> Goal:
    """Return the goal not to be over a limit."""
    return Goal("<=", limit)


def below(limit: float) -> Goal:
    """Return the goal to stay under a limit."""
    return Goal("<", limit)


def at_least(limit: float) -> Goal:
    """Return the goal not to be under a limit."""
    return Goal(">=", limit)


def machine() -> dict[str, object]:
    """Return what a figure depends on."""
    return {
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": [round(one, 2) for one in os.getloadavg()],
    }


Sections = Mapping[str, Callable[[], Sequence[Figure]]]


def run(name: str, sections: Sections, arguments: Sequence[str] | None = None) -> int:
    """Measure section after section, print all figures, and return the exit code.

    Progress goes to standard error; standard output has one table, or with `--json` one object.
    """
    parser = argparse.ArgumentParser(prog=f"scripts/bench {name}")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--only", action="append", choices=list(sections))
    given = parser.parse_args(arguments)
    before = machine()
    found: dict[str, Sequence[Figure]] = {}
    for section, measure in sections.items():
        if given.only is None or section in given.only:
            print(f"measuring {section}", file=sys.stderr, flush=True)
            found[section] = measure()
    missed = [one.name for figures in found.values() for one in figures if one.met is False]
    if given.json:
        documents = {part: [one.document() for one in found[part]] for part in found}
        document = {"version": __version__, "machine": before, "figures": documents}
        print(json.dumps(document | {"missed": missed}))
    else:
        print(*(f"{key} {value}" for key, value in before.items()), sep=", ")
        for part, figures in found.items():
            print(part, *(one.row() for one in figures), sep="\n")
        print(f"{len(missed)} missed" if missed else "all goals met")
    return MISSED if missed else 0
