"""What one node holds of the audit of another: heads, and what contradicts them. Pure.

A node tells its head, with the steps that lead to it from the last one that was told; so the holder
knows that the chain was continued, without seeing it. The telling is signed over a number that the
holder has given out a moment before: nobody can repeat an old one in the node's name, and so an old
head is no accident but a chain that became shorter.

    new        it continues what is held
    known      it is what is held
    fork       it is another entry in the same place, or one that does not continue what is held
    rollback   it lies before what is held: the chain was cut

Rules: a contradiction is kept with both heads, whatever follows, until an operator accepts it; then
the chain of that node is held from there on. Of the heads, the newest are kept and ever fewer of
older ones. Everything is bounded; of many contradictions the first and the last ones stay.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Final, Literal, TypeAlias

import msgspec

from bzzz_core.errors import SignatureInvalid
from bzzz_core.model import Count, NodeId, Text
from bzzz_core.ports import Signer
from bzzz_core.trust.audit_chain import Head, Step, walk
from bzzz_core.trust.keys import PUBLIC_KEY_BYTES, node_id_of, verify

STEPS_MAX: Final = 1_024
"""Entries between two heads that are told one after the other; 100 KB at most."""
HEADS_MAX: Final = 64
CONTRADICTIONS_MAX: Final = 16
NONCE_BYTES: Final = 16
_TOLD: Final = b"bzzz audit told 1"

Verdict: TypeAlias = Literal["new", "known", "fork", "rollback"]
Contradicts: TypeAlias = Literal["fork", "rollback"]
Nonce = Annotated[bytes, msgspec.Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]
Steps = Annotated[tuple[Step, ...], msgspec.Meta(max_length=STEPS_MAX)]


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A node's word about the end of its audit, to one holder."""

    head: Head
    nonce: Nonce
    """The number that this holder gave out."""
    since: Count
    """The entry from which `steps` lead to the head."""
    steps: Steps = ()
    sig: Annotated[bytes, msgspec.Meta(max_length=64)] = b""

    def signed(self, signer: Signer, holder: NodeId) -> Told:
        """Return it with the node's signature, for one holder."""
        return msgspec.structs.replace(self, sig=signer.sign(_TOLD, _payload(self, holder)))

    def check(self, public_key: bytes, *, holder: NodeId) -> None:
        """Return if the node said this to that holder.

        Raises:
            SignatureInvalid: It did not.
        """
        self.head.check(public_key)
        verify(public_key, _TOLD, _payload(self, holder), self.sig)


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A head that is held."""

    head: Head
    heard_at: Text
    """By the holder's clock, UTC."""
    linked: bool = True
    """The node showed how it continues the one held before, if there was one."""


class Contradiction(msgspec.Struct, frozen=True, kw_only=True):
    """Two things a node said of its audit that cannot both be true."""

    kind: Contradicts
    held: Checkpoint
    told: Told
    at: Text
    accepted_at: Text = ""
    accepted_by: Text = ""


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one holder holds of one node."""

    node_id: NodeId
    name: Text
    public_key: Annotated[
        bytes, msgspec.Meta(min_length=PUBLIC_KEY_BYTES, max_length=PUBLIC_KEY_BYTES)
    ]
    heads: Annotated[tuple[Checkpoint, ...], msgspec.Meta(max_length=HEADS_MAX + 1)] = ()
    """In the order in which they were heard."""
    contradictions: Annotated[
        tuple[Contradiction, ...], msgspec.Meta(max_length=CONTRADICTIONS_MAX)
    ] = ()
    more: Count = 0
    """Contradictions beyond those that are kept."""

    def __post_init__(self) -> None:
        """Refuse a key that is not the node's."""
        if node_id_of(self.public_key) != self.node_id:
            raise ValueError("the key of a ledger is another node's")

    @property
    def latest(self) -> Checkpoint | None:
        """Return what was heard last."""
        return self.heads[-1] if self.heads else None

    @property
    def open(self) -> tuple[Contradiction, ...]:
        """Return the contradictions that nobody has accepted yet."""
        return tuple(one for one in self.contradictions if not one.accepted_at)

    def evidence(self) -> tuple[Head, ...]:
        """Return every head that the node's chain has to contain, as it once said itself."""
        held = [one.head for one in self.heads]
        held += [one.held.head for one in self.open]
        return tuple({(head.seq, head.hash): head for head in held}.values())

    def take(self, told: Told, *, at: str) -> tuple[Ledger, Verdict]:
        """Return the ledger with a checked telling in it, and what it means."""
        latest = self.latest
        linked = latest is None or _linked(latest, told)
        new = Checkpoint(head=told.head, heard_at=at, linked=linked is True)
        if latest is None:
            return self.with_head(new), "new"
        if told.head.seq == latest.head.seq and told.head.hash == latest.head.hash:
            return self, "known"
        kind: Contradicts | None = None
        if told.head.seq < latest.head.seq:
            kind = "rollback"
        elif told.head.seq == latest.head.seq or linked is False:
            kind = "fork"
        if kind is None:
            return self.with_head(new), "new"
        found = Contradiction(kind=kind, held=latest, told=told, at=at)
        return self._convinced(found).with_head(new), kind

    def accept(self, *, by: str, at: str) -> Ledger:
        """Return the ledger after an operator has taken note: held is what was heard last."""
        accepted = tuple(
            one if one.accepted_at else msgspec.structs.replace(one, accepted_at=at, accepted_by=by)
            for one in self.contradictions
        )
        return msgspec.structs.replace(self, contradictions=accepted, heads=self.heads[-1:])

    def with_head(self, new: Checkpoint) -> Ledger:
        """Return the ledger with one more head, whatever it says."""
        return msgspec.structs.replace(self, heads=_thinned((*self.heads, new)))

    def _convinced(self, found: Contradiction) -> Ledger:
        kept = (*self.contradictions, found)
        if len(kept) <= CONTRADICTIONS_MAX:
            return msgspec.structs.replace(self, contradictions=kept)
        half = CONTRADICTIONS_MAX // 2
        first_and_last = (*kept[:half], *kept[half + 1 :])
        return msgspec.structs.replace(self, contradictions=first_and_last, more=self.more + 1)


def _linked(latest: Checkpoint, told: Told) -> bool | None:
    """Return whether a telling shows that it continues what is held; None if it shows nothing."""
    seq, previous = latest.head.seq, latest.head.hash
    if told.since != seq or not told.steps:
        return None
    if told.steps[0].before.hex() != latest.head.sig or seq + len(told.steps) != told.head.seq:
        return False
    return walk(previous, told.steps) == told.head.hash


def _thinned(heads: tuple[Checkpoint, ...]) -> tuple[Checkpoint, ...]:
    """Return at most `HEADS_MAX` heads: the first, the newest, and ever fewer in between.

    The one goes that leaves the smallest gap, measured by how long ago it would be.
    """
    if len(heads) <= HEADS_MAX:
        return heads
    last = len(heads) - 1
    newest = heads[last].head.seq

    def gap(place: int) -> float:
        before, behind = heads[place - 1].head.seq, heads[place + 1].head.seq
        return (behind - before) / (1 + max(0, newest - before))

    out = min(range(1, last), key=gap)
    return heads[:out] + heads[out + 1 :]


def _payload(told: Told, holder: NodeId) -> bytes:
    head = told.head
    steps = hashlib.sha256(msgspec.msgpack.encode(told.steps)).digest()
    said = (head.cluster, head.node_id, head.seq, head.hash, head.sig, told.since, steps)
    return msgspec.msgpack.encode((*said, told.nonce, holder))


def genuine(told: Told, public_key: bytes, *, cluster: str, node: NodeId, holder: NodeId) -> bool:
    """Return whether `node` said this, about its own chain in this cluster, to `holder`."""
    if (told.head.cluster, told.head.node_id) != (cluster, node):
        return False
    try:
        told.check(public_key, holder=holder)
    except SignatureInvalid:
        return False
    return True
