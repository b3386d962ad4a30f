"""`bzzz-agent ucxl`: documents for programs, exit codes as grep has them."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from bzzz_core.cli import main

BASE = "ucxl://alice:backend@shop:checkout"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["ucxl", *arguments])


def test_parse_shows_decoded_fields_and_tells_a_star_from_a_wildcard() -> None:
    done = run("parse", "--json", f"{BASE}/a%20b/%2A/***~2/")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {
        "normal": f"{BASE}/a%20b/%2A/***~2",
        "agent": "alice",
        "role": "backend",
        "project": "shop",
        "task": "checkout",
        "path": ["a b", "*", {"wildcard": "**"}],
        "temporal": "~2",
        "pattern": True,
    }


def test_parse_prints_one_field_a_line() -> None:
    lines = run("parse", f"{BASE}/a%20b/*").stdout.splitlines()
    assert lines[1] == "agent     alice"
    assert lines[5:] == ["path      a%20b/*", "temporal  ^", "pattern   yes"]


def test_normalize_prints_the_normal_form() -> None:
    assert run("normalize", f"{BASE}/src/*".upper().replace("UCXL", "uCxL")).exit_code == 0
    assert run("normalize", f"{BASE}/src*^0/").stdout == f"{BASE}/src\n"
    assert json.loads(run("normalize", "--json", BASE).stdout) == {"normal": f"{BASE}/"}


@pytest.mark.parametrize(
    ("pattern", "code"), [("/**", 0), ("/src/*", 0), ("/src", 1), ("/src/**/x", 1), ("/a*b", 2)]
)
def test_match_exits_like_grep(pattern: str, code: int) -> None:
    assert run("match", BASE + pattern, f"{BASE}/src/cart.py").exit_code == code


def test_match_tells_programs_too() -> None:
    done = run("match", "--json", f"{BASE}/*", f"{BASE}/x/y")
    assert (done.exit_code, json.loads(done.stdout)) == (1, {"match": False})


@pytest.mark.parametrize("command", ["parse", "normalize"])
def test_what_is_no_address_exits_2_with_the_place(command: str) -> None:
    done = run(command, "--json", f"{BASE}/50%")
    assert done.exit_code == 2
    error = json.loads(done.stdout)["error"]
    assert (error["code"], error["position"]) == ("address", len(BASE) + 3)
    assert error["message"] in done.stderr
    assert run(command, f"{BASE}/50%").stdout == ""


def test_bytes_that_are_no_text_are_no_address_and_no_crash() -> None:
    done = run("parse", f"{BASE}/\udcff")
    assert done.exit_code == 2
    assert "U+DCFF" in done.stderr
