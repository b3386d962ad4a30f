"""What this node's API offers about its audit.

GET  /v1/audit                query: actor, what, since, until, trace, text, before, limit
GET  /v1/audit/head           the signed end of this node's audit
GET  /v1/audit/checkpoints    what the voters hold of a node's audit (`node`, this one by default)
GET  /v1/audit/proof/{seq}    the proof of one entry
GET  /v1/audit/denials        who was refused what, lately
POST /v1/audit/verify         verify this node's audit, or that of another voter
POST /v1/audit/accept         take note of the contradictions that this node holds of another
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from bzzz_core.api.operations import By, Call, Operation
from bzzz_core.auditing.holder import AuditHolder
from bzzz_core.auditing.peers import AuditPeers
from bzzz_core.auditing.reports import PeerView, VerifyDocument, checkpoints_of, verify, view
from bzzz_core.errors import RequestInvalid, TransportError
from bzzz_core.model import Count, NodeId, Text
from bzzz_core.telemetry.audit_desk import AuditDesk
from bzzz_core.telemetry.audit_query import Query, find, prove_entry
from bzzz_core.trust.audit_chain import Head, Line
from bzzz_core.trust.audit_proof import Proof
from bzzz_core.trust.audit_report import Checkpoint

T = TypeVar("T")
_DIGITS_MAX: Final = 16


class AuditPage(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /v1/audit`: entries, oldest first."""

    node: Text
    entries: tuple[Line, ...]
    before: Count
    """Ask with this for older ones; 0: there are none."""


class HeadDocument(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /v1/audit/head`."""

    node: Text
    head: Head | None
    """None: nothing was audited yet."""
    public_key: Text
    """Ed25519, hexadecimal."""


class CheckpointsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /v1/audit/checkpoints`."""

    node: Text
    node_id: NodeId
    peers: tuple[PeerView, ...]
    checkpoints: tuple[Checkpoint, ...]


class DeniedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One actor that was refused something."""

    actor: str
    count: Count
    kinds: dict[str, int]
    past: bool


class DenialsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /v1/audit/denials`: within the window; totals since the agent's start."""

    window_s: Count
    threshold: Count
    denied: tuple[DeniedDocument, ...]
    totals: dict[str, int]


class NodeQuery(msgspec.Struct, frozen=True):
    """Query of `GET /v1/audit/checkpoints`."""

    node: Text = ""
    """Name or id; empty: this node."""


class VerifyBody(msgspec.Struct, frozen=True):
    """The body of `POST /v1/audit/verify`."""

    node: Text = ""
    """Name or id; empty: this node."""


class AcceptBody(msgspec.Struct, frozen=True):
    """The body of `POST /v1/audit/accept`."""

    node: Text
    by: By = ""


class Accepted(msgspec.Struct, frozen=True):
    """How many contradictions were accepted."""

    accepted: Count


class AuditOperations:
    """The audit as the API shows it."""

    def __init__(
        self,
        peers: AuditPeers,
        holder: AuditHolder,
        *,
        desk: AuditDesk,
        certificates: Callable[[], Path],
    ) -> None:
        """Take what answers; `certificates` says where the node's certificates lie."""
        self._peers = peers
        self._holder = holder
        self._desk = desk
        self._certificates = certificates

    def operations(self) -> list[Operation]:
        """Return what the API offers."""
        return [
            Operation(
                "GET",
                "/v1/audit",
                self._query,
                "audit:read",
                "Entries of this node's audit, the newest ones first to be had",
                answers=AuditPage,
                query=Query,
            ),
            Operation(
                "GET",
                "/v1/audit/head",
                self._head,
                "audit:read",
                "The signed end of this node's audit",
                answers=HeadDocument,
            ),
            Operation(
                "GET",
                "/v1/audit/checkpoints",
                self._checkpoints,
                "audit:read",
                "What the voters hold of a node's audit",
                answers=CheckpointsDocument,
                query=NodeQuery,
            ),
            Operation(
                "GET",
                "/v1/audit/proof/{seq}",
                self._proof,
                "audit:read",
                "What proves one entry to others",
                answers=Proof,
            ),
            Operation(
                "GET",
                "/v1/audit/denials",
                self._denials,
                "audit:read",
                "Who was refused what, lately",
                answers=DenialsDocument,
            ),
            Operation(
                "POST",
                "/v1/audit/verify",
                self._verify,
                "audit:read",
                "Verify this node's audit, or that of another voter",
                answers=VerifyDocument,
                takes=VerifyBody,
                needs_body=False,
            ),
            Operation(
                "POST",
                "/v1/audit/accept",
                self._accept,
                "trust:write",
                "Take note of what this node holds against another node's audit",
                answers=Accepted,
                takes=AcceptBody,
            ),
        ]

    async def _query(self, call: Call) -> AuditPage:
        wish = call.asked(Query)
        await self._desk.settled()
        entries, before = await _read(find, self._peers.chain.files, wish)
        node = self._peers.chain.owner.node
        return AuditPage(node=node, entries=tuple(entries), before=before)

    async def _head(self, _call: Call) -> HeadDocument:
        await self._desk.settled()
        found = await asyncio.to_thread(self._peers.chain.head)
        owner = self._peers.chain.owner
        return HeadDocument(node=owner.node, head=found, public_key=owner.public_key.hex())

    async def _checkpoints(self, call: Call) -> CheckpointsDocument:
        entry = self._peers.member(call.asked(NodeQuery).node or self._peers.me)
        held = await self._peers.held(NodeId(entry.id))
        return CheckpointsDocument(
            node=entry.name,
            node_id=NodeId(entry.id),
            peers=tuple(view(peer, answer) for peer, answer in sorted(held.items())),
            checkpoints=tuple(checkpoints_of(held)),
        )

    async def _proof(self, call: Call) -> Proof:
        typed = call.params["seq"]
        if not is_number(typed):
            raise RequestInvalid("the number of an entry is a number")
        return await _read(self._prove, int(typed))

    def _prove(self, seq: int) -> Proof:
        path = self._certificates()
        pem = path.read_text() if path.exists() else ""
        return prove_entry(self._peers.chain, seq, certificates=pem)

    async def _denials(self, _call: Call) -> DenialsDocument:
        denials = self._desk.denials
        return DenialsDocument(
            window_s=denials.window_ms // 1000,
            threshold=denials.threshold,
            denied=tuple(
                DeniedDocument(
                    actor=one.actor, count=one.count, kinds=dict(one.kinds), past=one.past
                )
                for one in self._desk.denied()
            ),
            totals=dict(denials.totals),
        )

    async def _verify(self, call: Call) -> VerifyDocument:
        await self._desk.settled()
        return await verify(self._peers, call.read(VerifyBody).node or self._peers.me)

    async def _accept(self, call: Call) -> Accepted:
        body = call.read(AcceptBody)
        entry = self._peers.member(body.node)
        count = await self._holder.accept(NodeId(entry.id), by=body.by)
        actor = call.actor(body.by)
        self._desk.note("audit contradiction accepted", actor=actor, name=entry.name, count=count)
        return Accepted(count)


def is_number(typed: str) -> bool:
    """Return whether a text is a number that an entry may have."""
    return typed.isascii() and typed.isdecimal() and len(typed) < _DIGITS_MAX


async def _read(work: Callable[..., T], *arguments: object) -> T:
    """Let a thread read files."""
    try:
        return await asyncio.to_thread(work, *arguments)
    except OSError as exc:
        raise TransportError(f"the audit cannot be read: {exc.strerror}") from exc
