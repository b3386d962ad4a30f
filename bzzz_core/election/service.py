"""Drives `Election` against the real fabric, store, disk and clock; it decides nothing.

Messages come in through `Wire`, which proves them, and go out through a queue, so that a stalled
connection never stalls the machine. Votes are made durable in a thread, one after the other. Writes
and reads of `_term` run as tasks and come back as events. The machine says when it must be woken
(`next_deadline_ms`), and nothing else wakes it but events: an idle follower is woken once a second.
Once this node leads, `Opening` says when it may serve; only then are its subscribers told.

The danger to an election is our own event loop being blocked: how late the timer rings is measured
(`lag_ms_max`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from typing import Final

import msgspec

from bzzz_core.election.alarm import Alarm
from bzzz_core.election.duties import Duties
from bzzz_core.election.events import (
    Action,
    BecameLeader,
    Broadcast,
    CastBallot,
    CheckVoters,
    Decided,
    Drain,
    Event,
    HandingFailed,
    Heard,
    LeaderBack,
    LeaderFound,
    LeaderLost,
    PollFailed,
    Quarantined,
    ReadTerm,
    Resign,
    SaveVote,
    Scored,
    Send,
    SendWarrant,
    StepDown,
    SteppedDown,
    Tick,
    WriteTerm,
)
from bzzz_core.election.herald import Herald
from bzzz_core.election.history import Leadership
from bzzz_core.election.machine import Election, View
from bzzz_core.election.opening import Opening
from bzzz_core.election.post import Post
from bzzz_core.election.stages import Role
from bzzz_core.election.surroundings import Surroundings
from bzzz_core.election.term_store import TermStore
from bzzz_core.election.vote_box import VoteBox
from bzzz_core.election.voters import VoterSetWatch
from bzzz_core.election.wire import Wire
from bzzz_core.election.wishes import Wishes
from bzzz_core.model import FencingToken, NodeId, Revision, Term, VoterSet
from bzzz_core.ports import Subscription

_SCORE_MS: Final = 1_000


class _VotersChanged(Exception):
    """Ends the tasks of an election whose voters are no more."""


class ElectionService:
    """Runs one node's part in the elections of one voter set."""

    def __init__(self, around: Surroundings) -> None:
        """Take the surroundings; open nothing."""
        voter = around.voters.find(around.me)
        own = around.signer.public_key
        assert voter is None or voter.public_key == own, "another node's key"
        self._around = around
        self._clock = around.clock
        self._report = around.report
        self._stream = around.records.stream
        self._watch = VoterSetWatch(
            around.records, around.voters, clock=around.clock, report=around.report
        )
        self._post = self._build_post()
        self._term_store = TermStore(
            around.records,
            clock=around.clock,
            signer=around.signer,
            voters=around.voters,
            prove=self._post.prove,
            unproven=self._post.reject,
            confirm_voters=self._watch.confirm,
        )
        self._duties = self._build_duties()
        self.wishes = Wishes(
            clock=around.clock,
            detect_ms=around.timings.detect_ms,
            view=self.view,
            token=self.token,
            feed=self._feed,
            sent=self._post.sent,
            duties=self._duties,
            watch=self._watch,
        )
        """What operators may ask for."""
        self._herald = Herald(
            stream=self._stream,
            announcer=around.announcer,
            clerk=around.clerk,
            report=around.report,
        )
        self._votes = VoteBox(around.votes, saved=self._feed, report=around.report)
        self._machine: Election | None = None
        self._events: deque[Event] = deque()
        self._tasks: asyncio.TaskGroup | None = None
        self._opening: asyncio.Task[None] | None = None
        self._alarm = Alarm(around.clock, self._tick)
        self._scored_ms: int | None = None
        self._quarantined: frozenset[NodeId] = frozenset()

    def _build_post(self) -> Post:
        around = self._around
        return Post(
            me=around.me,
            fabric=around.fabric,
            wire=Wire(
                me=around.me,
                cluster=around.cluster,
                stream=self._stream,
                voters=around.voters,
                signer=around.signer,
            ),
            signer=around.signer,
            clerk=around.clerk,
            hear=lambda sender, message: self._feed(Heard(sender, message)),
            convicted=self._look_at_quarantine,
            doubt_voters=self._check_voters,
        )

    def _build_duties(self) -> Duties:
        around = self._around
        opening = Opening(
            records=around.records,
            clock=around.clock,
            leads=lambda token: self._token_now() == token,
            first_write=around.first_write,
            confirm_voters=self._watch.confirm,
            before_serving=around.before_serving,
            delayed=lambda why: around.report("serving delayed", {"reason": why}),
        )
        return Duties(
            me=around.me,
            records=around.records,
            clock=around.clock,
            now=around.now,
            clerk=around.clerk,
            announcer=around.announcer,
            opening=opening,
            watch=self._watch,
            put=around.put,
            feed=self._feed,
            proclaim=self._post.proclaim,
            report=around.report,
        )

    @property
    def sealed_heartbeat(self) -> bytes:
        """Return the newest heartbeat of this node as leader, for those who hear no elections."""
        return self._post.sealed_heartbeat

    @property
    def lag_ms_max(self) -> int:
        """Return the latest that the timer ever rang: how long our event loop was blocked."""
        return self._alarm.late_ms_max

    # ---- what is believed

    def view(self) -> View:
        """Return what this node believes of leadership."""
        if self._machine is None:
            role = Role.FOLLOWER if self._around.voters.find(self._around.me) else Role.EDGE
            now_ms = self._clock.now_ms()
            return View(role, None, Term(0), Revision(0), now_ms, Revision(0), abstains=False)
        return self._machine.view()

    def token(self) -> FencingToken | None:
        """Return the token for a write made now, or None if this node does not lead and serve now.

        Ask again just before each effect outside the store.
        """
        if self._machine is None or not self._machine.view().served:
            return None
        return self._token_now()

    def _token_now(self) -> FencingToken | None:
        return self._machine.token_at(self._clock.now_ms()) if self._machine else None

    def serves(self) -> bool:
        """Return whether this node leads now and its first write is acknowledged."""
        return self.token() is not None

    async def history(self) -> tuple[tuple[Leadership, ...], bool]:
        """Return the leaderships that are known, and whether the cluster's record was read."""
        return await self._duties.history()

    # ---- what others know better

    def trouble(self, token: FencingToken, reason: str) -> None:
        """Step down because this leadership can write no more; of an older one it is no news."""
        if self._token_now() == token:
            self._report("writes failed", {"reason": reason})
            self._feed(Resign(StepDown.UNABLE))

    def pardon(self, node: NodeId) -> bool:
        """Release a voter from quarantine; return whether it was in it."""
        released = self._around.clerk.pardon(node) is not None
        self._look_at_quarantine()
        return released

    # ---- the course of it

    async def run(self) -> VoterSet:
        """Take part until cancelled, or until other voters are committed; return those.

        Their `term` is raised to what this node knows, so that elections go on above it.
        """
        await self._around.clerk.begin(self._around.voters)
        self._machine = Election(
            self._around.timings,
            me=self._around.me,
            cluster=self._around.cluster,
            stream=self._stream,
            voters=self._around.voters,
            vote=await self._votes.load(),
            now_ms=self._clock.now_ms(),
            manual=self._around.manual,
        )
        listening: list[Subscription] = []
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                try:
                    await self._work(tasks, listening)
                finally:
                    self._tasks = None  # What still arrives finds a machine that is off.
        except* _VotersChanged:
            pass
        finally:
            self.wishes.settle("the voters changed, or this node stops")
            for subscription in listening:
                await subscription.stop()
        successor = self._watch.successor
        assert successor is not None, "an election ends only with its voters"
        term = max(successor.term, self._machine.highest_term())
        return msgspec.structs.replace(successor, term=term)

    async def _work(self, tasks: asyncio.TaskGroup, listening: list[Subscription]) -> None:
        tasks.create_task(self._post.run(), name="election-outbox")
        tasks.create_task(self._votes.run(), name="election-votes")
        listening += await self._post.listen()
        self._tick()
        await self._watch.changed.wait()
        self._feed(Resign(StepDown.VOTERS_CHANGED))
        await self._post.sent()
        raise _VotersChanged

    def _tick(self) -> None:
        now_ms = self._clock.now_ms()
        if self._scored_ms is None or now_ms - self._scored_ms >= _SCORE_MS:
            self._scored_ms = now_ms
            self._look_at_quarantine()
            self._feed(Scored(self._around.score()))
        self._feed(Tick())

    def _look_at_quarantine(self) -> None:
        nodes = self._around.clerk.quarantined()
        if nodes != self._quarantined:
            self._quarantined = nodes
            self._feed(Quarantined(nodes))

    def _check_voters(self) -> None:
        if self._tasks is not None and self._watch.is_due():
            self._tasks.create_task(self._watch.confirm())

    def _feed(self, event: Event) -> None:
        """Hand an event to the machine; events that its actions cause come after it."""
        self._events.append(event)
        if len(self._events) > 1:
            return  # The loop below is at work further up the stack.
        while self._events:
            machine, tasks = self._machine, self._tasks
            if machine is not None and tasks is not None:
                now_ms = self._clock.now_ms()
                for action in machine.handle(self._events[0], now_ms):
                    self._obey(action, tasks)
                score_ms = (self._scored_ms or now_ms) + _SCORE_MS
                deadline_ms = machine.next_deadline_ms(now_ms)
                due_ms = score_ms if deadline_ms is None else min(score_ms, deadline_ms)
                self._alarm.set(due_ms, tasks)
            self._events.popleft()

    # ---- what the machine wants

    def _obey(self, action: Action, tasks: asyncio.TaskGroup) -> None:
        match action:
            case Broadcast(message):
                self._post.broadcast(message)
            case Send(to, message):
                self._post.send(to, message)
            case SaveVote(vote):
                self._votes.put(vote)
            case CastBallot(ballot):
                self._post.cast(ballot)
            case WriteTerm(record):
                tasks.create_task(self._come_back(self._term_store.write(record)))
            case ReadTerm():
                tasks.create_task(self._come_back(self._term_store.read()))
            case CheckVoters():
                self._check_voters()
            case _:
                self._lead(action, tasks)

    def _lead(
        self,
        action: BecameLeader
        | SteppedDown
        | LeaderFound
        | LeaderLost
        | LeaderBack
        | Decided
        | PollFailed
        | Drain
        | HandingFailed
        | SendWarrant,
        tasks: asyncio.TaskGroup,
    ) -> None:
        match action:
            case BecameLeader(term, sequence):
                token = FencingToken(self._stream, sequence)
                self._opening = tasks.create_task(self._duties.open(action, token))
                self._report("elected", {"term": term, "sequence": sequence})
            case Drain(term, to):
                token = FencingToken(self._stream, self.view().sequence)
                tasks.create_task(self._duties.drain(term, token))
                self._report("handing over", {"term": term, "to": to})
            case SendWarrant(warrant, number):
                self._post.transfer(warrant, number)
            case HandingFailed(reason):
                self.wishes.settle(reason)
            case SteppedDown(reason=reason):
                if self._opening is not None:
                    self._opening.cancel()
                self._herald.tell(action)
                self.wishes.settle(reason)
            case _:
                self._herald.tell(action)

    async def _come_back(self, answer: Awaitable[Event]) -> None:
        self._feed(await answer)
