"""A stream in memory as a follower sees it, whose hints can be lost and whose replica can lag."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from bzzz_core.errors import BzzzError, PermissionDenied, QuorumUnavailable
from bzzz_core.fabric.answers import Reply
from bzzz_core.fabric.jetstream import StoredMessage, StreamInfo, StreamSettings, StreamState
from bzzz_core.fabric.stream import ANSWER_MS_MAX, Batch
from bzzz_core.model import Revision, StreamId
from bzzz_core.ports import Clock, Message

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class ScriptedInterest:
    """Ends the hints."""

    def __init__(self, stream: ScriptedStream) -> None:
        self._stream = stream

    async def stop(self) -> None:
        self._stream.hear = lambda _: None


class ScriptedStream:
    """Satisfies what `Follower` needs of a `Stream` and of its fabric."""

    def __init__(self, clock: Clock, *, ahead_ms: int = 0) -> None:
        """Start empty; the leader's clock is `ahead_ms` of ours."""
        self.name = "scripted"
        self.fabric = self
        self.identity = StreamId("first")
        self.messages: list[Reply] = []
        self.last = 0
        self.hidden = 0
        """How many of the latest messages the replica does not have yet."""
        self.failure: BzzzError | None = None
        self.looks = 0
        self.asked = 0
        """How often the leader was asked whether there is more."""
        self.leaderless = False
        """Whether only the replica answers."""
        self.silent = False
        """Whether the leader's answers do not come."""
        self.endless = False
        """Whether the leader says that there is more, and not how far it goes."""
        self.refusing = False
        """Whether writes may not be heard of."""
        self.listened = 0
        """How often that was tried."""
        self.reads: list[int] = []
        self.on_read: Callable[[], None] | None = None
        """Called once, while the next answer of the replica is on its way."""
        self.hear: Callable[[Message], None] = lambda _: None
        self._clock = clock
        self._ahead_ms = ahead_ms

    async def hear_writes(
        self, pattern: str, handler: Callable[[Message], None]
    ) -> ScriptedInterest:
        del pattern
        self.listened += 1
        if self.refusing:
            raise PermissionDenied("this node may not hear of writes")
        self.hear = handler
        return ScriptedInterest(self)

    def write(self, data: bytes, *, hint: bool = True, **headers: str) -> None:
        """Store a message; `headers` with `_` for `-`."""
        self.last += 1
        own = {name.replace("_", "-"): value for name, value in headers.items()}
        added = {
            "Nats-Stream": self.name,
            "Nats-Subject": "s.key",
            "Nats-Sequence": str(self.last),
            "Nats-Time-Stamp": self._now().isoformat(),
        }
        self.messages.append(Reply(data, added | own))
        if hint:
            self.hint()

    def hint(self) -> None:
        """Let an attempt to write be heard."""
        self.hear(Message("s.key", b""))

    def make_anew(self) -> None:
        """Lose everything and be another stream."""
        self.identity = StreamId("second")
        self.messages, self.last = [], 0

    async def info(self) -> StreamInfo:
        self.looks += 1
        self._fail(leader=True)
        return StreamInfo(
            config=StreamSettings(self.name), state=StreamState(self.last), ts=self._now()
        )

    def identity_in(self, info: StreamInfo) -> StreamId:
        del info
        return self.identity

    async def next_of(
        self, pattern: str, start: int, *, timeout_ms: int = ANSWER_MS_MAX
    ) -> Revision | None:
        del pattern
        await self._ask(timeout_ms)
        return next((Revision(place) for place in self._places() if place >= start), None)

    async def last_of(
        self, subject: str, what: str, *, timeout_ms: int = ANSWER_MS_MAX
    ) -> StoredMessage | None:
        del what
        await self._ask(timeout_ms)
        if self.endless:
            await self._clock.sleep_ms(timeout_ms)
            raise QuorumUnavailable("no answer came")
        places = self._places()
        return StoredMessage(subject, places[-1]) if places else None

    async def read_on(
        self, pattern: str, start: int, *, count: int, bytes_max: int, timeout_ms: int
    ) -> Batch:
        del pattern, bytes_max, timeout_ms
        self.reads.append(start)
        self._fail(leader=False)
        on_read, self.on_read = self.on_read, None
        if on_read is not None:
            on_read()
        visible = self.messages[: len(self.messages) - self.hidden]
        found = [m for m in visible if int(m.headers["Nats-Sequence"]) >= start]
        return Batch(tuple(found[:count]), more=len(found) > count)

    async def _ask(self, timeout_ms: int) -> None:
        self.asked += 1
        if self.silent:
            await self._clock.sleep_ms(timeout_ms)
            raise QuorumUnavailable("no answer came")
        self._fail(leader=True)

    def _places(self) -> list[int]:
        return [int(message.headers["Nats-Sequence"]) for message in self.messages]

    def _fail(self, *, leader: bool) -> None:
        if self.failure is not None:
            raise self.failure
        if leader and self.leaderless:
            raise QuorumUnavailable("nobody leads")

    def _now(self) -> datetime:
        return EPOCH + timedelta(milliseconds=self._clock.now_ms() + self._ahead_ms)
