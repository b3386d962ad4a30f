"""The audit of one node as a chain: entries, their bytes, hashes and signatures. Pure.

An entry is one line, `{"seq":...,"prev":"...","hash":"...","sig":"..."}`. What stands before `hash`
is the *body*, exactly the bytes that msgspec writes for `Entry`; a line that would be written in
another way is no line of ours, so one entry has one spelling.

    digest = SHA-256(tag | body)
    hash   = SHA-256(tag | hash of the entry before | its signature, if it has one | digest)
    sig    = Ed25519 of the node's identity over cluster, node, seq, hash and time: a *head*

So each head stands for every byte before it, earlier signatures included: whoever checks the last
one has checked all. And whoever has the digests between two heads can tell that the later one
continues the earlier one, without the entries (`Step`).

The last entry of each write is signed, and within a large write every `SIGN_EVERY`-th. An entry
behind which no signature follows was never answered for: it is what a power loss left.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

import msgspec

from bzzz_core.errors import IntegrityError, SignatureInvalid
from bzzz_core.model import ClusterId, NodeId, Text
from bzzz_core.ports import Signer
from bzzz_core.trust.keys import node_id_of, verify

FIRST: Final = "0" * 64
"""What stands for the hash before the first entry."""
SIGN_EVERY: Final = 64
"""Entries of one write from signature to signature: so many steps a proof has at most."""
LINE_BYTES_MAX: Final = 65_536
BEGUN: Final = "audit begun"
"""The first entry: which cluster, node and key, and what was taken over."""
RECOVERED: Final = "audit recovered"
"""The first entry after a power loss: what lay behind the last signature and is no entry."""
DAMAGED: Final = "audit damaged"
"""The same where what lay there is nothing that a power loss leaves."""
REMOVED: Final = "audit segment removed"
"""Old entries are removed; an anchor stays."""

_ENTRY_TAG: Final = b"bzzz audit entry 1\0"
_LINK_TAG: Final = b"bzzz audit link 1\0"
_HEAD: Final = b"bzzz audit head 1"
_ANCHOR: Final = b"bzzz audit anchor 1"
_HASH_CUT: Final = len(b',"hash":""}') + 64
_SIGNED_CUT: Final = _HASH_CUT + len(b',"sig":""') + 128

_OPENING: Final = b'{"seq":'
_QUOTE, _BACKSLASH, _OPEN, _CLOSE = b'"\\{}'

Value: TypeAlias = bool | int | float | str | None
Hash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
Signature = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{128})?$")]
Number = Annotated[int, msgspec.Meta(ge=1, le=2**53)]
"""Number of an entry, from 1; every program reads integers up to there."""


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody did, before it has its place in the chain."""

    at: str
    """Wall-clock UTC, when it was noted."""
    actor: str
    what: str
    trace: str = ""
    fields: dict[str, Value] = {}


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One act in its place."""

    seq: Number
    at: str
    node: str
    """Name of the node, for people; who it is follows from the signature."""
    actor: str
    what: str
    trace: str
    fields: dict[str, Value]
    prev: Hash


class Line(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An entry with its hash, as it stands in a file."""

    hash: Hash
    sig: Signature = ""
    """Hexadecimal; empty in entries that a later signature stands for."""


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """A signed entry's hash: it stands for the chain up to there."""

    cluster: Text
    node_id: NodeId
    seq: Number
    hash: Hash
    at: Text
    """When the entry was noted."""
    sig: Signature

    def check(self, public_key: bytes) -> None:
        """Return if the node's key signed this.

        Raises:
            SignatureInvalid: It did not.
        """
        _check(self.node_id, public_key, _HEAD, _payload(self), self.sig)


class Anchor(msgspec.Struct, frozen=True, kw_only=True):
    """What stands for entries that were removed in order: the last of them."""

    head: Head
    removed_at: Text
    sig: Signature
    """Over all of it: that the head was signed once does not say that it may be the beginning."""

    def check(self, public_key: bytes) -> None:
        """Return if the node's key signed this.

        Raises:
            SignatureInvalid: It did not.
        """
        self.head.check(public_key)
        _check(self.head.node_id, public_key, _ANCHOR, _anchor_payload(self), self.sig)


class Step(msgspec.Struct, frozen=True, array_like=True):
    """What leads from one entry's hash to the next one's."""

    digest: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    before: Annotated[bytes, msgspec.Meta(max_length=64)]
    """Signature of the entry before; empty if it has none."""


@dataclass(frozen=True, slots=True)
class Tip:
    """The end of a chain: what the next entry follows."""

    seq: int = 0
    hash: str = FIRST
    sig: str = ""
    at: str = ""


@dataclass(frozen=True, slots=True)
class Author:
    """Whose chain it is, and with which key heads are signed."""

    cluster: ClusterId
    signer: Signer

    @property
    def node_id(self) -> NodeId:
        """Return the id of the node that owns the key."""
        return node_id_of(self.signer.public_key)

    def head(self, tip: Tip) -> Head:
        """Return a tip that is signed as a head."""
        assert tip.sig, "an unsigned entry is no head"
        return Head(
            cluster=self.cluster,
            node_id=self.node_id,
            seq=tip.seq,
            hash=tip.hash,
            at=tip.at,
            sig=tip.sig,
        )

    def anchor(self, tip: Tip, *, at: str) -> Anchor:
        """Return what stays of entries that are removed, up to `tip`."""
        anchor = Anchor(head=self.head(tip), removed_at=at, sig="")
        sig = self.signer.sign(_ANCHOR, _anchor_payload(anchor)).hex()
        return msgspec.structs.replace(anchor, sig=sig)

    def sign(self, tip: Tip) -> str:
        """Return the signature that makes a tip a head."""
        unsigned = Head(
            cluster=self.cluster,
            node_id=self.node_id,
            seq=tip.seq,
            hash=tip.hash,
            at=tip.at,
            sig="",
        )
        return self.signer.sign(_HEAD, _payload(unsigned)).hex()


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line).decode


def seal(
    acts: Sequence[Act], tip: Tip, *, author: Author, node: str
) -> tuple[list[bytes], list[tuple[Tip, Step]]]:
    """Return acts as the lines that follow `tip`, and where each leads; the last one is signed."""
    lines, led = [], []
    for number, act in enumerate(acts, 1):
        entry = Entry(
            seq=tip.seq + 1,
            at=act.at,
            node=node,
            actor=act.actor,
            what=act.what,
            trace=act.trace,
            fields=act.fields,
            prev=tip.hash,
        )
        body = _encode(entry)
        step = Step(_digest(body), bytes.fromhex(tip.sig))
        tip = Tip(entry.seq, advance(tip.hash, step), at=act.at)
        if number % SIGN_EVERY == 0 or number == len(acts):
            tip = Tip(tip.seq, tip.hash, author.sign(tip), tip.at)
        lines.append(_written(body, tip))
        led.append((tip, step))
    return lines, led


def advance(previous: str, step: Step) -> str:
    """Return the hash of the entry that a step leads to from the hash `previous`."""
    return hashlib.sha256(
        _LINK_TAG + bytes.fromhex(previous) + step.before + step.digest
    ).hexdigest()


def walk(previous: str, steps: Iterable[Step]) -> str:
    """Return the hash that steps lead to."""
    for step in steps:
        previous = advance(previous, step)
    return previous


def parse(raw: bytes) -> Line:
    """Return the entry of a line, without its newline; nothing in it is proven by this.

    Raises:
        IntegrityError: It is no entry, or one that is spelt as we never do.
    """
    if len(raw) > LINE_BYTES_MAX:
        raise IntegrityError(f"the line is longer than {LINE_BYTES_MAX} bytes")
    try:
        line = _decode(raw)
        if _encode(line) != raw:
            raise IntegrityError("the line is not spelt as BZZZ writes it")
    except (ValueError, RecursionError, OverflowError) as exc:
        raise IntegrityError(f"the line is no entry: {exc}") from exc
    return line


def torn(raw: bytes) -> bool:
    """Return whether a line is no more than the beginning of one, as a power loss leaves it.

    File systems may leave zeros where nothing was written yet. What a person has changed within a
    line leaves it complete: its object is closed.
    """
    begun = raw.rstrip(b"\0")
    if not begun.startswith(_OPENING[: len(begun)]):
        return False
    depth, quoted, escaped = 0, False, False
    for byte in begun:
        if escaped:
            escaped = False
        elif quoted:
            quoted, escaped = byte != _QUOTE, byte == _BACKSLASH
        elif byte == _QUOTE:
            quoted = True
        elif byte == _OPEN:
            depth += 1
        elif byte == _CLOSE:
            depth -= 1
            if depth <= 0:
                return False
    return True


def step_of(raw: bytes, line: Line, before: str) -> Step:
    """Return the step that a parsed line is, behind an entry with the signature `before`."""
    body = raw[: -(_SIGNED_CUT if line.sig else _HASH_CUT)] + b"}"
    return Step(_digest(body), bytes.fromhex(before))


def follows(tip: Tip, raw: bytes, line: Line) -> bool:
    """Return whether a parsed line is what was hashed and comes right behind `tip`."""
    placed = (line.seq, line.prev) == (tip.seq + 1, tip.hash)
    return placed and advance(tip.hash, step_of(raw, line, tip.sig)) == line.hash


def tip_of(line: Line) -> Tip:
    """Return a line as the end of a chain."""
    return Tip(line.seq, line.hash, line.sig, line.at)


def head_of(line: Line, *, cluster: str, node_id: NodeId) -> Head:
    """Return the head that a signed line claims to be; `Head.check` proves it."""
    return Head(
        cluster=cluster, node_id=node_id, seq=line.seq, hash=line.hash, at=line.at, sig=line.sig
    )


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(_ENTRY_TAG + body).digest()


def _written(body: bytes, tip: Tip) -> bytes:
    sig = f',"sig":"{tip.sig}"' if tip.sig else ""
    return body[:-1] + f',"hash":"{tip.hash}"{sig}}}'.encode()


def _payload(head: Head) -> bytes:
    """Return the bytes that are signed: one spelling for each head."""
    said = (head.cluster, head.node_id, head.seq, bytes.fromhex(head.hash), head.at)
    return msgspec.msgpack.encode(said)


def _anchor_payload(anchor: Anchor) -> bytes:
    return msgspec.msgpack.encode((_payload(anchor.head), anchor.head.sig, anchor.removed_at))


def _check(node: NodeId, public_key: bytes, context: bytes, payload: bytes, sig: str) -> None:
    if node_id_of(public_key) != node:
        raise SignatureInvalid(f"the key is not that of {node}")
    verify(public_key, context, payload, bytes.fromhex(sig))
