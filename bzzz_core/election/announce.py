"""Tells this node's other services who leads: in order, once per term, none waiting for another.

Every subscriber has its own queue and its own task. A slow one only falls behind itself; one that
has fallen `BACKLOG_MAX` changes behind is past helping, and its oldest news are dropped. One that
fails with an expected error is told of the next change all the same; a bug ends the node.

One announcer serves all elections of a process, one after the other, so that a change of the voters
neither repeats nor loses a change of leadership.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from bzzz_core.election.events import StepDown
from bzzz_core.errors import BzzzError
from bzzz_core.model import FencingToken, NodeId, Term

BACKLOG_MAX: Final = 1_024


@dataclass(frozen=True, slots=True)
class LeaderChanged:
    """A leader of a newer term is known. For this node itself: its first write is acknowledged."""

    term: Term
    leader: NodeId
    token: FencingToken
    mine: bool
    """Whether this node is the leader, and must begin what only a leader does."""


@dataclass(frozen=True, slots=True)
class LeadershipEnded:
    """This node led `term` and does so no more: stop what only a leader does."""

    term: Term
    reason: StepDown


Change: TypeAlias = LeaderChanged | LeadershipEnded
Subscriber: TypeAlias = Callable[[Change], Awaitable[None]]


class Announcer:
    """Hands changes to subscribers."""

    def __init__(
        self, *, failed: Callable[[Change, Exception], None] = lambda _change, _error: None
    ) -> None:
        """Start without subscribers; `failed` is told of each expected failure of one."""
        self._failed = failed
        self.counters: Counter[str] = Counter()
        self._queues: list[tuple[Subscriber, asyncio.Queue[Change]]] = []
        self._term = Term(0)
        self._mine = False
        self._ended = Term(0)

    def subscribe(self, subscriber: Subscriber) -> None:
        """Add a subscriber; before `run`."""
        self._queues.append((subscriber, asyncio.Queue(BACKLOG_MAX)))

    async def run(self) -> None:
        """Serve every subscriber in a task of its own until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for number, (subscriber, queue) in enumerate(self._queues):
                work = self._serve(subscriber, queue)
                tasks.create_task(work, name=f"leadership-subscriber-{number}")

    def announce(self, change: Change) -> None:
        """Queue a change that is news, and that makes sense to whoever heard the ones before."""
        match change:
            case LeaderChanged(term=term):
                if term <= self._term:
                    return
                self._term = term
                self._mine = change.mine
            case LeadershipEnded(term=term):  # pragma: no branch
                if term != self._term or not self._mine or term <= self._ended:
                    return  # It ended before it was announced.
                self._ended = term
        for _, queue in self._queues:
            if queue.full():
                queue.get_nowait()
                self.counters["dropped"] += 1
            queue.put_nowait(change)

    async def _serve(self, subscriber: Subscriber, queue: asyncio.Queue[Change]) -> None:
        while True:
            change = await queue.get()
            try:
                await subscriber(change)
            except (BzzzError, OSError) as exc:
                self.counters["failed"] += 1
                self._failed(change, exc)
