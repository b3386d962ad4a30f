"""The buckets of an edge: it asks the leader, who reads and writes for it.

A broker sends what it answers wherever it is told, and looks at nobody's rights while it does. Who
may publish anything that JetStream answers can therefore make it speak under every subject. So
edges hold no right on any of its subjects; what they want of a bucket is a question to the leader
(`leader_requests`), and the subject of the question proves who asks.

The leader carries a verb out on its own bucket, one message there and one back. A listing comes in
pages, and only from buckets whose keys end in a node's id: those hold little below a prefix, while
a listing of values could be larger than the leader's memory.

A question whose answer was lost is asked again. A guarded write may then conflict with itself: who
writes under a guard reads back what is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final, Literal

import msgspec

from bzzz_core.errors import (
    BzzzError,
    EntryRefused,
    NotLeader,
    PermissionDenied,
    QuorumUnavailable,
    RequestInvalid,
    TransportError,
)
from bzzz_core.fabric.keys import (
    KEY_CHARACTERS_MAX,
    TTL_S_MAX,
    check_key,
    check_prefix,
    check_ttl,
    check_value,
)
from bzzz_core.fabric.layout import Bucket
from bzzz_core.leader_requests import BODY_BYTES_MAX
from bzzz_core.model import NodeId, Revision
from bzzz_core.ports import VALUE_BYTES_MAX, Change, KeyValue, Record, Watch

QUESTION: Final = "bucket"
COPIES: Final = msgspec.msgpack.encode({"bucket": "dht", "verb": "copies"})
"""Asks how many copies there are. The table answers it (`hash_table`), an older leader refuses."""
PAGE_BYTES_MAX: Final = 800_000
ASKED_VALUE_BYTES_MAX: Final = min(VALUE_BYTES_MAX, BODY_BYTES_MAX - 1_000)
"""The largest value that an edge can write: the question's other fields need the rest."""
_RECORD_BYTES: Final = 64
"""What a record costs in a page beside its key and its value."""
_AT_ONCE: Final = 2
_TURN_MS: Final = 25
_REVISION_MAX: Final = (1 << 63) - 1

Ask = Callable[[str, bytes], Awaitable[bytes]]
_Key = Annotated[str, msgspec.Meta(max_length=KEY_CHARACTERS_MAX)]
_Revision = Annotated[int, msgspec.Meta(ge=0, le=_REVISION_MAX)]


class _Question(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an edge wants of a bucket; a field that the verb does not use is not looked at."""

    bucket: Annotated[str, msgspec.Meta(max_length=64)]
    verb: Literal["get", "put", "create", "update", "delete", "keys", "records"]
    key: _Key = ""
    value: Annotated[bytes, msgspec.Meta(max_length=VALUE_BYTES_MAX)] = b""
    revision: _Revision | None = None
    ttl_s: Annotated[int, msgspec.Meta(ge=1, le=TTL_S_MAX)] | None = None
    prefix: _Key = ""
    after: _Key = ""
    """The last key of the page before."""


class _Found(msgspec.Struct, frozen=True):
    key: _Key
    value: bytes
    revision: _Revision


class _Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    revision: _Revision = 0
    records: tuple[_Found, ...] = ()
    more: bool = False


_encoder = msgspec.msgpack.Encoder()
_questions = msgspec.msgpack.Decoder(_Question)
_answers = msgspec.msgpack.Decoder(_Answer)


class Paced:
    """Asks so few questions at once and a second that the leader refuses none of them.

    `leader_requests` works on four of one asker at a time, and on a hundred a second; the asker has
    other questions besides.
    """

    def __init__(self, ask: Ask) -> None:
        """Put questions through `ask`."""
        self._ask = ask
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def __call__(self, operation: str, body: bytes) -> bytes:
        """Ask when it is our turn."""
        await self._turns.acquire()
        loop = asyncio.get_running_loop()
        again_s = loop.time() + _TURN_MS / 1000
        try:
            return await self._ask(operation, body)
        finally:
            loop.call_at(again_s, self._turns.release)


class AskedKeyValue:
    """The keys of one bucket, as an edge uses them; satisfies `ports.KeyValue`, but for watches.

    A value that it writes has at most `ASKED_VALUE_BYTES_MAX` bytes; it reads larger ones.
    """

    def __init__(self, bucket: Bucket, ask: Ask) -> None:
        """Ask nothing yet; `ask` puts a question to the leader."""
        self._bucket = bucket
        self._ask = ask

    async def get(self, key: str) -> Record | None:
        """Return the record as the leader finds it; see `ports.KeyValue.get`."""
        check_key(key)
        answer = await self._question("get", key=key)
        return next((_record_of(found) for found in answer.records if found.key == key), None)

    async def put(self, key: str, value: bytes, *, ttl_s: int | None = None) -> Revision:
        """Write whatever was there; see `ports.KeyValue.put`."""
        return await self._write("put", key, value, ttl_s=ttl_s)

    async def create(self, key: str, value: bytes, *, ttl_s: int | None = None) -> Revision:
        """Write if the key is absent; see `ports.KeyValue.create`."""
        return await self._write("create", key, value, ttl_s=ttl_s)

    async def update(
        self, key: str, value: bytes, revision: Revision, *, ttl_s: int | None = None
    ) -> Revision:
        """Write if the key is still at `revision`; see `ports.KeyValue.update`."""
        return await self._write("update", key, value, ttl_s=ttl_s, revision=revision)

    async def delete(self, key: str, *, revision: Revision | None = None) -> None:
        """Remove the key; see `ports.KeyValue.delete`."""
        check_key(key)
        if revision == 0:
            raise ValueError("what is not there cannot be deleted at a revision")
        await self._question("delete", key=key, revision=revision)

    async def keys(self, prefix: str = "") -> tuple[str, ...]:
        """Return the keys below `prefix`; see `ports.KeyValue.keys`."""
        return tuple(record.key for record in await self._list("keys", prefix))

    async def records(self, prefix: str = "") -> tuple[Record, ...]:
        """Return the records below `prefix`; see `ports.KeyValue.records`.

        Raises:
            RequestInvalid: The bucket is one that the leader does not list.
        """
        return tuple(await self._list("records", prefix))

    async def watch(
        self, prefix: str = "", handler: Callable[[Change | None], None] | None = None
    ) -> Watch:
        """Refuse: only voters hold copies.

        Raises:
            PermissionDenied: Always.
        """
        del handler
        check_prefix(prefix)
        raise PermissionDenied(f"only voters watch the bucket {self._bucket.name}")

    async def _write(
        self,
        verb: str,
        key: str,
        value: bytes,
        *,
        ttl_s: int | None,
        revision: Revision | None = None,
    ) -> Revision:
        check_key(key)
        check_value(value)
        check_ttl(ttl_s)
        check_asked_value(value)
        answer = await self._question(verb, key=key, value=value, ttl_s=ttl_s, revision=revision)
        return Revision(answer.revision)

    async def _list(self, verb: str, prefix: str) -> list[Record]:
        check_prefix(prefix)
        found: list[Record] = []
        while True:
            after = found[-1].key if found else ""
            page = await self._question(verb, prefix=prefix, after=after)
            found += (_record_of(each) for each in page.records)
            if not page.more:
                return found
            if not found or found[-1].key <= after:
                raise TransportError("the leader's pages do not go on")

    async def _question(self, verb: str, **fields: Any) -> _Answer:
        question = {"bucket": self._bucket.name, "verb": verb}
        body = _encoder.encode(question | {k: v for k, v in fields.items() if v is not None})
        try:
            data = await self._ask(QUESTION, body)
        except NotLeader as exc:
            raise QuorumUnavailable(f"the bucket {self._bucket.name}: {exc}") from exc
        try:
            return _answers.decode(data)
        except ValueError as exc:
            raise TransportError("the leader's answer is malformed") from exc


class BucketDesk:
    """Where the leader does for edges what they ask of a bucket."""

    def __init__(self, buckets: Mapping[Bucket, KeyValue]) -> None:
        """Serve `buckets`, this node's own."""
        self._buckets = {bucket.name: (bucket, keys) for bucket, keys in buckets.items()}

    async def answer(self, asker: NodeId, body: bytes) -> bytes:
        """Do what is asked; a handler of `LeaderRequests`.

        Raises:
            RequestInvalid: The question is malformed, or asks for what is not offered.
            PermissionDenied: The key is another node's to write.
            BzzzError: What the bucket failed with.
        """
        try:
            question = _questions.decode(body)
        except ValueError as exc:
            raise RequestInvalid(f"no question about a bucket: {exc}") from exc
        bucket, keys = self._buckets.get(question.bucket, (None, None))
        if bucket is None or keys is None:
            raise RequestInvalid(f"there is no bucket {question.bucket}")
        try:
            answer = await _done(question, asker, bucket, keys)
        except BzzzError:
            raise
        except ValueError as exc:
            raise RequestInvalid(str(exc)) from exc
        return _encoder.encode(answer)


class SwitchedKeyValue:
    """A bucket asked directly while this node is a voter, and through the leader while it is not.

    Satisfies `ports.KeyValue`. A watch begun as a voter is not current while this node is none.
    """

    def __init__(self, *, own: KeyValue, asked: KeyValue, votes: Callable[[], bool]) -> None:
        """Choose with each call."""
        self._own = own
        self._asked = asked
        self._votes = votes

    @property
    def _chosen(self) -> KeyValue:
        return self._own if self._votes() else self._asked

    async def get(self, key: str) -> Record | None:
        """Return the record; see `ports.KeyValue.get`."""
        return await self._chosen.get(key)

    async def put(self, key: str, value: bytes, *, ttl_s: int | None = None) -> Revision:
        """Write whatever was there; see `ports.KeyValue.put`."""
        return await self._chosen.put(key, value, ttl_s=ttl_s)

    async def create(self, key: str, value: bytes, *, ttl_s: int | None = None) -> Revision:
        """Write if the key is absent; see `ports.KeyValue.create`."""
        return await self._chosen.create(key, value, ttl_s=ttl_s)

    async def update(
        self, key: str, value: bytes, revision: Revision, *, ttl_s: int | None = None
    ) -> Revision:
        """Write if the key is still at `revision`; see `ports.KeyValue.update`."""
        return await self._chosen.update(key, value, revision, ttl_s=ttl_s)

    async def delete(self, key: str, *, revision: Revision | None = None) -> None:
        """Remove the key; see `ports.KeyValue.delete`."""
        await self._chosen.delete(key, revision=revision)

    async def keys(self, prefix: str = "") -> tuple[str, ...]:
        """Return the keys below `prefix`; see `ports.KeyValue.keys`."""
        return await self._chosen.keys(prefix)

    async def records(self, prefix: str = "") -> tuple[Record, ...]:
        """Return the records below `prefix`; see `ports.KeyValue.records`."""
        return await self._chosen.records(prefix)

    async def watch(
        self, prefix: str = "", handler: Callable[[Change | None], None] | None = None
    ) -> Watch:
        """Keep a local copy, as a voter; see `ports.KeyValue.watch`."""
        return await self._chosen.watch(prefix, handler)


def check_asked_value(value: bytes) -> None:
    """Refuse a value that no edge can write.

    Raises:
        EntryRefused: It is too large.
    """
    if len(value) > ASKED_VALUE_BYTES_MAX:
        raise EntryRefused(
            f"an edge writes values of at most {ASKED_VALUE_BYTES_MAX} bytes, not {len(value)}"
        )


async def _done(question: _Question, asker: NodeId, bucket: Bucket, keys: KeyValue) -> _Answer:
    """Do what is asked and return what came of it."""
    if question.verb == "get":
        record = await keys.get(question.key)
        return _Answer(records=() if record is None else (_found(record),))
    if question.verb in ("keys", "records"):
        return await _page(question, bucket, keys)
    _check_owner(question.key, asker, bucket)
    revision = None if question.revision is None else Revision(question.revision)
    key, value, ttl_s = question.key, question.value, question.ttl_s
    written = Revision(0)
    match question.verb:
        case "put":
            written = await keys.put(key, value, ttl_s=ttl_s)
        case "create":
            written = await keys.create(key, value, ttl_s=ttl_s)
        case "update":
            if revision is None:
                raise RequestInvalid("an update says at which revision")
            written = await keys.update(key, value, revision, ttl_s=ttl_s)
        case _:
            await keys.delete(key, revision=revision)
    return _Answer(revision=written)


async def _page(question: _Question, bucket: Bucket, keys: KeyValue) -> _Answer:
    """Return the next records below a prefix, at least one if there is one."""
    if not (bucket.own_last and question.prefix):
        raise RequestInvalid(f"the leader lists no values, and {bucket.name} below a prefix only")
    left = [each for each in await keys.records(question.prefix) if each.key > question.after]
    page: list[_Found] = []
    size = 0
    for record in left:
        found = _found(record) if question.verb == "records" else _named(record)
        size += len(found.key) + len(found.value) + _RECORD_BYTES
        if page and size > PAGE_BYTES_MAX:
            break
        page.append(found)
    return _Answer(records=tuple(page), more=len(page) < len(left))


def _check_owner(key: str, asker: NodeId, bucket: Bucket) -> None:
    """Let nobody write what another node says."""
    _, dot, owner = key.partition(".")
    if bucket.own_last and (not dot or owner != asker):
        raise PermissionDenied(f"{asker} may not write {key} in {bucket.name}")


def _found(record: Record) -> _Found:
    return _Found(record.key, record.value, record.revision)


def _named(record: Record) -> _Found:
    return _Found(record.key, b"", record.revision)


def _record_of(found: _Found) -> Record:
    return Record(found.key, found.value, Revision(found.revision))
