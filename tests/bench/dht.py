"""Measures the hash table: in memory, on three real brokers beside nats-py itself, and when lost.

    mock_puts, mock_gets            operations/s in memory, values of 1 KiB, each key a new one;
    mock_gets_hot                   and with a thousand keys again and again
    copy_reads                      reads/s of a voter from its local copy
    put_1, raw_put_1, put_ratio     puts/s of one caller, of nats-py's JetStream publish on the same
                                    connection, and how many times longer ours takes
    put_64, raw_put_64, ...         the same with 64 callers
    get_1                           reads/s of an edge, which asks the leader at a given pace
    fallback_ms                     from the adapter's verdict to the first local success, on disk
    recovery_ms                     from the start of the brokers to an empty queue

Ours and theirs take turns in short spans, and the median counts: what disturbs one disturbs both.
`scripts/bench dht` prints one JSON object; the functions give it to other measurements.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

from bzzz_core.breaker import Breaker
from bzzz_core.clock import SystemClock
from bzzz_core.dht.entry import slot_of
from bzzz_core.dht.hybrid import Backend, HybridDht
from bzzz_core.dht.memory import MemoryDht, MemoryTable
from bzzz_core.dht.notices import FellBack, Notice, Recovered
from bzzz_core.dht.queue import WriteQueue
from bzzz_core.dht.stored import StoredDht
from bzzz_core.fabric.layout import DHT, inbox_prefix
from bzzz_core.fabric.nats import NatsFabric
from bzzz_core.model import NodeId
from tests.fakes.broker_cluster import BrokerCluster
from tests.fakes.dht_worlds import asked_buckets, buckets, questions, serving

VALUE = bytes(1_024)
SPAN_S = 0.4
TURNS = 5
KEYS = [f"bench {number}" for number in range(1_000)]
RECOVERY_S_MAX = 60.0


async def rate(callers: int, work: Callable[[], Awaitable[object]], span_s: float) -> float:
    """Return calls/s of `callers` that each call again as soon as they are answered."""
    done = 0
    started = time.perf_counter()
    end = started + span_s

    async def call() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await work()
            done += 1

    await asyncio.gather(*(call() for _ in range(callers)))
    return done / (time.perf_counter() - started)


async def measure_mock(count: int = 100_000) -> dict[str, float]:
    """Return the rates of the table in memory: many keys, then the same again."""
    dht = MemoryDht(MemoryTable(), node=NodeId("bench"), clock=SystemClock())
    keys = [f"ucxl://bench:any@dht:mock/{number}" for number in range(count)]
    started = time.perf_counter()
    for key in keys:
        await dht.put_value(key, VALUE)
    put = time.perf_counter()
    for key in keys:
        await dht.get_value(key)
    got = time.perf_counter()
    for key in keys[:1_000] * (count // 1_000):
        await dht.get_value(key)
    again = time.perf_counter()
    return {
        "mock_puts": round(count / (put - started)),
        "mock_gets": round(count / (got - put)),
        "mock_gets_hot": round(count / (again - got)),
    }


async def measure_cluster(cluster: BrokerCluster) -> dict[str, float]:
    """Return the rates on three running brokers."""
    voter, edge = cluster.fabric(0), cluster.fabric(3)
    clock = SystemClock()
    async with asyncio.TaskGroup() as tasks, AsyncExitStack() as stack:
        running = [tasks.create_task(voter.run()), tasks.create_task(edge.run())]
        own = buckets(voter, clock, replicas=3)
        await asyncio.gather(edge.wait_attached(), *(bucket.open() for bucket in own))
        await stack.enter_async_context(serving(cluster.node(0), voter, own))
        tables = []
        for number, used in ((0, own), (3, asked_buckets(questions(cluster.node(3), edge)))):
            values, providers = used
            table = StoredDht(
                node=cluster.node(number),
                values=values,
                providers=providers,
                clock=clock,
                watches=number == 0,
            )
            running.append(tasks.create_task(table.run()))
            tables.append(table)
        near, far = tables
        for key in KEYS:
            await near.put_value(key, VALUE)
        await listed(near)
        rates = {
            "copy_reads": round(await reads_from_copy(near)),
            **await beside_raw(near, voter, cluster.node(0)),
            "get_1": round(await rate(1, lambda: far.get_value(KEYS[0]), SPAN_S)),
        }
        for task in running:
            task.cancel()
    return rates


async def listed(table: StoredDht) -> None:
    """Return once the local copy is up to date."""
    while not table.current:  # noqa: ASYNC110  the table promises no event
        await asyncio.sleep(0.01)


async def reads_from_copy(table: StoredDht, rounds: int = 100) -> float:
    """Return reads/s; every one must have been answered from the copy."""
    asked = table.counters["reads_asked"]
    started = time.perf_counter()
    for _ in range(rounds):
        for key in KEYS:
            await table.get_value(key)
    took_s = time.perf_counter() - started
    assert table.counters["reads_asked"] == asked, "the copy was not used"
    return rounds * len(KEYS) / took_s


async def beside_raw(table: StoredDht, fabric: NatsFabric, node: NodeId) -> dict[str, float]:
    """Measure puts in turns with those of the client library on the same connection."""
    assert fabric._link is not None
    client = fabric._link._client
    client._inbox_prefix = bytearray(inbox_prefix(node).encode())  # Its own requests need one.
    stream = client.jetstream(timeout=5)
    subject = f"{DHT.prefix}.{slot_of('bench raw')}"
    found: dict[str, float] = {}
    for callers in (1, 64):
        ours, theirs = [], []
        for _ in range(TURNS):
            ours.append(await rate(callers, lambda: table.put_value(KEYS[0], VALUE), SPAN_S))
            theirs.append(await rate(callers, lambda: stream.publish(subject, VALUE), SPAN_S))
        ratios = [raw / our for our, raw in zip(ours, theirs, strict=True)]
        found[f"put_{callers}"] = round(statistics.median(ours))
        found[f"raw_put_{callers}"] = round(statistics.median(theirs))
        found[f"put_ratio_{callers}"] = round(statistics.median(ratios), 3)
    return found


async def measure_fallback(cluster: BrokerCluster, directory: Path) -> dict[str, float]:
    """Return how long losing and finding the cluster takes; kills and restarts all brokers."""
    clock = SystemClock()
    fabric = cluster.fabric(0)
    values, providers = buckets(fabric, clock, replicas=3)
    node = cluster.node(0)
    told: dict[type[Notice], float] = {}
    back = asyncio.Event()

    def notify(notice: Notice) -> None:
        told.setdefault(type(notice), time.perf_counter())
        if isinstance(notice, Recovered):
            back.set()

    queue = WriteQueue(directory / "queue")
    table = HybridDht(
        node=node,
        cluster=StoredDht(node=node, values=values, providers=providers, clock=clock, watches=True),
        mock=MemoryDht(MemoryTable(), node=node, clock=clock),
        queue=queue,
        breaker=Breaker(),
        clock=clock,
        backend=Backend.HYBRID,
        falls_back=True,
        replicas=lambda: 3,
        notify=notify,
    )
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(fabric.run())]
        await asyncio.gather(values.open(), providers.open())
        running.append(tasks.create_task(table.run()))
        await table.put_value("before", VALUE)
        for number in range(3):
            cluster.kill(number)
        await table.put_value("while away", VALUE)
        fallback_s = time.perf_counter() - told[FellBack]
        for number in range(100):
            await table.put_value(f"while away {number}", VALUE)
        for number in range(3):
            cluster.start(number)
        started = time.perf_counter()
        await asyncio.to_thread(cluster.wait_ready)
        async with asyncio.timeout(RECOVERY_S_MAX):
            await back.wait()
        assert await table.get_value("while away 99") == VALUE
        for task in running:
            task.cancel()
    queue.close()
    return {
        "fallback_ms": round(1000 * fallback_s, 1),
        "recovery_ms": round(1000 * (told[Recovered] - started)),
    }


async def measure_dht(cluster: BrokerCluster, directory: Path) -> dict[str, float]:
    """Return all figures; `cluster` has three running brokers and one edge, and is disturbed."""
    return {
        **await measure_mock(),
        **await measure_cluster(cluster),
        **await measure_fallback(cluster, directory),
    }


def main() -> None:
    """Start three brokers, measure, print."""
    with tempfile.TemporaryDirectory(prefix="bzzz-bench-") as directory:
        place = Path(directory)
        with BrokerCluster(place / "cluster", nodes=4) as cluster:
            print(json.dumps(asyncio.run(measure_dht(cluster, place))))


if __name__ == "__main__":
    main()
