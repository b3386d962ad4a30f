"""What a node does with its leadership in a chaos run: it writes, and writes down what it was told.

While the node leads and serves, `WRITERS` callers append entries through the production lane, and
now and then put a record. When the leadership is over they do not stop at once, as a careful
client would: for `STALE_S` they go on with the old token, past the lane and every check on this
side, straight to the store. Only the fence can stop them there; the checker says whether it did.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Final, Protocol

from bzzz_core.election.announce import Change, LeaderChanged, LeadershipEnded
from bzzz_core.errors import (
    BzzzError,
    Deposed,
    QuorumUnavailable,
    RequestTimeout,
    RevisionConflict,
    StreamBusy,
)
from bzzz_core.fabric.batch import Batch, encode_batch
from bzzz_core.model import FencingToken, Revision, Term
from bzzz_core.ports import Guard, Records
from tests.chaos.checker import LOG_KEY, TERM_KEY
from tests.chaos.entry import RECORD_KEY, Entry, encode_entry
from tests.chaos.history import (
    Answered,
    Believed,
    Ended,
    Followed,
    HistoryWriter,
    Invoked,
    Late,
    Started,
    now_ns,
)

WRITERS: Final = 3
PAUSE_S: Final = 0.03
STALE_PAUSE_S: Final = 0.1
BELIEF_PAUSE_S: Final = 0.05
STALE_S: Final = 6.0
"""Longer than a new leader takes to come, so that both write at the same time."""
RECORD_EVERY: Final = 8


class Lane(Protocol):
    """The lanes of a node's leaderships (`bzzz_core.leading.LeadersLog`)."""

    async def append(self, token: FencingToken, entry: bytes) -> Revision:
        """Write an entry."""
        ...

    async def put(self, token: FencingToken, key: str, value: bytes) -> Revision:
        """Write a record."""
        ...


class Workload:
    """The clients of one node."""

    def __init__(
        self,
        *,
        node: str,
        history: HistoryWriter,
        lane: Callable[[], Lane | None],
        records: Records,
        token_now: Callable[[], FencingToken | None],
    ) -> None:
        """Write nothing yet.

        Args:
            node: Id of the node.
            history: Where everything is written down.
            lane: Returns what a leader writes through at present.
            records: The control stream itself, for writes that go past the lane.
            token_now: Returns the token if this node leads and serves now.
        """
        self._node = node
        self._process = secrets.token_hex(4)
        self._history = history
        self._lane = lane
        self._records = records
        self._token_now = token_now
        self._changes: asyncio.Queue[Change] = asyncio.Queue()
        self._ops = count(1)
        self._ended: set[Term] = set()
        self._history.add(Started(now_ns(), node, self._process))

    async def on_change(self, change: Change) -> None:
        """Write down what this node was told of leadership, and act on it."""
        match change:
            case LeaderChanged(term, leader, token, mine):
                self.followed(term, leader, token.sequence, mine=mine)
            case LeadershipEnded(term, reason):
                self._ended.add(term)
                self._history.add(Ended(now_ns(), self._node, self._process, term, str(reason)))
        self._changes.put_nowait(change)

    def followed(self, term: int, leader: str, token: int, *, mine: bool) -> None:
        """Write down whom this node follows."""
        self._history.add(Followed(now_ns(), self._node, self._process, term, leader, token, mine))

    def late(self, late_ms: int, computed_ms: int) -> None:
        """Write down that this node's event loop was late."""
        self._history.add(Late(now_ns(), self._node, late_ms, computed_ms))

    async def run(self) -> None:
        """Write under every leadership of this node until cancelled."""
        async with asyncio.TaskGroup() as writers:
            while True:
                change = await self._changes.get()
                if isinstance(change, LeaderChanged) and change.mine:
                    writers.create_task(self._believe(change.term, change.token))
                    numbers = count(1)
                    for _ in range(WRITERS):
                        writers.create_task(self._write(change.term, change.token, numbers))

    async def _believe(self, term: Term, token: FencingToken) -> None:
        """Write down again and again that this node holds itself for the leader, while it does.

        It is asked for a while after the end, too: belief must not come back.
        """
        until = None
        while until is None or asyncio.get_running_loop().time() < until:
            at_ns = now_ns()  # Before the question, so that no belief is dated too late.
            if self._token_now() == token:
                self._history.add(Believed(at_ns, self._node, term))
            if until is None and term in self._ended:
                until = asyncio.get_running_loop().time() + STALE_S
            await asyncio.sleep(BELIEF_PAUSE_S)

    async def _write(self, term: Term, token: FencingToken, numbers: count[int]) -> None:
        while term not in self._ended:
            await self._once(term, token, next(numbers), past_the_lane=False)
            await asyncio.sleep(PAUSE_S)
        until = asyncio.get_running_loop().time() + STALE_S
        while asyncio.get_running_loop().time() < until:
            await self._once(term, token, next(numbers), past_the_lane=True)
            await asyncio.sleep(STALE_PAUSE_S)

    async def _once(
        self, term: Term, token: FencingToken, number: int, *, past_the_lane: bool
    ) -> None:
        op = f"{self._node}.{self._process}.{next(self._ops)}"
        self._history.add(
            Invoked(
                at_ns=now_ns(),
                node=self._node,
                op=op,
                token=token.sequence,
                term=term,
                number=number,
                past_the_lane=past_the_lane,
            )
        )
        content = encode_entry(Entry(op, token.sequence, number))
        if past_the_lane:
            answer = await self._answer(op, self._past_the_lane(op, token, content), _STALE)
        else:
            answer = await self._answer(op, self._in_the_lane(token, number, content), _LANE)
        self._history.add(answer)

    async def _in_the_lane(self, token: FencingToken, number: int, content: bytes) -> Revision:
        lane = self._lane()
        if lane is None:
            raise Deposed("this node votes no more")
        if number % RECORD_EVERY == 0:
            return await lane.put(token, RECORD_KEY, content)
        return await lane.append(token, content)

    async def _past_the_lane(self, op: str, token: FencingToken, content: bytes) -> Revision:
        guard = Guard(TERM_KEY, token.sequence)
        batch = encode_batch(Batch(op, (content,)))
        return await self._records.write(LOG_KEY, batch, guard, request_id=op)

    async def _answer(
        self, op: str, work: Awaitable[Revision], refused: tuple[type[BzzzError], ...]
    ) -> Answered:
        try:
            revision = await work
        except refused as exc:
            return Answered(now_ns(), op, "not written", reason=exc.code)
        except (RequestTimeout, QuorumUnavailable) as exc:
            return Answered(now_ns(), op, "unknown", reason=exc.code)
        return Answered(now_ns(), op, "written", revision=revision)


_LANE: Final = (Deposed, QuorumUnavailable)
"""What the lane promises to raise only if nothing was written."""
_STALE: Final = (RevisionConflict, StreamBusy)
"""What the store promises that of."""
