"""The published vectors and the tables of the format page say what the program does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bzzz_core.errors import AddressError
from bzzz_core.ucxl.address import Address, normalize, parse
from bzzz_core.ucxl.field import Field
from bzzz_core.ucxl.pattern import matches, search
from bzzz_core.ucxl.temporal import Temporal, choose

ROOT = Path(__file__).resolve().parents[2]
VECTORS: dict[str, Any] = json.loads((ROOT / "tests/vectors/ucxl.json").read_text("utf-8"))
PAGE = (ROOT / "docs/formats/ucxl.md").read_text("utf-8")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def shown(field: Field) -> object:
    return field if isinstance(field, str) else {"wildcard": field.value}


def described(text: str) -> dict[str, object]:
    address = parse(text)
    return {
        "text": text,
        "normal": str(address),
        "agent": shown(address.agent),
        "role": shown(address.role),
        "project": shown(address.project),
        "task": shown(address.task),
        "path": [shown(segment) for segment in address.path],
        "temporal": str(address.temporal),
    }


def rows(heading: str, columns: int) -> Iterator[tuple[str, ...]]:
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in section.splitlines() if "`" in line]
    return (tuple(c.strip().strip("`") for c in row) for row in cells if len(row) == columns)


@pytest.mark.parametrize("vector", VECTORS["valid"], ids=lambda v: v["text"][:50])
def test_valid_vector(vector: dict[str, object]) -> None:
    assert described(str(vector["text"])) == vector
    assert normalize(str(vector["normal"])) == vector["normal"]


@pytest.mark.parametrize("vector", VECTORS["invalid"], ids=lambda v: v["because"])
def test_invalid_vector(vector: dict[str, object]) -> None:
    with pytest.raises(AddressError) as caught:
        parse(str(vector["text"]))
    assert caught.value.position == vector["position"], str(caught.value)


@pytest.mark.parametrize("vector", VECTORS["match"], ids=lambda v: f"{v['pattern']} {v['address']}")
def test_match_vector(vector: dict[str, Any]) -> None:
    assert matches(parse(vector["pattern"]), parse(vector["address"])) is vector["match"]


@pytest.mark.parametrize("vector", VECTORS["choose"], ids=lambda v: v["temporal"])
def test_choose_vector(vector: dict[str, Any]) -> None:
    made = [(n, datetime.fromisoformat(at)) for n, at in enumerate(vector["made_at"])]
    found = choose(made, selector(vector["temporal"]), at_us=lambda version: us(version[1]))
    assert (found and found[0]) == vector["index"]


def test_page_has_ten_good_and_ten_bad_examples_and_they_hold() -> None:
    good, bad = list(rows("Ten good ones", 2)), list(rows("Ten bad ones", 3))
    assert (len(good), len(bad)) == (10, 10)
    for text, normal in good:
        assert normalize(text) == normal
    for text, position, _ in bad:
        with pytest.raises(AddressError) as caught:
            parse(text)
        assert caught.value.position == int(position), text


def selector(text: str) -> Temporal:
    found: Address = parse(f"ucxl://a:r@p:t/x*{text}")
    return found.temporal


def us(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(microseconds=1)


def test_search_keeps_the_order_and_what_matches() -> None:
    base = "ucxl://a:r@p:t"
    addresses = [parse(f"{base}/{path}") for path in ("x/1", "y/1", "x/2*~", "x")]
    found = search(parse(f"{base}/x/*"), addresses)
    assert [str(address) for address in found] == [f"{base}/x/1", f"{base}/x/2*~"]
