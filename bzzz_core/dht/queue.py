"""Writes that the cluster has not got yet: one file per slot, so that a restart loses none.

A file holds the last value for its key, because the last writer wins; what the store held when the
first of them was written, because a later reconciliation must not overwrite what others wrote
meanwhile; and digests of the values it took the place of, because one of them may have reached the
store in spite of a failure, which is no conflict. Files are replaced in one step and fsynced, in a
thread of their own: a slow disk must not hold up heartbeats.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Final

import msgspec

from bzzz_core.dht.entry import slot_of
from bzzz_core.errors import CapacityExceeded, EntryRefused, IntegrityError
from bzzz_core.model import Revision
from bzzz_core.telemetry import logs
from bzzz_core.trust import private_files

ENTRIES_MAX: Final = 10_000
BYTES_MAX: Final = 67_108_864
_SUPERSEDED_MAX: Final = 16
_DAMAGED: Final = ".damaged"
_WIRE_VERSION: Final = 1


class Pending(msgspec.Struct, frozen=True):
    """The last write of one key that the cluster has not got."""

    key: str
    value: bytes
    base: Annotated[int, msgspec.Meta(ge=0)]
    """Revision that this node last saw of the key before its first queued write; 0: none."""
    superseded: Annotated[tuple[bytes, ...], msgspec.Meta(max_length=_SUPERSEDED_MAX)] = ()
    """Digests of the values that waited before this one, the newest last. Each of them may have
    reached the store although nobody said so."""
    v: int = _WIRE_VERSION


def digest(value: bytes) -> bytes:
    """Return what tells one value from another."""
    return hashlib.sha256(value).digest()


class WriteQueue:
    """The queued writes of one node, by slot."""

    def __init__(
        self,
        directory: Path | None,
        *,
        entries_max: int = ENTRIES_MAX,
        bytes_max: int = BYTES_MAX,
    ) -> None:
        """Load what an earlier run left.

        Args:
            directory: Where the files are; None keeps them in memory only, for tests.
            entries_max: Further keys are refused.
            bytes_max: Further bytes are refused.

        Raises:
            IntegrityError: The directory cannot be used.
        """
        self.counters: Counter[str] = Counter()
        """What happened so far: queued, damaged, not_erased."""
        self._directory = directory
        self._entries_max = entries_max
        self._bytes_max = bytes_max
        self._pending: dict[str, Pending] = {}
        self._bytes = 0
        self._writing = asyncio.Lock()
        self._log = logs.get("dht")
        self._disk: ThreadPoolExecutor | None = None
        if directory is not None:
            self._disk = ThreadPoolExecutor(1, thread_name_prefix="bzzz-dht-queue")
            self._load(directory)

    def __len__(self) -> int:
        """Return how many keys wait."""
        return len(self._pending)

    @property
    def size_bytes(self) -> int:
        """Return how many bytes of values wait."""
        return self._bytes

    def find(self, slot: str) -> Pending | None:
        """Return what waits at a slot."""
        return self._pending.get(slot)

    @property
    def slots(self) -> tuple[str, ...]:
        """Return where something waits, the oldest first."""
        return tuple(self._pending)

    async def put(self, slot: str, key: str, value: bytes, *, base: Revision) -> None:
        """Queue a write in the place of an earlier one of its key; durable on return.

        Args:
            slot: Where it belongs.
            key: Its name.
            value: What was written.
            base: Revision that this node last saw; used only if nothing waits at the slot.

        Raises:
            CapacityExceeded: The queue or its disk is full; nothing was queued.
        """
        async with self._writing:
            before = self._pending.get(slot)
            self._check_room(before, value)
            pending = Pending(key, value, base)
            if before is not None:
                superseded = (*before.superseded, digest(before.value))[-_SUPERSEDED_MAX:]
                pending = Pending(key, value, before.base, superseded)
            await self._save(slot, pending)
            self._replace(slot, pending)
            self.counters["queued"] += 1

    async def settle(self, slot: str, pending: Pending, revision: Revision) -> None:
        """Forget a write that arrived and made `revision`.

        If a newer one of its key took its place meanwhile, that one stands on `revision` now.
        """
        async with self._writing:
            there = self._pending.get(slot)
            if there is pending:
                await self._erase(slot)
                self._replace(slot, None)
            elif there is not None:
                newer = msgspec.structs.replace(there, base=revision)
                await self._save(slot, newer)
                self._replace(slot, newer)

    def close(self) -> None:
        """End the thread; what waits stays on disk."""
        if self._disk is not None:
            self._disk.shutdown(wait=True)

    def _check_room(self, before: Pending | None, value: bytes) -> None:
        entries = len(self._pending) + (before is None)
        size = self._bytes + len(value) - (len(before.value) if before else 0)
        if entries > self._entries_max or size > self._bytes_max:
            raise CapacityExceeded(
                f"{len(self._pending)} writes ({self._bytes} bytes) wait for the cluster already"
            )

    def _replace(self, slot: str, pending: Pending | None) -> None:
        before = self._pending.get(slot)
        self._bytes -= len(before.value) if before else 0
        if pending is None:
            self._pending.pop(slot, None)
        else:
            self._bytes += len(pending.value)
            self._pending[slot] = pending

    async def _save(self, slot: str, pending: Pending) -> None:
        if self._directory is not None:
            data = msgspec.msgpack.encode(pending)
            loop = asyncio.get_running_loop()
            path = self._directory / slot
            try:
                await loop.run_in_executor(self._disk, private_files.replace, path, data)
            except OSError as exc:
                raise CapacityExceeded(f"a write cannot be queued: {path}: {exc.strerror}") from exc

    async def _erase(self, slot: str) -> None:
        if self._directory is not None:
            loop = asyncio.get_running_loop()
            path = self._directory / slot
            try:
                await loop.run_in_executor(self._disk, _unlink, path)
            except OSError as exc:
                # The cluster has the write. Should the file come back, it finds its value there.
                self.counters["not_erased"] += 1
                self._log.error("a settled write stays on disk", file=str(path), reason=str(exc))

    def _load(self, directory: Path) -> None:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            paths = sorted(p for p in directory.iterdir() if "." not in p.name)
            for path in sorted(paths, key=lambda p: p.stat().st_mtime_ns):
                self._load_one(path)
        except OSError as exc:
            raise IntegrityError(f"{directory}: {exc.strerror}") from exc

    def _load_one(self, path: Path) -> None:
        try:
            pending = msgspec.msgpack.decode(path.read_bytes(), type=Pending)
            if slot_of(pending.key) != path.name:
                raise EntryRefused("the file lies at another key's place")
        except ValueError as exc:
            # Kept for whoever can read it: a write that was promised is not dropped unseen.
            path.rename(path.with_name(path.name + _DAMAGED))
            self.counters["damaged"] += 1
            self._log.error("a queued write cannot be read", file=str(path), reason=str(exc))
        else:
            self._replace(path.name, pending)


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)
    private_files.sync_directory(path.parent)
