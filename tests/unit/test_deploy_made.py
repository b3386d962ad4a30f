"""The record of what setup made on a host."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bzzz_core.deploy import made, phases
from bzzz_core.errors import CommandFailed


def shell(script: str, *arguments: str) -> str:
    done = subprocess.run(
        ["sh", "-c", script, "bzzz", *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout


def test_noting_twice_is_once_and_forgetting_leaves_the_rest(tmp_path: Path) -> None:
    record = tmp_path / "etc" / "made"
    first = made.Made("open_firewall", "ufw", ("10.0.0.1",))
    second = made.Made("distribute_key", "root", ("/root", "with 'quotes' and $dollars"))
    for entry in (first, second, first):
        shell(made._NOTE, str(record), entry.line)
    assert made.read_lines("one", record.read_text().splitlines()) == (second, first)
    assert record.stat().st_mode & 0o777 == 0o600
    shell(made._FORGET, str(record), second.line)
    assert made.read_lines("one", record.read_text().splitlines()) == (first,)
    shell(made._FORGET, str(record), first.line)
    assert not record.exists()


def test_a_line_that_setup_did_not_write_is_not_guessed_at() -> None:
    with pytest.raises(CommandFailed, match="did not write"):
        made.read_lines("one", ['{"phase": "rm"}', "rm -rf /"])


def test_every_remover_is_that_of_a_phase() -> None:
    assert phases.REMOVERS.keys() <= {phase.name for phase in phases.ALL}
