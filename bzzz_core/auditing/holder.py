"""Holds what other nodes tell of their audits; voters do.

What is told is kept durably before it is answered. A contradiction is audited, raised as an alarm,
and stays until an operator accepts it. Whoever asks is who the broker says, and has to be a member;
of one asker a few questions are taken a second.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from bzzz_core.auditing import messages
from bzzz_core.auditing.messages import (
    Against,
    AskHeld,
    AskPage,
    Heard,
    Held,
    Piece,
    Question,
    Tell,
)
from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.sections import NodeEntry
from bzzz_core.enrolment.limit import AttemptLimit
from bzzz_core.errors import (
    BzzzError,
    CapacityExceeded,
    PermissionDenied,
    RateLimited,
    RequestInvalid,
    SignatureInvalid,
    TransportError,
)
from bzzz_core.fabric.layout import audit_subject
from bzzz_core.model import NodeId
from bzzz_core.ports import Clock, Fabric, Message
from bzzz_core.telemetry import logs, tracing
from bzzz_core.telemetry.audit_desk import AuditDesk
from bzzz_core.telemetry.audit_ledgers import Ledgers
from bzzz_core.trust.audit_ledger import NONCE_BYTES, Ledger, Told, genuine

_QUESTIONS_MAX: Final = 64
_BURST: Final = 64
_REFILL_MS: Final = 50
_STOP_S_MAX: Final = 1.0
_ANCHORS: Final = 4
"""The newest: one of them stands before the first segment."""


class AuditHolder:
    """What one node holds of the audits of others."""

    def __init__(
        self,
        *,
        config: Callable[[], AgentConfig],
        fabric: Fabric,
        clock: Clock,
        desk: AuditDesk,
        now: Callable[[], str],
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """Read and subscribe nothing yet.

        Args:
            config: Gives the configuration in force, with the members of the cluster.
            fabric: Where the questions are heard.
            clock: For limits.
            desk: This node's own audit.
            now: Wall-clock UTC, for people.
            random: Gives random bytes.
        """
        self._config = config
        self._fabric = fabric
        self._clock = clock
        self._desk = desk
        self._now = now
        self._random = random
        self._log = logs.get("audit")
        self._me = NodeId(config().me.id)
        self._ledgers = Ledgers(Path(config().resources.paths.data) / "checkpoints")
        self._nonces: dict[NodeId, bytes] = {}
        self._limit = AttemptLimit(burst=_BURST, refill_ms=_REFILL_MS)
        self._questions: asyncio.Queue[tuple[NodeId, Message]] = asyncio.Queue(_QUESTIONS_MAX)

    @property
    def alarms(self) -> tuple[str, ...]:
        """Return which audits contradict themselves."""
        return tuple(
            f"the audit of {one.name} contradicts what it told ({found.kind} at entry"
            f" {found.told.head.seq}): bzzz-agent audit verify --node {one.name}"
            for one in self._ledgers.all()
            if (found := next(iter(one.open), None)) is not None
        )

    def conflicts(self) -> int:
        """Return how many contradictions nobody has accepted yet."""
        return sum(len(one.open) for one in self._ledgers.all())

    async def accept(self, node: NodeId, *, by: str) -> int:
        """Take note of the contradictions of a node, on this holder; return how many there were.

        Raises:
            RequestInvalid: There is nothing to accept.
        """
        ledger = self._ledgers.get(node)
        if ledger is None or not ledger.open:
            raise RequestInvalid("this node holds no contradiction of that node's audit")
        count = len(ledger.open)
        await asyncio.to_thread(self._ledgers.keep, ledger.accept(by=by, at=self._now()))
        return count

    async def hold(self) -> None:
        """Answer other nodes until cancelled; voters only."""
        await asyncio.to_thread(self._ledgers.load)
        subject = audit_subject(self._me, NodeId("*"))
        interest = await self._fabric.subscribe(subject, self._hear)
        try:
            while True:
                asker, message = await self._questions.get()
                with tracing.request(trace=message.trace):
                    await self._reply(asker, message)
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(_STOP_S_MAX):
                    await interest.stop()

    def _hear(self, message: Message) -> None:
        asker = NodeId(message.subject.rpartition(".")[2])
        if not message.reply or self._questions.full():
            return
        try:
            self._limit.spend(asker, self._clock.now_ms())
        except RateLimited:
            return
        self._questions.put_nowait((asker, message))

    async def _reply(self, asker: NodeId, message: Message) -> None:
        try:
            data = messages.answer(await self._answer(asker, messages.asked(message.data)))
        except BzzzError as exc:
            data = messages.refuse(exc)
        with suppress(TransportError, ValueError):
            await self._fabric.reply(message, data)

    async def _answer(self, asker: NodeId, question: Question) -> messages.Answer:
        entry = next((one for one in self._config().cluster.nodes if one.id == asker), None)
        if entry is None:
            self._desk.note("refused", actor=asker, asked="audit", reason="no member")
            raise PermissionDenied("only members of the cluster are answered")
        match question:
            case AskHeld(node):
                return self.held(node, asker)
            case Tell(told):
                return await self._take(entry, told)
            case AskPage(segment, offset):
                if not entry.voter:
                    self._desk.note("refused", actor=asker, asked="audit page", reason="no voter")
                    raise PermissionDenied("only voters read the audits of others")
                return await asyncio.to_thread(self._piece, segment, offset)

    def held(self, node: NodeId, asker: NodeId | None = None) -> Held:
        """Return what is held of a node, with a number for one telling of `asker`."""
        nonce = self._random(NONCE_BYTES)
        if asker is not None:
            self._nonces[asker] = nonce
        ledger = self._ledgers.get(node)
        if ledger is None:
            return Held(nonce=nonce)
        latest = {one.head.hash: one for one in ledger.heads}
        older = {one.held.head.hash: one.held for one in ledger.open}
        against = tuple(
            Against(kind=one.kind, held=one.held.head.seq, told=one.told.head.seq, at=one.at)
            for one in ledger.open
        )
        return Held(nonce=nonce, heads=tuple({**older, **latest}.values()), against=against)

    async def _take(self, entry: NodeEntry, told: Told) -> Heard:
        node, key = NodeId(entry.id), base64.b64decode(entry.public_key)
        expected = self._nonces.pop(node, None)
        cluster = self._config().cluster.id
        fresh = expected is not None and secrets.compare_digest(expected, told.nonce)
        if not fresh or not genuine(told, key, cluster=cluster, node=node, holder=self._me):
            why = "a false signature" if fresh else "a number that was not given out"
            self._desk.note("audit telling rejected", actor=self._me, sender=entry.name, reason=why)
            raise SignatureInvalid(f"the telling bears {why}")
        known = self._ledgers.get(node) or Ledger(node_id=node, name=entry.name, public_key=key)
        ledger, verdict = known.take(told, at=self._now())
        try:
            if ledger != known:
                await asyncio.to_thread(self._ledgers.keep, ledger)
        except OSError as exc:
            raise CapacityExceeded(f"the checkpoint cannot be kept: {exc}") from exc
        if verdict in ("fork", "rollback"):
            held = known.latest.head.seq if known.latest else 0
            fields = {"kind": verdict, "held": held, "told": told.head.seq}
            self._desk.note("audit contradiction", actor=entry.name, **fields)
            self._log.error("the audit of a node contradicts itself", peer=entry.name, **fields)
        nonce = self._nonces[node] = self._random(NONCE_BYTES)
        return Heard(verdict=verdict, nonce=nonce)

    def _piece(self, segment: int, offset: int) -> Piece:
        try:
            page = self._desk.chain.files.page(segment, offset, messages.PAGE_BYTES_MAX)
            anchors = self._desk.chain.files.anchors()[-_ANCHORS:] if segment == 0 else []
        except OSError as exc:
            raise TransportError(f"the audit cannot be read: {exc.strerror}") from exc
        return Piece(
            segment=page.segment,
            offset=page.offset,
            data=page.data,
            next_segment=page.next_segment,
            next_offset=page.next_offset,
            anchors=tuple(anchors),
        )
