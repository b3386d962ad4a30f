"""The record of what setup made on a host."""

from __future__ import annotations

import os
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


def test_forgetting_that_dies_half_way_loses_nothing(tmp_path: Path) -> None:
    """Without the record nobody knows what an uninstall has to remove."""
    programs, record = tmp_path / "bin", tmp_path / "made"
    programs.mkdir()
    (programs / "sync").write_text("#!/bin/sh\nexit 1\n")
    (programs / "sync").chmod(0o700)
    one, two = made.Made("open_firewall", "ufw"), made.Made("open_firewall", "iptables")
    whole = f"{one.line}\n{two.line}\n"
    record.write_text(whole)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    command = ["sh", "-c", made._FORGET, "bzzz", str(record), one.line]
    assert subprocess.run(command, env=environment, check=False).returncode != 0
    assert record.read_text() == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "made"]


def test_a_line_that_setup_did_not_write_is_not_guessed_at() -> None:
    with pytest.raises(CommandFailed, match="did not write"):
        made.read_lines("one", ['{"phase": "rm"}', "rm -rf /"])


def test_every_remover_is_that_of_a_phase() -> None:
    assert phases.REMOVERS.keys() <= {phase.name for phase in phases.ALL}
