"""One bucket for several nodes in one process, which fails as it is told to.

What a store does is here in its simplest form, so that the hash table's own rules can be tested
without brokers: revisions, compare-and-set, lifetimes, watches. `away` is a node cut off: nothing
gets through and its watches stand still; `lose_answers` lets writes happen and takes the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from bzzz_core.errors import (
    CapacityExceeded,
    QuorumUnavailable,
    RequestTimeout,
    RevisionConflict,
)
from bzzz_core.model import Revision
from bzzz_core.ports import Change, Clock, Record

Handler = Callable[[Change | None], None]


@dataclass
class SharedBucket:
    """What the cluster holds."""

    clock: Clock
    records: dict[str, Record] = field(default_factory=dict)
    until_ms: dict[str, int] = field(default_factory=dict)
    last: int = 0
    nodes: list[NodeKeyValue] = field(default_factory=list)
    history: list[tuple[str, bytes]] = field(default_factory=list)
    """Every key and value ever written."""
    value_bytes_max: int | None = None
    """Larger values are refused, as a full bucket does."""

    def attach(self) -> NodeKeyValue:
        """Return another node's use of it."""
        node = NodeKeyValue(self)
        self.nodes.append(node)
        return node

    def held(self, key: str) -> Record | None:
        """Return a record that has not expired."""
        self.expire()
        return self.records.get(key)

    def expire(self) -> None:
        """Drop what is over."""
        now_ms = self.clock.now_ms()
        for key in [key for key, until_ms in self.until_ms.items() if until_ms <= now_ms]:
            del self.until_ms[key]
            self.set(key, None)

    def set(self, key: str, value: bytes | None, *, ttl_s: int | None = None) -> Revision:
        """Write, or remove, whatever is there."""
        self.last += 1
        revision = Revision(self.last)
        self.until_ms.pop(key, None)
        if value is None:
            self.records.pop(key, None)
        else:
            self.records[key] = Record(key, value, revision)
            self.history.append((key, value))
            if ttl_s is not None:
                self.until_ms[key] = self.clock.now_ms() + ttl_s * 1000
        for node in self.nodes:
            node.hear(Change(key, value, revision))
        return revision


class NodeKeyValue:
    """One node's use of a shared bucket; satisfies `ports.KeyValue`."""

    def __init__(self, bucket: SharedBucket) -> None:
        """Use `SharedBucket.attach`."""
        self.bucket = bucket
        self.away = False
        self.deaf = False
        """Whether its watches lag behind, and call themselves current."""
        self.lose_answers = 0
        """How many of the next writes happen without an answer."""
        self.hangs_ms = 0
        """How long each operation takes."""
        self.operations: list[str] = []
        self.watches: list[FakeWatch] = []

    async def get(self, key: str) -> Record | None:
        """Return the record."""
        await self._travel("get")
        return self.bucket.held(key)

    async def put(self, key: str, value: bytes, *, ttl_s: int | None = None) -> Revision:
        """Write whatever was there."""
        await self._travel("put")
        self._check_room(value)
        return self._answer(self.bucket.set(key, value, ttl_s=ttl_s))

    async def create(self, key: str, value: bytes, *, ttl_s: int | None = None) -> Revision:
        """Write if nothing is there."""
        return await self.update(key, value, Revision(0), ttl_s=ttl_s)

    async def update(
        self, key: str, value: bytes, revision: Revision, *, ttl_s: int | None = None
    ) -> Revision:
        """Write if the key is still there."""
        await self._travel("update")
        self._check_room(value)
        held = self.bucket.held(key)
        if (held.revision if held else 0) != revision:
            raise RevisionConflict(f"{key} is not at {revision}")
        return self._answer(self.bucket.set(key, value, ttl_s=ttl_s))

    async def delete(self, key: str, *, revision: Revision | None = None) -> None:
        """Remove a key."""
        await self._travel("delete")
        held = self.bucket.held(key)
        if revision is not None and (held.revision if held else 0) != revision:
            raise RevisionConflict(f"{key} is not at {revision}")
        self._answer(self.bucket.set(key, None))

    async def keys(self, prefix: str = "") -> tuple[str, ...]:
        """Return the keys below a prefix."""
        return tuple(record.key for record in await self.records(prefix))

    async def records(self, prefix: str = "") -> tuple[Record, ...]:
        """Return the records below a prefix."""
        await self._travel("records")
        self.bucket.expire()
        below = f"{prefix}." if prefix else ""
        held = self.bucket.records
        return tuple(held[key] for key in sorted(held) if key.startswith(below))

    async def watch(self, prefix: str = "", handler: Handler | None = None) -> FakeWatch:
        """Watch all keys."""
        assert not prefix, "the hash table watches whole buckets"
        await self._travel("watch")
        watch = FakeWatch(self, handler)
        self.watches.append(watch)
        watch.catch_up()
        return watch

    def come_back(self) -> None:
        """Be attached again; watches tell what was missed."""
        self.away = self.deaf = False
        for watch in self.watches:
            watch.catch_up()

    def hear(self, change: Change) -> None:
        """Take in a change, if attached."""
        if not self.away and not self.deaf:
            for watch in self.watches:
                watch.take(change)

    async def _travel(self, what: str) -> None:
        self.operations.append(what)
        await asyncio.sleep(self.hangs_ms / 1000)
        if self.away:
            raise QuorumUnavailable("cut off, as told")

    def _check_room(self, value: bytes) -> None:
        limit = self.bucket.value_bytes_max
        if limit is not None and len(value) > limit:
            raise CapacityExceeded("the bucket is full, as told")

    def _answer(self, revision: Revision) -> Revision:
        if self.lose_answers:
            self.lose_answers -= 1
            raise RequestTimeout("the answer was lost, as told")
        return revision


class FakeWatch:
    """A copy of the bucket; satisfies `ports.Watch`."""

    def __init__(self, node: NodeKeyValue, handler: Handler | None) -> None:
        """Use `NodeKeyValue.watch`."""
        self._node = node
        self._handler = handler
        self._copy: dict[str, Record] = {}

    @property
    def current(self) -> bool:
        """Return whether it is kept up to date."""
        return not self._node.away

    def get(self, key: str) -> Record | None:
        """Return the copy of a record."""
        return self._copy.get(key)

    def keys(self) -> tuple[str, ...]:
        """Return the keys of the copy."""
        return tuple(sorted(self._copy))

    async def listed(self) -> None:
        """Return: everything is there at once."""

    async def stop(self) -> None:
        """End it."""
        if self in self._node.watches:
            self._node.watches.remove(self)
        self._copy.clear()

    def catch_up(self) -> None:
        """Take in what was missed."""
        held = self._node.bucket.records
        for key in [key for key in self._copy if key not in held]:
            self.take(Change(key, None, Revision(self._node.bucket.last)))
        for key, record in held.items():
            if self._copy.get(key) != record:
                self.take(Change(key, record.value, record.revision))

    def take(self, change: Change) -> None:
        """Take in one change."""
        if change.value is None:
            self._copy.pop(change.key, None)
        else:
            self._copy[change.key] = Record(change.key, change.value, change.revision)
        if self._handler is not None:
            self._handler(change)
