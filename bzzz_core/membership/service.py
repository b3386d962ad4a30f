"""Drives `Roster` on a real fabric: sends this node's beats, listens to the others'.

Voters listen to all beats and, while leading, publish one digest of changes a second; edges listen
to digests. Incoming bytes are parsed here, and what does not parse is counted and dropped.
"""

from __future__ import annotations

from collections.abc import Callable

from bzzz_core.errors import TransportError
from bzzz_core.membership.beat import (
    ASK_SUBJECT,
    BEAT_SUBJECT,
    DIGEST_SUBJECT,
    Beat,
    Digest,
    decode_beat,
    decode_digest,
    encode,
)
from bzzz_core.membership.machine import (
    AskDigest,
    Changed,
    DigestHeard,
    Event,
    Heard,
    Member,
    Roster,
    Tick,
)
from bzzz_core.ports import Clock, Fabric, Message

_TICK_MS = 250


class MembershipService:
    """Runs one node's roster until cancelled; all decisions are the machine's."""

    def __init__(
        self,
        roster: Roster,
        *,
        fabric: Fabric,
        clock: Clock,
        beat_ms: int,
        edge: bool,
        make_beat: Callable[[int, bool], Beat],
        leads: Callable[[], bool],
        proof: Callable[[], bytes],
        on_proof: Callable[[bytes], None],
        notify: Callable[[Changed], None],
    ) -> None:
        """Take every dependency by name; open nothing.

        Args:
            roster: The machine.
            fabric: Where beats and digests travel.
            clock: Drives ticks.
            beat_ms: How often to report this node.
            edge: Listen to digests instead of beats.
            make_beat: Called with (number, leaving); returns this node's report.
            leads: Whether this node leads now, and so publishes digests.
            proof: Returns the proof of leadership that a digest carries.
            on_proof: Told the proof of each digest that arrives.
            notify: Told of each change, in order; must not block.
        """
        self._roster = roster
        self._fabric = fabric
        self._clock = clock
        self._beat_ms = beat_ms
        self._edge = edge
        self._make_beat = make_beat
        self._leads = leads
        self._proof = proof
        self._on_proof = on_proof
        self._notify = notify
        self._number = 0
        self._digests = 0
        self._full_wanted = True
        self._ask_wanted = edge
        self.rejected = 0
        """Messages dropped as malformed or under a foreign subject."""

    def members(self) -> tuple[Member, ...]:
        """Return the roster ordered by node id."""
        return self._roster.members()

    async def run(self) -> None:
        """Beat, tick and listen until cancelled."""
        if self._edge:
            listening = [await self._fabric.subscribe(DIGEST_SUBJECT, self._on_digest)]
        else:
            listening = [
                await self._fabric.subscribe(f"{BEAT_SUBJECT}.*", self._on_beat),
                await self._fabric.subscribe(ASK_SUBJECT, self._on_ask),
            ]
        try:
            await self._loop()
        finally:
            for subscription in listening:
                await subscription.stop()

    async def leave(self) -> None:
        """Report this node as leaving on purpose."""
        await self._send_beat(leaving=True)

    async def _loop(self) -> None:
        beat_due_ms = self._clock.now_ms()
        while True:
            now_ms = self._clock.now_ms()
            if now_ms >= beat_due_ms:
                await self._send_beat(leaving=False)
                await self._send_digest(now_ms)
                # After a long sleep go on from now: no burst of missed beats.
                beat_due_ms = max(beat_due_ms + self._beat_ms, now_ms)
            self._feed(Tick())
            await self._clock.sleep_ms(min(_TICK_MS, self._beat_ms))

    async def _send_beat(self, *, leaving: bool) -> None:
        self._number += 1
        beat = self._make_beat(self._number, leaving)
        await self._publish(f"{BEAT_SUBJECT}.{beat.node}", encode(beat))
        self._feed(Heard(beat))  # A node alone in the dark still knows itself.

    async def _send_digest(self, now_ms: int) -> None:
        if self._ask_wanted:
            self._ask_wanted = False
            await self._publish(ASK_SUBJECT, b"")
        if self._edge or not self._leads():
            self._full_wanted = True  # Whoever leads next starts with a full one.
            return
        full, self._full_wanted = self._full_wanted, False
        self._digests += 1
        digest = Digest(self._digests, full, self._roster.tell(now_ms, full=full), self._proof())
        await self._publish(DIGEST_SUBJECT, encode(digest))

    async def _publish(self, subject: str, data: bytes) -> None:
        try:
            await self._fabric.publish(subject, data)
        except TransportError:
            return  # Silence is what the others measure; the fabric reconnects by itself.

    def _on_beat(self, message: Message) -> None:
        try:
            beat = decode_beat(message.subject, message.data)
        except TransportError:
            self.rejected += 1
            return
        self._feed(Heard(beat))

    def _on_digest(self, message: Message) -> None:
        try:
            digest = decode_digest(message.data)
        except TransportError:
            self.rejected += 1
            return
        self._feed(DigestHeard(digest))
        self._on_proof(digest.leadership)

    def _on_ask(self, _message: Message) -> None:
        self._full_wanted = True

    def _feed(self, event: Event) -> None:
        for action in self._roster.handle(event, self._clock.now_ms()):
            match action:
                case Changed():
                    self._notify(action)
                case AskDigest():
                    self._ask_wanted = True
