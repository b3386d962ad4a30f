"""What members tell each other, as bytes on the wire.

A *beat* is a node's report about itself, for voters. A *digest* is the leader's report to
everybody: what changed in its roster, a fingerprint of the whole, and the numbers of what it has
published elsewhere. A *page* is a piece of the whole roster, for a node whose own does not fit the
fingerprint.

The broker lets a node publish beats and digests under its own id only, so the subject, not the
content, says who is speaking, and nothing here is signed (docs/adr/0021-membership.md).
"""

from __future__ import annotations

from typing import Annotated, Final, TypeVar

import msgspec

from bzzz_core.errors import TransportError
from bzzz_core.model import Count, MemberState, NodeId, Sample, Text

WIRE_VERSION: Final = 2
BEAT_BYTES_MAX: Final = 16_384
DIGEST_BYTES_MAX: Final = 262_144
PAGE_MEMBERS_MAX: Final = 256
BEAT_SUBJECT: Final = "bz.beat"
DIGEST_SUBJECT: Final = "bz.digest"

Id = Annotated[NodeId, msgspec.Meta(max_length=64)]
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Wire = Annotated[int, msgspec.Meta(ge=1)]
Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=3_600_000)]


class Capabilities(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What a node can do beyond being there. Its graphics processors are in its sample."""

    models: Annotated[tuple[Word, ...], msgspec.Meta(max_length=64)] = ()
    """Names of the AI models that its endpoints serve."""
    languages: Annotated[tuple[Word, ...], msgspec.Meta(max_length=32)] = ()
    """Programming languages whose tools it has."""
    node_roles: Annotated[tuple[Word, ...], msgspec.Meta(max_length=8)] = ()
    """What the operator gave it to do."""


class Report(msgspec.Struct, frozen=True):
    """What a node has to say about itself at one moment."""

    name: Text
    address: Text
    version: Text
    uptime_s: Count
    voter: bool
    sample: Sample = Sample()
    broker: Text | None = None
    rtt_ms: Milliseconds | None = None
    """To the broker it is attached to, and back."""
    capabilities: Capabilities = Capabilities()


class Echo(msgspec.Struct, frozen=True, array_like=True):
    """Which beat of another voter this one heard last; tells that one the time there and back."""

    node: Id
    incarnation: Count
    number: Count
    held_ms: Count
    """How long ago that was when this was sent."""


class Beat(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One node's report about itself."""

    node: Id
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
    period_ms: Annotated[int, msgspec.Meta(ge=0, le=3_600_000)] = 0
    """How soon the next one follows; whoever judges silence counts in these. 0: as configured."""
    rtt_ms: Milliseconds | None = None
    capabilities: Capabilities | None = None
    """None: as before. They change seldom, so only some beats carry them."""
    echoes: Annotated[tuple[Echo, ...], msgspec.Meta(max_length=8)] = ()
    wire: Wire = WIRE_VERSION


class Told(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What the leader believes of one member."""

    node: Id
    state: MemberState
    heard_ms_ago: Count = 0
    beat: Beat | None = None
    """None: never heard since the leader started."""


class Digest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What changed since the digest before, and what the whole must look like now."""

    number: Count
    members: Annotated[tuple[Told, ...], msgspec.Meta(max_length=4_096)] = ()
    fingerprint: Count = 0
    """Of the leader's whole roster; `Roster.fingerprint`."""
    untold: Count = 0
    """How many changes wait for a later digest; the fingerprint fits only when none does."""
    versions: Annotated[dict[Word, Count], msgspec.Meta(max_length=16)] = {}
    """Numbers of what the leader has published elsewhere: the registry, the configuration."""
    leadership: Annotated[bytes, msgspec.Meta(max_length=65_536)] = b""
    """Proof of who leads, opaque here: whoever wires the services knows what it is."""
    wire: Wire = WIRE_VERSION


class PageAsked(msgspec.Struct, frozen=True):
    """Asks for the members whose ids follow `after`."""

    after: Id = NodeId("")


class Page(msgspec.Struct, frozen=True):
    """Members in the order of their ids; `more` says whether others follow the last one."""

    members: Annotated[tuple[Told, ...], msgspec.Meta(max_length=PAGE_MEMBERS_MAX)]
    more: bool


Kind = TypeVar("Kind")
_encoder = msgspec.msgpack.Encoder()
_beats = msgspec.msgpack.Decoder(Beat)
_digests = msgspec.msgpack.Decoder(Digest)
_pages = msgspec.msgpack.Decoder(Page)
_asked = msgspec.msgpack.Decoder(PageAsked)


def encode(message: Beat | Digest | Page | PageAsked) -> bytes:
    """Return the message as msgpack."""
    return _encoder.encode(message)


def size_of(told: Told) -> int:
    """Return how many bytes a member takes in a digest."""
    return len(_encoder.encode(told))


def speaker(prefix: str, subject: str) -> NodeId:
    """Return the node that the broker let speak under `subject` (`<prefix>.<node id>`)."""
    return NodeId(subject.removeprefix(f"{prefix}."))


def decode_beat(subject: str, data: bytes) -> Beat:
    """Parse a beat received under `subject`.

    Raises:
        TransportError: Too large, malformed, or not about the node the subject names.
    """
    beat = _decode(_beats, data, BEAT_BYTES_MAX, "beat")
    if beat.node != speaker(BEAT_SUBJECT, subject):
        raise TransportError(f"beat on {subject} claims to be about {beat.node}")
    return beat


def decode_digest(data: bytes) -> Digest:
    """Parse a digest.

    Raises:
        TransportError: Too large or malformed.
    """
    return _decode(_digests, data, DIGEST_BYTES_MAX, "digest")


def decode_page(data: bytes) -> Page:
    """Parse a page of the roster.

    Raises:
        TransportError: Malformed.
    """
    return _decode(_pages, data, PAGE_MEMBERS_MAX * BEAT_BYTES_MAX, "page of the roster")


def decode_asked(data: bytes) -> PageAsked:
    """Parse the question for a page.

    Raises:
        TransportError: Malformed.
    """
    return _decode(_asked, data, 256, "question for the roster")


def _decode(decoder: msgspec.msgpack.Decoder[Kind], data: bytes, most: int, what: str) -> Kind:
    if len(data) > most:
        raise TransportError(f"{what} of {len(data)} bytes is over {most}")
    try:
        return decoder.decode(data)
    except (ValueError, RecursionError) as exc:
        raise TransportError(f"malformed {what}") from exc
