"""Keys inside one process: the contract of `ports.KeyValue`, with the trouble of `MemoryHub`.

What is stored belongs to the hub and is shared by all its nodes. While a node is not attached its
watches are not told; they hear what they missed when it is attached again.

Lifetimes go by the hub's clock. They are looked at with every operation, and by a timer.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from bzzz_core.errors import RevisionConflict, StreamBusy
from bzzz_core.fabric.keys import check_key, check_prefix, check_ttl, check_value, is_below
from bzzz_core.fabric.layout import Bucket, stream_api
from bzzz_core.fabric.local_copy import CopyWatch, Handler, LocalCopy
from bzzz_core.fabric.memory import MemoryFabric, MemoryHub
from bzzz_core.fabric.memory_operations import Operations, Result
from bzzz_core.model import Revision
from bzzz_core.ports import Change, Record


@dataclass(slots=True)
class _Keys:
    """What a bucket's stream would hold."""

    last: int = 0
    records: dict[str, Record] = field(default_factory=dict)
    expires_ms: dict[str, int] = field(default_factory=dict)
    lifetimes: list[tuple[int, str, Revision]] = field(default_factory=list)
    feeds: list[_Feed] = field(default_factory=list)
    busy: set[str] = field(default_factory=set)

    def change(self, key: str, value: bytes | None, expires_ms: int | None = None) -> Revision:
        """Write or remove a key, and tell those who watch."""
        self.last += 1
        revision = Revision(self.last)
        self.expires_ms.pop(key, None)
        if value is None:
            self.records.pop(key, None)
        else:
            self.records[key] = Record(key, value, revision)
            if expires_ms is not None:
                self.expires_ms[key] = expires_ms
                heapq.heappush(self.lifetimes, (expires_ms, key, revision))
        for feed in self.feeds:
            feed.take(Change(key, value, revision))
        return revision

    def expire(self, now_ms: int) -> None:
        """Remove what has come to the end of its lifetime."""
        while self.lifetimes and self.lifetimes[0][0] <= now_ms:
            _, key, revision = heapq.heappop(self.lifetimes)
            record = self.records.get(key)
            if record is not None and record.revision == revision:
                self.change(key, None)


class MemoryKeyValue:
    """The keys of one bucket, as one node uses them; satisfies `ports.KeyValue`."""

    def __init__(self, hub: MemoryHub, fabric: MemoryFabric, bucket: Bucket) -> None:
        """Use `bucket`, which exists as soon as somebody does."""
        self.bucket = bucket
        self._hub = hub
        self._fabric = fabric
        self._keys = hub.shared(bucket.stream, _Keys)
        self._does = Operations(hub, fabric)
        self._reads = stream_api("MSG.GET", bucket.stream)
        self._feeds: dict[str, _Feed] = {}
        self.counters: Counter[str] = Counter()

    async def get(self, key: str) -> Record | None:
        """Return the record; see `ports.KeyValue.get`."""
        check_key(key)
        return await self._does.read(
            f"reading {key}", self._reads, lambda: self._present().get(key)
        )

    async def put(self, key: str, value: bytes, *, ttl_s: int | None = None) -> Revision:
        """Write whatever was there; see `ports.KeyValue.put`."""
        self._check(key, value, ttl_s)
        return await self._does.write(
            f"writing {key}", self._subject(key), lambda: self._write(key, value, None, ttl_s)
        )

    async def create(self, key: str, value: bytes, *, ttl_s: int | None = None) -> Revision:
        """Write if the key is absent; see `ports.KeyValue.create`."""
        return await self.update(key, value, Revision(0), ttl_s=ttl_s)

    async def update(
        self, key: str, value: bytes, revision: Revision, *, ttl_s: int | None = None
    ) -> Revision:
        """Write if the key is still at `revision`; see `ports.KeyValue.update`."""
        self._check(key, value, ttl_s)
        return await self._guarded(key, lambda: self._write(key, value, revision, ttl_s))

    async def delete(self, key: str, *, revision: Revision | None = None) -> None:
        """Remove the key; see `ports.KeyValue.delete`."""
        check_key(key)
        if revision == 0:
            raise ValueError("what is not there cannot be deleted at a revision")
        if revision is None:
            await self._does.write(
                f"deleting {key}", self._subject(key), lambda: self._write(key, None, None, None)
            )
        else:
            await self._guarded(key, lambda: self._write(key, None, revision, None))

    async def keys(self, prefix: str = "") -> tuple[str, ...]:
        """Return the keys below `prefix`; see `ports.KeyValue.keys`."""
        return tuple(record.key for record in await self.records(prefix))

    async def records(self, prefix: str = "") -> tuple[Record, ...]:
        """Return the records below `prefix`; see `ports.KeyValue.records`."""
        check_prefix(prefix)
        return await self._does.read("listing", self._reads, lambda: self._below(prefix))

    async def watch(self, prefix: str = "", handler: Handler | None = None) -> CopyWatch:
        """Keep a local copy of what is below `prefix`; see `ports.KeyValue.watch`."""
        check_prefix(prefix)
        feed = self._feeds.get(prefix)
        if feed is None:
            self._keys.expire(self._hub.clock.now_ms())
            copy = LocalCopy(prefix, self.counters)
            feed = self._feeds[prefix] = _Feed(copy, self._keys, self._fabric)
        watch = feed.copy.watch(handler)
        watch.on_stop = lambda _: self._forget(feed)
        return watch

    async def _guarded(self, key: str, change: Callable[[], Result]) -> Result:
        if key in self._keys.busy:
            raise StreamBusy(f"writing {key}: another guarded write is in flight")
        self._keys.busy.add(key)
        try:
            return await self._does.write(f"writing {key}", self._subject(key), change)
        finally:
            self._keys.busy.discard(key)

    def _write(
        self, key: str, value: bytes | None, expected: Revision | None, ttl_s: int | None
    ) -> Revision:
        held = self._present().get(key)
        revision = held.revision if held else Revision(0)
        if expected is not None and revision != expected:
            raise RevisionConflict(f"{key} is at {revision}, not at {expected}")
        if ttl_s is None:
            return self._keys.change(key, value)
        now_ms = self._hub.clock.now_ms()
        asyncio.get_running_loop().call_later(ttl_s, self._present)
        return self._keys.change(key, value, now_ms + 1000 * ttl_s)

    def _present(self) -> dict[str, Record]:
        self._keys.expire(self._hub.clock.now_ms())
        return self._keys.records

    def _below(self, prefix: str) -> tuple[Record, ...]:
        records = self._present()
        return tuple(records[key] for key in sorted(records) if is_below(prefix, key))

    def _forget(self, feed: _Feed) -> None:
        if not feed.copy.watches and self._feeds.pop(feed.copy.prefix, None) is not None:
            feed.close()

    def _check(self, key: str, value: bytes, ttl_s: int | None) -> None:
        check_key(key)
        check_value(value)
        check_ttl(ttl_s)

    def _subject(self, key: str) -> str:
        return f"{self.bucket.prefix}.{key}"


class _Feed:
    """Brings changes of a bucket into a copy while its node is attached."""

    def __init__(self, copy: LocalCopy, keys: _Keys, fabric: MemoryFabric) -> None:
        self.copy = copy
        self._keys = keys
        self._fabric = fabric
        keys.feeds.append(self)
        fabric.on_state.append(self._state_changed)
        self._state_changed()

    def take(self, change: Change) -> None:
        """Take the next change."""
        if self._fabric.attached and is_below(self.copy.prefix, change.key):
            self.copy.take(change)

    def close(self) -> None:
        """Take no more."""
        self._keys.feeds.remove(self)
        self._fabric.on_state.remove(self._state_changed)

    def _state_changed(self) -> None:
        was, self.copy.current = self.copy.current, self._fabric.attached
        if was or not self.copy.current:
            return
        self.copy.restart(anew=False)
        for record in sorted(self._keys.records.values(), key=lambda record: record.revision):
            self.take(Change(record.key, record.value, record.revision))
        self.copy.caught_up()
