"""Blobs on JetStream, in pieces; satisfies `ports.Blobs` once `open` has returned.

A blob is written as pieces under a random id of its own, and then, in one message, what is known of
it: size, SHA-256, id, number of pieces. That message makes it visible, whole; a writer that dies
before it leaves pieces that nobody finds, and `sweep` removes them. The pieces of the blob that was
replaced are removed afterwards, so who is still reading it starts over with the new one.

Pieces never change, so they are read from any replica and proven by size and hash. Removing a piece
is writing an empty one over it that ends by itself: purging a stream is nobody's right.
"""

from __future__ import annotations

import hashlib
import secrets
from functools import partial
from typing import Annotated, Final

import msgspec

from bzzz_core.errors import BrokerError, IntegrityError
from bzzz_core.fabric.in_turns import in_turns
from bzzz_core.fabric.keys import check_blob, check_key, check_prefix, pattern_below
from bzzz_core.fabric.layout import BlobStore
from bzzz_core.fabric.nats import NatsFabric
from bzzz_core.fabric.stream import ANSWER_MS_MAX, TTL, Stream
from bzzz_core.ports import BLOB_BYTES_MAX, BlobInfo, Clock

PIECE_BYTES: Final = 262_144
SWEEP_AFTER_MS: Final = 3_600_000
_PIECES_MAX: Final = BLOB_BYTES_MAX // PIECE_BYTES
_IN_FLIGHT_MAX: Final = 8
_BATCH: Final = 16
_READ_TRIES: Final = 5
_READ_AGAIN_MS: Final = 50
_REMOVED: Final = {"KV-Operation": "DEL", TTL: "1s"}


class _Meta(msgspec.Struct, frozen=True):
    size_bytes: Annotated[int, msgspec.Meta(ge=0, le=BLOB_BYTES_MAX)]
    sha256: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    blob_id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    pieces: Annotated[int, msgspec.Meta(ge=0, le=_PIECES_MAX)]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Meta)


class NatsBlobs:
    """The blobs of one store, as one node uses them."""

    def __init__(
        self,
        fabric: NatsFabric,
        store: BlobStore,
        *,
        clock: Clock,
        replicas: int | None = None,
        store_bytes_max: int = 0,
    ) -> None:
        """Ask nothing yet; the parameters are those of `NatsKeyValue`."""
        self._store = store
        self._clock = clock
        settings = None if replicas is None else store.settings(replicas, store_bytes_max)
        self._stream = Stream(fabric, name=store.stream, clock=clock, settings=settings)
        self._unnamed_since: dict[str, int] = {}

    async def open(self, timeout_ms: int = 60_000) -> None:
        """Find the store or create it; see `Stream.open`."""
        await self._stream.open(timeout_ms)

    async def put(self, name: str, data: bytes) -> BlobInfo:
        """Write a blob; see `ports.Blobs.put`."""
        check_key(name)
        check_blob(data)
        before = await self._meta(name)
        pieces = [data[at : at + PIECE_BYTES] for at in range(0, len(data), PIECE_BYTES)]
        meta = _Meta(len(data), hashlib.sha256(data).digest(), secrets.token_hex(16), len(pieces))
        await self._write_pieces(meta.blob_id, pieces, None)
        what = f"writing the blob {name}"
        await self._stream.write(self._store.meta(name), _encoder.encode(meta), None, what)
        if before is not None:
            await self._remove_pieces(before)
        return BlobInfo(name, meta.size_bytes, meta.sha256)

    async def get(self, name: str) -> bytes | None:
        """Return a blob; see `ports.Blobs.get`."""
        check_key(name)
        why = "its pieces are not there"
        for _ in range(_READ_TRIES):
            meta = await self._meta(name)
            if meta is None:
                return None
            data = await self._read_pieces(meta)
            if data is not None:
                if hashlib.sha256(data).digest() == meta.sha256:
                    return data
                why = "its hash is another"
            # Replaced meanwhile, or this replica lags: what is known of it says which.
            await self._clock.sleep_ms(_READ_AGAIN_MS)
        raise IntegrityError(f"the blob {name} is not what was written: {why}")

    async def delete(self, name: str) -> None:
        """Remove a blob; see `ports.Blobs.delete`."""
        check_key(name)
        meta = await self._meta(name)
        if meta is not None:
            what = f"deleting the blob {name}"
            await self._stream.write(self._store.meta(name), b"", dict(_REMOVED), what)
            await self._remove_pieces(meta)

    async def infos(self, prefix: str = "") -> tuple[BlobInfo, ...]:
        """Return what there is below `prefix`; see `ports.Blobs.infos`."""
        check_prefix(prefix)
        metas = await self._metas(prefix)
        return tuple(BlobInfo(name, meta.size_bytes, meta.sha256) for name, meta in metas.items())

    async def sweep(self) -> int:
        """Remove pieces that no blob has named for `SWEEP_AFTER_MS`; return of how many blobs.

        Call it every now and then, at one node.
        """
        named = {meta.blob_id for meta in (await self._metas("")).values()}
        subjects = await self._stream.subjects(self._store.pieces("*"))
        counts: dict[str, int] = {}
        for subject in subjects:
            *_, blob_id, number = subject.split(".")
            if blob_id not in named and number.isdecimal():
                counts[blob_id] = max(counts.get(blob_id, 0), int(number) + 1)
        now_ms = self._clock.now_ms()
        self._unnamed_since = {
            blob_id: self._unnamed_since.get(blob_id, now_ms) for blob_id in counts
        }
        old = [i for i, since in self._unnamed_since.items() if now_ms - since >= SWEEP_AFTER_MS]
        for blob_id in old:
            await self._write_pieces(blob_id, [b""] * min(counts[blob_id], _PIECES_MAX), _REMOVED)
            del self._unnamed_since[blob_id]
        return len(old)

    async def _metas(self, prefix: str) -> dict[str, _Meta]:
        skip = len(self._store.meta(""))
        found = {}
        for subject in await self._stream.subjects(self._store.meta(pattern_below(prefix))):
            meta = await self._meta(subject[skip:])
            if meta is not None:
                found[subject[skip:]] = meta
        return found

    async def _meta(self, name: str) -> _Meta | None:
        stored = await self._stream.last_of(self._store.meta(name), f"reading the blob {name}")
        try:
            if stored is None or not stored.payload:
                return None
            return _decoder.decode(stored.payload)
        except ValueError as exc:
            raise IntegrityError(f"what is known of the blob {name} is damaged: {exc}") from exc

    async def _write_pieces(
        self, blob_id: str, pieces: list[bytes], headers: dict[str, str] | None
    ) -> None:
        what = f"writing a piece of {blob_id}"
        await in_turns(
            [
                partial(
                    self._stream.write,
                    self._store.piece(blob_id, number),
                    piece,
                    None if headers is None else dict(headers),
                    what,
                )
                for number, piece in enumerate(pieces)
            ],
            at_once=_IN_FLIGHT_MAX,
        )

    async def _remove_pieces(self, meta: _Meta) -> None:
        await self._write_pieces(meta.blob_id, [b""] * meta.pieces, _REMOVED)

    async def _read_pieces(self, meta: _Meta) -> bytes | None:
        """Return what the pieces hold, or None if a replica does not have all of them."""
        found: dict[int, bytes] = {}
        start, more, size = 1, True, 0
        while more:
            batch = await self._stream.read_on(
                self._store.pieces(meta.blob_id),
                start,
                count=_BATCH,
                bytes_max=_BATCH * PIECE_BYTES * 2,
                timeout_ms=ANSWER_MS_MAX,
            )
            for message in batch.messages:
                try:
                    start = int(message.headers["Nats-Sequence"]) + 1
                    number = int(message.headers["Nats-Subject"].rpartition(".")[2])
                except (KeyError, ValueError) as exc:
                    raise BrokerError(f"a piece of {meta.blob_id} came damaged") from exc
                size += len(message.data)
                found[number] = message.data
            more = batch.more and size <= meta.size_bytes
        if set(found) != set(range(meta.pieces)) or size != meta.size_bytes:
            return None
        return b"".join(found[number] for number in range(meta.pieces))
