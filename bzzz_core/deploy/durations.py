"""How long a plan will take, from how long its phases took before. Pure, but for `past`.

What is known is what journals of earlier runs on this machine say; where they say nothing of a
phase, what was measured on three testbed hosts stands in. Hosts work beside each other, so a phase
costs once, however many hosts it changes.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from bzzz_core.deploy.change import Plan

JOURNALS_MAX: Final = 20
"""The newest; hosts and networks change."""
_BYTES_MAX: Final = 5_000_000
TESTBED_MS: Final[Mapping[str, int]] = {
    "create_account": 300,
    "create_identity": 300,
    "upload_release": 4_300,
    "issue_certificates": 600,
    "write_secrets": 400,
    "write_config": 500,
    "install_units": 400,
    "start_fabric": 2_100,
    "start_agent": 1_500,
    "wait_ready": 1_000,
    "verify_cluster": 1_000,
}
"""Phase -> milliseconds, as docs/performance.md has them of three testbed hosts, rounded."""
OTHER_MS: Final = 500
"""For a phase that nobody knows yet."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long, and how that is known."""

    seconds: float
    measured: bool
    """Every phase of it was measured here before."""


class _Line(msgspec.Struct, frozen=True):
    event: str = ""
    phase: str = ""
    status: str = ""
    elapsed_ms: int = 0


def estimate(plan: Plan, known: Mapping[str, int]) -> Estimate:
    """Return how long a plan will take.

    Args:
        plan: What is to be done.
        known: Milliseconds that a phase took here before.
    """
    phases = {change.phase for changes in plan.hosts.values() for change in changes}
    if not phases:
        return Estimate(0, measured=True)
    phases |= {"verify_cluster"}
    total_ms = sum(known.get(name, TESTBED_MS.get(name, OTHER_MS)) for name in phases)
    return Estimate(total_ms / 1_000, measured=phases <= known.keys())


def medians(lines: Iterable[bytes]) -> dict[str, int]:
    """Return the median of what each phase took where it changed something, in milliseconds."""
    took: dict[str, list[int]] = {}
    for line in lines:
        try:
            entry = msgspec.json.decode(line, type=_Line)
        except msgspec.MsgspecError:
            continue  # A journal's last line may be cut off, and newer ones may say more.
        if entry.event == "step" and entry.status == "changed" and entry.phase:
            took.setdefault(entry.phase, []).append(entry.elapsed_ms)
    return {phase: round(statistics.median(values)) for phase, values in took.items()}


def past(clusters: Path) -> dict[str, int]:
    """Return what the newest journals of an operator's clusters say; nothing without any.

    Args:
        clusters: The directory that holds one directory for each cluster.
    """
    journals = sorted(clusters.glob("*/journal/*.ndjson"), key=lambda path: path.name, reverse=True)
    lines: list[bytes] = []
    for path in journals[:JOURNALS_MAX]:
        try:
            with path.open("rb") as file:
                lines += file.read(_BYTES_MAX).splitlines()
        except OSError:
            continue
    return medians(lines)
