"""What nodes say to each other about their audits.

On `bz.audit.<voter>.<asking node>`: the broker lets a node publish under its own id alone, so the
subject proves who asks. Each question is one msgpack map with its answer; both come from elsewhere
and are bounded.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec

from bzzz_core.errors import BzzzError, RequestInvalid, TransportError, error_of
from bzzz_core.model import Count, NodeId, Text
from bzzz_core.trust.audit_chain import Anchor
from bzzz_core.trust.audit_ledger import CONTRADICTIONS_MAX, HEADS_MAX, Checkpoint, Nonce, Told

PAGE_BYTES_MAX: Final = 131_072
"""What is verified in one piece: some hundred entries, 10 ms of work."""
_ANCHORS_MAX: Final = 256


class AskHeld(msgspec.Struct, frozen=True, tag="held", tag_field="ask"):
    """What do you hold of a node?"""

    node: NodeId


class Tell(msgspec.Struct, frozen=True, tag="told", tag_field="ask"):
    """This is the end of my audit; every node may say so."""

    told: Told


class AskPage(msgspec.Struct, frozen=True, tag="page", tag_field="ask"):
    """Give me a piece of your files; voters may ask."""

    segment: Count = 0
    offset: Count = 0


class Against(msgspec.Struct, frozen=True, kw_only=True):
    """A contradiction that nobody has accepted, in short."""

    kind: Text
    held: Count
    """Number of the entry that was held."""
    told: Count
    """Number of the entry that was told then."""
    at: Text


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to `AskHeld`."""

    nonce: Nonce
    """Good for one telling."""
    heads: Annotated[tuple[Checkpoint, ...], msgspec.Meta(max_length=2 * HEADS_MAX)] = ()
    """The last one is what was heard last."""
    against: Annotated[tuple[Against, ...], msgspec.Meta(max_length=CONTRADICTIONS_MAX)] = ()


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to `Tell`."""

    verdict: Text
    nonce: Nonce
    """For the next one."""


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to `AskPage`."""

    segment: Count
    offset: Count
    data: Annotated[bytes, msgspec.Meta(max_length=PAGE_BYTES_MAX)]
    next_segment: Count
    next_offset: Count
    anchors: Annotated[tuple[Anchor, ...], msgspec.Meta(max_length=_ANCHORS_MAX)] = ()
    """With the first piece: the newest ones."""


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Any answer may be this."""

    code: Text
    message: Annotated[str, msgspec.Meta(max_length=2_000)]


Question: TypeAlias = AskHeld | Tell | AskPage
_question = msgspec.msgpack.Decoder(Question)
_refused = msgspec.msgpack.Decoder(tuple[bool, msgspec.Raw])
Answer = Held | Heard | Piece


def ask(question: Question) -> bytes:
    """Return a question as it travels."""
    return msgspec.msgpack.encode(question)


def asked(data: bytes) -> Question:
    """Return what was asked.

    Raises:
        RequestInvalid: It is no question that this release knows.
    """
    try:
        question: Question = _question.decode(data)
    except (ValueError, RecursionError) as exc:
        raise RequestInvalid(f"no question about an audit: {exc}") from exc
    return question


def answer(said: Answer) -> bytes:
    """Return an answer as it travels."""
    return msgspec.msgpack.encode((True, said))


def refuse(error: BzzzError) -> bytes:
    """Return a failure as it travels."""
    said = Refused(code=error.code, message=str(error)[:2_000])
    return msgspec.msgpack.encode((False, said))


def answered(data: bytes, kind: type[Held | Heard | Piece]) -> Answer:
    """Return an answer.

    Raises:
        TransportError: It is none of that kind.
        BzzzError: What the other end failed with.
    """
    try:
        done, raw = _refused.decode(data)
        if done:
            return msgspec.msgpack.decode(raw, type=kind)
        refused = msgspec.msgpack.decode(raw, type=Refused)
    except (ValueError, RecursionError) as exc:
        raise TransportError(f"the answer about an audit is malformed: {exc}") from exc
    raise error_of(refused.code, refused.message)
