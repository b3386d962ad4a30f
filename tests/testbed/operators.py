"""People at terminals, for the tests of setup: they type commands and look at hosts."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.testbed.state import State

ROOT = Path(__file__).resolve().parents[2]
Events = list[dict[str, Any]]
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
    """One person: hosts of a run, a home of one's own, and answers."""

    bed: State
    home: Path
    own: Path | None = None
    """An answers file of one's own; None: that of the hosts."""

    @property
    def answers(self) -> Path:
        """Return the answers file."""
        return self.own or self.bed.answers

    def answer(self, names: Sequence[str], **sections: Any) -> None:
        """Write answers with only these of the run's hosts, and these sections."""
        document = yaml.safe_load(self.bed.answers.read_text())
        document["hosts"] = [host for host in document["hosts"] if host["name"] in names]
        assert self.own is not None, "the hosts' own file stays whole"
        self.own.write_text(yaml.safe_dump({**document, **sections}))

    def command(self, *words: str) -> list[str]:
        """Return the command line of `bzzz-tui` with these words."""
        return [sys.executable, "-m", "bzzz_tui.cli", *words]

    def environment(self) -> dict[str, str]:
        """Return what the program finds around itself."""
        return {**os.environ, "XDG_CONFIG_HOME": str(self.home), "PYTHONPATH": str(ROOT)}

    def begins(self, *words: str) -> subprocess.Popen[str]:
        """Start `bzzz-tui` with these words."""
        return subprocess.Popen(
            self.command(*words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=self.environment(),
        )

    def types(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `bzzz-tui` with these words, to its end."""
        return _run(self.command(*words), {**self.environment(), **environment})

    def begin_setup(self, *words: str) -> subprocess.Popen[str]:
        """Start setup."""
        return self.begins("setup", "--answers", str(self.answers), *words, "--json")

    def setup(self, *words: str, answers: Path | None = None) -> tuple[int, Events]:
        """Run setup with the answers, or other ones; return exit code and events."""
        done = self.types("setup", "--answers", str(answers or self.answers), *words, "--json")
        said = [{"event": "error", "message": done.stderr}]
        return done.returncode, events(done.stdout) or said

    def apply(self, *words: str) -> Events:
        """Apply, which has to succeed, and return the events."""
        code, found = self.setup("--apply", "--yes", *words)
        assert code == 0, failures(found)
        return found

    def dying_setup(self, after: int) -> int:
        """Run setup in a process that ends itself hard after so many journal entries."""
        driver = [sys.executable, "-m", "tests.testbed.dying_operator"]
        done = _run([*driver, str(self.answers), str(after)], self.environment())
        assert done.returncode in {0, -signal.SIGKILL}, done.stdout + done.stderr
        return done.returncode

    def monitor(self) -> dict[str, Any]:
        """Return the status that the monitor shows now; empty if no host answers."""
        done = self.types("monitor", "--once", "--json")
        lines = done.stdout.splitlines()
        return dict(json.loads(lines[-1])["status"]) if done.returncode == 0 and lines else {}

    def on(self, host: str, script: str) -> str:
        """Run a script on a host as root and return what it prints."""
        command = self.bed.ssh_command(self.bed.host(host), f"sudo -n sh -c {shlex.quote(script)}")
        done = subprocess.run(
            command, check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=120
        )
        return done.stdout.decode(errors="replace").strip()

    def agent(self, host: str, *words: str) -> str:
        """Run `bzzz-agent` on a host and return what it prints."""
        return self.on(host, f"cd /tmp && runuser -u bzzz -- bzzz-agent {shlex.join(words)}")

    def status(self, host: str) -> dict[str, Any]:
        """Return a host's view of the cluster; empty if it does not answer."""
        try:
            return dict(json.loads(self.agent(host, "status", "--json")))
        except ValueError:
            return {}


def _run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=400,
        env=environment,
    )


def until(what: Callable[[], bool], *, within_s: float, why: str) -> None:
    """Wait until something holds.

    Raises:
        AssertionError: It does not.
    """
    deadline = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < deadline, why
        time.sleep(0.5)


def events(output: str) -> Events:
    """Return what a run printed with `--json`."""
    return [json.loads(line) for line in output.splitlines()]


def failures(found: Events) -> Events:
    """Return what went wrong, for the message of a failing test."""
    return [
        event
        for event in found
        if event.get("status") == "failed"
        or event.get("severity") == "error"
        or event["event"] == "error"
    ] or found[-3:]


def changes(found: Events) -> dict[str, int]:
    """Return how many changes were made, by host."""
    return {host["name"]: host["changes"] for host in found[-1]["hosts"]}


def planned(found: Events) -> dict[str, list[str]]:
    """Return what a plan would do, in words, by host."""
    plans = [event["hosts"] for event in found if event.get("event") == "plan"]
    return {
        name: [change["sentence"] for change in made]
        for plan in plans
        for name, made in plan.items()
    }
