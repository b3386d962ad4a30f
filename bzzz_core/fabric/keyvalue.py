"""Keys of one bucket on JetStream; satisfies `ports.KeyValue` once `open` has returned.

A bucket is a stream that keeps the last message of each subject `$KV.<bucket>.<key>`; names are
those of the field, so its tools can look at it.

- A lifetime is a header of the one write that has it. The stream makes no marks when lifetimes end:
  it would have to allow the roll-up header, with which whoever may write one key wipes them all.
  Watches count lifetimes themselves.
- A deletion is a mark, a message with a header and a lifetime of its own (`MARK_S`).
- A compare-and-set against "absent" that meets a mark is tried again at the mark's place.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Final

from bzzz_core.errors import BrokerError, QuorumUnavailable, RevisionConflict
from bzzz_core.fabric.follower import Follower, Stored
from bzzz_core.fabric.in_turns import in_turns
from bzzz_core.fabric.jetstream import StoredMessage
from bzzz_core.fabric.kept import Kept
from bzzz_core.fabric.keys import (
    check_key,
    check_prefix,
    check_ttl,
    check_value,
    pattern_below,
)
from bzzz_core.fabric.layout import Bucket
from bzzz_core.fabric.local_copy import CopyWatch, Handler, LocalCopy
from bzzz_core.fabric.nats import NatsFabric
from bzzz_core.fabric.stream import EXPECTED, TTL, Stream
from bzzz_core.model import Revision
from bzzz_core.ports import Change, Clock, Record

MARK_S: Final = 3_600
_OPERATION: Final = "KV-Operation"
_MARKED: Final = ("DEL", "PURGE")
_EXPIRED: Final = "Nats-Marker-Reason"
_IN_FLIGHT_MAX: Final = 64


class NatsKeyValue:
    """The keys of one bucket, as one node uses them."""

    def __init__(
        self,
        fabric: NatsFabric,
        bucket: Bucket,
        *,
        clock: Clock,
        replicas: int | None = None,
        store_bytes_max: int = 0,
    ) -> None:
        """Ask nothing yet.

        Args:
            fabric: Watches are kept while it runs.
            bucket: Which.
            clock: For lifetimes and waits.
            replicas: Number of voters; without it the bucket is not created, only waited for.
            store_bytes_max: A voter's whole store, of which the bucket has its share.
        """
        self.bucket = bucket
        self._fabric = fabric
        self._clock = clock
        settings = None if replicas is None else bucket.settings(replicas, store_bytes_max)
        self._stream = Stream(fabric, name=bucket.stream, clock=clock, settings=settings)
        self._feeds: dict[str, _Feed] = {}
        self.counters: Counter[str] = Counter()

    async def open(self, timeout_ms: int = 60_000) -> None:
        """Find the bucket or create it; see `Stream.open`."""
        await self._stream.open(timeout_ms)

    async def copies(self) -> int:
        """Return how many brokers hold the bucket completely and are there.

        Raises:
            QuorumUnavailable: Nobody could say.
            BzzzError: There is no bucket yet.
        """
        cluster = (await self._stream.info()).cluster
        if cluster is None:
            return 1
        if not cluster.leader:  # Who answers while nobody leads knows nothing of the others.
            raise QuorumUnavailable(f"nobody leads the stream of {self.bucket.name}")
        return 1 + sum(peer.current and not peer.offline for peer in cluster.replicas or ())

    async def get(self, key: str) -> Record | None:
        """Return the record as the store's leader knows it; see `ports.KeyValue.get`."""
        check_key(key)
        stored = await self._last(key)
        if stored is None or _is_mark(stored):
            return None
        try:
            return Record(key, stored.payload, Revision(stored.seq))
        except ValueError as exc:
            raise BrokerError(f"reading {key}: the answer is damaged") from exc

    async def put(self, key: str, value: bytes, *, ttl_s: int | None = None) -> Revision:
        """Write whatever was there; see `ports.KeyValue.put`."""
        return await self._write(key, value, None, ttl_s)

    async def create(self, key: str, value: bytes, *, ttl_s: int | None = None) -> Revision:
        """Write if the key is absent; see `ports.KeyValue.create`."""
        return await self.update(key, value, Revision(0), ttl_s=ttl_s)

    async def update(
        self, key: str, value: bytes, revision: Revision, *, ttl_s: int | None = None
    ) -> Revision:
        """Write if the key is still at `revision`; see `ports.KeyValue.update`."""
        try:
            return await self._write(key, value, revision, ttl_s)
        except RevisionConflict:
            if revision != 0:
                raise
            stored = await self._last(key)
            if stored is None or not _is_mark(stored):
                raise
        return await self._write(key, value, Revision(stored.seq), ttl_s)

    async def delete(self, key: str, *, revision: Revision | None = None) -> None:
        """Remove the key; see `ports.KeyValue.delete`."""
        check_key(key)
        if revision == 0:
            raise ValueError("what is not there cannot be deleted at a revision")
        headers = {_OPERATION: _MARKED[0], TTL: f"{MARK_S}s"}
        if revision is not None:
            headers[EXPECTED] = str(revision)
        written = await self._stream.write(self._subject(key), b"", headers, f"deleting {key}")
        self._note(Change(key, None, written), None)

    async def keys(self, prefix: str = "") -> tuple[str, ...]:
        """Return the keys below `prefix`; see `ports.KeyValue.keys`."""
        return tuple(record.key for record in await self.records(prefix))

    async def records(self, prefix: str = "") -> tuple[Record, ...]:
        """Return the records below `prefix`; see `ports.KeyValue.records`."""
        check_prefix(prefix)
        skip = len(self.bucket.prefix) + 1
        subjects = await self._stream.subjects(self._subject(pattern_below(prefix)))
        found = await in_turns(
            [partial(self.get, subject[skip:]) for subject in subjects], at_once=_IN_FLIGHT_MAX
        )
        return tuple(record for record in found if record is not None)

    async def watch(self, prefix: str = "", handler: Handler | None = None) -> CopyWatch:
        """Keep a local copy of what is below `prefix`; see `ports.KeyValue.watch`."""
        check_prefix(prefix)
        feed = self._feeds.get(prefix)
        if feed is None:
            feed = self._feeds[prefix] = _Feed(prefix, self)
        return feed.watch(handler)

    def follow(self, feed: _Feed) -> Kept:
        """Feed a copy while the fabric runs."""
        follower = Follower(
            self._stream,
            pattern=self._subject(pattern_below(feed.copy.prefix)),
            start=1,
            sink=feed,
            clock=self._clock,
            away_ms_max=1000 * MARK_S // 2,
        )
        return self._fabric.keep(follower.run, follower.look)

    def forget(self, feed: _Feed) -> None:
        """Feed a copy no longer: nobody watches it."""
        self._feeds.pop(feed.copy.prefix, None)

    async def _write(
        self, key: str, value: bytes, revision: Revision | None, ttl_s: int | None
    ) -> Revision:
        check_key(key)
        check_value(value)
        check_ttl(ttl_s)
        headers = {}
        if revision is not None:
            headers[EXPECTED] = str(revision)
        if ttl_s is not None:
            headers[TTL] = f"{ttl_s}s"
        subject = self._subject(key)
        written = await self._stream.write(subject, value, headers or None, f"writing {key}")
        self._note(Change(key, value, written), ttl_s)
        return written

    def _note(self, change: Change, ttl_s: int | None) -> None:
        expires_ms = None if ttl_s is None else self._clock.now_ms() + 1000 * ttl_s
        for feed in self._feeds.values():
            feed.copy.note(change, expires_ms)

    async def _last(self, key: str) -> StoredMessage | None:
        return await self._stream.last_of(self._subject(key), f"reading {key}")

    def _subject(self, key: str) -> str:
        return f"{self.bucket.prefix}.{key}"


class _Feed:
    """Brings what a follower reads into a copy."""

    def __init__(self, prefix: str, owner: NatsKeyValue) -> None:
        """Follow at once."""
        self.copy = LocalCopy(prefix, owner.counters)
        self._skip = len(owner.bucket.prefix) + 1
        self._owner = owner
        self._kept = owner.follow(self)

    def watch(self, handler: Handler | None) -> CopyWatch:
        """Add a watch; the last one to stop ends the feed."""
        watch = self.copy.watch(handler)
        watch.on_stop = self._stopped
        return watch

    def take(self, stored: Stored) -> None:
        """Take the next message."""
        headers = stored.reply.headers
        gone = headers.get(_OPERATION) in _MARKED or _EXPIRED in headers
        change = Change(
            stored.subject[self._skip :], None if gone else stored.data, stored.revision
        )
        self.copy.take(change, None if gone else stored.expires_ms)

    def caught_up(self, now_ms: int) -> None:
        """Learn that nothing more is known to be there now."""
        self.copy.expire(now_ms)
        self.copy.caught_up()
        self.copy.current = True

    def lost(self) -> None:
        """Learn that for now nobody says what is there."""
        self.copy.current = False

    def restart(self, *, anew: bool) -> None:
        """Expect everything from the start."""
        self.copy.restart(anew=anew)

    def next_due_ms(self) -> int | None:
        """Return when the next lifetime may end."""
        return self.copy.next_expiry_ms

    def _stopped(self, watch: CopyWatch) -> None:
        del watch
        if not self.copy.watches:
            self._owner.forget(self)
            self._kept.stop()


def _is_mark(stored: StoredMessage) -> bool:
    try:
        headers = stored.headers
    except ValueError as exc:
        raise BrokerError(f"{stored.subject}: the headers are damaged") from exc
    return headers.get(_OPERATION) in _MARKED or _EXPIRED in headers
