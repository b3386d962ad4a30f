"""Measures a leader's lane on three real brokers, beside nats-py itself in the same run.

    entries_64      entries/s with 128 callers, so that messages carry 64 entries
    entries_1       entries/s of one caller: one entry a message
    puts_1          records/s of one caller
    raw_guarded_1   messages/s of nats-py with the same guard header, one in flight
    raw_1, raw_64   messages/s of nats-py without a guard, one and 64 in flight

`scripts/bench lane` prints it as one JSON object; `measure_lane` gives it to other measurements.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bzzz_core.clock import SystemClock
from bzzz_core.errors import QuorumUnavailable
from bzzz_core.fabric.lane import FencedLane
from bzzz_core.fabric.layout import CONTROL_PREFIX, inbox_prefix
from bzzz_core.fabric.nats import NatsFabric
from bzzz_core.fabric.records import NatsRecords
from bzzz_core.model import FencingToken, NodeId, Revision
from bzzz_core.ports import Guard
from tests.fakes.broker_cluster import BrokerCluster

ENTRY = bytes(128)
SPAN_S = 2.0
GUARD = "Nats-Expected-Last-Subject-Sequence"


async def rate(callers: int, work: Callable[[], Awaitable[object]]) -> float:
    """Return calls/s of `callers` that each call again as soon as they are answered."""
    done = 0
    end = time.perf_counter() + SPAN_S

    async def call() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await work()
            done += 1

    started = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(callers)))
    return round(done / (time.perf_counter() - started), 1)


async def ready(records: NatsRecords) -> FencingToken:
    """Wait for all replicas, then take the term as a new leader does."""
    while True:
        try:
            if all(replica.current for replica in await records.replicas()):
                break
        except QuorumUnavailable:
            pass
        await asyncio.sleep(0.1)
    before = await records.read("_term")
    at = before.revision if before else Revision(0)
    return FencingToken(records.stream, await records.write("_term", b"", Guard("_term", at)))


async def raw_rates(fabric: NatsFabric, node: NodeId, token: FencingToken) -> dict[str, float]:
    """Measure the client library on the connection that the lane uses."""
    assert fabric._link is not None
    client = fabric._link._client
    client._inbox_prefix = bytearray(inbox_prefix(node).encode())  # Its own requests need one.
    subject = f"{CONTROL_PREFIX}._bench"
    guard = {GUARD: str(token.sequence), f"{GUARD}-Subject": f"{CONTROL_PREFIX}._term"}
    return {
        "raw_guarded_1": await rate(
            1, lambda: client.request(subject, ENTRY, timeout=5, headers=guard)
        ),
        "raw_1": await rate(1, lambda: client.request(subject, ENTRY, timeout=5)),
        "raw_64": await rate(64, lambda: client.request(subject, ENTRY, timeout=5)),
    }


async def measure_lane(cluster: BrokerCluster) -> dict[str, float]:
    """Return all rates; `cluster` has three running brokers."""
    fabric = cluster.fabric(0)
    records = cluster.records(fabric)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(fabric.run())]
        await records.open()
        token = await ready(records)
        lane = FencedLane(records, token=token, clock=SystemClock())
        tasks.append(group.create_task(lane.run()))
        rates = {
            "entries_64": await rate(128, lambda: lane.append(ENTRY)),
            "entries_1": await rate(1, lambda: lane.append(ENTRY)),
            "puts_1": await rate(1, lambda: lane.put("_bench", ENTRY)),
            **await raw_rates(fabric, cluster.node(0), token),
        }
        rates["single_to_raw_guarded"] = round(rates["entries_1"] / rates["raw_guarded_1"], 3)
        for task in tasks:
            task.cancel()
    return rates


def main() -> None:
    """Start three brokers, measure, print."""
    with (
        tempfile.TemporaryDirectory(prefix="bzzz-bench-") as directory,
        BrokerCluster(Path(directory), nodes=3) as cluster,
    ):
        print(json.dumps(asyncio.run(measure_lane(cluster))))


if __name__ == "__main__":
    main()
