"""The hash table in the cluster's key-value buckets: quorum-durable, readable from a local copy.

Voters hold the buckets' replicas and watch both of them: a read is then a look into a dictionary.
Edges ask the leader for what they read, since a copy of everything on a thousand nodes would cost a
thousand times everything. They keep the last entries they saw, for the hybrid table to fall back
on, not to answer from.

A copy may be behind by the time a message takes; by a second or two, while `current` says so, where
writes are slow to be stored or a hint of one was not enough; and until the next look where a hint
was lost or nobody leads (`fabric.follower`). What it does not hold is asked of the store before
anybody is told that it is not there. The replication factor is the bucket's, one copy per voter.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from typing import Final

from bzzz_core.dht.announcements import Announcements
from bzzz_core.dht.deadline import within
from bzzz_core.dht.entry import (
    announcement_key,
    check_provider,
    check_value,
    encode_announcement,
    slot_of,
)
from bzzz_core.dht.index import ProviderIndex
from bzzz_core.errors import BzzzError, KeyNotFound
from bzzz_core.model import NodeId, Revision
from bzzz_core.ports import Clock, KeyValue, Record, Watch
from bzzz_core.telemetry import logs

TIMEOUT_MS: Final = 5_000
LIFETIME_S: Final = 60
_WATCH_AGAIN_MS: Final = 1_000
_SEEN_ENTRIES_MAX: Final = 1_024
_SEEN_BYTES_MAX: Final = 16_777_216


class StoredDht:
    """One node's use of the cluster's table; satisfies `ports.Dht`."""

    def __init__(
        self,
        *,
        node: NodeId,
        values: KeyValue,
        providers: KeyValue,
        clock: Clock,
        watches: bool,
        lifetime_s: int = LIFETIME_S,
        timeout_ms: int = TIMEOUT_MS,
    ) -> None:
        """Ask nothing yet.

        Args:
            node: Who we are; our announcements carry it.
            values: The bucket of values.
            providers: The bucket of announcements.
            clock: For renewals.
            watches: Keep a copy of both buckets, as voters do.
            lifetime_s: How long an announcement lives without being renewed.
            timeout_ms: Deadline of a call that brings none.
        """
        self.counters: Counter[str] = Counter()
        """What happened so far: reads_local, reads_asked, renewals, renewal_failures,
        announcements_malformed, watch_failures."""
        self.timeout_ms = timeout_ms
        self._node = node
        self._values = values
        self._providers = providers
        self._clock = clock
        self._watches = asyncio.Event()
        if watches:
            self._watches.set()
        self._copy: Watch | None = None
        self._index = ProviderIndex(self.counters)
        self._indexed: Watch | None = None
        self._seen: OrderedDict[str, Record] = OrderedDict()
        self._seen_bytes = 0
        self._log = logs.get("dht")
        self._announcements = Announcements(
            tell=self._tell, clock=clock, lifetime_s=lifetime_s, counters=self.counters
        )

    @property
    def current(self) -> bool:
        """Return whether reads are answered from the local copy."""
        return self._copy is not None and self._copy.current

    async def run(self) -> None:
        """Keep the local copies and renew what this node told, until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._announcements.run())
                tasks.create_task(self._watch())
        finally:
            self._copy = self._indexed = None

    async def put_value(self, key: str, value: bytes, *, timeout_ms: int | None = None) -> None:
        """Store a value; see `ports.Dht.put_value`."""
        slot = slot_of(key)
        check_value(value)
        await self.write(slot, value, timeout_ms=timeout_ms)

    async def get_value(self, key: str, *, timeout_ms: int | None = None) -> bytes:
        """Return a value; see `ports.Dht.get_value`."""
        slot = slot_of(key)
        record = self.copied(slot)
        if record is None:
            record = await self.read(slot, timeout_ms=timeout_ms)
        if record is None:
            raise KeyNotFound(f"nothing is stored under {key!r}")
        return record.value

    async def provide(self, key: str, provider_id: str, *, timeout_ms: int | None = None) -> None:
        """Tell of a provider; see `ports.Dht.provide`."""
        check_provider(provider_id)
        slot = slot_of(key)
        async with within(self._limit_ms(timeout_ms), f"providing {key!r}"):
            await self._announcements.add(slot, provider_id)

    async def withdraw(self, key: str, provider_id: str, *, timeout_ms: int | None = None) -> None:
        """Take a provider back; see `ports.Dht.withdraw`."""
        check_provider(provider_id)
        slot = slot_of(key)
        async with within(self._limit_ms(timeout_ms), f"withdrawing {key!r}"):
            await self._announcements.remove(slot, provider_id)

    async def find_providers(self, key: str, *, timeout_ms: int | None = None) -> list[str]:
        """Return the providers told of; see `ports.Dht.find_providers`."""
        slot = slot_of(key)
        if self._indexed is not None and self._indexed.current and self._index.find(slot):
            return self.known_providers(slot)
        async with within(self._limit_ms(timeout_ms), f"finding providers of {key!r}"):
            records = await self._providers.records(slot)
        named = [self._index.read(record.value) for record in records]
        return sorted(self._announcements.named(slot).union(*named))

    async def write(self, slot: str, value: bytes, *, timeout_ms: int | None = None) -> Revision:
        """Store a value at a slot, whatever was there, and return its revision."""
        async with within(self._limit_ms(timeout_ms), f"putting {slot}"):
            revision = await self._values.put(slot, value)
        self._note(Record(slot, value, revision))
        return revision

    async def write_at(
        self, slot: str, value: bytes, revision: Revision, *, timeout_ms: int | None = None
    ) -> Revision:
        """Store a value at a slot that is still at `revision`, 0 meaning that nothing is there.

        Raises:
            RevisionConflict: It is not at that revision.
            StreamBusy: Another guarded write to it is in flight.
        """
        async with within(self._limit_ms(timeout_ms), f"putting {slot} at {revision}"):
            written = await self._values.update(slot, value, revision)
        self._note(Record(slot, value, written))
        return written

    async def read(self, slot: str, *, timeout_ms: int | None = None) -> Record | None:
        """Return what the store holds at a slot, past the local copy."""
        self.counters["reads_asked"] += 1
        async with within(self._limit_ms(timeout_ms), f"getting {slot}"):
            record = await self._values.get(slot)
        if record is not None:
            self._note(record)
        return record

    def copied(self, slot: str) -> Record | None:
        """Return what the local copy holds at a slot, if there is a copy and it is up to date."""
        copy = self._copy
        if copy is None or not copy.current or (record := copy.get(slot)) is None:
            return None
        self.counters["reads_local"] += 1
        return record

    def remembered(self, slot: str) -> Record | None:
        """Return the last that this node saw at a slot, however long ago; None if it never did."""
        record = self._copy.get(slot) if self._copy is not None else None
        seen = self._seen.get(slot)
        if record is None or (seen is not None and seen.revision > record.revision):
            return seen
        return record

    def lags(self, slot: str, revision: Revision) -> bool:
        """Return whether reads are answered from a copy that holds less than `revision`."""
        copy = self._copy
        held = copy.get(slot) if copy is not None and copy.current else None
        return held is not None and held.revision < revision

    def watch_from_now_on(self) -> None:
        """Keep a copy of both buckets, because this node has become a voter."""
        self._watches.set()

    def promise(self, key: str, provider_id: str) -> None:
        """Tell of a provider as soon as that is possible."""
        check_provider(provider_id)
        self._announcements.note(slot_of(key), provider_id)

    def known_providers(self, slot: str) -> list[str]:
        """Return the providers this node heard of, however long ago, and its own."""
        return sorted(self._index.find(slot) | self._announcements.named(slot))

    async def _watch(self) -> None:
        """Watch both buckets; a watch that cannot be had is tried again each second."""
        await self._watches.wait()
        try:
            while True:
                try:
                    await self._open_watches()
                    break
                except BzzzError as exc:
                    self.counters["watch_failures"] += 1
                    self._log.info("the hash table is not watched yet", reason=str(exc))
                    await self._clock.sleep_ms(_WATCH_AGAIN_MS)
            await asyncio.Event().wait()  # Until cancelled; watches survive reconnects themselves.
        finally:
            for watch in (self._copy, self._indexed):
                if watch is not None:
                    await watch.stop()

    async def _open_watches(self) -> None:
        if self._copy is None:
            self._copy = await self._values.watch()
        if self._indexed is None:
            self._indexed = await self._providers.watch(handler=self._index.take)

    async def _tell(self, slot: str, named: frozenset[str]) -> None:
        key = announcement_key(slot, self._node)
        if named:
            lifetime_s = self._announcements.lifetime_s
            await self._providers.put(key, encode_announcement(named), ttl_s=lifetime_s)
        else:
            await self._providers.delete(key)

    def _note(self, record: Record) -> None:
        """Remember an entry for bad times; whoever watches has everything anyway."""
        if self._copy is not None:
            return
        before = self._seen.pop(record.key, None)
        self._seen_bytes += len(record.value) - (len(before.value) if before else 0)
        self._seen[record.key] = record
        while self._seen_bytes > _SEEN_BYTES_MAX or len(self._seen) > _SEEN_ENTRIES_MAX:
            _, oldest = self._seen.popitem(last=False)
            self._seen_bytes -= len(oldest.value)

    def _limit_ms(self, timeout_ms: int | None) -> int:
        return self.timeout_ms if timeout_ms is None else timeout_ms
