"""What members tell each other, as bytes on the wire.

A beat is a node's report about itself; a digest is the leader's report to edges about everybody.
The broker lets a node publish beats under its own subject only, so the subject, not the content,
says who is speaking: `decode_beat` refuses a beat whose content disagrees.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from bzzz_core.errors import TransportError
from bzzz_core.model import Count, MemberState, NodeId, Sample, Text

WIRE_VERSION = 1
BEAT_BYTES_MAX = 8_192
DIGEST_BYTES_MAX = 1_000_000
BEAT_SUBJECT = "bz.beat"
DIGEST_SUBJECT = "bz.digest"
ASK_SUBJECT = "bz.ask"


class Beat(msgspec.Struct, frozen=True):
    """One node's report about itself."""

    node: NodeId
    name: Text
    address: Text
    version: Text
    incarnation: Count
    """Counts the node's starts; a beat of an earlier start that arrives late is dropped."""
    number: Count
    """Counts the beats of one start; the newest wins."""
    uptime_s: Count
    voter: bool
    sample: Sample = Sample()
    broker: Text | None = None
    leaving: bool = False
    wire: Annotated[int, msgspec.Meta(ge=1)] = WIRE_VERSION


class Told(msgspec.Struct, frozen=True):
    """What the leader believes of one member."""

    beat: Beat
    state: MemberState
    heard_ms_ago: Count


class Digest(msgspec.Struct, frozen=True):
    """Changes since the digest before, or everything."""

    number: Count
    full: bool
    members: Annotated[tuple[Told, ...], msgspec.Meta(max_length=100_000)]
    leadership: Annotated[bytes, msgspec.Meta(max_length=65_536)] = b""
    """Proof of who leads, opaque here: whoever wires the services knows what it is."""
    wire: Annotated[int, msgspec.Meta(ge=1)] = WIRE_VERSION


_encoder = msgspec.msgpack.Encoder()
_beats = msgspec.msgpack.Decoder(Beat)
_digests = msgspec.msgpack.Decoder(Digest)


def encode(message: Beat | Digest) -> bytes:
    """Return the message as msgpack."""
    return _encoder.encode(message)


def decode_beat(subject: str, data: bytes) -> Beat:
    """Parse a beat received under `subject` (`bz.beat.<node id>`).

    Raises:
        TransportError: Too large, malformed, or not about the node the subject names.
    """
    if len(data) > BEAT_BYTES_MAX:
        raise TransportError(f"beat of {len(data)} bytes is over {BEAT_BYTES_MAX}")
    try:
        beat = _beats.decode(data)
    except (ValueError, RecursionError) as exc:
        raise TransportError(f"malformed beat on {subject}") from exc
    if subject != f"{BEAT_SUBJECT}.{beat.node}":
        raise TransportError(f"beat on {subject} claims to be about {beat.node}")
    return beat


def decode_digest(data: bytes) -> Digest:
    """Parse a digest.

    Raises:
        TransportError: Too large or malformed.
    """
    if len(data) > DIGEST_BYTES_MAX:
        raise TransportError(f"digest of {len(data)} bytes is over {DIGEST_BYTES_MAX}")
    try:
        return _digests.decode(data)
    except (ValueError, RecursionError) as exc:
        raise TransportError("malformed digest") from exc
