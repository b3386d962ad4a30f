"""Logs and blobs inside one process: the ports' contracts, with the trouble of `MemoryHub`."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from bzzz_core.errors import IntegrityError
from bzzz_core.fabric.keys import check_blob, check_key, check_prefix, check_value, is_below
from bzzz_core.fabric.layout import BlobStore, LogStream, stream_api
from bzzz_core.fabric.memory import MemoryFabric, MemoryHub
from bzzz_core.fabric.memory_operations import Operations
from bzzz_core.model import Revision
from bzzz_core.ports import BlobInfo, LogEntry


@dataclass(slots=True)
class _Entries:
    """What a log's stream would hold."""

    entries: list[LogEntry] = field(default_factory=list)
    requests: dict[str, Revision] = field(default_factory=dict)
    readers: list[_Reader] = field(default_factory=list)

    def append(self, data: bytes, request_id: str | None) -> Revision:
        """Add an entry once."""
        if request_id in self.requests:
            return self.requests[request_id]
        revision = Revision(len(self.entries) + 1)
        self.entries.append(LogEntry(revision, data))
        if request_id is not None:
            self.requests[request_id] = revision
        for reader in self.readers:
            reader.look()
        return revision


class MemoryLog:
    """A log, as one node uses it; satisfies `ports.Log`."""

    def __init__(self, hub: MemoryHub, fabric: MemoryFabric, stream: LogStream) -> None:
        """Use a log, which exists as soon as somebody does."""
        self._fabric = fabric
        self._log = hub.shared(stream.stream, _Entries)
        self._does = Operations(hub, fabric)
        self._subject = stream.subject
        self._reads = stream_api("MSG.GET", stream.stream)
        self.counters: Counter[str] = Counter()

    async def append(self, data: bytes, *, request_id: str | None = None) -> Revision:
        """Add an entry; see `ports.Log.append`."""
        check_value(data)
        return await self._does.write(
            "appending", self._subject, lambda: self._log.append(data, request_id)
        )

    async def read(self, start: Revision, *, count: int = 256) -> tuple[LogEntry, ...]:
        """Return entries from `start` on; see `ports.Log.read`."""
        first = max(1, start) - 1
        return await self._does.read(
            "reading on", self._reads, lambda: tuple(self._log.entries[first : first + count])
        )

    async def end(self) -> Revision:
        """Return the revision of the last entry; see `ports.Log.end`."""
        return await self._does.read(
            "asking", self._reads, lambda: Revision(len(self._log.entries))
        )

    async def subscribe(self, start: Revision, handler: Callable[[LogEntry], None]) -> _Reader:
        """Call `handler` for every entry; see `ports.Log.subscribe`."""
        reader = _Reader(self._log, self._fabric, start, handler, self.counters)
        reader.look()
        return reader


class _Reader:
    """Reads a log to somebody."""

    def __init__(
        self,
        log: _Entries,
        fabric: MemoryFabric,
        start: Revision,
        handler: Callable[[LogEntry], None],
        counters: Counter[str],
    ) -> None:
        self._log = log
        self._fabric = fabric
        self._next = max(1, start)
        self._handler = handler
        self._counters = counters
        self._stopped = False
        log.readers.append(self)
        fabric.on_state.append(self.look)

    def look(self) -> None:
        """Tell what is new, each entry in a call of the loop's own."""
        while self._fabric.attached and self._next <= len(self._log.entries):
            entry = self._log.entries[self._next - 1]
            self._next += 1
            asyncio.get_running_loop().call_soon(self._deliver, entry)

    async def stop(self) -> None:
        """End it; no handler call starts afterwards."""
        if not self._stopped:
            self._stopped = True
            self._log.readers.remove(self)
            self._fabric.on_state.remove(self.look)

    def _deliver(self, entry: LogEntry) -> None:
        if self._stopped:
            return
        done = False
        try:
            self._handler(entry)
            done = True
        finally:
            self._counters["handler_failures"] += not done


@dataclass(slots=True)
class _Blobs:
    """What a store of blobs would hold."""

    blobs: dict[str, tuple[BlobInfo, bytes]] = field(default_factory=dict)


class MemoryBlobs:
    """Blobs, as one node uses them; satisfies `ports.Blobs`."""

    def __init__(self, hub: MemoryHub, fabric: MemoryFabric, store: BlobStore) -> None:
        """Use a store, which exists as soon as somebody does."""
        self._blobs = hub.shared(store.stream, _Blobs).blobs
        self._does = Operations(hub, fabric)
        self._store = store
        self._reads = stream_api("MSG.GET", store.stream)

    async def put(self, name: str, data: bytes) -> BlobInfo:
        """Write a blob; see `ports.Blobs.put`."""
        check_key(name)
        check_blob(data)
        info = BlobInfo(name, len(data), hashlib.sha256(data).digest())
        subject = self._store.meta(name)
        await self._does.write(
            f"writing {name}", subject, lambda: self._blobs.update({name: (info, data)})
        )
        return info

    async def get(self, name: str) -> bytes | None:
        """Return a blob; see `ports.Blobs.get`."""
        check_key(name)
        found = await self._does.read(f"reading {name}", self._reads, lambda: self._blobs.get(name))
        if found is None:
            return None
        info, data = found
        if hashlib.sha256(data).digest() != info.sha256:
            raise IntegrityError(f"the blob {name} is not what was written")
        return data

    async def delete(self, name: str) -> None:
        """Remove a blob; see `ports.Blobs.delete`."""
        check_key(name)
        subject = self._store.meta(name)
        await self._does.write(f"deleting {name}", subject, lambda: self._blobs.pop(name, None))

    async def infos(self, prefix: str = "") -> tuple[BlobInfo, ...]:
        """Return what there is below `prefix`; see `ports.Blobs.infos`."""
        check_prefix(prefix)
        return await self._does.read(
            "listing",
            self._reads,
            lambda: tuple(
                self._blobs[name][0] for name in sorted(self._blobs) if is_below(prefix, name)
            ),
        )
