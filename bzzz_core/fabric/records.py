"""Guarded records on one JetStream stream; satisfies `ports.Records` once `open` has returned.

Key K lives at subject `<prefix>.K`; its value is the last message there, its revision the sequence
of that message. Everything goes through the stream's Raft leader: writes because they must, reads
because a direct read from a replica may be stale for ever. (Even the leader may be an isolated one
of the past for some seconds; `ports.Records.read` says what that means.)

No consumer is made: a consumer needs the leader of the cluster's metadata, which may be away when
leadership has to be decided.

The stream's identity is a random id in its metadata, set by whoever creates it. Of several nodes
creating at once one wins and the others read its id.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from bzzz_core.errors import (
    BrokerError,
    QuorumUnavailable,
    RequestTimeout,
    TransportError,
)
from bzzz_core.fabric.jetstream import (
    NO_MESSAGE,
    STREAM_EXISTS,
    STREAM_MISSING,
    Answer,
    GotMessage,
    JetStreamRefusal,
    PubAck,
    StreamInfo,
    decode,
    encode,
)
from bzzz_core.fabric.layout import CONTROL_PREFIX, CONTROL_STREAM, stream_api
from bzzz_core.fabric.link import Reply
from bzzz_core.fabric.nats import NatsFabric
from bzzz_core.model import Revision, StreamId
from bzzz_core.ports import Clock, Guard, Record

ID_KEY: Final = "bzzz_stream_id"
ANSWER_MS_MAX: Final = 2_000
MOVE_MS_MAX: Final = 5_000
_MOVE_AGAIN_MS: Final = 300
_UNSETTLED_MS_MAX: Final = 100
"""A stream without a leader does not answer at all, so asking again soon beats waiting."""
_FIND_MS_MAX: Final = 300
_RETRY_MS: Final = 50
_POLL_MS: Final = 5
_EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"
_EXPECTED_SUBJECT: Final = "Nats-Expected-Last-Subject-Sequence-Subject"
_REQUEST_ID: Final = "Nats-Msg-Id"


@dataclass(frozen=True, slots=True)
class Replica:
    """One broker that holds the stream."""

    server_name: str
    leader: bool
    current: bool
    """Whether it has everything the leader acknowledged."""
    lag: int
    """Messages it is behind."""


class NatsRecords:
    """The records of one stream."""

    def __init__(
        self,
        fabric: NatsFabric,
        *,
        replicas: int,
        clock: Clock,
        stream: str = CONTROL_STREAM,
        prefix: str = CONTROL_PREFIX,
    ) -> None:
        """Ask nothing yet; `replicas` is the number of voters."""
        self._fabric = fabric
        self._replicas = replicas
        self._clock = clock
        self._name = stream
        self._prefix = prefix
        self._id: StreamId | None = None

    @property
    def stream(self) -> StreamId:
        """Return the identity of the stream, known once `open` has returned."""
        assert self._id is not None, "open comes first"
        return self._id

    async def open(self, timeout_ms: int = 60_000) -> None:
        """Find the stream or create it, and learn its identity.

        Raises:
            QuorumUnavailable: The cluster was not ready for it in time.
            BrokerError: There is a stream of this name, but it is not ours.
            PermissionDenied: This node may not use it.
        """
        deadline_ms = self._clock.now_ms() + timeout_ms
        while self._id is None:
            try:
                self._id = self._identity(await self._find_or_create())
            except (QuorumUnavailable, TransportError) as exc:
                if self._clock.now_ms() >= deadline_ms:
                    raise QuorumUnavailable(
                        f"the stream {self._name} could not be opened in {timeout_ms} ms: {exc}"
                    ) from exc
                await self._clock.sleep_ms(_RETRY_MS)

    async def read(self, key: str) -> Record | None:
        """Return the last record as the stream's leader knows it; see `ports.Records.read`."""
        subject = self._subject(key)
        try:
            got = await self._ask("MSG.GET", GotMessage, {"last_by_subj": subject})
        except JetStreamRefusal as exc:
            if exc.number == NO_MESSAGE:
                return None
            raise exc.as_ours(f"reading {key}") from exc
        except TransportError as exc:
            raise QuorumUnavailable(f"reading {key}: {exc}") from exc
        try:
            return Record(key, got.message.payload, Revision(got.message.seq))
        except ValueError as exc:
            raise BrokerError(f"reading {key}: the answer is damaged") from exc

    async def write(
        self, key: str, value: bytes, guard: Guard, *, request_id: str | None = None
    ) -> Revision:
        """Write durably if the guard holds; see `ports.Records.write`."""
        headers = {_EXPECTED: str(guard.revision)}
        if guard.key != key:
            if guard.revision == 0:
                raise ValueError("a fence at revision 0 is accepted by the store whatever holds")
            headers[_EXPECTED_SUBJECT] = self._subject(guard.key)
        if request_id is not None:
            headers[_REQUEST_ID] = request_id
        reply = await self._publish(self._subject(key), value, headers)
        if reply.no_responders:
            raise QuorumUnavailable(f"writing {key}: the stream {self._name} has no leader")
        try:
            return Revision(decode(reply.data, PubAck).seq)
        except JetStreamRefusal as exc:
            raise exc.as_ours(f"writing {key}") from exc

    async def stream_leader(self) -> str | None:
        """Return the name of the broker that leads the stream, or None while there is none.

        Raises:
            QuorumUnavailable: Nobody could say.
        """
        return next((r.server_name for r in await self.replicas() if r.leader), None)

    async def replicas(self) -> tuple[Replica, ...]:
        """Return the brokers that hold the stream, its leader first.

        Raises:
            QuorumUnavailable: Nobody could say.
        """
        info = await self._info(ANSWER_MS_MAX)
        if info.cluster is None:
            alone = self._fabric.server_name
            return (Replica(alone, leader=True, current=True, lag=0),) if alone else ()
        leader = info.cluster.leader
        first = [Replica(leader, leader=True, current=True, lag=0)] if leader else []
        others = [
            Replica(
                peer.name, leader=False, current=peer.current and not peer.offline, lag=peer.lag
            )
            for peer in info.cluster.replicas or []
        ]
        return (*first, *others)

    async def move_stream_leader(self, preferred: str) -> None:
        """Make the broker named `preferred` lead the stream; returns once it does.

        Raises:
            QuorumUnavailable: It did not become leader within `MOVE_MS_MAX`.
        """
        deadline_ms = self._clock.now_ms() + MOVE_MS_MAX
        asked_ms: int | None = None
        while (now_ms := self._clock.now_ms()) < deadline_ms:
            leader = await self._leader_or_none()
            if leader == preferred:
                return
            # The preferred broker may be behind at that moment and another one wins: ask again.
            if leader and (asked_ms is None or now_ms - asked_ms >= _MOVE_AGAIN_MS):
                asked_ms = now_ms
                await self._step_down(preferred)
            await self._clock.sleep_ms(_POLL_MS)
        raise QuorumUnavailable(f"{preferred} did not become leader of {self._name}")

    async def _leader_or_none(self) -> str | None:
        try:
            info = await self._info(_UNSETTLED_MS_MAX)
        except QuorumUnavailable:
            return None  # It is between two leaders.
        return info.cluster.leader if info.cluster else self._fabric.server_name

    async def _step_down(self, preferred: str) -> None:
        try:
            await self._ask("LEADER.STEPDOWN", dict, {"placement": {"preferred": preferred}})
        except JetStreamRefusal as exc:
            raise exc.as_ours(f"moving the leader of {self._name}") from exc
        except TransportError as exc:
            raise QuorumUnavailable(f"moving the leader of {self._name}: {exc}") from exc

    async def _find_or_create(self) -> StreamInfo:
        try:
            return await self._ask("INFO", StreamInfo, timeout_ms=_FIND_MS_MAX)
        except JetStreamRefusal as exc:
            if exc.number != STREAM_MISSING:
                raise exc.as_ours(f"asking for {self._name}") from exc
        try:
            return await self._ask("CREATE", StreamInfo, self._settings())
        except JetStreamRefusal as exc:
            if exc.number == STREAM_EXISTS:
                raise QuorumUnavailable(f"another node is creating {self._name}") from exc
            raise exc.as_ours(f"creating {self._name}") from exc

    def _settings(self) -> dict[str, object]:
        return {
            "name": self._name,
            "subjects": [f"{self._prefix}.>"],
            "retention": "limits",
            "storage": "file",
            "num_replicas": self._replicas,
            "discard": "new",
            "deny_delete": True,
            "allow_direct": False,
            "metadata": {ID_KEY: secrets.token_hex(16)},
        }

    def _identity(self, info: StreamInfo) -> StreamId:
        identity = (info.config.metadata or {}).get(ID_KEY)
        if not identity:
            raise BrokerError(
                f"the stream {self._name} has no {ID_KEY}: it was not made by BZZZ; remove it"
            )
        return StreamId(identity)

    async def _info(self, timeout_ms: int) -> StreamInfo:
        try:
            return await self._ask("INFO", StreamInfo, timeout_ms=timeout_ms)
        except JetStreamRefusal as exc:
            raise exc.as_ours(f"asking for {self._name}") from exc
        except TransportError as exc:
            raise QuorumUnavailable(f"asking for {self._name}: {exc}") from exc

    async def _ask(
        self,
        verb: str,
        kind: type[Answer],
        question: dict[str, object] | None = None,
        *,
        timeout_ms: int = ANSWER_MS_MAX,
    ) -> Answer:
        subject = stream_api(verb, self._name)
        body = encode(question) if question else b""
        reply = await self._fabric.request(subject, body, timeout_ms=timeout_ms)
        if reply.no_responders:
            raise QuorumUnavailable(f"no JetStream answers {subject}")
        return decode(reply.data, kind)

    async def _publish(self, subject: str, value: bytes, headers: dict[str, str]) -> Reply:
        try:
            return await self._fabric.request(
                subject, value, headers=headers, timeout_ms=ANSWER_MS_MAX
            )
        except RequestTimeout:
            raise  # It was sent: the caller has to find out what became of it.
        except TransportError as exc:
            raise QuorumUnavailable(f"not sent: {exc}") from exc

    def _subject(self, key: str) -> str:
        return f"{self._prefix}.{key}"
