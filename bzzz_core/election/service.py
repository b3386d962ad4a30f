"""Drives `Election` against the real fabric, store, disk and clock; it decides nothing.

Messages come in through `Wire`, which proves them, and go out through a queue, so that a stalled
connection never stalls the machine. Votes are made durable in a thread, one after the other. Writes
and reads of `_term` run as tasks and come back as events. Once this node leads it makes the first
guarded write; only when that is acknowledged does it serve, and are its subscribers told.

The danger to an election is our own event loop being blocked: how late the ticks come is measured
(`lag_ms_max`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import msgspec

from bzzz_core.config.sections import Timings
from bzzz_core.election.announce import Announcer, LeaderChanged, LeadershipEnded, Subscriber
from bzzz_core.election.ballot import sign_ballot
from bzzz_core.election.events import (
    Action,
    BecameLeader,
    Broadcast,
    CastBallot,
    Decided,
    Event,
    GuardRefused,
    Heard,
    LeaderFound,
    LeaderLost,
    ReadTerm,
    Resign,
    SaveVote,
    Scored,
    Send,
    Served,
    SteppedDown,
    Tick,
    VoteSaved,
    WriteTerm,
)
from bzzz_core.election.machine import Election, View
from bzzz_core.election.messages import Ballot, Heartbeat, Message, VoteReply
from bzzz_core.election.stages import Role
from bzzz_core.election.term_store import TermStore
from bzzz_core.election.wire import Wire
from bzzz_core.errors import BzzzError, Deposed, TransportError, TrustError
from bzzz_core.model import ClusterId, FencingToken, NodeId, Revision, Term, Vote, VoterSet
from bzzz_core.ports import Clock, Fabric, Records, Signer, Subscription, VoteStore
from bzzz_core.ports import Message as FabricMessage

BROADCAST_SUBJECT: Final = "bz.el.all"
DIRECT_SUBJECT: Final = "bz.el.to"
TICK_MS: Final = 25
"""An eighth of the default heartbeat: how late a deadline may be noticed."""
_SCORE_MS: Final = 1_000
_AGAIN_MS: Final = 50
_OUTBOX_MAX: Final = 1_000

FirstWrite: TypeAlias = Callable[[FencingToken, bytes], Awaitable[Revision]]
"""Writes the announcement to the log under the guard of the token and returns its revision. Raises
`Deposed` if the guard is refused; retryable errors are tried again while this node leads."""

Report: TypeAlias = Callable[[str, dict[str, object]], None]
"""(what happened, fields), for the log and the audit; must not block."""


class Announcement(msgspec.Struct, frozen=True, tag="leadership"):
    """The first entry that a leader writes."""

    term: Term
    leader: NodeId


class ElectionService:
    """Runs one node's part in the election until cancelled."""

    def __init__(
        self,
        *,
        timings: Timings,
        me: NodeId,
        cluster: ClusterId,
        voters: VoterSet,
        fabric: Fabric,
        records: Records,
        signer: Signer,
        votes: VoteStore,
        clock: Clock,
        score: Callable[[], float],
        first_write: FirstWrite,
        report: Report,
    ) -> None:
        """Take every dependency by name; open nothing.

        Args:
            timings: The clockwork.
            me: This node; its key in `voters`, if it is there, is the signer's.
            cluster: Signed into every message and ballot.
            voters: The committed set.
            fabric: Where voters talk.
            records: Holds `_term`; open, so that its stream's identity is known.
            signer: The node's identity.
            votes: The vote's memory; its calls run in a thread.
            clock: Drives everything.
            score: Returns the capability score, 0 to 100; called once a second, must not block.
            first_write: What a new leader does before it serves.
            report: Told what happens.
        """
        voter = voters.find(me)
        assert voter is None or voter.public_key == signer.public_key, "another node's key"
        self._timings = timings
        self._me = me
        self._cluster = cluster
        self._voters = voters
        self._fabric = fabric
        self._signer = signer
        self._votes = votes
        self._clock = clock
        self._score = score
        self._first_write = first_write
        self._report = report
        self._stream = records.stream
        self._wire = Wire(me=me, cluster=cluster, stream=self._stream, voters=voters, signer=signer)
        self._term_store = TermStore(
            records, clock=clock, prove=self._wire.prove, unproven=self._reject
        )
        self._machine: Election | None = None
        self._events: deque[Event] = deque()
        self._outbox: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(_OUTBOX_MAX)
        self._saves: asyncio.Queue[Vote] = asyncio.Queue()
        self._announcer = Announcer()
        self._tasks: asyncio.TaskGroup | None = None
        self._opening: asyncio.Task[None] | None = None
        self.sealed_heartbeat = b""
        """The newest heartbeat this node sent as leader, for those who hear no elections."""
        self.rejected = 0
        """Messages and records dropped because they do not hold."""
        self.lag_ms_max = 0
        """The latest that a tick ever came: how long our event loop was blocked."""

    def subscribe(self, subscriber: Subscriber) -> None:
        """Have `subscriber` told of every change of leadership; before `run`."""
        self._announcer.subscribe(subscriber)

    def view(self) -> View:
        """Return what this node believes of leadership."""
        if self._machine is None:
            role = Role.FOLLOWER if self._voters.find(self._me) else Role.EDGE
            now_ms = self._clock.now_ms()
            return View(role, None, Term(0), Revision(0), now_ms, Revision(0), abstains=False)
        return self._machine.view()

    def token(self) -> FencingToken | None:
        """Return the token for a write made now, or None if this node does not lead and serve now.

        Ask again just before each effect outside the store.
        """
        if self._machine is None or not self._machine.view().served:
            return None
        return self._machine.token_at(self._clock.now_ms())

    def serves(self) -> bool:
        """Return whether this node leads now and its first write is acknowledged."""
        return self.token() is not None

    async def resign(self) -> None:
        """Stop leading and return when the others were told; does nothing on a follower."""
        if self._tasks is not None:
            self._feed(Resign())
            await self._outbox.join()

    async def run(self) -> None:
        """Take part until cancelled."""
        vote = await asyncio.to_thread(self._votes.load)
        if vote is None:
            self._report("vote file lost: abstaining", {})
        self._machine = Election(
            self._timings,
            me=self._me,
            cluster=self._cluster,
            stream=self._stream,
            voters=self._voters,
            vote=vote,
            now_ms=self._clock.now_ms(),
        )
        listening: list[Subscription] = []
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                try:
                    await self._work(tasks, listening)
                finally:
                    self._tasks = None  # What still arrives finds a machine that is off.
        finally:
            for subscription in listening:
                await subscription.stop()

    async def _work(self, tasks: asyncio.TaskGroup, listening: list[Subscription]) -> None:
        tasks.create_task(self._send_all(), name="election-outbox")
        tasks.create_task(self._save_all(), name="election-votes")
        self._announcer.start(tasks)
        direct = f"{DIRECT_SUBJECT}.{self._me}"
        listening.append(await self._fabric.subscribe(BROADCAST_SUBJECT, self._on_message))
        listening.append(await self._fabric.subscribe(direct, self._on_message))
        await self._tick()

    async def _tick(self) -> None:
        scored_ms = None
        while True:
            now_ms = self._clock.now_ms()
            if scored_ms is None or now_ms - scored_ms >= _SCORE_MS:
                scored_ms = now_ms
                self._feed(Scored(self._score()))
            self._feed(Tick())
            await self._clock.sleep_ms(TICK_MS)
            self.lag_ms_max = max(self.lag_ms_max, self._clock.now_ms() - now_ms - TICK_MS)

    # ---- in

    def _on_message(self, message: FabricMessage) -> None:
        try:
            sender, content = self._wire.open(message.data)
        except TrustError as exc:
            self._reject(exc)
            return
        if sender != self._me:  # What we broadcast comes back to us, too.
            self._feed(Heard(sender, content))

    def _reject(self, error: TrustError) -> None:
        self.rejected += 1
        self._report("rejected", {"code": error.code, "reason": str(error)})

    def _feed(self, event: Event) -> None:
        """Hand an event to the machine; events that its actions cause come after it."""
        self._events.append(event)
        if len(self._events) > 1:
            return  # The loop below is at work further up the stack.
        while self._events:
            if self._machine is not None and self._tasks is not None:
                for action in self._machine.handle(self._events[0], self._clock.now_ms()):
                    self._obey(action, self._tasks)
            self._events.popleft()

    # ---- out

    def _obey(self, action: Action, tasks: asyncio.TaskGroup) -> None:
        match action:
            case Broadcast(message):
                self._send(BROADCAST_SUBJECT, message)
            case Send(to, message):
                self._send(f"{DIRECT_SUBJECT}.{to}", message)
            case SaveVote(vote):
                self._saves.put_nowait(vote)
            case CastBallot(ballot):
                self._cast(ballot)
            case WriteTerm(record):
                tasks.create_task(self._come_back(self._term_store.write(record)))
            case ReadTerm():
                tasks.create_task(self._come_back(self._term_store.read()))
            case BecameLeader(term, sequence):
                token = FencingToken(self._stream, sequence)
                self._opening = tasks.create_task(self._open_term(term, token))
                self._report("elected", {"term": term, "sequence": sequence})
            case _:
                self._tell(action)

    def _tell(self, action: SteppedDown | LeaderFound | LeaderLost | Decided) -> None:
        match action:
            case SteppedDown(term, reason):
                if self._opening is not None:
                    self._opening.cancel()
                self._announcer.announce(LeadershipEnded(term, reason))
                self._report("stepped down", {"term": term, "reason": reason})
            case LeaderFound(term, leader, sequence):
                token = FencingToken(self._stream, sequence)
                self._announcer.announce(LeaderChanged(term, leader, token, mine=False))
                self._report("leader found", {"term": term, "leader": leader})
            case LeaderLost(term):
                self._report("leader lost", {"term": term})
            case Decided(candidate, term, refusal):
                fields = {"candidate": candidate, "term": term, "refusal": refusal}
                self._report("vote refused" if refusal else "vote given", fields)

    def _send(self, subject: str, message: Message) -> None:
        if self._outbox.full():  # The connection hangs; what is old is worth least.
            self._outbox.get_nowait()
            self._outbox.task_done()
        sealed = self._wire.seal(message)
        if isinstance(message, Heartbeat):
            self.sealed_heartbeat = sealed
        self._outbox.put_nowait((subject, sealed))

    async def _send_all(self) -> None:
        while True:
            subject, data = await self._outbox.get()
            try:
                await self._fabric.publish(subject, data)
            except TransportError:
                pass  # Silence is what the others measure; the fabric reconnects by itself.
            finally:
                self._outbox.task_done()

    async def _save_all(self) -> None:
        while True:
            vote = await self._saves.get()
            try:
                await asyncio.to_thread(self._votes.save, vote)
            except OSError as exc:
                # The ballot never leaves; a later vote may be luckier.
                self._report("vote not saved", {"term": vote.term, "reason": str(exc)})
            else:
                self._feed(VoteSaved(vote))

    def _cast(self, ballot: Ballot) -> None:
        signed = sign_ballot(ballot, self._signer)
        reply = VoteReply(ballot.candidate, ballot.term, signed, "", ballot.term, ballot.previous)
        if ballot.candidate == self._me:
            self._feed(Heard(self._me, reply))
        else:
            self._send(f"{DIRECT_SUBJECT}.{ballot.candidate}", reply)

    async def _come_back(self, answer: Awaitable[Event]) -> None:
        self._feed(await answer)

    async def _open_term(self, term: Term, token: FencingToken) -> None:
        """Make the first guarded write; it is retried for as long as this node leads."""
        announcement = msgspec.msgpack.encode(Announcement(term, self._me))
        while self._machine is not None and self._machine.token_at(self._clock.now_ms()) == token:
            try:
                revision = await self._first_write(token, announcement)
            except Deposed:
                self._feed(GuardRefused(term))
                return
            except BzzzError as exc:
                if not exc.retryable:
                    raise
                self._report("first write delayed", {"term": term, "reason": str(exc)})
                await self._clock.sleep_ms(_AGAIN_MS)
            else:
                self._feed(Served(term, revision))
                self._announcer.announce(LeaderChanged(term, self._me, token, mine=True))
                self._report("serving", {"term": term, "revision": revision})
                return
