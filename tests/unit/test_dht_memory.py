"""The table in memory: trouble on demand that can be repeated, lifetimes, and what it costs."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest

from bzzz_core.dht.memory import MemoryDht, MemoryTable
from bzzz_core.errors import BzzzError, KeyNotFound, RequestTimeout
from bzzz_core.fabric.memory import MemoryHub
from bzzz_core.model import NodeId
from tests.fakes.virtual_time import VirtualClock, run

NODE = NodeId("a")


def table_with(hub: MemoryHub | None = None, table: MemoryTable | None = None) -> MemoryDht:
    return MemoryDht(
        table or MemoryTable(), node=NODE, clock=VirtualClock(), faults=hub, lifetime_s=10
    )


async def history(seed: int) -> list[str]:
    """Return how fifty operations went."""
    hub = MemoryHub(clock=VirtualClock(), seed=seed, latency_ms=(0, 20), failure_rate=0.3)
    dht = table_with(hub)
    went: list[str] = []
    for number in range(50):
        started_ms = VirtualClock().now_ms()
        try:
            await dht.put_value("key", b"%d" % number)
            await dht.provide("key", "p")
            found = await dht.get_value("key")
            went.append(f"{found!r}")
        except BzzzError as exc:
            went.append(exc.code)
        went.append(f"{VirtualClock().now_ms() - started_ms} ms")
    return went


def test_one_seed_is_one_history() -> None:
    first, again, another = run(history(3)), run(history(3)), run(history(4))
    assert first == again
    assert first != another
    assert "timeout" in first


def test_failed_put_happened_in_about_half_of_the_cases() -> None:
    async def scenario() -> int:
        hub = MemoryHub(clock=VirtualClock(), seed=1, failure_rate=1.0)
        table = MemoryTable()
        dht = table_with(hub, table)
        for number in range(200):
            with pytest.raises(RequestTimeout):
                await dht.put_value(f"{number}", b"x")
        assert dht.counters["drawn_failures"] == 200
        return len(table.values)

    assert 60 <= run(scenario()) <= 140


def test_latency_beyond_the_deadline_is_cut_off_there() -> None:
    async def scenario() -> None:
        hub = MemoryHub(clock=VirtualClock(), latency_ms=(1_000, 1_000))
        dht = table_with(hub)
        with pytest.raises(RequestTimeout):
            await dht.put_value("key", b"x", timeout_ms=300)
        assert VirtualClock().now_ms() == 300
        with pytest.raises(KeyNotFound):
            await dht.get_value("key")
        assert VirtualClock().now_ms() == 1_300

    run(scenario())


def test_failed_renewal_is_made_good_before_anything_expires() -> None:
    async def scenario() -> None:
        hub = MemoryHub(clock=VirtualClock(), seed=2)
        table = MemoryTable()
        dht, other = table_with(hub, table), table_with(None, table)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(dht.run())
            await dht.provide("key", "p")
            for _ in range(20):
                hub.failure_rate = 1.0  # At the time of each renewal, for two seconds.
                await VirtualClock().sleep_ms(2_000)
                hub.failure_rate = 0.0
                for _ in range(3):
                    assert await other.find_providers("key") == ["p"]
                    await VirtualClock().sleep_ms(1_000)
            assert dht.counters["renewal_failures"] > 0
            task.cancel()

    run(scenario())


def test_memory_grows_with_what_is_stored_and_with_nothing_else() -> None:
    async def cost(entries: int) -> int:
        dht = table_with()
        tracemalloc.start()
        for number in range(entries):
            await dht.put_value(f"{number:06}", b"%06d" % number + bytes(2_042))
            await dht.get_value(f"{number:06}")
        used, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return used

    once, twice = run(cost(1_000)), run(cost(2_000))
    assert once < 1_000 * (2_048 + 400)
    assert 1.8 < twice / once < 2.2
