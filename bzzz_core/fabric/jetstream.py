"""What JetStream says, as strict types, and its error numbers as our errors.

Only the parts that we read are named. Numbers are those of nats-server 2.15; each was provoked on a
cluster of three (docs/adr/0003-broker-identities.md, research of the backbone).
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec

from bzzz_core.errors import (
    BrokerError,
    BzzzError,
    QuorumUnavailable,
    RequestTimeout,
    RevisionConflict,
    StreamBusy,
)
from bzzz_core.fabric.answers import Reply
from bzzz_core.ports import Clock

REQUEST_ID: Final = "Nats-Msg-Id"
"""Header that names a write; the stream takes a name once in two minutes."""
NO_MESSAGE: Final = 10037
STREAM_MISSING: Final = 10059
STREAM_EXISTS: Final = 10058
NO_PEERS: Final = 10005
_WRONG_REVISION: Final = frozenset({10070, 10071})
_IN_PROCESS: Final = frozenset({10158, 10164})
"""A message with this id, or another guarded write to this subject, is not settled yet."""
_NO_QUORUM: Final = frozenset({NO_PEERS, 10008, 10009, 10023, 10047, 10118})
"""No peers, JetStream unavailable, not leader, no resources, storage full, stream offline. Most are
seen around elections and pass; a full disk passes when somebody makes room, and until then nothing
is acknowledged, which is what the error says."""

_UNKNOWN: Final = 10077
"""The store failed, on the replica that answered: others may hold what it could not write."""

_AWAY_MS_MAX: Final = 500
"""A broker that reads its configuration again listens to no question of JetStream's meanwhile: 0.6
to 7 ms of a machine at rest (100 reloads measured), more of a busy one. Writes do not notice."""
_AWAY_AGAIN_MS: Final = (5, 40)
"""After the first question, and at most: each time twice as long."""


class ApiError(msgspec.Struct):
    """An error as every JetStream answer may carry it."""

    code: int = 0
    err_code: int = 0
    description: str = ""


class _Failure(msgspec.Struct):
    error: ApiError | None = None


class PubAck(msgspec.Struct):
    """A write is durable on a majority."""

    stream: str
    seq: int
    duplicate: bool = False


class StoredMessage(msgspec.Struct):
    """A message as a stream holds it."""

    subject: str
    seq: int
    data: str = ""
    hdrs: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """Return what was published beside the content.

        Raises:
            ValueError: They are not base64.
        """
        text = base64.b64decode(self.hdrs, validate=True).decode(errors="replace")
        lines = text.split("\r\n")[1:]
        pairs = (line.partition(":") for line in lines)
        return {name: value.strip() for name, colon, value in pairs if colon}

    @property
    def request_id(self) -> str | None:
        """Return the id under which it was published.

        Raises:
            ValueError: The headers are not base64.
        """
        return self.headers.get(REQUEST_ID)

    @property
    def payload(self) -> bytes:
        """Return the content.

        Raises:
            ValueError: It is not base64.
        """
        return base64.b64decode(self.data, validate=True)


class GotMessage(msgspec.Struct):
    """Answer to MSG.GET."""

    message: StoredMessage


class PeerInfo(msgspec.Struct):
    """One replica that is not the leader, as the leader sees it."""

    name: str
    current: bool = False
    offline: bool = False
    lag: int = 0


class ClusterInfo(msgspec.Struct):
    """Who holds a stream."""

    leader: str = ""
    replicas: list[PeerInfo] | None = None


class StreamSettings(msgspec.Struct):
    """The part of a stream's configuration that we check."""

    name: str
    num_replicas: int = 1
    max_msgs_per_subject: int = -1
    metadata: dict[str, str] | None = None


class StreamState(msgspec.Struct):
    """How far a stream is."""

    last_seq: int = 0
    bytes: int = 0
    subjects: dict[str, int] | None = None
    """Messages per subject, if they were asked for."""


class StreamInfo(msgspec.Struct):
    """Answer to INFO and CREATE."""

    config: StreamSettings
    cluster: ClusterInfo | None = None
    state: StreamState = msgspec.field(default_factory=StreamState)
    ts: datetime | None = None
    """The broker's time of the answer; compared with its times of messages only."""
    total: int = 0
    """How many subjects there are to list, over all pages."""


class WholeConfig(msgspec.Struct):
    """The part of an answer to INFO that has to go back whole when anything of it changes."""

    config: dict[str, Any]


Answer = TypeVar("Answer")


class JetStreamRefusal(Exception):
    """JetStream answered with an error; `as_ours` says which of ours it is."""

    def __init__(self, error: ApiError) -> None:
        """Keep the answer."""
        super().__init__(f"{error.description} ({error.err_code})")
        self.number = error.err_code

    def as_ours(self, what: str) -> BzzzError:
        """Return the error to raise for the operation `what`."""
        message = f"{what}: {self}"
        if self.number in _WRONG_REVISION:
            return RevisionConflict(message)
        if self.number in _IN_PROCESS:
            return StreamBusy(message)
        if self.number in _NO_QUORUM:
            return QuorumUnavailable(message)
        if self.number == _UNKNOWN:
            return RequestTimeout(message)
        return BrokerError(message)


def decode(data: bytes, kind: type[Answer]) -> Answer:
    """Parse an answer.

    Raises:
        JetStreamRefusal: It is an error.
        BrokerError: It is no answer of this kind at all.
    """
    try:
        failure = msgspec.json.decode(data, type=_Failure)
        if failure.error is not None:
            raise JetStreamRefusal(failure.error)
        return msgspec.json.decode(data, type=kind)
    except ValueError as exc:
        raise BrokerError(f"JetStream's answer is no {kind.__name__}: {exc}") from exc


async def reply_of(
    subject: str, ask: Callable[[int], Awaitable[Reply]], *, clock: Clock, timeout_ms: int
) -> Reply:
    """Return JetStream's answer; `ask` gets the milliseconds that it may take.

    A question that nobody received is asked again for a moment, for it changed nothing.

    Raises:
        QuorumUnavailable: Nobody listens, and not only for the moment of a reload.
        Others: What `ask` raises.
    """
    begun_ms, (pause_ms, pause_ms_max) = clock.now_ms(), _AWAY_AGAIN_MS
    while True:
        reply = await ask(max(1, timeout_ms - (clock.now_ms() - begun_ms)))
        if not reply.no_responders:
            return reply
        if clock.now_ms() - begun_ms + pause_ms >= min(timeout_ms, _AWAY_MS_MAX):
            raise QuorumUnavailable(f"no JetStream answers {subject}")
        await clock.sleep_ms(pause_ms)
        pause_ms = min(2 * pause_ms, pause_ms_max)


def encode(question: dict[str, Any]) -> bytes:
    """Return a request body."""
    return msgspec.json.encode(question)
