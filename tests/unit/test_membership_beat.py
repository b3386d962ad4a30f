"""What arrives from the network is parsed strictly, and nothing but our error comes out."""

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bzzz_core.errors import TransportError
from bzzz_core.membership.beat import (
    BEAT_BYTES_MAX,
    Beat,
    Digest,
    decode_beat,
    decode_digest,
    encode,
)
from bzzz_core.model import NodeId

BEAT = Beat(
    node=NodeId("abc"),
    name="bzzz-1",
    address="192.0.2.1",
    version="0",
    incarnation=1,
    number=1,
    uptime_s=0,
    voter=True,
)


def test_a_beat_survives_the_wire() -> None:
    assert decode_beat("bz.beat.abc", encode(BEAT)) == BEAT


def test_a_beat_about_somebody_else_is_refused() -> None:
    """The broker vouches for the subject only; a node may not report another one dead or alive."""
    with pytest.raises(TransportError, match="claims to be about abc"):
        decode_beat("bz.beat.xyz", encode(BEAT))


def test_an_oversized_beat_is_refused_unread() -> None:
    with pytest.raises(TransportError, match="over"):
        decode_beat("bz.beat.abc", b"\0" * (BEAT_BYTES_MAX + 1))


def test_numbers_out_of_range_are_refused() -> None:
    raw = msgspec.to_builtins(BEAT) | {"uptime_s": -1}
    with pytest.raises(TransportError, match="malformed"):
        decode_beat("bz.beat.abc", msgspec.msgpack.encode(raw))


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    for decode in (lambda: decode_beat("bz.beat.abc", data), lambda: decode_digest(data)):
        with contextlib.suppress(TransportError):
            decode()


def test_a_digest_survives_the_wire() -> None:
    digest = Digest(1, full=True, members=())
    assert decode_digest(encode(digest)) == digest
