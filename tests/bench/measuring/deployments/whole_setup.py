"""`bzzz-tui setup` from an answers file to a verified cluster, timed from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.testbed.state import State

_ROOT: Final = Path(__file__).resolve().parents[4]
_S_MAX: Final = 300


@dataclass(frozen=True, slots=True)
class Setup:
    """One run."""

    seconds: float
    """The program's whole life, its start included."""
    phases: dict[str, float]
    """Phase -> seconds on the host that took longest; hosts work at the same time."""
    changes: int


def measure(bed: State, home: Path) -> tuple[Setup, Setup]:
    """Return a run on fresh hosts with the release built before, and one after it.

    Raises:
        RuntimeError: setup did not end well.
    """
    _setup(bed, home, "--plan")  # builds the release, so that pip is not measured
    return _setup(bed, home, "--apply", "--yes"), _setup(bed, home, "--apply", "--yes")


def _setup(bed: State, home: Path, *words: str) -> Setup:
    begun = time.monotonic()
    setup = (sys.executable, "-m", "bzzz_tui.cli", "setup", "--answers", str(bed.answers))
    done = subprocess.run(
        [*setup, "--json", *words],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        cwd=_ROOT,
        timeout=_S_MAX,
        env={**os.environ, "XDG_CONFIG_HOME": str(home), "PYTHONPATH": str(_ROOT)},
    )
    seconds = time.monotonic() - begun
    events: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode:
        raise RuntimeError(f"setup ended with {done.returncode}: {events[-3:]}")
    phases: dict[str, float] = {}
    for event in events:
        took = event.get("elapsed_ms", 0) / 1_000
        if event["event"] == "step" and event["phase"] and took:
            phases[event["phase"]] = max(took, phases.get(event["phase"], 0.0))
    summary = events[-1]
    changes = sum(host["changes"] for host in summary["hosts"])
    return Setup(seconds, phases, changes + summary.get("operator_changes", 0))
