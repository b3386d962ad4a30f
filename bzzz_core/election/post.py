"""What voters say to each other: sealed on the way out, proven on the way in.

Out goes everything through one bounded queue, so that a stalled connection never stalls the
machine; what is old is worth least and is dropped. In comes only what `Wire` has proven; what it
refuses is counted, told, and where it was signed held against its sender (`clerk`). On the way the
ballots in a message are compared with those seen before: a voter that gave two has convicted
itself, and everybody is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from bzzz_core.election.ballot import sign_ballot, sign_warrant
from bzzz_core.election.clerk import Clerk
from bzzz_core.election.history import decode_leadership
from bzzz_core.election.messages import (
    Ballot,
    Evidence,
    Heartbeat,
    Message,
    Proclamation,
    SignedBallot,
    TermRecord,
    Transfer,
    VoteReply,
    Warrant,
)
from bzzz_core.election.quarantine import Offence, Rejected
from bzzz_core.election.wire import Wire, ballots_in
from bzzz_core.errors import IntegrityError, TransportError
from bzzz_core.model import NodeId, Term
from bzzz_core.ports import Fabric, Signer, Subscription
from bzzz_core.ports import Message as FabricMessage

BROADCAST_SUBJECT: Final = "bz.el.all"
DIRECT_SUBJECT: Final = "bz.el.to"
LEADER_SUBJECT: Final = "bz.leader"
_OUTBOX_MAX: Final = 1_000


class Post:
    """One node's mouth and ears in the elections of one voter set."""

    def __init__(
        self,
        *,
        me: NodeId,
        fabric: Fabric,
        wire: Wire,
        signer: Signer,
        clerk: Clerk,
        hear: Callable[[NodeId, Message], None],
        convicted: Callable[[], None],
        doubt_voters: Callable[[], None],
    ) -> None:
        """Take every dependency by name.

        Args:
            me: This node.
            fabric: Where voters talk.
            wire: Seals and proves.
            signer: The node's identity.
            clerk: Counts and keeps what does not hold.
            hear: Takes a proven message; must not block.
            convicted: Told when the quarantine has changed.
            doubt_voters: Told when something came from voters that are not known here.
        """
        self._me = me
        self._fabric = fabric
        self._wire = wire
        self._signer = signer
        self._clerk = clerk
        self._hear = hear
        self._convicted = convicted
        self._doubt_voters = doubt_voters
        self._outbox: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(_OUTBOX_MAX)
        self._newest: dict[NodeId, tuple[Term, int]] = {}
        self.sealed_heartbeat = b""
        """The newest heartbeat this node sent as leader."""

    # ---- in

    async def listen(self) -> list[Subscription]:
        """Begin to hear."""
        subjects = (BROADCAST_SUBJECT, f"{DIRECT_SUBJECT}.{self._me}", LEADER_SUBJECT)
        return [await self._fabric.subscribe(subject, self._on_message) for subject in subjects]

    def _on_message(self, message: FabricMessage) -> None:
        if self.sealed_heartbeat and message.data == self.sealed_heartbeat:
            return  # Ours, come back: to prove that would be a third of an idle leader's proofs.
        try:
            sender, content = self._wire.open(message.data)
        except Rejected as exc:
            self.reject(exc, message.data)
            return
        if sender == self._me:
            return  # What we broadcast comes back to us, too.
        self._look_at(ballots_in(content))
        match content:
            case Heartbeat(term=term, number=number):
                if (term, number) <= self._newest.get(sender, (Term(0), 0)):
                    self._clerk.count_stale(sender)
                else:
                    self._newest[sender] = (term, number)
            case Evidence() as evidence if self._clerk.convict(evidence):
                self._convicted()
            case Proclamation(record=record, story=story):
                self._take_story(record, story)
            case _:
                pass
        self._hear(sender, content)

    def reject(self, rejected: Rejected, data: bytes) -> None:
        """Take note of something that does not hold."""
        if self._clerk.reject(rejected, data):
            self._convicted()
        if rejected.offence in {Offence.STRANGER, Offence.OTHER_VOTERS}:
            self._doubt_voters()

    def prove(self, record: TermRecord) -> None:
        """Check the certificate of a record from the store.

        Raises:
            Rejected: It does not hold.
        """
        self._wire.prove(record)
        self._look_at(record.certificate)

    def _look_at(self, ballots: tuple[SignedBallot, ...]) -> None:
        for signed in ballots:
            evidence = self._clerk.look_at(signed)
            if evidence is not None:
                self._convicted()
                self.broadcast(evidence)

    def _take_story(self, record: TermRecord, story: bytes) -> None:
        """Keep what a proven leader tells of its election; it is its own word, nobody else's."""
        try:
            leadership = decode_leadership(story)
        except IntegrityError:
            return
        if (leadership.term, leadership.leader) == (record.term, record.leader):
            self._clerk.note_leadership(leadership)

    # ---- out

    def broadcast(self, message: Message) -> None:
        """Send to every voter."""
        self._send(BROADCAST_SUBJECT, message)

    def send(self, to: NodeId, message: Message) -> None:
        """Send to one voter."""
        self._send(f"{DIRECT_SUBJECT}.{to}", message)

    def proclaim(self, message: Proclamation) -> None:
        """Send to everybody."""
        self._send(LEADER_SUBJECT, message)

    def cast(self, ballot: Ballot) -> None:
        """Sign a ballot and let it leave; one for this node itself stays here."""
        signed = sign_ballot(ballot, self._signer)
        reply = VoteReply(ballot.candidate, ballot.term, signed, "", ballot.term, ballot.previous)
        if ballot.candidate == self._me:
            self._hear(self._me, reply)
        else:
            self.send(ballot.candidate, reply)

    def transfer(self, warrant: Warrant, number: int) -> None:
        """Sign a warrant and tell everybody."""
        self.broadcast(Transfer(sign_warrant(warrant, self._signer), number))

    def _send(self, subject: str, message: Message) -> None:
        if self._outbox.full():  # The connection hangs.
            self._outbox.get_nowait()
            self._outbox.task_done()
        sealed = self._wire.seal(message)
        if isinstance(message, Heartbeat):
            self.sealed_heartbeat = sealed
        self._outbox.put_nowait((subject, sealed))

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            subject, data = await self._outbox.get()
            try:
                await self._fabric.publish(subject, data)
            except TransportError:
                pass  # Silence is what the others measure; the fabric reconnects by itself.
            finally:
                self._outbox.task_done()

    async def sent(self) -> None:
        """Return when everything has left."""
        await self._outbox.join()
