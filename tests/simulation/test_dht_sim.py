"""Nodes that come and go, answers that are lost, one bucket: no acknowledged write vanishes.

Every value is written once, so it can be followed. In the end the store's history must hold, for
each node and key, the last value whose write was acknowledged: under the key itself, or where
values that lost a conflict lie. Earlier ones may have been replaced in the queue by later ones of
the same node. `SEED=n` plays one history again.
"""

from __future__ import annotations

import asyncio
import os
import random

import pytest

from bzzz_core.breaker import Breaker
from bzzz_core.dht.entry import slot_of
from bzzz_core.dht.hybrid import Backend, HybridDht
from bzzz_core.dht.memory import MemoryDht, MemoryTable
from bzzz_core.dht.queue import WriteQueue, digest
from bzzz_core.dht.stored import StoredDht
from bzzz_core.model import NodeId
from tests.fakes.key_value import NodeKeyValue, SharedBucket
from tests.fakes.virtual_time import VirtualClock, run

NODES = ("a", "b", "c")
KEYS = ("k", "l", "m")
STEPS = 120
SEEDS = [int(os.environ["SEED"])] if "SEED" in os.environ else range(60)


class World:
    """Three nodes and what was acknowledged to them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.clock = VirtualClock()
        self.values, self.providers = SharedBucket(self.clock), SharedBucket(self.clock)
        self.stores: dict[str, NodeKeyValue] = {}
        self.tables: dict[str, HybridDht] = {}
        self.queues: dict[str, WriteQueue] = {}
        self.acknowledged: dict[tuple[str, str], bytes] = {}
        self.written = 0
        for name in NODES:
            self.stores[name] = self.values.attach()
            self.queues[name] = WriteQueue(None)
            self.tables[name] = self._table(name, watches=name != "c")

    def _table(self, name: str, *, watches: bool) -> HybridDht:
        cluster = StoredDht(
            node=NodeId(name),
            values=self.stores[name],
            providers=self.providers.attach(),
            clock=self.clock,
            watches=watches,
        )
        return HybridDht(
            node=NodeId(name),
            cluster=cluster,
            mock=MemoryDht(MemoryTable(), node=NodeId(name), clock=self.clock),
            queue=self.queues[name],
            breaker=Breaker(),
            clock=self.clock,
            backend=Backend.HYBRID,
            falls_back=True,
            replicas=lambda: 3,
            notify=lambda _: None,
        )

    async def live(self) -> None:
        """Let chance write, cut off, bring back, lose answers and slow down; then a calm end."""
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(table.run()) for table in self.tables.values()]
            writers = [tasks.create_task(self._write(name)) for name in NODES]
            for _ in range(STEPS):
                await self.clock.sleep_ms(self.random.randint(1, 400))
                self._trouble(self.stores[self.random.choice(NODES)])
            await asyncio.wait(writers)
            for store in self.stores.values():
                store.hangs_ms = store.lose_answers = 0
                store.come_back()
            await self.clock.sleep_ms(30_000)
            for task in running:
                task.cancel()

    async def _write(self, name: str) -> None:
        """Write one value after the other, as one caller does."""
        dice = random.Random(self.random.random())
        for _ in range(STEPS):
            await self.clock.sleep_ms(dice.randint(1, 300))
            key = dice.choice(KEYS)
            self.written += 1
            value = b"%d of %s" % (self.written, name.encode())
            await self.tables[name].put_value(key, value)
            self.acknowledged[name, key] = value

    def _trouble(self, store: NodeKeyValue) -> None:
        match self.random.randint(0, 5):
            case 0 | 1:
                store.away = True
            case 2 | 3:
                store.come_back()
            case 4:
                store.lose_answers = self.random.randint(0, 2)
            case _:
                store.hangs_ms = self.random.choice([0, 0, 5, 900, 1_500])


@pytest.mark.parametrize("seed", SEEDS)
def test_no_acknowledged_write_vanishes(seed: int) -> None:
    async def play() -> World:
        world = World(seed)
        await world.live()
        return world

    world = run(play())
    assert not any(len(queue) for queue in world.queues.values())
    conflicts = [table.status().conflicts for table in world.tables.values()]
    for (name, key), value in world.acknowledged.items():
        places = {slot for slot, written in world.values.history if written == value}
        beside = f"bzzz/conflict/{slot_of(key)}/{name}/{digest(value).hex()[:16]}"
        assert places & {slot_of(key), slot_of(beside)}, f"{value!r} of {key} is gone"
        if places == {slot_of(beside)}:
            assert any(beside in known for known in conflicts), "nobody was told"


def test_histories_do_hold_trouble() -> None:
    """Or the test above proves nothing."""

    async def play() -> dict[str, int]:
        world = World(1)
        await world.live()
        total: dict[str, int] = {}
        for table in world.tables.values():
            for name, count in table.status().counters.items():
                total[name] = total.get(name, 0) + count
        return total

    counters = run(play())
    for name in ("fallbacks", "recoveries", "reconciled", "conflicts", "queued", "probe_failures"):
        assert counters.get(name, 0) > 0, name
