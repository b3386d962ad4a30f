"""This node's part in leadership: a voter's elections, or what an edge is told.

A voter set is constant in the life of an election. The committed set (`_voters`) changes when the
cluster grows, shrinks or replaces a voter; then the election under the old set is ended (a leader
resigns first) and one under the new set begins. Between the two nobody is elected by this node, and
its vote file goes on counting. Which of the two parts a node has follows from the registry (may it
vote?) and from the committed set (does it?): a node that was made a voter waits, following as an
edge does, until the set names it.

An edge cannot read the record. It counts majorities in the set it was told of last, and asks the
leader for the committed one when it hears of a later one, or of no leader that it could prove.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from bzzz_core.clock import utc_now
from bzzz_core.config.schema import AgentConfig
from bzzz_core.election.announce import (
    Announcer,
    Change,
    LeaderChanged,
    LeadershipEnded,
    Subscriber,
)
from bzzz_core.election.clerk import AuditRecord, Clerk
from bzzz_core.election.machine import View
from bzzz_core.election.observer import LeadershipObserver
from bzzz_core.election.quorum import QuorumWatch
from bzzz_core.election.service import ElectionService
from bzzz_core.election.surroundings import Surroundings
from bzzz_core.election.voters import VOTERS_KEY, agree, decode, encode
from bzzz_core.election.votes import FileVoteStore
from bzzz_core.errors import BzzzError, NotLeader, PermissionDenied, QuorumUnavailable, plainly
from bzzz_core.fabric.layout import LEADER_SUBJECT
from bzzz_core.fabric.nats import NatsFabric
from bzzz_core.fabric.records import NatsRecords
from bzzz_core.leading import LeadersLog
from bzzz_core.model import ClusterId, FencingToken, NodeId, Revision, Term, VoterSet
from bzzz_core.ports import Clock, Message, Record, Signer
from bzzz_core.telemetry import logs
from bzzz_core.trust.secrets_directory import SecretsDirectory

VOTERS_QUESTION: Final = "voters"
_UNKNOWN: Final = Term(0)
_RETRY_MS: Final = 200
_DOUBT_MS: Final = 2_000
_WAIT_MS: Final = 500
_RESIGN_MS_MAX: Final = 1_000
_NOTABLE: Final = frozenset({"rejected", "stepped down", "vote not saved"})


class Leadership:
    """What this node does for, and knows of, leadership. Run `run` as long as the node runs."""

    def __init__(
        self,
        config: AgentConfig,
        *,
        fabric: NatsFabric,
        records: NatsRecords,
        voters: VoterSet,
        signer: Signer,
        clock: Clock,
        score: Callable[[], float],
        ask: Callable[[str, bytes], Awaitable[bytes]],
        audit: AuditRecord,
    ) -> None:
        """Open nothing.

        Args:
            config: The node's configuration with the registry laid over it.
            fabric: Where voters talk.
            records: The control stream, not opened yet.
            voters: The voters this node was told of; the committed set takes their place.
            signer: The node's identity.
            clock: Drives everything.
            score: The node's capability score now, 0 to 100.
            ask: Puts a question to the leader.
            audit: Told of misbehaviour and of what operators do about it.
        """
        self._config = config
        self._me = NodeId(config.me.id)
        self._fabric = fabric
        self._records = records
        self._voters = voters
        self._signer = signer
        self._clock = clock
        self._score = score
        self._ask = ask
        self._number = 0
        """Of the committed set that this node has read or was told; 0 before that."""
        self._heard_number = 0
        self._log = logs.get("leadership")
        self._election: ElectionService | None = None
        self._writes: LeadersLog | None = None
        self._announcer = Announcer(failed=self._on_failed_subscriber)
        self._announcer.subscribe(self._on_change)
        self.clerk = Clerk(
            me=self._me,
            data=Path(config.resources.paths.data),
            clock=clock,
            now=utc_now,
            report=self._report,
            audit=audit,
        )
        """What this node has written down of elections and misbehaviour."""
        self.quorum = QuorumWatch(
            view=self.view,
            policy=config.cluster.without_quorum,
            clock=clock,
            changed=self._on_quorum,
        )
        """Whether this node is led, and what it answers while it is not."""
        self._changed = asyncio.Event()
        self._observer = self._observe(voters)
        self.since_at: str | None = None
        """Wall-clock UTC at which this node learned of the present leader."""

    @property
    def voters(self) -> VoterSet:
        """Return the committed voters as this node knows them."""
        return self._voters

    @property
    def writes(self) -> LeadersLog | None:
        """Return where this node writes while it leads; None while it does not vote."""
        return self._writes

    @property
    def election(self) -> ElectionService | None:
        """Return the present election; None while this node does not vote."""
        return self._election

    @property
    def sealed_heartbeat(self) -> bytes:
        """Return the proof of this node's leadership for those who hear no elections."""
        return self._election.sealed_heartbeat if self._election else b""

    def subscribe(self, subscriber: Subscriber) -> None:
        """Have `subscriber` told of every change of leadership; before `run`."""
        self._announcer.subscribe(subscriber)

    def view(self) -> View | None:
        """Return what this node believes of leadership; None before it knows anything."""
        if self._election is not None:
            return self._election.view()
        view = self._observer.view(self._clock.now_ms())
        return None if self._config.me.voter and not view.term else view

    def token(self) -> FencingToken | None:
        """Return the token for a write made now, or None if this node does not lead and serve."""
        return self._election.token() if self._election else None

    def serves(self) -> bool:
        """Return whether this node leads now and its first write is acknowledged."""
        return self.token() is not None

    def present_token(self) -> FencingToken:
        """Return the same, or raise.

        Raises:
            NotLeader: This node does not lead and serve now.
        """
        token = self.token()
        if token is None:
            raise NotLeader("this node does not lead")
        return token

    async def put(self, token: FencingToken, key: str, value: bytes) -> Revision:
        """Write a record of the control stream under a token of this node.

        Raises:
            NotLeader: This node does not vote any more.
            Deposed: Another leader serves; it was not written.
            RequestTimeout: It is unknown whether it was written.
            QuorumUnavailable: It was not written: too few voters answered for too long.
        """
        if self._writes is None:
            raise NotLeader("this node does not lead")
        return await self._writes.put(token, key, value)

    def hear_proof(self, proof: bytes) -> None:
        """Follow leadership from a digest; a node with an election of its own need not."""
        if self._election is not None:
            return
        before = self.view()
        self._observer.hear(proof, self._clock.now_ms())
        after = self.view()
        if after and (before is None or (before.leader, before.term) != (after.leader, after.term)):
            self.since_at = utc_now()

    def reconfigure(self, config: AgentConfig) -> None:
        """Take a changed list of nodes; the committed set is read again."""
        self._config = config
        self._changed.set()

    def heard(self, number: int) -> None:
        """Take note that the voter set of this number is committed."""
        self._heard_number = number
        if number > self._number:
            self._changed.set()

    async def answer_voters(self, _asker: NodeId, _body: bytes) -> bytes:
        """Answer `VOTERS_QUESTION` while this node leads."""
        return encode(self._voters)

    async def resign(self) -> None:
        """Stop leading, telling the others, if this node leads; returns within a second."""
        if self._election is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RESIGN_MS_MAX / 1000):
                await self._election.wishes.resign()

    async def run(self) -> None:
        """Take part until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._announcer.run(), name="leadership-announcer")
            group.create_task(self.clerk.run(), name="election-clerk")
            group.create_task(self.quorum.run(), name="quorum-watch")
            await self._fabric.subscribe(LEADER_SUBJECT, self._on_proclamation)
            await self._take_part()

    async def _take_part(self) -> None:
        while True:
            self._changed.clear()
            if not self._config.me.voter:
                await self._follow()
                continue
            try:
                await self._vote()
            except PermissionDenied as exc:
                # The brokers know a newer registry, in which this node votes no more (or an older
                # one, in which it does not yet). It will reach this node, too.
                self._log.warning("no voter's rights", reason=str(exc))
                await self._clock.sleep_ms(_WAIT_MS)

    async def _vote(self) -> None:
        await self._open_records()
        voters = await self._committed()
        if voters.find(self._me) is None:
            await self._clock.sleep_ms(_WAIT_MS)
        else:
            with plainly():
                await self._elect(voters)

    async def _follow(self) -> None:
        """Be told as an edge is, until something changes."""
        view = self._observer.view(self._clock.now_ms())
        if view.leader is None or self._heard_number > self._number:
            try:
                told = Record(VOTERS_KEY, await self._ask(VOTERS_QUESTION, b""), Revision(0))
                self._adopt(decode(told))
            except BzzzError as exc:
                self._log.debug("voters not told", reason=str(exc))
                self._fabric.doubt()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DOUBT_MS / 1000):
                await self._changed.wait()

    def _adopt(self, voters: VoterSet) -> None:
        """Count majorities in a committed set, unless a later one is known."""
        if voters.number >= self._number:
            self._number = voters.number
            self._voters = voters
            self._observer.adopt(voters)

    async def _elect(self, voters: VoterSet) -> None:
        """Take part in elections under one voter set; returns when another one is committed."""
        self._adopt(voters)
        self._writes = LeadersLog(self._records, clock=self._clock, trouble=self._on_trouble)
        self._election = self._build_election(voters, self._writes)
        self._log.info("taking part in elections", voters=[v.name for v in voters.voters])
        try:
            async with asyncio.TaskGroup() as group:
                writes = group.create_task(self._writes.run(), name="leaders-log")
                election = group.create_task(self._election.run(), name="election")
                changed = group.create_task(self._until_changed(voters), name="voters")
                await asyncio.wait({election, changed}, return_when=asyncio.FIRST_COMPLETED)
                if election.done() and not election.cancelled():
                    self._adopt(election.result())
                await self.resign()
                for task in (writes, election, changed):
                    task.cancel()
        finally:
            self._observer = self._observe(self._voters, term=self._election.view().term)
            self._election = self._writes = None

    async def _until_changed(self, voters: VoterSet) -> None:
        """Return once another voter set than `voters` is committed, or this node may not vote."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if not self._config.me.voter:
                return
            committed = await self._committed()
            if committed.digest() != voters.digest():
                self._adopt(committed)
                return

    async def _open_records(self) -> None:
        while True:
            try:
                await self._records.open()
            except QuorumUnavailable as exc:
                self._log.warning("waiting for a quorum of brokers", reason=str(exc))
            else:
                return

    async def _committed(self) -> VoterSet:
        while True:
            try:
                committed = await agree(self._records, self._voters)
                if committed.number >= self._number:
                    return committed  # Else it was an old answer.
            except BzzzError as exc:
                if not exc.retryable:
                    raise
                self._log.info("voters not agreed yet", reason=str(exc))
            await self._clock.sleep_ms(_RETRY_MS)

    def _build_election(self, voters: VoterSet, writes: LeadersLog) -> ElectionService:
        around = Surroundings(
            timings=self._config.cluster.timings,
            me=self._me,
            cluster=ClusterId(self._config.cluster.id),
            voters=voters,
            fabric=self._fabric,
            records=self._records,
            signer=self._signer,
            votes=FileVoteStore(
                Path(self._config.resources.paths.data) / "votes",
                marker=SecretsDirectory(Path(self._config.security.directory)).voted,
                node=self._me,
            ),
            clock=self._clock,
            now=utc_now,
            score=self._score,
            first_write=writes.begin,
            put=writes.put,
            clerk=self.clerk,
            announcer=self._announcer,
            report=self._report,
            manual=self._config.cluster.failover == "manual",
        )
        return ElectionService(around)

    def _observe(self, voters: VoterSet, *, term: Term = _UNKNOWN) -> LeadershipObserver:
        return LeadershipObserver(
            me=self._me,
            cluster=ClusterId(self._config.cluster.id),
            voters=voters,
            signer=self._signer,
            silence_ms=self._config.cluster.roster.suspect_ms,
            now_ms=self._clock.now_ms(),
            term=term,
            tell=self.clerk.note_leadership,
        )

    def _on_proclamation(self, message: Message) -> None:
        self.hear_proof(message.data)

    def _on_trouble(self, token: FencingToken, reason: str) -> None:
        if self._election is not None:
            self._election.trouble(token, reason)

    def _on_failed_subscriber(self, change: Change, error: Exception) -> None:
        self._log.warning("not taken note of a leader", term=change.term, reason=str(error))

    def _on_quorum(self, held: bool) -> None:  # noqa: FBT001  a port's shape
        level = self._log.info if held else self._log.warning
        level(
            "quorum is back" if held else "quorum lost", policy=self._config.cluster.without_quorum
        )

    def _report(self, what: str, fields: dict[str, object]) -> None:
        level = self._log.warning if what in _NOTABLE else self._log.info
        level(what, **fields)

    async def _on_change(self, change: Change) -> None:
        match change:
            case LeaderChanged():
                self.since_at = utc_now()
            case LeadershipEnded():
                self.since_at = None
