"""The demo in a terminal that somebody else draws: what an operator types, what stands there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.tmux]
WAIT_S = 60.0
WIDE, NARROW = (120, 40), (80, 24)


class Session:
    """One terminal of a tmux server of its own."""

    def __init__(self, socket: Path, command: list[str], home: Path) -> None:
        """Start the program in it."""
        self._tmux = ["tmux", "-S", str(socket), "-f", "/dev/null"]
        self._screen = ""
        # Who sets COLUMNS takes the size for granted, whatever the terminal says.
        clean = ["env", "-u", "COLUMNS", "-u", "LINES", f"XDG_CONFIG_HOME={home}", "LANG=C.UTF-8"]
        line = shlex.join([*clean, *command])
        size = ["-x", str(WIDE[0]), "-y", str(WIDE[1])]
        self._run("new-session", "-d", *size, f"{line}; echo ended with $?; sleep 600")

    def type(self, *keys: str) -> None:
        """Press keys, by tmux's names."""
        self._run("send-keys", *keys)

    def command(self, line: str) -> None:
        """Type a line behind `:`."""
        self._run("send-keys", "-l", f":{line}")
        self.until(f"\n :{line}")
        self.type("Enter")

    def resize(self, size: tuple[int, int]) -> None:
        """Give the terminal another size."""
        self._run("resize-window", "-x", str(size[0]), "-y", str(size[1]))

    def until(self, *words: str, later_than: int = 0) -> str:
        """Wait until these words stand on the screen, and a later term; return the screen."""
        end_s = time.monotonic() + WAIT_S
        while time.monotonic() < end_s:
            screen = self._run("capture-pane", "-p")
            later = not later_than or term_in(screen) > later_than
            if later and all(word in screen for word in words):
                return screen
            time.sleep(0.2)
        pytest.fail(f"never stood there: {words}; the screen:\n{screen}")

    def close(self) -> None:
        """End the terminal, with whatever runs in it."""
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._tmux, *arguments], check=True, capture_output=True, text=True, timeout=30
        )
        return done.stdout


def term_in(screen: str) -> int:
    """Return the term that the screen tells of, 0 if none; the first need not be 1."""
    found = re.search(r"term (\d+)", screen)
    return int(found[1]) if found else 0


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    command = [sys.executable, "-m", "bzzz_tui.cli", "demo", "--agents", "3"]
    command += ["--state-dir", str(tmp_path / "demo")]
    made = Session(tmp_path / "tmux", command, tmp_path / "config")
    try:
        yield made
    finally:
        made.close()


def test_a_leader_is_killed_and_the_views_tell_of_it(session: Session, tmp_path: Path) -> None:
    first = term_in(session.until("all 3 nodes alive", "term ", "try:"))
    assert first
    session.command("kill leader")
    session.until("dead", "try:", later_than=first)

    session.type("7")
    screen = session.until("overview → election", "leaderships", "leads now")
    count = re.search(r"(\d+) leaderships", screen)
    assert count
    assert int(count[1]) >= 2
    session.type("2")
    session.until("overview → nodes", "dead")
    session.command("nodes state=dead")
    session.until("1 of 3")
    session.type("Enter")
    session.until("what happened".upper())
    session.type("Escape")
    session.until("overview → nodes", "1 of 3")  # A key right behind Esc would be Alt and that key.
    session.type("9")
    session.until("overview → logs", "leadership")

    session.resize(NARROW)
    session.type("0")
    session.until("overview → alerts", "held for dead", "next:")
    session.type("1")
    screen = session.until("CLUSTER", "LEADER", "degraded")
    assert all(len(line) <= NARROW[0] for line in screen.splitlines())

    session.command("heal")
    session.until("healthy")
    session.type("q")
    session.until("ended with 0")
    agents_and_brokers = f"(--config|-c) {tmp_path / 'demo'}"
    left = subprocess.run(
        ["pgrep", "-f", "--", agents_and_brokers], check=False, capture_output=True
    )
    assert not left.stdout, "every process of the demo has ended"
