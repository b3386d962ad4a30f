"""Verifies audits on behalf of an agent's callers: its own files, or those of another voter.

Files are read and checked in a thread, a small piece at a time, so that heartbeats go out
meanwhile. Checkpoints are asked for before the files are read: what a peer holds must be in them.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

import msgspec

from bzzz_core.auditing.messages import Against, Held
from bzzz_core.auditing.peers import AuditPeers
from bzzz_core.config.sections import NodeEntry
from bzzz_core.errors import BzzzError, PermissionDenied
from bzzz_core.model import NodeId, Text
from bzzz_core.telemetry.audit_files import Placed, lines_of
from bzzz_core.telemetry.audit_verify import with_before
from bzzz_core.trust.audit_report import Checkpoint, Owner, Report
from bzzz_core.trust.audit_verify import Verifier

_LINES: Final = 256
_PIECES_MAX: Final = 8_192
"""Of another node's files: a gigabyte."""


class PeerView(msgspec.Struct, frozen=True, kw_only=True):
    """What one voter holds of a node's audit."""

    peer: Text
    answered: bool
    seq: int | None = None
    """Of the newest checkpoint; None: it holds none."""
    hash: Text = ""
    heard_at: Text = ""
    linked: bool = True
    checkpoints: int = 0
    against: tuple[Against, ...] = ()
    """Contradictions that nobody has accepted there."""


class VerifyDocument(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/audit/verify`: what was found."""

    node: Text
    ok: bool
    """The files are a chain, and no voter that answered holds anything else."""
    report: Report | None
    """None: the files could not be read; `why` says why."""
    why: Text = ""
    peers: tuple[PeerView, ...] = ()


async def verify(peers: AuditPeers, named: str) -> VerifyDocument:
    """Verify the audit of a node, by name or id, against what the voters hold of it.

    Raises:
        RequestInvalid: No node of the cluster is called so.
    """
    entry = peers.member(named)
    node = NodeId(entry.id)
    held = await peers.held(node)
    verifier = Verifier(
        owner_of(entry, peers.cluster),
        anchors=peers.chain.files.anchors() if node == peers.me else (),
        checkpoints=checkpoints_of(held),
    )
    report, why = None, ""
    try:
        if node == peers.me:
            report = await _own(peers, verifier)
        else:
            report = await _another(peers, entry, verifier)
    except (BzzzError, OSError) as exc:
        why = str(exc)[:200] or type(exc).__name__
    views = tuple(view(peer, answer) for peer, answer in sorted(held.items()))
    fine = report is not None and report.fault is None
    ok = fine and not any(one.against for one in views)
    return VerifyDocument(node=entry.name, ok=ok, report=report, why=why, peers=views)


def owner_of(entry: NodeEntry, cluster: str) -> Owner:
    """Return whose chain a member's audit has to be."""
    key = base64.b64decode(entry.public_key)
    return Owner(entry.name, cluster, NodeId(entry.id), key)


def checkpoints_of(held: Mapping[str, Held | None]) -> list[Checkpoint]:
    """Return every checkpoint that a voter told us."""
    return [
        Checkpoint(peer, one.head)
        for peer, answer in held.items()
        if answer
        for one in answer.heads
    ]


def view(peer: str, held: Held | None) -> PeerView:
    """Return what one voter holds, in short."""
    if held is None:
        return PeerView(peer=peer, answered=False)
    if not held.heads:
        return PeerView(peer=peer, answered=True, against=held.against)
    latest = held.heads[-1]
    return PeerView(
        peer=peer,
        answered=True,
        seq=latest.head.seq,
        hash=latest.head.hash,
        heard_at=latest.heard_at,
        linked=latest.linked,
        checkpoints=len(held.heads),
        against=held.against,
    )


async def _own(peers: AuditPeers, verifier: Verifier) -> Report:
    lines = peers.chain.files.lines()
    while await asyncio.to_thread(_feed, verifier, lines):
        pass
    report = verifier.finish()
    return await asyncio.to_thread(with_before, report, peers.chain.files)


def _feed(verifier: Verifier, lines: Iterator[Placed]) -> bool:
    """Check the next lines; return whether there were any."""
    some = list(islice(lines, _LINES))
    for place, raw, whole in some:
        verifier.feed(place, raw, whole=whole)
    return bool(some)


async def _another(peers: AuditPeers, entry: NodeEntry, verifier: Verifier) -> Report:
    if not entry.voter:
        raise PermissionDenied(f"{entry.name} is no voter: verify its files there, or a copy")
    segment = offset = number = 0
    name = ""
    for count in range(_PIECES_MAX):
        piece = await peers.page(NodeId(entry.id), segment, offset)
        if count == 0:
            verifier.anchored(piece.anchors)
        if name != f"{piece.segment:06}.jsonl":
            number = 0
        name = f"{piece.segment:06}.jsonl"
        placed = list(lines_of(name, number, piece.data))
        number += len(placed)
        await asyncio.to_thread(_feed_all, verifier, placed)
        segment, offset = piece.next_segment, piece.next_offset
        if not segment:
            break
    return verifier.finish()


def _feed_all(verifier: Verifier, placed: Iterable[Placed]) -> None:
    for place, raw, whole in placed:
        verifier.feed(place, raw, whole=whole)
