"""`scripts/bench deploy [--json] [--only SECTION]`: what an installation over SSH takes.

    setup       three fresh hosts of the testbed, release built: an answers file to a cluster that
                has elected and was verified, by phase; and the same command once more
    same work   facts, an upload of the release, unpacking it, a unit installed and started, on the
                same three hosts: our engine's own pieces beside pyinfra, beside ansible with
                pipelining, and beside `ssh ... tar -xz`, which does nothing but transfer and unpack

Every tool is a program started anew for each round; rounds are interleaved, each begins on hosts
without what the one before left, and each result is looked at on the hosts. Hosts are containers on
this machine, so that their work and ours share its cores: ratios count, seconds are upper bounds.
Needs root and Docker, as the testbed does. The other tools are installed by pip on first use, into
a directory of their own in the cache; where that fails they are named and left out.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

from bzzz_core.telemetry import logs
from tests.bench.measuring.deployments import peers, same_work, whole_setup
from tests.bench.measuring.deployments.same_work import Tool
from tests.bench.measuring.figures import Figure, at_least, run
from tests.testbed import cli
from tests.testbed.state import State

HOSTS: Final = 3
ROUNDS: Final = 5
FASTER_MIN: Final = 1.3


def setup() -> list[Figure]:
    """Measure a whole installation, and the same command on what it made."""
    with _bed() as bed, tempfile.TemporaryDirectory(prefix="bzzz-bench-") as home:
        first, again = whole_setup.measure(bed, Path(home))
    found = [Figure("answers to an elected, verified cluster", first.seconds, "s")]
    found += [Figure(f"- {name}", seconds, "s") for name, seconds in first.phases.items()]
    return [
        *found,
        Figure("the same command again", again.seconds, "s"),
        Figure("the same command again: changes", again.changes, ""),
    ]


def compared() -> list[Figure]:
    """Measure the same work by several tools."""
    with _bed() as bed, tempfile.TemporaryDirectory(prefix="bzzz-bench-") as scratch:
        tools = same_work.tools(bed, Path(scratch), peers.directory())
        taken: dict[Tool, list[float]] = {tool: [] for tool in tools}
        for _ in range(ROUNDS):
            for tool in tools:
                same_work.clean(bed)
                taken[tool].append(same_work.seconds(tool, bed))
        same_work.clean(bed)
    medians = {tool.name: median(seconds) for tool, seconds in taken.items()}
    ours = medians[same_work.OURS]
    found = [Figure(f"{name}: median of {ROUNDS}", value, "s") for name, value in medians.items()]
    found += [
        Figure(f"{name} / ours", medians[name] / ours, "x", at_least(FASTER_MIN))
        for name in (same_work.PYINFRA, same_work.GUARDED, same_work.ANSIBLE)
        if name in medians
    ]
    return [*found, Figure("ours / transfer and unpack", ours / medians[same_work.FLOOR], "x")]


@contextmanager
def _bed() -> Iterator[State]:
    with tempfile.TemporaryDirectory(prefix="bzzz-bench-bed-") as directory:
        bed = State(Path(directory) / "hosts")
        cli.up(bed, count=HOSTS, name="bench", suite="bookworm")
        try:
            yield bed
        finally:
            cli.down(bed)


if __name__ == "__main__":
    logs.set_up(level="error", node="bench")  # stdout is for the document alone.
    sys.exit(run("deploy", {"setup": setup, "same work": compared}))
