"""A local copy of what lies below a prefix, and those who watch it; what feeds it is elsewhere.

The copy is fed with changes in the order of the store (`take`). After everything that was there has
come, `caught_up` says so; `restart` begins again when the place in the store was lost, and the next
`caught_up` removes what did not come again. Nothing is told twice, over restarts too, unless the
store itself was made anew.

A write of this node's own is put into the copy when it is acknowledged (`note`), and told to the
handlers when it comes in its order. A lifetime ends when `expire` is called after it: whoever feeds
the copy calls that only while it hears of renewals.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Callable

from bzzz_core.fabric.keys import is_below
from bzzz_core.model import Revision
from bzzz_core.ports import Change, Record

Handler = Callable[[Change | None], None]


class LocalCopy:
    """The copy of one prefix, shared by all its watches."""

    def __init__(self, prefix: str, counters: Counter[str]) -> None:
        """Start empty; `counters` counts `handler_failures`."""
        self.prefix = prefix
        self.current = False
        """Whether it is being kept up to date; set by whoever feeds it."""
        self._counters = counters
        self._records: dict[str, Record] = {}
        self._ahead: dict[str, Revision] = {}
        """Own writes and deletions that have not come in their order yet."""
        self._believed: dict[str, Revision] = {}
        """What is there according to what was told, which an own deletion runs ahead of."""
        self._lifetimes: list[tuple[int, str, Revision]] = []
        self._seen: set[str] | None = set()
        """Keys that came since the listing began; None once it is complete."""
        self._told = Revision(0)
        self.watches: list[CopyWatch] = []

    @property
    def next_expiry_ms(self) -> int | None:
        """Return when the next lifetime may end."""
        return self._lifetimes[0][0] if self._lifetimes else None

    def get(self, key: str) -> Record | None:
        """Return the copy of a record."""
        return self._records.get(key)

    def keys(self) -> tuple[str, ...]:
        """Return the keys, sorted."""
        return tuple(sorted(self._records))

    def take(self, change: Change, expires_ms: int | None = None) -> None:
        """Apply the next change in the order of the store."""
        if self._seen is not None:
            self._seen.add(change.key)
        self._apply(change, expires_ms)
        if change.revision >= self._ahead.get(change.key, Revision(0)):
            self._ahead.pop(change.key, None)
        if change.revision > self._told:
            self._told = change.revision
            self._tell(change)

    def note(self, change: Change, expires_ms: int | None = None) -> None:
        """Apply a write of our own that was acknowledged."""
        if is_below(self.prefix, change.key) and change.revision > self._told:
            self._apply(change, expires_ms)
            self._ahead[change.key] = change.revision

    def caught_up(self) -> None:
        """Say that everything there is has come."""
        if self._seen is None:
            return
        seen, self._seen = self._seen, None
        for key in [*self._records, *self._believed]:
            if key not in seen and key not in self._ahead:
                self._records.pop(key, None)
                if key in self._believed:
                    self._tell(Change(key, None, self._believed[key]))
        for watch in self.watches:
            watch.told_all()

    def restart(self, *, anew: bool) -> None:
        """Expect everything again; `anew`: from another store, whose revisions start over."""
        self._seen = set()
        self._ahead.clear()
        if anew:
            self._told = Revision(0)
            self._records = {
                key: Record(key, record.value, Revision(0)) for key, record in self._records.items()
            }

    def expire(self, now_ms: int) -> None:
        """Remove what has come to the end of its lifetime."""
        while self._lifetimes and self._lifetimes[0][0] <= now_ms:
            _, key, revision = heapq.heappop(self._lifetimes)
            record = self._records.get(key)
            if record is not None and record.revision == revision:
                del self._records[key]
                self._tell(Change(key, None, revision))

    def watch(self, handler: Handler | None) -> CopyWatch:
        """Add a watch and tell it what is there already."""
        watch = CopyWatch(self, handler, self._counters)
        self.watches.append(watch)
        for key in self.keys():
            record = self._records[key]
            watch.tell(Change(key, record.value, record.revision))
        if self._seen is None:
            watch.told_all()
        return watch

    def _apply(self, change: Change, expires_ms: int | None) -> None:
        key, revision = change.key, change.revision
        held = self._records.get(key)
        newest = max(held.revision if held else 0, self._ahead.get(key, 0))
        if revision < newest:
            return
        if change.value is None:
            self._records.pop(key, None)
            return
        self._records[key] = Record(key, change.value, revision)
        if expires_ms is not None:
            heapq.heappush(self._lifetimes, (expires_ms, key, revision))

    def _tell(self, change: Change) -> None:
        if change.value is None:
            self._believed.pop(change.key, None)
        else:
            self._believed[change.key] = change.revision
        for watch in list(self.watches):
            watch.tell(change)


class CopyWatch:
    """One watch of a copy; satisfies `ports.Watch`."""

    def __init__(self, copy: LocalCopy, handler: Handler | None, counters: Counter[str]) -> None:
        """Use `LocalCopy.watch`."""
        self._copy = copy
        self._handler = handler
        self._counters = counters
        self._listed = asyncio.Event()
        self._told_all = False
        self._stopped = False
        self.on_stop: Callable[[CopyWatch], None] = lambda _: None
        """Called once it has ended."""

    @property
    def current(self) -> bool:
        """Return whether the copy is complete and kept up to date."""
        return self._listed.is_set() and self._copy.current and not self._stopped

    def get(self, key: str) -> Record | None:
        """Return the copy of a record."""
        return None if self._stopped else self._copy.get(key)

    def keys(self) -> tuple[str, ...]:
        """Return the keys of the copy, sorted."""
        return () if self._stopped else self._copy.keys()

    async def listed(self) -> None:
        """Return once everything that was there at first has been delivered."""
        await self._listed.wait()

    async def stop(self) -> None:
        """End it; no handler call starts afterwards."""
        if not self._stopped:
            self._stopped = True
            self._copy.watches.remove(self)
            self.on_stop(self)

    def tell(self, change: Change | None) -> None:
        """Call the handler soon, after all calls before; None says that all was told.

        Each call is one of the loop's own: a handler that raises is reported by it, and the next
        change still comes.
        """
        asyncio.get_running_loop().call_soon(self._deliver, change)

    def _deliver(self, change: Change | None) -> None:
        if change is None:
            self._listed.set()
        if self._handler is None or self._stopped:
            return
        done = False
        try:
            self._handler(change)
            done = True
        finally:
            self._counters["handler_failures"] += not done

    def told_all(self) -> None:
        """Say that everything there was has been told; only the first time."""
        if not self._told_all:
            self._told_all = True
            self.tell(None)
