"""Drives `Roster` on a real fabric: sends this node's beats, listens to the others'.

Voters listen to all beats and, while leading, publish one digest of changes a second; everybody
listens to digests and believes the leader's only. Incoming bytes are parsed here, and what does not
parse is counted and dropped.

Three tasks: one keeps time and says what is due, one publishes, one fetches the roster from the
leader when the machine asks for it. So a stalled connection stalls no clock, and something urgent
(a new registry, a refutation) goes out at once.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Final

from bzzz_core.errors import BzzzError, TransportError
from bzzz_core.membership.beat import (
    BEAT_SUBJECT,
    DIGEST_SUBJECT,
    Beat,
    Capabilities,
    Digest,
    Report,
    decode_beat,
    decode_digest,
    encode,
    speaker,
)
from bzzz_core.membership.events import (
    AskRoster,
    Changed,
    DigestHeard,
    Enrolled,
    Event,
    Heard,
    Outlive,
    PageHeard,
    Refute,
    Sent,
    Tick,
)
from bzzz_core.membership.machine import Roster, beat_period_ms
from bzzz_core.membership.member import Member
from bzzz_core.membership.pages import Pages, fetch
from bzzz_core.model import MemberState, NodeId
from bzzz_core.ports import Clock, Fabric, Message, Subscription

DIGEST_MS: Final = 1_000
CAPABILITIES_EVERY: Final = 10
"""Every how many beats the capabilities are sent even if they did not change."""
_ASK_AGAIN_MS: Final = (1_000, 2_000, 5_000, 15_000, 30_000)
_SPREAD_MS: Final = 2
"""Asking is spread over this long for each node, or all would ask a new leader at once."""


class MembershipService:
    """Runs one node's roster until cancelled; all decisions are the machine's."""

    def __init__(
        self,
        roster: Roster,
        *,
        me: NodeId,
        fabric: Fabric,
        clock: Clock,
        beat_ms: int,
        edge: bool,
        incarnation: int,
        outlive: Callable[[int], int],
        report: Callable[[], Report],
        leader: Callable[[], NodeId | None],
        leads: Callable[[], bool],
        proof: Callable[[], bytes],
        on_proof: Callable[[bytes], None],
        ask: Callable[[bytes], Awaitable[bytes]],
        versions: Callable[[], Mapping[str, int]],
        on_versions: Callable[[Mapping[str, int]], None],
        notify: Callable[[Changed], None],
    ) -> None:
        """Take every dependency by name; open nothing.

        Args:
            roster: The machine.
            me: This node.
            fabric: Where beats and digests travel.
            clock: Drives everything.
            beat_ms: How often to report this node, in a small cluster.
            edge: Believe digests instead of beats.
            incarnation: Which start of this node this is.
            outlive: Given a start that others remember, makes a later one durable and returns it.
            report: Returns what this node has to say about itself now; must not block.
            leader: Who leads, as far as this node could prove it.
            leads: Whether this node leads now, and so publishes digests.
            proof: Returns the proof of leadership that a digest carries.
            on_proof: Told the proof of each digest that arrives, before `leader` is asked.
            ask: Asks the leader's `answer` a question; raises `BzzzError`.
            versions: Numbers of what the leader has published elsewhere, for digests.
            on_versions: Told the numbers in each digest of the leader.
            notify: Told of each change, in order; must not block.
        """
        self._roster = roster
        self._me = me
        self._fabric = fabric
        self._clock = clock
        self._beat_ms = beat_ms
        self._edge = edge
        self._incarnation = incarnation
        self._outlive = outlive
        self._report = report
        self._leader = leader
        self._leads = leads
        self._proof = proof
        self._on_proof = on_proof
        self._ask = ask
        self._versions = versions
        self._on_versions = on_versions
        self._notify = notify
        self._share = zlib.crc32(me.encode()) / 2**32  # For what not all shall do at once.
        self._number = self._digests = self._outlived = 0
        self._leading = self._leaving = False
        self._sent_capabilities: Capabilities | None = None
        self._beats: Subscription | None = None
        self._beat_wanted, self._digest_wanted = True, False
        self._wanted, self._roster_wanted = asyncio.Event(), asyncio.Event()
        self._pages = Pages(roster)
        self.counters: Counter[str] = Counter()
        """What happened so far; `digests_ignored` were not the leader's, `rejected` malformed."""

    @property
    def incarnation(self) -> int:
        """Return which start of this node its beats name."""
        return self._incarnation

    def members(self) -> tuple[Member, ...]:
        """Return the roster ordered by node id."""
        return self._roster.members()

    def seen(self) -> Iterator[Member]:
        """Return what yields the roster as it is now, in no order; see `Roster.seen`."""
        return self._roster.seen()

    def is_alive(self, node: NodeId) -> bool:
        """Return whether a node is surely there: heard lately, not suspect, not on its way out."""
        return self.state_of(node) is MemberState.ALIVE

    def state_of(self, node: NodeId) -> MemberState:
        """Return what is believed of a node; whoever was never heard of is dead."""
        states = (member.state for member in self.members() if member.node == node)
        return next(states, MemberState.DEAD)

    def reconfigure(self, nodes: tuple[NodeId, ...], *, edge: bool) -> None:
        """Take a changed registry: who is enrolled, and whether this node is an edge now."""
        self._edge = edge
        self._feed(Enrolled(nodes, edge))
        self._hurry(beat=True)

    def hurry(self) -> None:
        """Tell everybody at once what is new: who leads, or a number among the versions."""
        self._hurry(digest=True)

    async def run(self) -> None:
        """Beat, tell and listen until cancelled."""
        digests = await self._fabric.subscribe(f"{DIGEST_SUBJECT}.*", self._on_digest)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_time(), name="membership-time")
                tasks.create_task(self._send_all(), name="membership-out")
                tasks.create_task(self._catch_up(), name="membership-roster")
        finally:
            await digests.stop()
            await self._listen(wanted=False)

    async def leave(self) -> None:
        """Report that this node goes on purpose; returns when that is on its way."""
        self._leaving = True
        await self._send_beat()

    async def answer(self, asker: NodeId, question: bytes) -> bytes:
        """Answer a question for a page of the roster; the leader's side of `ask`."""
        del asker
        self.counters["pages_answered"] += 1
        return self._pages.answer(question, self._clock.now_ms())

    # ---- time

    async def _keep_time(self) -> None:
        now_ms = self._clock.now_ms()
        beat_due_ms, digest_due_ms = now_ms, now_ms
        while True:
            now_ms = self._clock.now_ms()
            if now_ms >= beat_due_ms:
                self._hurry(beat=True)
                beat_due_ms = self._next_beat_ms(beat_due_ms, now_ms)
            if now_ms >= digest_due_ms:
                self._hurry(digest=not self._edge)
                # After a long sleep go on from now: no burst of missed ones.
                digest_due_ms = max(digest_due_ms + DIGEST_MS, now_ms)
            self._feed(Tick())
            due_ms = min(beat_due_ms, digest_due_ms, self._roster.next_ms())
            await self._clock.sleep_ms(max(1, due_ms - self._clock.now_ms()))

    def _next_beat_ms(self, due_ms: int, now_ms: int) -> int:
        period_ms = self._period_ms()
        if self._number == 0 and period_ms > self._beat_ms:
            # Many nodes that start together shall not beat together for ever.
            return now_ms + round(period_ms * self._share)
        return max(due_ms + period_ms, now_ms)

    def _period_ms(self) -> int:
        return beat_period_ms(self._beat_ms, len(self._roster))

    def _hurry(self, *, beat: bool = False, digest: bool = False) -> None:
        self._beat_wanted |= beat
        self._digest_wanted |= digest
        self._wanted.set()

    # ---- out

    async def _send_all(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self._listen(wanted=not self._edge)
            if self._outlived >= self._incarnation:
                await self._count_on()
            if self._beat_wanted:
                self._beat_wanted = False
                await self._send_beat()
            if self._digest_wanted:
                self._digest_wanted = False
                await self._send_digest()

    async def _count_on(self) -> None:
        """Begin a later start than the one that others remember."""
        try:
            self._incarnation = await asyncio.to_thread(self._outlive, self._outlived)
        except BzzzError:
            self.counters["outlive_failed"] += 1  # Their next word brings us back here.
        else:
            self.counters["outlived"] += 1
            self._beat_wanted = True

    async def _listen(self, *, wanted: bool) -> None:
        """Hear all beats, or none; a node becomes a voter or an edge while it runs."""
        if wanted and self._beats is None:
            self._beats = await self._fabric.subscribe(f"{BEAT_SUBJECT}.*", self._on_beat)
        elif not wanted and self._beats is not None:
            beats, self._beats = self._beats, None
            await beats.stop()

    async def _send_beat(self) -> None:
        self._number += 1
        now_ms = self._clock.now_ms()
        beat = self._beat(self._report(), now_ms)
        self._feed(Sent(beat))  # A node alone in the dark still knows itself.
        self.counters["beats_sent"] += 1
        await self._publish(f"{BEAT_SUBJECT}.{self._me}", encode(beat))

    def _beat(self, report: Report, now_ms: int) -> Beat:
        able = report.capabilities
        again = self._number % CAPABILITIES_EVERY == 1 or able != self._sent_capabilities
        self._sent_capabilities = able
        return Beat(
            node=self._me,
            name=report.name,
            address=report.address,
            version=report.version,
            incarnation=self._incarnation,
            number=self._number,
            uptime_s=report.uptime_s,
            voter=report.voter,
            sample=report.sample,
            broker=report.broker,
            leaving=self._leaving,
            period_ms=self._period_ms(),
            rtt_ms=report.rtt_ms,
            capabilities=able if again else None,
            echoes=self._roster.sending(self._number, now_ms),
        )

    async def _send_digest(self) -> None:
        leads = not self._edge and self._leads()
        now_ms = self._clock.now_ms()
        if leads and not self._leading:
            self._roster.lead(now_ms)
        elif self._leading and not leads:
            self._roster.news.end()
        self._leading = leads
        if not leads:
            return
        self._digests += 1
        self._pages.forget()
        told, untold = self._roster.tell(now_ms)
        digest = Digest(
            number=self._digests,
            members=told,
            fingerprint=self._roster.fingerprint,
            untold=untold,
            versions=dict(self._versions()),
            leadership=self._proof(),
        )
        self.counters["digests_sent"] += 1
        await self._publish(f"{DIGEST_SUBJECT}.{self._me}", encode(digest))

    async def _publish(self, subject: str, data: bytes) -> None:
        try:
            await self._fabric.publish(subject, data)
        except TransportError:
            return  # Silence is what the others measure; the fabric reconnects by itself.

    # ---- in

    def _on_beat(self, message: Message) -> None:
        try:
            beat = decode_beat(message.subject, message.data)
        except TransportError:
            self.counters["rejected"] += 1
            return
        self.counters["beats_heard"] += 1
        self._feed(Heard(beat))

    def _on_digest(self, message: Message) -> None:
        sender = speaker(DIGEST_SUBJECT, message.subject)
        if sender == self._me:
            return
        try:
            digest = decode_digest(message.data)
        except TransportError:
            self.counters["rejected"] += 1
            return
        self._on_proof(digest.leadership)
        if sender != self._leader():
            self.counters["digests_ignored"] += 1
            return
        self.counters["digests_heard"] += 1
        if self._edge:
            self._feed(DigestHeard(digest))
        self._on_versions(digest.versions)

    def _feed(self, event: Event) -> None:
        for action in self._roster.handle(event, self._clock.now_ms()):
            match action:
                case Changed():
                    self._notify(action)
                case AskRoster():
                    self._roster_wanted.set()
                case Refute():
                    self.counters["refuted"] += 1
                    self._hurry(beat=True)
                case Outlive(incarnation):
                    if self._leaving:
                        continue  # Whoever speaks in our name has the last word.
                    self._outlived = max(self._outlived, incarnation)
                    self._hurry()

    # ---- the whole roster

    async def _catch_up(self) -> None:
        failures = 0
        while True:
            await self._roster_wanted.wait()
            await self._clock.sleep_ms(round(len(self._roster) * _SPREAD_MS * self._share))
            self._roster_wanted.clear()
            self.counters["rosters_asked"] += 1
            try:
                async for members in fetch(self._ask):
                    self._feed(PageHeard(members))
                failures = 0
            except BzzzError:
                self.counters["rosters_failed"] += 1
                failures += 1
            await self._clock.sleep_ms(_ASK_AGAIN_MS[min(failures, len(_ASK_AGAIN_MS) - 1)])
