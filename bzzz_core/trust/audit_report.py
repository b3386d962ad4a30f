"""What a verification of an audit is asked and answers.

Whose chain it is, what peers hold of it, and what was found; `audit_verify` says what each kind of
fault is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec

from bzzz_core.model import NodeId
from bzzz_core.trust.audit_chain import Head

Kind: TypeAlias = Literal["edit", "delete", "reorder", "truncate", "fork"]


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """The first thing that is not as it was written."""

    kind: Kind
    seq: int
    """Of the entry at fault, or of the first one that is missing."""
    place: str
    """File and line; empty where nothing in the files is at fault."""
    words: str


class Confirmed(msgspec.Struct, frozen=True, kw_only=True):
    """A peer holds the same as the files, up to an entry."""

    peer: str
    seq: int
    at: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a verification found."""

    node: str
    node_id: NodeId
    entries: int
    first: int
    """Number of the first entry that is there; above 1 if older ones were removed in order."""
    last: int
    last_hash: str
    last_at: str
    signatures: int
    """How many were checked; the last one stands for all before it."""
    fault: Fault | None
    confirmed: tuple[Confirmed, ...] = ()
    """By each peer that was asked and holds something that the files have."""
    notes: tuple[str, ...] = ()
    """What is worth knowing and no fault."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose chain it ought to be."""

    node: str
    """For people."""
    cluster: str
    node_id: NodeId
    public_key: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A head that a peer holds."""

    peer: str
    head: Head
