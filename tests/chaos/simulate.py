"""`scripts/simulate --real`: breaks a real cluster for minutes and proves that nothing was lost.

Prints the seed, the timeline and the verdict; exits with 1 if any promise was broken, or if the
cluster did not come back.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from tests.chaos import network
from tests.chaos.cluster import ChaosCluster
from tests.chaos.history import now_ns
from tests.chaos.nemesis import Nemesis
from tests.chaos.schedule import steps
from tests.chaos.verdict import Verdict, judge_at_the_end

_USAGE_ERROR: Final = 2
_VIOLATIONS_SHOWN: Final = 20


def main() -> int:
    """Run one seed and return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/simulate --real", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument(
        "--nodes", type=int, default=4, help="3 or 4: three voters; 5 or more: five"
    )
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON, too")
    parser.add_argument("--keep", type=Path, help="keep history and logs in this new directory")
    given = parser.parse_args()
    reason = network.missing()
    if reason:
        print(f"simulate --real: {reason}", file=sys.stderr)
        return _USAGE_ERROR
    directory = given.keep or Path(tempfile.mkdtemp(prefix="bzzz-chaos-"))
    print(f"seed {given.seed}, {given.nodes} nodes, {given.minutes} minutes, in {directory}")
    verdict = asyncio.run(_run(directory, given.seed, given.nodes, given.minutes * 60))
    if verdict is None:
        return 1
    _tell(verdict)
    if given.json:
        print(msgspec.json.encode(verdict).decode())
    if verdict.good and given.keep is None:
        shutil.rmtree(directory)
    return 0 if verdict.good else 1


async def _run(directory: Path, seed: int, nodes: int, duration_s: float) -> Verdict | None:
    say = _timeline()
    with ChaosCluster(directory, nodes=nodes, small_disks=1) as cluster:
        async with cluster.looked_after():
            nemesis = Nemesis(cluster, say=say)
            try:
                roles = await cluster.roles()
                say(f"started  {cluster.hosts[roles.leader].name} leads")
                edges = bool(roles.edges)
                done = await nemesis.run(steps(seed, edges=edges), duration_s=duration_s)
            except TimeoutError as exc:
                say(f"STUCK    {exc}\nfiles are left in {directory}")
                return None
            say(f"done     {done} steps; reading every replica")
        return await judge_at_the_end(cluster)


def _tell(verdict: Verdict) -> None:
    print(f"writes in the lane      {_counts(verdict.operations)}")
    print(f"writes past the lane    {_counts(verdict.past_the_lane)}")
    print(f"terms                   {verdict.terms}, by {verdict.leaders} nodes")
    print(f"messages in the stream  {verdict.messages}, on {verdict.replicas_read} replicas")
    print(f"longest time without    {verdict.longest_gap_ms / 1000:.1f} s")
    for line in verdict.ended_by_themselves:
        print(f"ENDED      {line}")
    for line in verdict.violations[:_VIOLATIONS_SHOWN]:
        print(f"VIOLATION  {line}")
    print(f"{len(verdict.violations)} violations")


def _counts(outcomes: dict[str, int]) -> str:
    total = sum(outcomes.values())
    parts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    return f"{total}: {parts}" if total else "0"


def _timeline() -> Callable[[str], None]:
    began_ns = now_ns()

    def say(line: str) -> None:
        print(f"{(now_ns() - began_ns) / 1e9:8.1f}  {line}", flush=True)

    return say


if __name__ == "__main__":
    sys.exit(main())
