"""Tells the voters the end of this node's audit, and asks them what they hold.

Once a minute, if the audit has grown, each other voter is asked what it holds of this node and told
how the chain goes on from there. So a voter that was away is brought up to date, and this node
learns if its own files are not what it once said. What voters do with it is `holder`'s.

Cost: two short questions a voter and minute, and nothing while nothing is audited. A cluster with
one voter has nobody to tell.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

from bzzz_core.auditing import messages
from bzzz_core.auditing.holder import AuditHolder
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
from bzzz_core.errors import BzzzError, RequestInvalid
from bzzz_core.fabric.layout import audit_subject
from bzzz_core.model import NodeId
from bzzz_core.ports import Clock, Fabric
from bzzz_core.telemetry import logs
from bzzz_core.telemetry.audit import Audit
from bzzz_core.telemetry.audit_desk import AuditDesk
from bzzz_core.telemetry.audit_pending import take_in, taken
from bzzz_core.trust.audit_chain import Head
from bzzz_core.trust.audit_ledger import STEPS_MAX, Told

TELL_MS: Final = 60_000
_FIRST_MS: Final = 5_000
_ASK_MS_MAX: Final = 3_000
_FAREWELL_S_MAX: Final = 1.0
_TELLINGS_MAX: Final = 128
"""In one round and to one voter: 131,072 entries."""
A = TypeVar("A", Held, Heard, Piece)


class AuditPeers:
    """One node's part in the mutual watch over audits."""

    def __init__(
        self,
        *,
        config: Callable[[], AgentConfig],
        fabric: Fabric,
        clock: Clock,
        desk: AuditDesk,
        holder: AuditHolder,
    ) -> None:
        """Ask nobody yet.

        Args:
            config: Gives the configuration in force, with the members of the cluster.
            fabric: Where the voters are reached.
            clock: For waits.
            desk: This node's audit.
            holder: What this node holds of others.
        """
        self._config = config
        self._fabric = fabric
        self._clock = clock
        self._desk = desk
        self._holder = holder
        self._log = logs.get("audit")
        self._told: dict[NodeId, str] = {}
        """Hash of the head that a voter has confirmed."""
        self._against_me: dict[NodeId, str] = {}

    @property
    def chain(self) -> Audit:
        """Return this node's audit."""
        return self._desk.chain

    @property
    def me(self) -> NodeId:
        """Return this node's id."""
        return NodeId(self._config().me.id)

    @property
    def cluster(self) -> str:
        """Return the id of the cluster."""
        return self._config().cluster.id

    def member(self, named: str) -> NodeEntry:
        """Return a node of the cluster by name or id.

        Raises:
            RequestInvalid: There is none.
        """
        for entry in self._config().cluster.nodes:
            if named in (entry.name, entry.id):
                return entry
        raise RequestInvalid(f"no node of this cluster is called {named[:64]}")

    @property
    def alarms(self) -> tuple[str, ...]:
        """Return what an operator has to look at."""
        own = (self._against_me[node] for node in sorted(self._against_me))
        return (*self._holder.alarms, *own)

    def conflicts(self) -> int:
        """Return how many contradictions nobody has accepted yet, of others and of this node."""
        return self._holder.conflicts() + len(self._against_me)

    # ---- telling

    async def run(self) -> None:
        """Tell the voters until cancelled."""
        await self._clock.sleep_ms(_FIRST_MS)
        while True:
            await self._take_in()
            await self.tell_all()
            await self._clock.sleep_ms(TELL_MS)

    async def farewell(self) -> None:
        """Tell the voters once more, within a bounded time."""
        await self._desk.settled()
        with suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL_S_MAX):
                await self.tell_all()

    async def tell_all(self) -> None:
        """Tell every other voter that does not know the end of this audit yet."""
        head = await asyncio.to_thread(self.chain.head)
        hash_ = head.hash if head else ""
        behind = [voter for voter in self._voters() if self._told.get(voter) != hash_]
        results = await asyncio.gather(
            *(self._tell(voter, head) for voter in behind), return_exceptions=True
        )
        for voter, result in zip(behind, results, strict=True):
            if isinstance(result, BzzzError | OSError):
                self._log.debug("audit not told", voter=voter, reason=str(result))
            elif isinstance(result, BaseException):
                raise result
            else:
                self._told[voter] = hash_

    async def _tell(self, voter: NodeId, head: Head | None) -> None:
        """Bring one voter up to date, and learn what it holds against this node."""
        held = await self._ask(voter, AskHeld(self.me), Held)
        latest = held.heads[-1].head if held.heads else None
        nonce = held.nonce
        verdicts: list[str] = []
        if head is None and latest is not None:
            verdicts.append("rollback")
        for _ in range(_TELLINGS_MAX):
            if head is None or (latest is not None and latest.hash == head.hash):
                break
            told = await asyncio.to_thread(self._next, latest, head, nonce, voter)
            heard = await self._ask(voter, Tell(told), Heard)
            verdicts.append(heard.verdict)
            latest, nonce = told.head, heard.nonce
        self._note_against(voter, held.against, verdicts)

    def _next(self, latest: Head | None, head: Head, nonce: bytes, voter: NodeId) -> Told:
        """Return what to tell a voter that holds `latest`."""
        told = Told(head=head, nonce=nonce, since=0)
        if latest is not None and latest.seq < head.seq:
            stretch = self.chain.stretch(latest.seq, STEPS_MAX)
            if stretch is not None:
                told = Told(head=stretch.head, nonce=nonce, since=latest.seq, steps=stretch.steps)
        return told.signed(self.chain.author.signer, voter)

    def _note_against(
        self, voter: NodeId, against: tuple[Against, ...], verdicts: list[str]
    ) -> None:
        bad = [one for one in verdicts if one in ("fork", "rollback")]
        kinds = [*bad, *(one.kind for one in against)]
        if not kinds:
            self._against_me.pop(voter, None)
            return
        name = self._name(voter)
        if voter not in self._against_me or bad:
            self._desk.note(
                "audit contradicts checkpoint", actor=self.me, voter=name, kind=kinds[0]
            )
            self._log.error("the audit contradicts a checkpoint", voter=name, kind=kinds[0])
        self._against_me[voter] = (
            f"{name} holds another audit of this node ({kinds[0]}): bzzz-agent audit verify"
        )

    async def _take_in(self) -> None:
        """Audit what commands have left."""
        files = self.chain.files
        try:
            acts = await asyncio.to_thread(take_in, files)
            if not acts:
                return
            written = await asyncio.to_thread(self.chain.write, acts)
            if written:
                await asyncio.to_thread(taken, files)
        except OSError as exc:
            self._log.error("what commands left is not audited", reason=str(exc))

    # ---- asking

    async def held(self, node: NodeId) -> dict[str, Held | None]:
        """Return what each voter holds of a node, by the voter's name; None: it did not answer."""

        async def one(voter: NodeId) -> Held | None:
            try:
                return await self._ask(voter, AskHeld(node), Held)
            except BzzzError as exc:
                self._log.info("checkpoints not had", voter=voter, reason=str(exc))
                return None

        voters = [voter for voter in self._voters() if voter != node]
        found = await asyncio.gather(*(one(voter) for voter in voters))
        answers = {self._name(voter): held for voter, held in zip(voters, found, strict=True)}
        if node != self.me and self._config().me.voter:
            answers[self._config().me.name] = self._holder.held(node)
        return answers

    async def page(self, node: NodeId, segment: int, offset: int) -> Piece:
        """Return a piece of another voter's files.

        Raises:
            BzzzError: It cannot be had.
        """
        return await self._ask(node, AskPage(segment, offset), Piece)

    async def _ask(self, voter: NodeId, question: Question, kind: type[A]) -> A:
        subject = audit_subject(voter, self.me)
        data = await self._fabric.request(subject, messages.ask(question), timeout_ms=_ASK_MS_MAX)
        found = messages.answered(data, kind)
        assert isinstance(found, kind)
        return found

    def _voters(self) -> list[NodeId]:
        """Return the other voters."""
        nodes = self._config().cluster.nodes
        return [NodeId(one.id) for one in nodes if one.voter and one.id != self.me]

    def _name(self, node: NodeId) -> str:
        names = {one.id: one.name for one in self._config().cluster.nodes}
        return names.get(node, node)
