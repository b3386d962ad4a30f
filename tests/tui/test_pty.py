"""The real program on a real terminal: what it sends, how much, and that it leaves cleanly."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench.measuring.monitor import TRUECOLOR, beside_an_agent, first_frame_ms, quiet
from tests.fakes import statuses
from tests.fakes.pty_terminal import PtyTerminal
from tests.fakes.status_server import StatusServer
from tests.tui.slow_core import slowness

FIRST_FRAME_CPU_MS_MAX = 400
IDLE_BYTES_S_MAX = 200
NOISE = 3.0


def on_a_terminal(directory: Path, body: Callable[[StatusServer], None]) -> None:
    """Serve a status while `body` runs the program in a terminal."""
    beside_an_agent(directory, statuses.status(), body)


def monitor(directory: Path, *more: str, **env: str) -> PtyTerminal:
    return PtyTerminal("monitor", "--demo-state", str(directory), *more, **env)


def test_the_monitor_fills_a_real_terminal_and_gives_it_back(tmp_path: Path) -> None:
    def body(_server: StatusServer) -> None:
        terminal = monitor(tmp_path, **TRUECOLOR)
        try:
            terminal.until(b"healthy")
            assert b"\x1b[?1049h" in terminal.output, "the alternate screen"
            terminal.press(b"q")
            terminal.until(b"\x1b[?1049l")
            assert terminal.process.wait(timeout=20) == 0
            assert b"\x1b[?25h" in terminal.output, "the cursor is back"
        finally:
            terminal.close()

    on_a_terminal(tmp_path, body)


def test_ctrl_c_quits(tmp_path: Path) -> None:
    def body(_server: StatusServer) -> None:
        terminal = monitor(tmp_path, **TRUECOLOR)
        try:
            terminal.until(b"healthy")
            terminal.press(b"\x03")
            assert terminal.process.wait(timeout=20) == 0
        finally:
            terminal.close()

    on_a_terminal(tmp_path, body)


@pytest.mark.parametrize("keys", [b"", b"\x03"], ids=["in its sleep", "while it ends"])
def test_it_ends_with_its_terminal(tmp_path: Path, keys: bytes) -> None:
    def body(_server: StatusServer) -> None:
        terminal = monitor(tmp_path, **TRUECOLOR)
        try:
            terminal.until(b"healthy")
            terminal.press(keys)
            terminal.vanish()
            terminal.process.wait(timeout=20)
        finally:
            terminal.close()

    on_a_terminal(tmp_path, body)


def test_a_quiet_cluster_costs_few_bytes(record_property: Callable[[str, object], None]) -> None:
    found = quiet(seconds=6.0)
    record_property("idle_bytes_per_s", found.bytes_s)
    print(f"idle: {found.bytes_s:.0f} bytes/s, {found.cpu_ms_s:.1f} ms CPU/s")  # noqa: T201  a figure
    assert found.bytes_s <= IDLE_BYTES_S_MAX * NOISE


def test_the_first_frame_stays_within_its_cpu_budget(
    record_property: Callable[[str, object], None],
) -> None:
    spent_ms = first_frame_ms()
    record_property("first_frame_cpu_ms", spent_ms)
    print(f"first frame: {spent_ms:.0f} ms CPU")  # noqa: T201  a measured figure
    assert spent_ms <= FIRST_FRAME_CPU_MS_MAX * NOISE * slowness()


ATTRIBUTES = {*range(10), *range(21, 30), 39, 49}
SIXTEEN = ATTRIBUTES | {*range(30, 38), *range(40, 48), *range(90, 98), *range(100, 108)}


@pytest.mark.parametrize(
    ("environment", "allowed"),
    [({"TERM": "xterm-256color", "NO_COLOR": "1"}, ATTRIBUTES), ({"TERM": "linux"}, SIXTEEN)],
    ids=["no-colour", "sixteen"],
)
def test_a_terminal_gets_only_colours_it_knows(
    tmp_path: Path, environment: dict[str, str], allowed: set[int]
) -> None:
    """NO_COLOR: attributes alone. Sixteen colours: neither 38;5 nor 38;2."""

    def body(_server: StatusServer) -> None:
        terminal = monitor(tmp_path, **environment)
        try:
            terminal.until(b"healthy")
            terminal.read(0.5)
            found = re.findall(rb"\x1b\[([0-9;]*)m", bytes(terminal.output))
            codes = {int(part) for code in found for part in code.split(b";") if part}
            assert codes <= allowed
        finally:
            terminal.close()

    on_a_terminal(tmp_path, body)


def test_a_dumb_terminal_is_not_taken_over(tmp_path: Path) -> None:
    def body(_server: StatusServer) -> None:
        terminal = monitor(tmp_path, TERM="dumb")
        try:
            terminal.until(b"healthy")
            assert b"\x1b" not in terminal.output
        finally:
            terminal.close()

    on_a_terminal(tmp_path, body)


def test_over_ssh_the_mouse_is_left_alone(tmp_path: Path) -> None:
    def body(_server: StatusServer) -> None:
        terminal = monitor(tmp_path, **TRUECOLOR, SSH_CONNECTION="192.0.2.1 1 192.0.2.2 22")
        try:
            terminal.until(b"healthy")
            assert b"?1003h" not in terminal.output
        finally:
            terminal.close()

    on_a_terminal(tmp_path, body)


def test_the_wizard_opens_on_a_real_terminal(tmp_path: Path) -> None:
    terminal = PtyTerminal("setup", XDG_CONFIG_HOME=str(tmp_path), **TRUECOLOR)
    try:
        terminal.until(b"All questions")
        terminal.press(b"2\r")
        terminal.until(b"nothing is changed until step 6")
        terminal.press(b"10.0.0.1\r")
        terminal.until(b"bzzz-1")
        terminal.press(b"\x03")
        assert terminal.process.wait(timeout=20) == 0
    finally:
        terminal.close()


def test_the_manual_page_is_shown_on_a_terminal_and_printed_elsewhere(tmp_path: Path) -> None:
    """By the system's `man`, which gets the page as a file; without one it says what else helps."""
    terminal = PtyTerminal("man", PATH=str(tmp_path), **TRUECOLOR)
    try:
        terminal.until(b"there is no `man` here; try: bzzz-tui --help")
        assert terminal.process.wait(timeout=20) == 1
    finally:
        terminal.close()
    viewer = tmp_path / "man"
    viewer.write_text('#!/bin/sh\necho "shown: $1"; IFS= read -r line < "$1"; echo "$line"\n')
    viewer.chmod(0o755)
    terminal = PtyTerminal("man", PATH=str(tmp_path), **TRUECOLOR)
    try:
        terminal.until(b"/bzzz-tui.1")
        terminal.until(b"Made by: bzzz-tui man")
        assert terminal.process.wait(timeout=20) == 0
    finally:
        terminal.close()
