"""A person at a terminal, for the tests of setup: types commands and looks at hosts."""

from __future__ import annotations

import json
import os
import shlex
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


@dataclass(frozen=True, slots=True)
class Operator:
    """Hosts of a run, a home of one's own, and an answers file."""

    bed: State
    home: Path
    answers: Path

    def answer(self, names: Sequence[str], **sections: Any) -> None:
        """Write answers with only these of the run's hosts."""
        document = yaml.safe_load(self.bed.answers.read_text())
        document["hosts"] = [host for host in document["hosts"] if host["name"] in names]
        self.answers.write_text(yaml.safe_dump({**document, **sections}))

    def types(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `bzzz-tui` with these words."""
        return subprocess.run(
            [sys.executable, "-m", "bzzz_tui.cli", *words],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=400,
            env={
                **os.environ,
                "XDG_CONFIG_HOME": str(self.home),
                "PYTHONPATH": str(ROOT),
                **environment,
            },
        )

    def setup(self, *words: str) -> tuple[int, Events]:
        """Run setup with the answers; return exit code and events."""
        done = self.types("setup", "--answers", str(self.answers), *words, "--json")
        events = [json.loads(line) for line in done.stdout.splitlines()]
        return done.returncode, events or [{"stderr": done.stderr}]

    def apply(self, *words: str) -> Events:
        """Apply, which has to succeed, and return the events."""
        code, events = self.setup("--apply", "--yes", *words)
        assert code == 0, failures(events)
        return events

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


def until(what: Callable[[], bool], *, within_s: float, why: str) -> None:
    """Wait until something holds.

    Raises:
        AssertionError: It does not.
    """
    deadline = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < deadline, why
        time.sleep(0.5)


def failures(events: Events) -> Events:
    """Return what went wrong, for the message of a failing test."""
    wrong = [e for e in events if e.get("status") == "failed" or e.get("severity") == "error"]
    return wrong or events[-3:]


def changes(events: Events) -> dict[str, int]:
    """Return how many changes were made, by host."""
    return {host["name"]: host["changes"] for host in events[-1]["hosts"]}


def planned(events: Events) -> dict[str, list[str]]:
    """Return what a plan would do, in words, by host."""
    plans = [event["hosts"] for event in events if event.get("event") == "plan"]
    return {
        name: [change["sentence"] for change in made]
        for plan in plans
        for name, made in plan.items()
    }
