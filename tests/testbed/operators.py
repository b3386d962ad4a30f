"""People at terminals: a state directory of hosts, and a home of one's own."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.testbed.state import State

ROOT = Path(__file__).resolve().parents[2]
WIPE = """
systemctl stop bzzz-agent bzzz-fabric 2>/dev/null
systemctl disable -q bzzz-agent bzzz-fabric 2>/dev/null
rm -rf /etc/bzzz /opt/bzzz /var/lib/bzzz /var/log/bzzz /run/bzzz-install* \
  /etc/systemd/system/bzzz-*.service* /usr/local/bin/bzzz-agent
userdel bzzz 2>/dev/null
systemctl daemon-reload
systemctl reset-failed
true
"""
"""Makes a host as if BZZZ had never been there; for tests that need new ones without a boot."""
LISTING = """
cd / && find etc/bzzz opt/bzzz etc/systemd/system/bzzz-* usr/local/bin/bzzz-agent \
  -not -path "*/__pycache__*" -not -name voted -printf '%p %y %m %u %g %l\\n' 2>/dev/null | sort
"""
"""Everything that setup puts somewhere: names, kinds, modes, owners, links; `voted` comes with a
node's first vote, whenever that is."""


@dataclass(frozen=True, slots=True)
class Operator:
    """One person."""

    bed: State
    home: Path

    def command(self, *words: str) -> list[str]:
        """Return the command line of `bzzz-tui` with these words."""
        return [sys.executable, "-m", "bzzz_tui.cli", *words]

    def environment(self) -> dict[str, str]:
        """Return what the program finds around itself."""
        return {**os.environ, "XDG_CONFIG_HOME": str(self.home), "PYTHONPATH": str(ROOT)}

    def setup(
        self, *words: str, answers: Path | None = None
    ) -> tuple[int, list[dict[str, Any]], str]:
        """Run setup to its end; return exit code, events, and what was complained."""
        running = self.begin_setup(*words, answers=answers)
        out, err = running.communicate(timeout=300)
        return running.returncode, events(out), err

    def begin_setup(self, *words: str, answers: Path | None = None) -> subprocess.Popen[str]:
        """Start setup."""
        given = ("setup", "--answers", str(answers or self.bed.answers), *words, "--json")
        return subprocess.Popen(
            self.command(*given),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=self.environment(),
        )

    def dying_setup(self, after: int) -> int:
        """Run setup in a process that ends itself hard after so many journal entries."""
        driver = [sys.executable, "-m", "tests.testbed.dying_operator"]
        done = subprocess.run(
            [*driver, str(self.bed.answers), str(after)],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=self.environment(),
            timeout=300,
        )
        assert done.returncode in {0, -signal.SIGKILL}, done.stdout + done.stderr
        return done.returncode

    def on(self, host: str, script: str) -> str:
        """Run a script on a host as root and return what it prints."""
        command = self.bed.ssh_command(self.bed.host(host), f"sudo -n sh -c {shlex.quote(script)}")
        done = subprocess.run(
            command, check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=60
        )
        return done.stdout.decode(errors="replace").strip()


def events(output: str) -> list[dict[str, Any]]:
    """Return what a run printed with `--json`."""
    return [json.loads(line) for line in output.splitlines()]


def failures(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what went wrong, for the message of a test."""
    return [
        event
        for event in found
        if event.get("status") == "failed"
        or event.get("severity") == "error"
        or event["event"] == "error"
    ] or found[-3:]
