"""The adapters beside nats-py on the same brokers: put, get, watched read, request.

`compare` runs each pair in turns, so that what else the machine does meets both. Figures are
operations a second of one client that waits for each answer, and the ratio ours to raw.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client

from bzzz_core.clock import SystemClock
from bzzz_core.fabric.keyvalue import NatsKeyValue
from bzzz_core.fabric.layout import DHT, inbox_prefix, lead_subject
from bzzz_core.fabric.nats import NatsFabric
from bzzz_core.ports import Message
from bzzz_core.trust.secrets_directory import SecretsDirectory
from bzzz_core.trust.tls import client_context
from tests.fakes.broker_cluster import BrokerCluster

ROUNDS = 5
OPERATIONS = 200
VALUE = bytes(1_024)
STORE_BYTES_MAX = 256_000_000
Operation = Callable[[int], Awaitable[object]]


async def compare(cluster: BrokerCluster) -> dict[str, dict[str, float]]:
    """Return per operation `ours_per_s`, `raw_per_s` and `ratio`; brokers are running."""
    fabric = cluster.fabric(0)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(fabric.run())
        await fabric.wait_attached()
        raw = await connect_raw(cluster, 0, fabric)
        keys = NatsKeyValue(
            fabric,
            DHT,
            clock=SystemClock(),
            replicas=len(cluster.brokers),
            store_bytes_max=STORE_BYTES_MAX,
        )
        await keys.open()
        try:
            figures = await _measure(cluster, fabric, keys, raw)
        finally:
            await raw.close()
        running.cancel()
    return figures


async def connect_raw(cluster: BrokerCluster, number: int, fabric: NatsFabric) -> Client:
    """Return nats-py as its manual says, with a node's identity, at the broker of `fabric`."""
    config = cluster.configs[number]
    assert fabric.server_name is not None
    broker = cluster.configs[cluster.number_of(fabric.server_name)].me
    return await nats.connect(
        f"tls://{broker.address}:{broker.fabric_client}",
        tls=client_context(SecretsDirectory(Path(config.security.directory))),
        tls_hostname=f"{broker.id}.node.bzzz",
        tls_handshake_first=True,
        inbox_prefix=inbox_prefix(cluster.node(number)),
        connect_timeout=5,
    )


async def _measure(
    cluster: BrokerCluster, fabric: NatsFabric, keys: NatsKeyValue, raw: Client
) -> dict[str, dict[str, float]]:
    stream = raw.jetstream()
    watch = await keys.watch("bench")
    await watch.listed()
    answering = await _answer(fabric, cluster)
    subject = lead_subject(cluster.node(0), "bench")
    await keys.put("bench.read", VALUE)
    pairs: dict[str, tuple[Operation, Operation]] = {
        "put": (
            lambda n: keys.put(f"bench.{n % 50}", VALUE),
            lambda n: stream.publish(f"{DHT.prefix}.raw.{n % 50}", VALUE),
        ),
        "get": (
            lambda _: keys.get("bench.read"),
            lambda _: stream.get_last_msg(DHT.stream, f"{DHT.prefix}.bench.read"),
        ),
        "request": (
            lambda _: fabric.request(subject, b"question", timeout_ms=2_000),
            lambda _: raw.request(subject, b"question", timeout=2),
        ),
    }
    figures = {name: await _pair(*operations) for name, operations in pairs.items()}
    started = time.perf_counter()
    for _ in range(100_000):
        watch.get("bench.read")
    figures["watched_read"] = {"ours_per_s": 100_000 / (time.perf_counter() - started)}
    await answering.stop()
    await watch.stop()
    return figures


async def _pair(ours: Operation, raw: Operation) -> dict[str, float]:
    seconds = {"ours": 0.0, "raw": 0.0}
    for turn in range(2 * ROUNDS):
        name, operation = ("ours", ours) if turn % 2 == 0 else ("raw", raw)
        started = time.perf_counter()
        for number in range(OPERATIONS):
            await operation(number)
        seconds[name] += time.perf_counter() - started
    count = ROUNDS * OPERATIONS
    return {
        "ours_per_s": count / seconds["ours"],
        "raw_per_s": count / seconds["raw"],
        "ratio": seconds["raw"] / seconds["ours"],
    }


async def _answer(fabric: NatsFabric, cluster: BrokerCluster) -> Any:
    """Let this node answer questions put to a leader."""
    group = asyncio.TaskGroup()

    class Answering:
        async def stop(self) -> None:
            await interest.stop()
            await group.__aexit__(None, None, None)

    def handler(message: Message) -> None:
        group.create_task(fabric.reply(message, b"answer"))

    await group.__aenter__()
    interest = await fabric.subscribe(lead_subject(cluster.node(0), "bench"), handler)
    return Answering()
