"""Follows one subject pattern of a stream: everything there is, then whatever comes, in order.

Its place in the stream is one number, the sequence of the next message. It reads on from there

- when somebody writes to the pattern: the broker lets us hear the attempt itself (`hear_writes`).
  That is only a hint, for the write may be refused and takes some milliseconds to be stored, so
  reading is tried again a few times, ever later;
- when the fabric has a new connection: hints were missed;
- `LOOK_MS` after the last look, hints or not: a hint may have been lost. The stream's leader is
  asked, too: its answer says whether the stream is still the same and what time it is there.

Hints say that there is something to read, not whether all of it has been read: a write may take
longer than the tries, and the replica that is asked may be behind. So `SURE_MS` after a hint, again
until whoever wrote has given up waiting (`ANSWER_MS_MAX`), and with each look, the stream's leader
is asked whether there is more, and if there is, how far it goes. If the replica does not give all
that soon, the copy is no longer called current, and reading is tried again. If the leader fails
once it has said that there is more, that much has to come.

While nobody leads, little can be new, and the copy serves on; but no longer than until the next
look is due. One who is cut off with its own replica must not take itself for current.

Nothing is left behind on a broker when a follower vanishes, and after a reconnect it goes on where
it was. It begins anew only when the stream is another one, or when it was away so long that marks
of deletion may have come and gone.
"""

from __future__ import annotations

import asyncio
import math
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import msgspec

from bzzz_core.errors import (
    BrokerError,
    ConsistencyError,
    PermissionDenied,
    QuorumUnavailable,
    TransportError,
)
from bzzz_core.fabric.answers import Reply
from bzzz_core.fabric.jetstream import StreamInfo
from bzzz_core.fabric.stream import ANSWER_MS_MAX, TTL, Stream
from bzzz_core.model import Revision, StreamId
from bzzz_core.ports import Clock, Message, Subscription
from bzzz_core.telemetry import logs

LOOK_MS: Final = 10_000
SURE_MS: Final = 1_000
"""How long after a hint the leader is asked whether everything has been read, and so how often at
most. Sooner means less time with a stale copy on a slow cluster, and more questions on a busy one.
"""
_SURE_ANSWER_MS_MAX: Final = 500
"""How long that answer is waited for, deaf to hints: a leader that has died would not give it, and
what the next one takes has to be read. An answer that comes later only costs another question."""
_QUICK_MS: Final = (2, 10, 40, 150, 600)
"""Reads after a hint; a write on three replicas takes 1 to 9 ms (measured)."""
_GAP_MS: Final = 10
_RETRY_MS: Final = (50, LOOK_MS)
_BATCH: Final = 512
_BATCH_BYTES_MAX: Final = 4 * 1_048_576
_DURATION: Final = re.compile(r"(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s?)?")


@dataclass(frozen=True, slots=True)
class Stored:
    """One message of the stream."""

    subject: str
    revision: Revision
    data: bytes
    reply: Reply
    expires_ms: int | None
    """When its lifetime ends by our clock; None: never."""


class Sink(Protocol):
    """Who is told; everything is called in order."""

    def take(self, stored: Stored) -> None:
        """Take the next message."""
        ...

    def caught_up(self, now_ms: int) -> None:
        """Learn that nothing more is known to be there now."""
        ...

    def lost(self) -> None:
        """Learn that for now nobody says what is there."""
        ...

    def restart(self, *, anew: bool) -> None:
        """Expect everything from the start; `anew`: of another stream."""
        ...

    def next_due_ms(self) -> int | None:
        """Return when `caught_up` is wanted even if nothing comes."""
        ...


class Follower:
    """Follows while its `run` runs."""

    def __init__(
        self,
        stream: Stream,
        *,
        pattern: str,
        start: int,
        sink: Sink,
        clock: Clock,
        away_ms_max: int | None = None,
    ) -> None:
        """Read nothing yet; begin anew after being away for `away_ms_max`."""
        self._stream = stream
        self._pattern = pattern
        self._next = start
        self._sink = sink
        self._clock = clock
        self._away_ms_max = away_ms_max
        self._log = logs.get("fabric")
        self._wake = asyncio.Event()
        self._look = True
        """Whether a look was called for since the last reading began."""
        self._hints = 0
        self._hinted_ms = -ANSWER_MS_MAX
        """When the last hint came: what it is of may be stored for `ANSWER_MS_MAX` from then on."""
        self._tries = 0
        self._unsure_since_ms: int | None = None
        """When the first hint came since the leader was asked, or when it was asked too early."""
        self._ask_from_ms = 0
        """Not before that is the leader asked because of hints."""
        self._identity: StreamId | None = None
        self._ahead_ms = 0
        """Time at the stream's leader less our clock."""
        self._looked_ms: int | None = None
        """When the last look began that brought everything which the leader had."""

    async def run(self) -> None:
        """Follow until cancelled."""
        interest: Subscription | None = None
        delay_ms = _RETRY_MS[0]
        try:
            while True:
                try:
                    if interest is None:
                        interest = await self._listen()
                    await self._read_to_end()
                    delay_ms = _RETRY_MS[0]
                    await self._wait()
                except (TransportError, ConsistencyError, BrokerError, PermissionDenied) as exc:
                    self._sink.lost()
                    self._log.info("not following", stream=self._stream.name, reason=str(exc))
                    await self._pause(delay_ms)
                    delay_ms = min(2 * delay_ms, _RETRY_MS[1])
        finally:
            if interest is not None:
                await interest.stop()

    async def _listen(self) -> Subscription:
        """Hear of writes from now on; what came before has to be looked for.

        Raises:
            PermissionDenied: The broker refuses the pattern.
        """
        self._look = False
        interest = await self._stream.fabric.hear_writes(self._pattern, self._hint)
        self._look = True
        return interest

    def look(self) -> None:
        """Look again now: something may have been missed."""
        self._look = True
        self._wake.set()

    def _hint(self, message: Message) -> None:
        del message
        self._hints += 1
        self._hinted_ms = self._clock.now_ms()
        if self._unsure_since_ms is None:
            self._unsure_since_ms = self._hinted_ms
        self._tries = min(self._tries, 1)
        self._wake.set()

    async def _read_to_end(self) -> None:
        """Read what the replica has; where there is reason to doubt, what the leader has.

        Raises:
            QuorumUnavailable: The replica is behind the leader, or one of them did not answer.
        """
        asked_ms = self._clock.now_ms()
        looks, unsure = self._look or asked_ms >= self._look_ms(), asked_ms >= self._sure_ms()
        self._look = False
        if looks:
            self._compare(await self._stream.info())
        read = await self._read_on()
        if not looks:  # What was there before we listened came without hints, and settles none.
            self._hints = max(0, self._hints - read)
        if looks:
            await self._read_up_to(await self._last_missing(ANSWER_MS_MAX))
            self._looked_ms = asked_ms
        elif unsure:
            await self._make_sure()
        self._sink.caught_up(self._clock.now_ms())

    async def _read_on(self) -> int:
        """Take what the replica has from our place on; return how many messages that was."""
        taken, more = 0, True
        while more:
            batch = await self._stream.read_on(
                self._pattern,
                self._next,
                count=_BATCH,
                bytes_max=_BATCH_BYTES_MAX,
                timeout_ms=ANSWER_MS_MAX,
            )
            for message in batch.messages:
                stored = self._decode(message)
                if stored.revision >= self._next:
                    self._sink.take(stored)
                    self._next = stored.revision + 1
            taken += len(batch.messages)
            more = batch.more
        return taken

    async def _make_sure(self) -> None:
        """Read up to what the leader has; while nobody leads, leave that to the next look.

        Hardly anything is new then. Who is cut off, too, hears that nobody leads. But once the
        leader has said that there is more, that much has to come, whatever becomes of the leader.

        Raises:
            QuorumUnavailable: The replica is behind the leader, or did not answer.
        """
        try:
            first = await self._first_missing(_SURE_ANSWER_MS_MAX)
        except (QuorumUnavailable, TransportError):
            self._unsure_since_ms = self._clock.now_ms()
            return
        if first is None:
            return
        try:
            last = await self._last(_SURE_ANSWER_MS_MAX)
        except (QuorumUnavailable, TransportError):
            self._unsure_since_ms = self._clock.now_ms()
            last = first
        await self._read_up_to(last)

    async def _last_missing(self, timeout_ms: int) -> int | None:
        """Return the place of the leader's last message, None if there is none that we lack.

        That there is none is cheap to say. The last message comes whole, and the leader finds it by
        looking at every subject (4 to 10 ms for 50,000); so it is not asked for in vain.

        Raises:
            QuorumUnavailable: The leader did not say in time.
        """
        if await self._first_missing(timeout_ms) is None:
            return None
        return await self._last(timeout_ms)

    async def _first_missing(self, timeout_ms: int) -> int | None:
        """Return the place of the first message that the leader has and we lack."""
        now_ms = self._clock.now_ms()
        self._unsure_since_ms = now_ms if now_ms < self._hinted_ms + ANSWER_MS_MAX else None
        first = await self._stream.next_of(self._pattern, self._next, timeout_ms=timeout_ms)
        if first is not None:
            self._ask_from_ms = self._clock.now_ms() + 2 * SURE_MS
        return first

    async def _last(self, timeout_ms: int) -> int | None:
        """Return the place of the leader's last message."""
        what = "looking for the end"
        last = await self._stream.last_of(self._pattern, what, timeout_ms=timeout_ms)
        return None if last is None else last.seq

    async def _read_up_to(self, last: int | None) -> None:
        """Read until we have message `last`.

        Raises:
            QuorumUnavailable: The replica does not give it soon.
        """
        for delay_ms in _QUICK_MS:
            if last is None or last < self._next:
                return
            await self._clock.sleep_ms(delay_ms)
            await self._read_on()
        if last is not None and last >= self._next:
            raise QuorumUnavailable(f"the replica that is asked lacks message {last}")

    def _look_ms(self) -> int:
        """Return when the next look is due."""
        return (self._looked_ms or 0) + LOOK_MS

    def _sure_ms(self) -> float:
        """Return when the leader is to be asked whether there is more."""
        if self._unsure_since_ms is None:
            return math.inf
        return max(self._unsure_since_ms + SURE_MS, self._ask_from_ms)

    def _compare(self, info: StreamInfo) -> None:
        """Begin anew if the place in the stream means nothing any more."""
        now_ms = self._clock.now_ms()
        if info.ts is not None:
            self._ahead_ms = _to_ms(info.ts) - now_ms
        identity = self._stream.identity_in(info)
        another = self._identity not in (None, identity) or info.state.last_seq + 1 < self._next
        away_ms = now_ms - (now_ms if self._looked_ms is None else self._looked_ms)
        self._identity = identity
        if another or (self._away_ms_max is not None and away_ms > self._away_ms_max):
            self._next = 1
            self._sink.restart(anew=another)

    async def _wait(self) -> None:
        """Return when it is time to read on."""
        read_ms = self._clock.now_ms()
        if not self._hints or self._tries == len(_QUICK_MS):
            self._hints = self._tries = 0
            await self._idle()
            if not self._hints:
                return
        delay_ms = _QUICK_MS[self._tries]
        if self._clock.now_ms() - read_ms < _GAP_MS:
            delay_ms = max(delay_ms, _GAP_MS)
        self._tries += 1
        self._wake.clear()
        await self._clock.sleep_ms(min(delay_ms, _GAP_MS))
        if delay_ms > _GAP_MS:
            await self._wake_within(delay_ms - _GAP_MS)

    async def _idle(self) -> None:
        """Return on a hint or a call, or when it is time to look, to ask or to report."""
        due_ms = self._sink.next_due_ms()
        until_ms = min(self._look_ms(), self._sure_ms(), math.inf if due_ms is None else due_ms)
        await self._wake_within(int(until_ms) - self._clock.now_ms())

    async def _pause(self, delay_ms: int) -> None:
        """Wait after a failure, then look; a call ends the wait, a hint ends it after `SURE_MS`.

        Refused writes are hints too, and while nobody leads there may be hundreds a second.
        """
        failed_ms, heard = self._clock.now_ms(), self._hints
        while not self._look:
            pause_ms = delay_ms if self._hints == heard else min(delay_ms, SURE_MS)
            left_ms = failed_ms + pause_ms - self._clock.now_ms()
            if left_ms <= 0:
                break
            await self._wake_within(left_ms)
        self._look = True

    async def _wake_within(self, delay_ms: int) -> None:
        """Return when woken, at the latest after `delay_ms`."""

        async def ring() -> None:
            await self._clock.sleep_ms(max(1, delay_ms))
            self._wake.set()

        async with asyncio.TaskGroup() as group:
            timer = group.create_task(ring())
            await self._wake.wait()
            timer.cancel()
        self._wake.clear()

    def _decode(self, message: Reply) -> Stored:
        headers = message.headers
        try:
            revision = Revision(int(headers["Nats-Sequence"]))
            subject = headers["Nats-Subject"]
            expires_ms = self._expiry(headers.get(TTL), headers["Nats-Time-Stamp"])
        except (KeyError, ValueError) as exc:
            raise BrokerError(f"{self._stream.name}: a message came damaged: {exc!r}") from exc
        return Stored(subject, revision, message.data, message, expires_ms)

    def _expiry(self, ttl: str | None, written_at: str) -> int | None:
        duration = _DURATION.fullmatch(ttl or "")
        if not ttl or duration is None:
            return None
        hours, minutes, seconds = (int(part or 0) for part in duration.groups())
        lifetime_ms = 1000 * (3600 * hours + 60 * minutes + seconds)
        written_ms = _to_ms(msgspec.convert(written_at, datetime)) - self._ahead_ms
        return written_ms + lifetime_ms


def _to_ms(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)
