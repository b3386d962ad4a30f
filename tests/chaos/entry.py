"""The entry that a chaos client writes: it says who wrote it under which leadership."""

from __future__ import annotations

from typing import Final

import msgspec

RECORD_KEY: Final = "chaos"
"""Where entries are written that go as records instead of into the log."""


class Entry(msgspec.Struct, frozen=True, tag="chaos"):
    """One write of the workload."""

    op: str
    token: int
    number: int


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Entry)


def encode_entry(entry: Entry) -> bytes:
    """Return the entry as it lies in the log."""
    return _encoder.encode(entry)


def decode_entry(content: bytes) -> Entry | None:
    """Return the entry, or None if somebody else wrote this."""
    try:
        return _decoder.decode(content)
    except (ValueError, RecursionError):
        return None
