"""The hash table inside one process: for tests, demonstrations and embedding.

All nodes of the process share one `MemoryTable`. Latency and failures are drawn from a seeded
source, by default from none; `fabric.memory.MemoryHub` is one. A failed write is as nasty as a real
one: in half of the cases it happened all the same.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from bzzz_core.dht.announcements import Announcements
from bzzz_core.dht.entry import check_key, check_provider, check_value
from bzzz_core.errors import KeyNotFound, RequestTimeout
from bzzz_core.model import NodeId
from bzzz_core.ports import Clock

TIMEOUT_MS = 5_000


class Faults(Protocol):
    """Where trouble comes from."""

    random: random.Random

    def draw_latency_ms(self) -> int:
        """Return how long the next operation takes."""
        ...

    def draw_failure(self) -> bool:
        """Return whether the next operation fails."""
        ...


@dataclass(slots=True)
class MemoryTable:
    """What a cluster would hold."""

    values: dict[str, bytes] = field(default_factory=dict)
    told: dict[str, dict[NodeId, tuple[frozenset[str], int]]] = field(default_factory=dict)
    """Key -> node -> the providers it names, and until when."""


class MemoryDht:
    """One node's use of a table; satisfies `ports.Dht`."""

    def __init__(
        self,
        table: MemoryTable,
        *,
        node: NodeId,
        clock: Clock,
        faults: Faults | None = None,
        lifetime_s: int = 60,
        timeout_ms: int = TIMEOUT_MS,
    ) -> None:
        """Use `table` as `node`; renewal happens while `run` runs."""
        self.counters: Counter[str] = Counter()
        """What happened so far: renewals, renewal_failures, drawn_failures."""
        self._table = table
        self._node = node
        self._clock = clock
        self._faults = faults
        self._timeout_ms = timeout_ms
        self._announcements = Announcements(
            tell=self._tell, clock=clock, lifetime_s=lifetime_s, counters=self.counters
        )

    async def run(self) -> None:
        """Renew what this node told until cancelled."""
        await self._announcements.run()

    async def put_value(self, key: str, value: bytes, *, timeout_ms: int | None = None) -> None:
        """Store a value; see `ports.Dht.put_value`."""
        values = self._table.values
        if key not in values:  # A key that is there was looked at before.
            check_key(key)
        check_value(value)
        if self._faults is None:
            values[key] = value
        else:
            await self._write(f"putting {key!r}", key, value, timeout_ms)

    async def get_value(self, key: str, *, timeout_ms: int | None = None) -> bytes:
        """Return a value; see `ports.Dht.get_value`."""
        if self._faults is not None:
            await self._read(f"getting {key!r}", timeout_ms)
        value = self._table.values.get(key)
        if value is None:
            check_key(key)
            raise KeyNotFound(f"nothing is stored under {key!r}")
        return value

    async def provide(self, key: str, provider_id: str, *, timeout_ms: int | None = None) -> None:
        """Tell of a provider; see `ports.Dht.provide`."""
        check_provider(provider_id)
        check_key(key)
        await self._travel(f"providing {key!r}", timeout_ms)
        await self._announcements.add(key, provider_id)

    async def withdraw(self, key: str, provider_id: str, *, timeout_ms: int | None = None) -> None:
        """Take a provider back; see `ports.Dht.withdraw`."""
        check_provider(provider_id)
        check_key(key)
        await self._travel(f"withdrawing {key!r}", timeout_ms)
        await self._announcements.remove(key, provider_id)

    async def find_providers(self, key: str, *, timeout_ms: int | None = None) -> list[str]:
        """Return the providers told of; see `ports.Dht.find_providers`."""
        check_key(key)
        await self._read(f"finding providers of {key!r}", timeout_ms)
        now_ms = self._clock.now_ms()
        told = self._table.told.get(key, {})
        for node in [node for node, (_, until_ms) in told.items() if until_ms <= now_ms]:
            del told[node]
        if not told:
            self._table.told.pop(key, None)
        return sorted(set().union(*(named for named, _ in told.values())))

    async def _tell(self, key: str, named: frozenset[str]) -> None:
        if self._faults is not None and self._faults.draw_failure():
            self.counters["drawn_failures"] += 1
            raise RequestTimeout("telling of providers: failure drawn")
        told = self._table.told.setdefault(key, {})
        if named:
            until_ms = self._clock.now_ms() + self._announcements.lifetime_s * 1000
            told[self._node] = (named, until_ms)
        else:
            told.pop(self._node, None)

    async def _write(self, what: str, key: str, value: bytes, timeout_ms: int | None) -> None:
        await self._travel(what, timeout_ms)
        faults = self._faults
        fails = faults is not None and faults.draw_failure()
        if not fails or (faults and faults.random.random() < 0.5):  # noqa: PLR2004  half of them
            self._table.values[key] = value
        if fails:
            self.counters["drawn_failures"] += 1
            raise RequestTimeout(f"{what}: failure drawn")

    async def _read(self, what: str, timeout_ms: int | None) -> None:
        await self._travel(what, timeout_ms)
        if self._faults is not None and self._faults.draw_failure():
            self.counters["drawn_failures"] += 1
            raise RequestTimeout(f"{what}: failure drawn")

    async def _travel(self, what: str, timeout_ms: int | None) -> None:
        latency_ms = self._faults.draw_latency_ms() if self._faults is not None else 0
        if not latency_ms:
            return
        limit_ms = self._timeout_ms if timeout_ms is None else timeout_ms
        await self._clock.sleep_ms(min(latency_ms, limit_ms))
        if latency_ms > limit_ms:
            raise RequestTimeout(f"{what}: no answer within {limit_ms} ms")
