"""Every node's side of the emergency stop: hear it, keep it, stop, and tell the leader so.

The leader's digest carries the number of the decision. A node that hears a higher one than it has
asks the leader for the decision, takes it, lets whoever works here stop, and asks again: that says
that it is done. Every `POLL_MS` it asks anyway.

Rules: this node counts as stopped before anything else is done about it. A file that cannot be
written, a worker that does not stop in time, a leader that does not answer: each is told and keeps
nothing from stopping. Work that wants to begin looks at `halted`; work that runs is told through
`subscribe`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from bzzz_core.api.event_documents import HaltDocument
from bzzz_core.clock import utc_now
from bzzz_core.errors import BzzzError, Halted, IntegrityError
from bzzz_core.halt.file import HaltFile
from bzzz_core.halt.keeper import Answer, Audit, Known
from bzzz_core.halt.record import Decision, Kept, Own, decode
from bzzz_core.model import NodeId
from bzzz_core.ports import Clock
from bzzz_core.telemetry import logs

NAME: Final = "halt"
"""Under this name the digest carries the number of the decision."""
POLL_MS: Final = 30_000
"""One small question per node; a digest that was heard costs none."""
AGAIN_MS: Final = 500
STOP_MS_MAX: Final = 4_000
"""How long whoever works has to stop before the rest goes on without it. Less than the five seconds
within which a stop has to be everywhere."""

Ask = Callable[[bytes], Awaitable[bytes]]
Subscriber = Callable[[HaltDocument], Awaitable[None]]
Watcher = Callable[[HaltDocument], None]


class Halt:
    """Whether this node does work. Run `run` as long as the node runs."""

    def __init__(
        self,
        *,
        file: HaltFile,
        ask: Ask,
        number: Callable[[], int],
        learnt: Callable[[int], None],
        audit: Audit,
        clock: Clock,
        name_of: Callable[[NodeId], str],
        me: str,
        now: Callable[[], str] = utc_now,
    ) -> None:
        """Load what the last run kept; ask nothing yet.

        Args:
            file: Where it is kept.
            ask: Puts `keeper.READ` to the leader.
            number: What this node tells in its digests while it leads.
            learnt: Told every number that this node learnt.
            audit: Hears of every stop and every end of one, on this node.
            clock: For the waits.
            name_of: What operators call a node.
            me: What they call this one.
            now: Wall-clock UTC, for people.
        """
        self._file = file
        self._ask = ask
        self._told = number
        self._learnt = learnt
        self._audit = audit
        self._clock = clock
        self._name_of = name_of
        self._me = me
        self._now = now
        self._log = logs.get("halt")
        self._kept = self._settled = file.load()
        self._highest = self._kept.decision.number
        self._unsaved = ""
        self._told_halted = False
        self._obeyed: dict[Subscriber, bool] = {}
        """Whether each subscriber has stopped, by what it last returned from."""
        self._watchers: list[Watcher] = []
        self._heard = asyncio.Event()
        self._settling = asyncio.Lock()
        self._telling = asyncio.Lock()
        self.counters: Counter[str] = Counter()
        """What happened so far: stops, resumes, unanswered, not_kept, not_stopped."""

    @property
    def halted(self) -> bool:
        """Return whether no work may begin or go on here."""
        return self._kept.halted

    @property
    def decision(self) -> Decision:
        """Return the cluster's decision as this node knows it."""
        return self._kept.decision

    def check(self) -> None:
        """Return if work may begin.

        Raises:
            Halted: It may not.
        """
        if self.halted:
            found = self.document()
            where = f"on {self._me}" if found.local else "in the whole cluster"
            raise Halted(
                f"work is stopped {where} since {found.at} by {found.by}"
                f" ({found.reason or 'no reason given'}); `bzzz-agent resume` lets it go on"
            )

    def subscribe(self, subscriber: Subscriber) -> None:
        """Have `subscriber` called with each change, and once at the start of `run` if halted.

        It returns once the work has stopped, or may go on; after `STOP_MS_MAX` it is cancelled.
        What it fails with (a `BzzzError`) is logged. Either way it is called again, every `POLL_MS`
        and when somebody asks for the stop again, and this node has not followed until it returns.
        """
        self._obeyed[subscriber] = False

    def watch(self, watcher: Watcher) -> None:
        """Have `watcher` told of every change as it happens, of its reason too; to show it."""
        self._watchers.append(watcher)

    def document(self) -> HaltDocument:
        """Return what this node knows."""
        decision, own = self._kept.decision, self._kept.own
        if not decision.halted and own is not None:
            return HaltDocument(
                halted=True,
                by=own.by,
                at=own.at,
                reason=own.reason,
                revision=decision.number,
                node=self._me,
                local=True,
            )
        return HaltDocument(
            halted=decision.halted,
            by=decision.by,
            at=decision.at or None,
            reason=decision.reason,
            revision=decision.number,
            node=self._name_of(decision.node) if decision.node else "",
        )

    @property
    def obeyed(self) -> bool:
        """Return whether all who work here have stopped, or may go on, as this node is."""
        return all(stopped is self.halted for stopped in self._obeyed.values())

    @property
    def trouble(self) -> str:
        """Return why the next start of this node might not know what this one does; empty: no."""
        return self._unsaved

    def numbers(self) -> dict[str, int]:
        """Return what the digest of this node carries while it leads."""
        return {NAME: self._told()}

    def hear(self, numbers: dict[str, int]) -> None:
        """Take the numbers that a digest of the leader carries."""
        self._highest = max(self._highest, numbers.get(NAME, 0))
        if self._highest > self._kept.decision.number:
            self._heard.set()

    def look(self) -> None:
        """Ask the leader soon; a node that has just begun to lead asks itself."""
        self._heard.set()

    def stop_here(self, *, by: str, reason: str) -> None:
        """Count this node as stopped now, whoever else does; `settle` returns once it has."""
        if self._kept.own is None:
            own = Own(by=by, at=self._now(), reason=reason)
            self._change(self._kept.stopped(own))
            self._audit("work halted on this node", actor=by, reason=reason)
        self._heard.set()

    async def fetch(self, *, followers: bool = False) -> Answer:
        """Ask the leader, do as it says, tell it so; return its last answer.

        Args:
            followers: Whether to be told which nodes have done so.

        Raises:
            BzzzError: Nobody answered, or what came cannot be used.
        """
        answer = await self._fetch_once(followers=followers)
        if answer.decision:
            answer = await self._fetch_once(followers=followers)
        return answer

    async def follow(self, decision: Decision, *, instead_of_own: bool = False) -> None:
        """Do what a leader has just decided, and return once it is done here.

        Args:
            decision: What was decided.
            instead_of_own: Whether it was asked for here, so that this node's own stop is over.
        """
        self._take(decision)
        if instead_of_own and self._kept.own is not None:
            self._change(self._kept.released())
        await self.settle()

    async def run(self) -> None:
        """Follow the cluster's decision until cancelled."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._now_and_then(), name="halt-poll")
            if self.halted:
                self._log.warning("work is halted", reason=self.document().reason)
                await self._tell_again()
            while True:
                await self._heard.wait()
                self._heard.clear()
                try:
                    await self.fetch()
                except BzzzError as exc:
                    self.counters["unanswered"] += 1
                    self._log.debug("nobody says whether work is halted", reason=str(exc))
                if self._owes():
                    await self._clock.sleep_ms(AGAIN_MS)
                    self._heard.set()

    def _owes(self) -> bool:
        kept = self._kept
        behind = self._highest > kept.decision.number
        return behind or not kept.settled or kept is not self._settled

    async def _now_and_then(self) -> None:
        while True:
            self._heard.set()
            await self._clock.sleep_ms(POLL_MS)
            await self._tell_again()

    async def _fetch_once(self, *, followers: bool) -> Answer:
        kept = self._kept
        # A node that has something left to do, or stays stopped by itself, has not followed.
        done = kept is self._settled and kept.halted == kept.decision.halted and self.obeyed
        number = kept.decision.number if done else -1
        question = msgspec.msgpack.encode(Known(number, followers))
        try:
            answer = msgspec.msgpack.decode(await self._ask(question), type=Answer)
        except ValueError as exc:
            raise IntegrityError("the leader's answer is no decision") from exc
        decision = self._kept.decision
        if answer.decision:
            decision = decode(answer.decision, cluster=decision.cluster)
        if decision.number == answer.number:
            await self.follow(decision)
        return answer

    def _take(self, decision: Decision) -> None:
        """Go by a decision that a leader told; `settle` does the rest."""
        before = self._kept
        after = before.heard(decision)
        if after == before:
            return
        self._highest = max(self._highest, after.decision.number)
        self._change(after)
        if after.decision.number != before.decision.number:
            self._learnt(after.decision.number)
            self._audit(
                "work halted" if after.decision.halted else "work resumed",
                actor=decision.by,
                number=decision.number,
                reason=decision.reason,
                asked_at=self._name_of(decision.node),
            )

    def _change(self, kept: Kept) -> None:
        if kept.halted != self._kept.halted:
            self.counters["stops" if kept.halted else "resumes"] += 1
        self._kept = kept
        found = self.document()
        self._log.warning(
            "work is halted" if kept.halted else "work goes on",
            by=found.by,
            reason=found.reason,
            number=found.revision,
            this_node_alone=found.local,
        )
        for watcher in self._watchers:
            watcher(found)

    async def settle(self) -> None:
        """Let whoever works here know, and keep it for the next start; both are tried once."""
        async with self._settling:
            kept = self._kept
            if kept is self._settled and not self._unsaved:
                return
            if kept.halted != self._told_halted:
                await self._tell()
            try:
                await asyncio.to_thread(self._file.store, kept)
                self._unsaved = ""
            except IntegrityError as exc:
                self.counters["not_kept"] += 1
                self._unsaved = str(exc)
                self._log.error("halt not kept", reason=str(exc))
            self._settled = kept

    async def insist(self) -> None:
        """Tell everybody here who was told in vain once more, and settle."""
        if self._told_halted is self.halted:
            await self._tell_again()
        await self.settle()

    async def _tell_again(self) -> None:
        if not self.obeyed and not self._telling.locked():  # Who is being told has time left.
            await self._tell()

    async def _tell(self) -> None:
        """Tell those who do not do as this node does; each has its time for it."""
        found = self.document()
        self._told_halted = found.halted
        async with self._telling, asyncio.TaskGroup() as group:
            for subscriber, stopped in self._obeyed.items():
                if stopped is not found.halted:
                    group.create_task(self._tell_one(subscriber, found), name="halt-subscriber")

    async def _tell_one(self, subscriber: Subscriber, found: HaltDocument) -> None:
        try:
            async with asyncio.timeout(STOP_MS_MAX / 1000):
                await subscriber(found)
        except (BzzzError, TimeoutError) as exc:
            self.counters["not_stopped"] += 1
            self._log.error("work did not stop", reason=str(exc) or type(exc).__name__)
        else:
            self._obeyed[subscriber] = found.halted
