"""`scripts/bench agent [--json] [--only SECTION]`: what is promised of an agent that has no work.

    hosts    a real cluster of three on loopback, each broker in a unit of its own, as on hosts:
             CPU and memory of the leader and of the follower that costs more, beside three brokers
             that nobody is connected to
    demo     the same of a demo, where each agent looks after its broker itself
    log      what a line of the log costs whoever writes it; a word found in 100,000 lines
    events   what a reader of events costs, a tenth of the members changed each second

Measured by `/proc` over 30 s after 15 s of calm. Sections run one after another. `figures.py` says
how figures are printed, and the exit code: 1 if a goal is missed.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from bzzz_core.telemetry import logs
from tests.bench.measuring import events, idle, log_lines
from tests.bench.measuring.figures import Figure, at_most, below, run

CPU_PERCENT_MAX = 1.0
RESIDENT_MB_MAX = 100.0
DROPPED_US_MAX = 2.0
SEARCHED_MS_MAX = 200.0
MEMBERS = (1_000, 10_000)


def hosts() -> list[Figure]:
    """Measure nodes as hosts run them, and brokers alone."""
    bare = fmean(one.cpu_percent for one in idle.bare_brokers())
    nodes = asyncio.run(idle.as_on_hosts())
    found = [Figure("a broker that nobody is connected to: CPU", bare, "% core")]
    for role, node in leader_and_follower(nodes):
        found += _node(role, node)
        found.append(Figure(f"{role}: agent / that broker", node.agent.cpu_percent / bare, "x"))
    return found


def demo() -> list[Figure]:
    """Measure the nodes of a demo."""
    nodes = asyncio.run(idle.in_a_demo())
    return [one for role, node in leader_and_follower(nodes) for one in _node(role, node)]


def leader_and_follower(nodes: Sequence[idle.Node]) -> list[tuple[str, idle.Node]]:
    """Return the leader, and the follower whose agent takes more CPU."""
    (leader,) = (node for node in nodes if node.leads)
    follower = max(
        (node for node in nodes if not node.leads), key=lambda node: node.agent.cpu_percent
    )
    return [("leader", leader), ("follower", follower)]


def _node(role: str, node: idle.Node) -> list[Figure]:
    found = [
        Figure(f"{role}: agent, CPU", node.agent.cpu_percent, "% core", at_most(CPU_PERCENT_MAX)),
        Figure(f"{role}: agent, memory", node.agent.resident_mb, "MB", at_most(RESIDENT_MB_MAX)),
        Figure(f"{role}: its broker, CPU", node.broker.cpu_percent, "% core"),
        Figure(f"{role}: its broker, memory", node.broker.resident_mb, "MB"),
    ]
    if node.unit is not None:
        found += [
            Figure(f"{role}: the broker's unit, CPU", node.unit.cpu_percent, "% core"),
            Figure(f"{role}: the broker's unit, memory", node.unit.resident_mb, "MB"),
        ]
    ratio = node.agent.cpu_percent / node.broker.cpu_percent
    return [*found, Figure(f"{role}: agent / its broker, CPU", ratio, "x")]


def log() -> list[Figure]:
    """Measure the log."""
    with tempfile.TemporaryDirectory(prefix="bzzz-bench-") as directory:
        kept, formatted = log_lines.kept_us(Path(directory)), log_lines.formatted_us()
        searched = log_lines.searched(Path(directory))
    return [
        Figure(
            "a line that is not wanted", log_lines.dropped_us(), "us CPU", below(DROPPED_US_MAX)
        ),
        Figure("a line that is kept, and queued for the file", kept, "us CPU"),
        Figure("kept / formatted by the standard library", kept / formatted, "x"),
        Figure(
            "a word found in 100,000 lines of a file",
            searched.ours,
            "ms CPU",
            below(SEARCHED_MS_MAX),
        ),
    ]


def following() -> list[Figure]:
    """Measure readers of events."""
    found = []
    for count in MEMBERS:
        second = events.cost(count)
        name = f"{count:,} members"
        found += [
            Figure(f"{name}: what changed, for all readers", second.compare_ms, "ms/s"),
            Figure(f"{name}: told to one reader", second.reader_ms, "ms/s"),
            Figure(f"{name}: sent to one reader", second.told_bytes / 1e3, "kB/s"),
            Figure(f"{name}: sent to a new reader at first", second.snapshot_bytes / 1e6, "MB"),
            Figure(f"{name}: written for a new reader", second.snapshot_ms, "ms CPU"),
        ]
    return found


if __name__ == "__main__":
    logs.set_up(level="error", node="bench")  # stdout is for the document alone.
    sys.exit(run("agent", {"hosts": hosts, "demo": demo, "log": log, "events": following}))
