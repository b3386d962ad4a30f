"""Measures failover: kill -9 of the leader and its broker, until a survivor shows a serving leader.

"Serving" means that the new leader's first guarded write was acknowledged by a majority, so the
figure is the time in which nobody led. Run by `scripts/bench failover`; prints one JSON object.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import statistics
import sys

from bzzz_core.api.documents import Status
from bzzz_core.clock import SystemClock
from bzzz_core.demo.cluster import DemoCluster, RunningAgent

SETTLE_MS = 3_000
ROUND_MS_MAX = 60_000
POLL_MS = 20


async def settled(cluster: DemoCluster, clock: SystemClock) -> Status:
    """Wait until three nodes agree, everybody is alive and the stream is led elsewhere."""
    deadline_ms = clock.now_ms() + ROUND_MS_MAX
    since_ms = clock.now_ms()
    while clock.now_ms() < deadline_ms:
        statuses = await cluster.statuses()
        good = (
            len(statuses) == len(cluster.agents)
            and len({(s.leader, s.term, s.leader_serving) for s in statuses}) == 1
            and statuses[0].leader_serving
            and all(member.state == "alive" for s in statuses for member in s.members)
            and any(s.fabric.stream_leader not in {None, s.leader} for s in statuses)
        )
        if not good:
            since_ms = clock.now_ms()
        elif clock.now_ms() - since_ms >= SETTLE_MS:
            return statuses[0]
        await clock.sleep_ms(100)
    raise AssertionError("the cluster did not settle")


async def one_round(cluster: DemoCluster, clock: SystemClock) -> tuple[int, RunningAgent]:
    """Kill the leader; return milliseconds until a new one serves, and the victim."""
    before = await settled(cluster, clock)
    victim = next(agent for agent in cluster.agents if agent.files.name == before.leader)
    broker_pid = victim.broker_pid
    started_ms = clock.now_ms()
    os.kill(victim.process.pid, signal.SIGKILL)
    if broker_pid is not None:
        with contextlib.suppress(ProcessLookupError):  # The kernel was quicker: it dies with it.
            os.kill(broker_pid, signal.SIGKILL)
    while clock.now_ms() - started_ms < ROUND_MS_MAX:
        for status in await cluster.statuses():
            if status.term > before.term and status.leader_serving:
                assert status.leader != before.leader
                return clock.now_ms() - started_ms, victim
        await clock.sleep_ms(POLL_MS)
    raise AssertionError("nobody took over")


async def measure_failover(rounds: int) -> dict[str, object]:
    """Kill the leader `rounds` times and return the figures."""
    clock = SystemClock()
    took_ms: list[int] = []
    async with DemoCluster(agents=3, state_dir=None, clock=clock) as cluster:
        await cluster.elected()
        for number in range(1, rounds + 1):
            took, victim = await one_round(cluster, clock)
            took_ms.append(took)
            print(f"round {number}: {took} ms", file=sys.stderr, flush=True)
            await cluster.restart(victim)
        return {"elected_after_ms": cluster.elected_after_ms, **figures(took_ms)}


def figures(took_ms: list[int]) -> dict[str, object]:
    """Return what is said of a series of failovers."""
    ordered = sorted(took_ms)
    return {
        "rounds": len(took_ms),
        "p50_ms": statistics.median(took_ms),
        "p95_ms": ordered[max(0, -(-95 * len(ordered) // 100) - 1)],
        "max_ms": ordered[-1],
        "failover_ms": took_ms,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure_failover(int(sys.argv[1]) if len(sys.argv) > 1 else 20))))
