"""What a leader writes goes through one fenced lane per stream, in order.

Theory of operation
-------------------
A lane writes two kinds of things: *entries* of the stream's log, and *records* (the last value
under a key). Each message is written under the guard "`_term` is still at my token", and exactly
one is in flight: with several, the store refuses nearly all of them, and guessing sequences ahead
is no fence at all. Entries that wait at the same time share a message (measured on three replicas:
1.1 K messages/s, but 70 K entries/s at 64 a message); a record is a message of its own. What is
asked for later lies later in the stream, whichever kind it is.

What an answer means, and what happens then:

    revision           written; every entry of the message has this revision
    busy               not written; again in 5, 10, then 20 ms
    conflict           not written, `_term` has moved on: this leader is deposed, the lane ends
    timeout            unknown: ask the stream's leader for the last message of the subject. It is
                       mine (by request id): written. Else try again under the same request id,
                       which the store accepts once however often it arrives
    no quorum          not written; again in 50 ms, until `patience_ms` has passed
    no room            not written (`fabric.room`); the caller is told at once, the lane goes on

A conflict after a timeout leaves the message unknown: its callers get `RequestTimeout` instead of
`Deposed`, which promises that nothing was written. The end of patience after a timeout does too,
and it ends the lane: an attempt that is still under way somewhere could land after a later write of
the same key and undo it. Only a new token rules that out, so the leader has to step down and be
elected again (`ended_by`). Later writes end with `Deposed`, and nothing of them was written.

How a write recognises itself: the store keeps its request id beside the value
(`Record.request_id`), so values stay what callers gave. Between two writes of a leadership nobody
else may write these subjects, so what is last there is mine or older, or a later leader's. Two
minutes, the time in which the store remembers a request id, are ample: a paused broker's
connections are given up by their other ends after some 6 s, and what it had not passed on by then
never arrives.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from bzzz_core.errors import (
    BzzzError,
    Deposed,
    QuorumUnavailable,
    RequestTimeout,
    RevisionConflict,
    StreamBusy,
)
from bzzz_core.fabric.batch import BATCH_BYTES_MAX, ENTRIES_MAX, Batch, encode_batch
from bzzz_core.model import FencingToken, Revision
from bzzz_core.ports import VALUE_BYTES_MAX, Clock, Guard, Records

TERM_KEY: Final = "_term"
LOG_KEY: Final = "log"
WAITING_MAX: Final = 4_096
PATIENCE_MS: Final = 15_000
"""A broker that is killed while it leads the stream stops writes for 4 to 9 s (measured)."""
HANG_MS: Final = 12_000
"""Longer than that, so that a healthy leader is not deposed for the brokers' sake."""
_BUSY_MS: Final = (5, 10, 20)
_NO_QUORUM_MS: Final = 50


@dataclass(slots=True)
class _Waiting:
    key: str
    content: bytes
    written: asyncio.Future[Revision]


@dataclass(frozen=True, slots=True)
class _Write:
    """One message: what is written where, under which name."""

    key: str
    content: bytes
    request: str


class FencedLane:
    """Ordered, group-committed writes of one leadership. Run `run` as long as it lasts."""

    def __init__(
        self,
        records: Records,
        *,
        token: FencingToken,
        clock: Clock,
        patience_ms: int = PATIENCE_MS,
        hangs: Callable[[], None] = lambda: None,
        took: Callable[[float], None] = lambda _took_s: None,
    ) -> None:
        """Write nothing yet.

        Args:
            records: The stream's records; its identity must be the token's.
            token: Place of the `_term` record that made us leader.
            clock: For the waits between attempts.
            patience_ms: How long one message is tried while there is no quorum.
            hangs: Called while a message has been tried for `HANG_MS`; must not block.
            took: Told the seconds that each message took to be acknowledged; must not block.
        """
        assert records.stream == token.stream, "a token fences its own stream only"
        self._records = records
        self._guard = Guard(TERM_KEY, token.sequence)
        self._clock = clock
        self._patience_ms = patience_ms
        self._hangs = hangs
        self._took = took
        self._queue: deque[_Waiting] = deque()
        self._room = asyncio.Semaphore(WAITING_MAX)
        self._arrived = asyncio.Event()
        self._name = f"{token.sequence}-{secrets.token_hex(8)}"
        self._messages = 0
        self._begun_ms: int | None = None
        self.ended = asyncio.Event()
        """Set once nothing more is written."""
        self.ended_by: BzzzError | None = None
        """Why nothing more is written under this token; None while running, or when cancelled."""
        self.counters: Counter[str] = Counter()
        """What happened so far: messages, entries, records, found by reading back, and attempts
        that failed, by the code of their error."""

    @property
    def waiting_ms(self) -> int:
        """Return the age of the message in flight, 0 if there is none."""
        return 0 if self._begun_ms is None else self._clock.now_ms() - self._begun_ms

    async def append(self, entry: bytes) -> Revision:
        """Write one entry of the log, after all that was asked for before; returns once durable.

        Raises:
            Deposed: Another leader serves, or this lane has ended; it was not written.
            RequestTimeout: It is unknown whether it was written.
            QuorumUnavailable: It was not written: too few voters answered for too long.
            ValueError: It is larger than a message may be.
        """
        if len(entry) > BATCH_BYTES_MAX:
            raise ValueError(f"an entry of the log has at most {BATCH_BYTES_MAX} bytes")
        return await self._enter(LOG_KEY, entry)

    async def put(self, key: str, value: bytes) -> Revision:
        """Write a record, after all that was asked for before; returns once durable.

        Raises:
            Deposed: Another leader serves, or this lane has ended; it was not written.
            RequestTimeout: It is unknown whether it was written.
            QuorumUnavailable: It was not written: too few voters answered for too long.
            ValueError: The value is too large, or the key is the log's or the term's.
        """
        if key in {LOG_KEY, TERM_KEY}:
            raise ValueError(f"{key} is not written as a record of a leader's own")
        if len(value) > VALUE_BYTES_MAX:
            raise ValueError(f"a record has at most {VALUE_BYTES_MAX} bytes")
        return await self._enter(key, value)

    async def run(self) -> None:
        """Write what is asked for; returns when this leadership cannot write any more."""
        try:
            while not self.ended.is_set():
                if not self._queue:
                    self._arrived.clear()
                    await self._arrived.wait()
                waiting = self._gather()
                try:
                    if waiting:
                        await self._commit(waiting)
                except BaseException:
                    _settle(waiting, RequestTimeout("the lane was stopped during this write"))
                    raise
        finally:
            self.ended.set()
            self._fail_waiting()

    async def _enter(self, key: str, content: bytes) -> Revision:
        async with self._room:
            waiting = _Waiting(key, content, asyncio.get_running_loop().create_future())
            self._queue.append(waiting)
            self._arrived.set()
            if self.ended.is_set():
                self._fail_waiting()
            return await waiting.written

    def _gather(self) -> list[_Waiting]:
        """Take what comes first, and of the log what fits into one message with it.

        Whoever has gone meanwhile is left out; that may leave nothing.
        """
        while self._queue and self._queue[0].written.done():
            self._queue.popleft()
        if not self._queue:
            return []
        taken = [self._queue.popleft()]
        size = len(taken[0].content)
        while taken[0].key == LOG_KEY and len(taken) < ENTRIES_MAX and self._queue:
            following = self._queue[0]
            size += len(following.content)
            if following.key != LOG_KEY or size > BATCH_BYTES_MAX:
                break
            taken.append(self._queue.popleft())
        return taken

    async def _commit(self, waiting: Sequence[_Waiting]) -> None:
        self._messages += 1
        name = f"{self._name}-{self._messages}"
        key, content = waiting[0].key, waiting[0].content
        if key == LOG_KEY:
            content = encode_batch(Batch(name, tuple(one.content for one in waiting)))
        begun_ms = self._begun_ms = self._clock.now_ms()
        try:
            outcome: Revision | BzzzError = await self._write(_Write(key, content, name))
        except BzzzError as exc:
            outcome = exc
        finally:
            self._begun_ms = None
        if isinstance(outcome, Deposed):
            self._end(outcome)
        elif not isinstance(outcome, BzzzError):
            self._took((self._clock.now_ms() - begun_ms) / 1000)
            self.counters["messages"] += 1
            self.counters["entries" if key == LOG_KEY else "records"] += len(waiting)
        _settle(waiting, outcome)

    async def _write(self, write: _Write) -> Revision:
        """Try until the outcome is known or patience ends."""
        deadline_ms = self._clock.now_ms() + self._patience_ms
        unanswered = False
        busy = 0
        while True:
            try:
                return await self._records.write(
                    write.key, write.content, self._guard, request_id=write.request
                )
            except RevisionConflict as exc:
                return await self._conflicted(write, unanswered=unanswered, cause=exc)
            except BzzzError as exc:
                why = exc
            delay_ms = _NO_QUORUM_MS
            if isinstance(why, RequestTimeout):
                unanswered = True
                found = await self._read_back(write)
                if found is not None:
                    return found
            elif isinstance(why, StreamBusy):
                delay_ms = _BUSY_MS[min(busy, len(_BUSY_MS) - 1)]
                busy += 1
            elif not isinstance(why, QuorumUnavailable):
                raise self._unknown(why) if unanswered else why
            self.counters[why.code] += 1
            if self.waiting_ms >= HANG_MS:
                self._hangs()
            if self._clock.now_ms() >= deadline_ms:
                raise self._impatient(why, unanswered=unanswered)
            await self._clock.sleep_ms(delay_ms)

    def _impatient(self, why: BzzzError, *, unanswered: bool) -> BzzzError:
        if unanswered:
            return self._unknown(why)
        return QuorumUnavailable(f"not written within {self._patience_ms} ms: {why}")

    def _unknown(self, why: BzzzError) -> RequestTimeout:
        unknown = RequestTimeout(f"it is unknown whether this was written: {why}")
        self._end(unknown)
        return unknown

    async def _conflicted(
        self, write: _Write, *, unanswered: bool, cause: RevisionConflict
    ) -> Revision:
        """Settle a refused message: an earlier attempt may have been written before the fence."""
        if not unanswered:
            raise Deposed("another leader serves: the term record has moved on") from cause
        self._end(Deposed("another leader serves: the term record has moved on"))
        found = await self._read_back(write)
        if found is not None:
            return found
        raise RequestTimeout("deposed while it was unknown whether this was written")

    async def _read_back(self, write: _Write) -> Revision | None:
        """Return the revision of the last message of the subject if `write` is it."""
        try:
            last = await self._records.read(write.key)
        except BzzzError:
            return None  # Trying again under the same name is safe.
        if last is None or last.request_id != write.request:
            return None
        self.counters["found"] += 1
        return last.revision

    def _end(self, why: BzzzError) -> None:
        self.ended_by = why
        self.ended.set()

    def _fail_waiting(self) -> None:
        left = list(self._queue)
        self._queue.clear()
        _settle(left, Deposed("this leadership writes no more; ask the present leader"))


def _settle(waiting: Sequence[_Waiting], outcome: Revision | BzzzError) -> None:
    for one in waiting:
        if one.written.done():
            continue  # Its caller has gone.
        if isinstance(outcome, BzzzError):
            one.written.set_exception(outcome)
        else:
            one.written.set_result(outcome)
