"""A message of a leader's log: entries that were waiting at the same time, under one name.

The name is the request id under which the message was written. The store takes a name once in two
minutes; a reader that meets one again later drops the second.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from bzzz_core.errors import IntegrityError

ENTRIES_MAX: Final = 64
BATCH_BYTES_MAX: Final = 262_144


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """One message of the log."""

    request: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    """Unique name; a second batch of this name is the first one again."""
    entries: Annotated[tuple[bytes, ...], msgspec.Meta(min_length=1, max_length=ENTRIES_MAX)]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Batch)


def encode_batch(batch: Batch) -> bytes:
    """Return the batch as a message."""
    return _encoder.encode(batch)


def decode_batch(content: bytes) -> Batch:
    """Parse a message of the log.

    Raises:
        IntegrityError: It is none.
    """
    try:
        return _decoder.decode(content)
    except (ValueError, RecursionError) as exc:
        raise IntegrityError(f"a message of the log is damaged: {exc}") from exc
