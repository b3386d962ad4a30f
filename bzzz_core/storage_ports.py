"""What the core needs of things stored in the fabric: keys, logs, blobs. Part of `ports`.

Rules: those of `ports`; the suite is `tests/integration/test_storage_conformance.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from bzzz_core.model import Revision

VALUE_BYTES_MAX: Final = 1_000_000
"""Largest value of a key or entry of a log: a message has 1 MiB, its headers included."""
BLOB_BYTES_MAX: Final = 64 * 1_048_576
"""A blob is held in memory whole, at both ends; what is larger travels as a file."""


class Subscription(Protocol):
    """A live interest in a subject."""

    async def stop(self) -> None:
        """End it; no handler call starts afterwards."""
        ...


@dataclass(frozen=True, slots=True)
class Record:
    """The last value written under a key."""

    key: str
    value: bytes
    revision: Revision
    request_id: str | None = None
    """The name under which it was written, so that a writer whose answer was lost finds its own."""


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a key."""

    key: str
    value: bytes | None
    """None: deleted or expired."""
    revision: Revision


class Watch(Protocol):
    """A local copy of the keys below a prefix, kept up to date."""

    @property
    def current(self) -> bool:
        """Return whether everything was listed and the copy is being kept up to date right now."""
        ...

    def get(self, key: str) -> Record | None:
        """Return the local copy of a record; what this node wrote itself is in it at once."""
        ...

    def keys(self) -> tuple[str, ...]:
        """Return the keys of the local copy, sorted."""
        ...

    async def listed(self) -> None:
        """Return once everything that was there at first has been delivered."""
        ...

    async def stop(self) -> None:
        """End it; no handler call starts afterwards, and the copy is empty."""
        ...


class KeyValue(Protocol):
    """Keys of one bucket: last writer or compare-and-set, durable on a majority when acknowledged.

    A key is dotted tokens of letters, digits, `-`, `_`, `=` and `/`, 256 characters at most. A
    value has at most `VALUE_BYTES_MAX` bytes. A prefix is whole tokens: "a.b" means all keys below
    "a.b.", not "a.b" itself; the empty prefix means all keys. Revisions grow over the whole bucket.

    Raises, by every method that asks the store:
        QuorumUnavailable: No majority; nothing was acknowledged.
        RequestTimeout: No answer; a write may still have happened, so read it back.
        PermissionDenied: This node may not do that with this key; known at once.
        ValueError: Key, prefix, value or `ttl_s` is not as described.
    """

    async def get(self, key: str) -> Record | None:
        """Return the record as the store's leader knows it; None if absent, deleted or expired."""
        ...

    async def put(self, key: str, value: bytes, *, ttl_s: int | None = None) -> Revision:
        """Write whatever was there. `ttl_s` >= 1: the key expires that long after *this* write.

        A later write without `ttl_s` does not expire.
        """
        ...

    async def create(self, key: str, value: bytes, *, ttl_s: int | None = None) -> Revision:
        """Write if the key is absent, deleted or expired.

        Raises:
            RevisionConflict: It is there.
            StreamBusy: Another guarded write to the key is in flight; nothing was written.
        """
        ...

    async def update(
        self, key: str, value: bytes, revision: Revision, *, ttl_s: int | None = None
    ) -> Revision:
        """Write if the key is still at `revision`; 0 is the same as `create`.

        Raises:
            RevisionConflict: It is not; nothing was written.
            StreamBusy: Another guarded write to the key is in flight; nothing was written.
        """
        ...

    async def delete(self, key: str, *, revision: Revision | None = None) -> None:
        """Remove the key, absent or not; with `revision`, only if it is still there.

        Raises:
            RevisionConflict: The key is not at `revision` any more.
            StreamBusy: Another guarded write to the key is in flight; nothing was written.
        """
        ...

    async def keys(self, prefix: str = "") -> tuple[str, ...]:
        """Return the keys below `prefix`, sorted; costs as much as `records`."""
        ...

    async def records(self, prefix: str = "") -> tuple[Record, ...]:
        """Return the records below `prefix`, sorted by key, each as the store's leader knows it.

        It asks for each key: to read many again and again, watch.
        """
        ...

    async def watch(
        self, prefix: str = "", handler: Callable[[Change | None], None] | None = None
    ) -> Watch:
        """Keep a local copy of what is below `prefix` and tell `handler` of each change.

        The handler gets the values there are, then None once, then changes in the order of their
        revisions; of several quick changes of a key at least the last. It must not block and must
        not raise. A watch survives reconnects: afterwards it tells what was missed, deletions too.
        """
        ...


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry of a log."""

    revision: Revision
    data: bytes


class Log(Protocol):
    """Entries in one order for everybody, durable on a majority when acknowledged.

    Not fenced: what only a leader may write goes through `fabric.lane`. An entry has at most
    `VALUE_BYTES_MAX` bytes. Old entries may be gone once the log has reached its size.

    Raises as `KeyValue` does.
    """

    async def append(self, data: bytes, *, request_id: str | None = None) -> Revision:
        """Add an entry; again under the same `request_id` within two minutes adds it once."""
        ...

    async def read(self, start: Revision, *, count: int = 256) -> tuple[LogEntry, ...]:
        """Return up to `count` entries from `start` on, in order.

        Fewer, or none, mean that the replica asked had no more; only `end` says where the end is.
        """
        ...

    async def end(self) -> Revision:
        """Return the last entry's revision as the log's leader knows it; 0 if there is none."""
        ...

    async def subscribe(self, start: Revision, handler: Callable[[LogEntry], None]) -> Subscription:
        """Call `handler` for every entry from `start` on, once and in order, over reconnects.

        The handler must not block and must not raise.
        """
        ...


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """What is known of a blob without reading it."""

    name: str
    size_bytes: int
    sha256: bytes


class Blobs(Protocol):
    """Named byte strings larger than a value, `BLOB_BYTES_MAX` at most; the last writer wins.

    Names are keys (`KeyValue`). A reader sees a blob whole or not at all.

    Raises as `KeyValue` does.
    """

    async def put(self, name: str, data: bytes) -> BlobInfo:
        """Write a blob; the previous one of this name is readable until this returns."""
        ...

    async def get(self, name: str) -> bytes | None:
        """Return a blob, or None if there is none.

        Raises:
            IntegrityError: What is stored is not what was written.
        """
        ...

    async def delete(self, name: str) -> None:
        """Remove a blob, there or not."""
        ...

    async def infos(self, prefix: str = "") -> tuple[BlobInfo, ...]:
        """Return what there is below `prefix`, sorted by name."""
        ...
