"""The program from outside: exit codes, plain text, and what it costs to start."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bzzz_core.model import MemberState
from tests.fakes import statuses
from tests.fakes.status_server import StatusServer, write_demo_state
from tests.tui.slow_core import children_cpu_ms, slowness

HELP_CPU_MS_MAX = 120
NOISE = 2.5
"""Budgets are for a quiet machine, `slowness` for a slow core; the figure itself is printed."""


def program(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program without a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "bzzz_tui.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "TERM": "xterm-256color", **environment},
        stdin=subprocess.DEVNULL,
    )


def beside_a_server(directory: Path, body: Callable[[StatusServer], None]) -> None:
    """Serve a status while `body` runs programs that ask for it."""

    async def run() -> None:
        async with StatusServer(statuses.status()) as server:
            write_demo_state(directory, {"bzzz-1": server.url})
            await asyncio.to_thread(body, server)

    asyncio.run(run())


def test_help_is_cheap_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, resource; from click.testing import CliRunner; from bzzz_tui.cli import main;"
        "sys.argv = ['bzzz-tui'];\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'textual', 'pydantic', 'asyncssh', 'httpx', 'rich', 'yaml', 'msgspec'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code.replace("from click.testing import CliRunner; ", "")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr.strip() == "[]"


def test_help_stays_within_its_cpu_budget(record_property: Callable[[str, object], None]) -> None:
    def ask() -> None:
        assert program("--help").returncode == 0

    spent = [children_cpu_ms(ask) for _ in range(3)]
    record_property("help_cpu_ms", min(spent))
    print(f"--help: {min(spent):.0f} ms CPU")  # noqa: T201  a measured figure
    assert min(spent) <= HELP_CPU_MS_MAX * NOISE * slowness()


@pytest.mark.parametrize("command", ["setup", "monitor", "demo"])
def test_every_command_has_help(command: str) -> None:
    done = program(command, "--help")
    assert done.returncode == 0
    assert "--theme" in done.stdout


@pytest.mark.parametrize("command", [[], ["setup"], ["monitor"], ["demo", "--agents", "99"]])
def test_without_a_terminal_or_sense_the_program_says_what_to_do(command: list[str]) -> None:
    done = program(*command)
    assert done.returncode in {2, 3}
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr


def test_setup_with_a_mode_needs_answers() -> None:
    done = program("setup", "--check")
    assert done.returncode == 2
    assert "--answers" in done.stderr


def test_once_json_prints_source_age_and_status(tmp_path: Path) -> None:
    def body(_server: StatusServer) -> None:
        done = program("monitor", "--demo-state", str(tmp_path), "--once", "--json")
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        assert set(document) == {"source", "age_ms", "status"}
        assert document["source"] == "bzzz-1"
        assert document["status"]["leader"] == "bzzz-2"
        assert document["status"]["term"] == 42
        assert [member["state"] for member in document["status"]["members"]] == ["alive"] * 3

    beside_a_server(tmp_path, body)


def test_once_prints_a_table_of_ascii(tmp_path: Path) -> None:
    def body(server: StatusServer) -> None:
        server.status = statuses.with_state(statuses.status(), 3, MemberState.SUSPECT)
        done = program("monitor", "--demo-state", str(tmp_path), "--once")
        assert done.returncode == 0, done.stderr
        assert done.stdout.isascii()
        first, *_ = done.stdout.splitlines()
        assert "leader bzzz-2, term 42; quorum 2 of 3; nodes 2 of 3" in first
        assert "! suspect" in done.stdout

    beside_a_server(tmp_path, body)


def test_once_exits_3_if_nobody_answers(tmp_path: Path) -> None:
    write_demo_state(tmp_path, {"bzzz-1": "http://127.0.0.1:9"})
    done = program("monitor", "--demo-state", str(tmp_path), "--once", "--json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["status"] is None


def test_plain_repeats_lines_and_tells_changes(tmp_path: Path) -> None:
    def body(server: StatusServer) -> None:
        command = [sys.executable, "-m", "bzzz_tui.cli", "monitor"]
        command += ["--demo-state", str(tmp_path), "--plain"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
            assert running.stdout
            assert "healthy" in running.stdout.readline()
            server.status = statuses.with_state(statuses.status(), 3, MemberState.DEAD)
            lines = [running.stdout.readline() for _ in range(4)]
            running.terminate()
        assert any("degraded, bzzz-3 dead" in line for line in lines)
        assert any("bzzz-3 is held to be dead" in line for line in lines)

    beside_a_server(tmp_path, body)


def test_two_targets_at_once_are_refused(tmp_path: Path) -> None:
    done = program("monitor", "--cluster", "a", "--demo-state", str(tmp_path), "--once")
    assert done.returncode == 2
    assert "one of" in done.stderr


def test_an_unknown_theme_is_refused_by_name(tmp_path: Path) -> None:
    done = program("monitor", "--demo-state", str(tmp_path), "--theme", "pink")
    assert done.returncode == 2
    assert "bzzz-dark" in done.stderr
