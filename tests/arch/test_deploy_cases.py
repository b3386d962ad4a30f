"""The table of deploy cases names tests that are there, for every case."""

from __future__ import annotations

import re

from tests.arch.tree import ROOT

PAGE = ROOT / "docs" / "deploy-cases.md"
CASES = 24
_TEST = re.compile(r"`(\w+/\w+\.py)::(\w+)`")
_ROW = re.compile(r"^\| (\d+) \|", re.MULTILINE)


def _named(text: str) -> list[tuple[str, str]]:
    return _TEST.findall(text)


def test_every_case_names_a_test() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if _ROW.match(line)]
    assert [int(row.split("|")[1]) for row in rows] == list(range(1, CASES + 1))
    assert [row[:40] for row in rows if not _named(row)] == []


def test_every_test_that_is_named_is_there() -> None:
    named = _named(PAGE.read_text())
    assert len(named) > CASES
    assert [f"{file}::{name}" for file, name in named if not _is_there(file, name)] == []


def test_nothing_else_is_written_like_a_test_and_is_none() -> None:
    """A slip of the pen would keep a name out of the check above."""
    text = PAGE.read_text()
    assert text.count("::") == len(_named(text))


def _is_there(file: str, name: str) -> bool:
    path = ROOT / "tests" / file
    if not path.is_file():
        return False
    return re.search(rf"^(async )?def {name}\(", path.read_text(), re.MULTILINE) is not None
