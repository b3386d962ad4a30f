"""Keys, values and provider names: what is allowed, and where in a bucket they lie.

A key is any text, a bucket's keys are not, so an entry lies at its *slot*: the SHA-256 of the key
in base32. Who provides an entry lies at `<slot>.<node>`: each node writes only its own name, which
the leader sees to for edges, and so none of them speaks for another.
"""

from __future__ import annotations

import hashlib
from base64 import b32encode
from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Final

import msgspec

from bzzz_core.errors import EntryRefused
from bzzz_core.model import NodeId
from bzzz_core.ports import VALUE_BYTES_MAX

KEY_BYTES_MAX: Final = 1_024
PROVIDER_CHARACTERS_MAX: Final = 256
PROVIDERS_MAX: Final = 64
"""How many names one node may give out for one key."""

_WIRE_VERSION: Final = 1


class _Announcement(msgspec.Struct, frozen=True):
    """What a node says about one key."""

    v: int
    providers: Annotated[
        tuple[Annotated[str, msgspec.Meta(max_length=PROVIDER_CHARACTERS_MAX)], ...],
        msgspec.Meta(max_length=PROVIDERS_MAX),
    ]


_decoder = msgspec.msgpack.Decoder(_Announcement)


@lru_cache(maxsize=8_192)
def slot_of(key: str) -> str:
    """Return where an entry lies: 52 characters.

    Raises:
        EntryRefused: The key is empty, too long, or no text.
    """
    return b32encode(hashlib.sha256(check_key(key)).digest())[:52].decode().lower()


def check_key(key: str) -> bytes:
    """Return a key as bytes.

    Raises:
        EntryRefused: It is empty, too long, or no text.
    """
    try:
        data = key.encode()
    except UnicodeEncodeError as exc:
        raise EntryRefused(f"a key is text, and U+{ord(key[exc.start]):04X} is none") from exc
    if not 0 < len(data) <= KEY_BYTES_MAX:
        raise EntryRefused(f"a key has 1 to {KEY_BYTES_MAX} bytes of UTF-8, not {len(data)}")
    return data


def check_value(value: bytes) -> None:
    """Refuse a value that is too large.

    Raises:
        EntryRefused: It is.
    """
    if len(value) > VALUE_BYTES_MAX:
        raise EntryRefused(f"a value has at most {VALUE_BYTES_MAX} bytes, not {len(value)}")


def check_provider(provider_id: str) -> None:
    """Refuse what cannot be a provider's name.

    Raises:
        EntryRefused: It is empty, too long, or not printable.
    """
    if not 0 < len(provider_id) <= PROVIDER_CHARACTERS_MAX or not provider_id.isprintable():
        raise EntryRefused(
            f"a provider's name has 1 to {PROVIDER_CHARACTERS_MAX} printable characters"
        )


def announcement_key(slot: str, node: NodeId) -> str:
    """Return where a node says who provides an entry."""
    return f"{slot}.{node}"


def encode_announcement(providers: Iterable[str]) -> bytes:
    """Return what a node says: these provide the entry."""
    return msgspec.msgpack.encode(_Announcement(_WIRE_VERSION, tuple(sorted(providers))))


def decode_announcement(data: bytes) -> frozenset[str]:
    """Return the providers that a node names; later versions may only add fields.

    Raises:
        ValueError: It is no announcement.
    """
    return frozenset(_decoder.decode(data).providers)
