"""`bzzz-agent logs` without an agent: the files are read, and what cannot be is said."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from bzzz_core.cli import main
from tests.fakes.log_surroundings import line
from tests.fakes.node_files import write_node_file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A node's file, and a log beside it; no agent runs."""
    logs = tmp_path / "logs"
    logs.mkdir()
    lines = (line(1, "one"), line(2, "two", level="error", reason="it broke"), line(3, "three"))
    content = b"".join(msgspec.json.encode(one) + b"\n" for one in lines)
    (logs / "agent.log").write_bytes(content)
    return write_node_file(tmp_path)


def command(*words: str) -> Result:
    return CliRunner().invoke(main, ["logs", *words], catch_exceptions=False)


def test_show_reads_the_files_and_says_so(file: Path) -> None:
    done = command("show", "--config", str(file), "--lines", "2")
    assert done.exit_code == 0, done.output
    assert [row.split()[3] for row in done.stdout.splitlines()] == ["two", "three"]
    assert "no agent answers; from the files" in done.stderr
    done = command("show", "--config", str(file), "--level", "warning", "--json")
    assert json.loads(done.stdout)["fields"] == {"reason": "it broke"}
    done = command("show", "--config", str(file), "--text", "BRO+KE", "--regex", "--since", "9999d")
    assert " two " in done.stdout


def test_what_cannot_be_asked_is_said_with_its_code(file: Path, tmp_path: Path) -> None:
    config = ("--config", str(file))
    assert command("show", *config, "--component", "fabrik").exit_code == 2
    assert command("show", *config, "--trace", "x").exit_code == 2
    assert command("show", *config, "--since", "xm").exit_code == 2
    assert command("level", *config, "dht", "loud").exit_code == 2
    assert command("level", *config, "--for", "5m").exit_code == 2
    assert command("level", *config, "dht", "debug").exit_code == 3
    (tmp_path / "logs" / "agent.log").unlink()
    done = command("show", *config)
    assert (done.exit_code, "there is no log to be read" in done.stderr) == (3, True)
