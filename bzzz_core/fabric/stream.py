"""One JetStream stream and the questions we ask about it; everything stored rests on this.

- Writes and single reads go through the stream's Raft leader: writes because they must, reads
  because a replica may be stale for ever. (Even the leader may be an isolated one of the past for
  some seconds.)
- Reading on (`read_on`) asks any replica that is near. It serves copies that are kept up to date
  and entries that never change; a replica that lags gives less, never something else.
- No consumer is made, here or anywhere. A consumer needs the leader of the cluster's metadata, may
  be lost with its broker, is left behind by clients that vanish, and delivers to any subject its
  maker names. A place in a stream is a number that its reader keeps.
- A stream's identity is a random id in its metadata, set by whoever creates it. Of several nodes
  creating at once one wins and the others read its id.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bzzz_core.errors import (
    BrokerError,
    BzzzError,
    QuorumUnavailable,
    RequestTimeout,
    TransportError,
)
from bzzz_core.fabric.answers import Reply
from bzzz_core.fabric.jetstream import (
    NO_MESSAGE,
    STREAM_EXISTS,
    STREAM_MISSING,
    Answer,
    GotMessage,
    JetStreamRefusal,
    PubAck,
    StoredMessage,
    StreamInfo,
    WholeConfig,
    decode,
    encode,
    reply_of,
)
from bzzz_core.fabric.layout import direct_api, stream_api
from bzzz_core.fabric.nats import NatsFabric
from bzzz_core.model import Revision, StreamId
from bzzz_core.ports import Clock
from bzzz_core.telemetry import logs

ID_KEY: Final = "bzzz_stream_id"
ANSWER_MS_MAX: Final = 2_000
EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"
EXPECTED_SUBJECT: Final = "Nats-Expected-Last-Subject-Sequence-Subject"
TTL: Final = "Nats-TTL"
KEPT: Final = "max_msgs_per_subject"
_FIND_MS_MAX: Final = 300
_RETRY_MS: Final = 50
_LIMIT_TRIES: Final = 3
_END_OF_BATCH: Final = "204"
_NOTHING: Final = "404"


@dataclass(frozen=True, slots=True)
class Batch:
    """Some messages of a stream, in order."""

    messages: tuple[Reply, ...]
    more: bool
    """Whether the replica has more of them."""


class Stream:
    """The questions about one stream."""

    def __init__(
        self,
        fabric: NatsFabric,
        *,
        name: str,
        clock: Clock,
        settings: Mapping[str, object] | None,
    ) -> None:
        """Ask nothing yet; without `settings` the stream is not created, only waited for."""
        self.name = name
        self.fabric = fabric
        self._clock = clock
        self._settings = settings
        self._id: StreamId | None = None
        self._log = logs.get("fabric")

    @property
    def identity(self) -> StreamId:
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
                info = await self._find_or_create()
                identity = self.identity_in(info)
                await self._limit(info)
                self._id = identity
            except (QuorumUnavailable, TransportError) as exc:
                if self._clock.now_ms() >= deadline_ms:
                    raise QuorumUnavailable(
                        f"the stream {self.name} could not be opened in {timeout_ms} ms: {exc}"
                    ) from exc
                await self._clock.sleep_ms(_RETRY_MS)

    def identity_in(self, info: StreamInfo) -> StreamId:
        """Return the identity that `info` tells.

        Raises:
            BrokerError: It tells none.
        """
        identity = (info.config.metadata or {}).get(ID_KEY)
        if not identity:
            raise BrokerError(
                f"the stream {self.name} has no {ID_KEY}: it was not made by BZZZ; remove it"
            )
        return StreamId(identity)

    async def held(self, subject: str) -> tuple[int, int]:
        """Return the stream's bytes and how many messages `subject` has, as its leader knows them.

        Raises:
            QuorumUnavailable: Nobody could say.
        """
        info = await self.request("INFO", StreamInfo, {"subjects_filter": subject})
        return info.state.bytes, (info.state.subjects or {}).get(subject, 0)

    async def info(self, timeout_ms: int = ANSWER_MS_MAX) -> StreamInfo:
        """Return what the stream's leader knows of it.

        Raises:
            QuorumUnavailable: Nobody could say.
        """
        return await self.request("INFO", StreamInfo, timeout_ms=timeout_ms)

    async def subjects(self, pattern: str) -> list[str]:
        """Return the subjects that hold a message, as the stream's leader knows them.

        Raises:
            QuorumUnavailable: Nobody could say.
        """
        found: set[str] = set()
        while True:
            question = {"subjects_filter": pattern, "offset": len(found)}
            info = await self.request("INFO", StreamInfo, question)
            page = set(info.state.subjects or {})
            if page <= found or len(found | page) >= info.total:
                return sorted(found | page)
            found |= page

    async def last_of(
        self, subject: str, what: str, *, timeout_ms: int = ANSWER_MS_MAX
    ) -> StoredMessage | None:
        """Return the last message on `subject` as the stream's leader knows it, or None.

        Args:
            subject: May be a pattern; the leader then looks at each subject that it matches.
            what: What the caller is doing, for errors.
            timeout_ms: How long the answer is waited for.

        Raises:
            QuorumUnavailable: No leader of the stream answered in time.
        """
        try:
            question: dict[str, object] = {"last_by_subj": subject}
            got = await self._ask("MSG.GET", GotMessage, question, timeout_ms=timeout_ms)
        except JetStreamRefusal as exc:
            if exc.number == NO_MESSAGE:
                return None
            raise exc.as_ours(what) from exc
        except TransportError as exc:
            raise QuorumUnavailable(f"{what}: {exc}") from exc
        return got.message

    async def next_of(
        self, pattern: str, start: int, *, timeout_ms: int = ANSWER_MS_MAX
    ) -> Revision | None:
        """Return where the first message from `start` on lies, as the stream's leader knows it.

        Raises:
            QuorumUnavailable: No leader of the stream answered in time.
            BzzzError: JetStream refuses.
        """
        question: dict[str, object] = {"seq": max(1, start), "next_by_subj": pattern}
        try:
            got = await self._ask("MSG.GET", GotMessage, question, timeout_ms=timeout_ms)
        except JetStreamRefusal as exc:
            if exc.number == NO_MESSAGE:
                return None
            raise exc.as_ours(f"looking on in {self.name}") from exc
        except TransportError as exc:
            raise QuorumUnavailable(f"looking on in {self.name}: {exc}") from exc
        return Revision(got.message.seq)

    async def write(
        self, subject: str, value: bytes, headers: dict[str, str] | None, what: str
    ) -> Revision:
        """Publish and return the sequence once a majority has it.

        Raises:
            RevisionConflict: What `headers` expect does not hold; nothing was written.
            StreamBusy: Another guarded write is in flight; nothing was written.
            RequestTimeout: No answer; it may still have happened.
            QuorumUnavailable: The stream has no leader; nothing was acknowledged.
            PermissionDenied: The broker refuses the subject.
        """
        try:
            reply = await self.fabric.ask(subject, value, headers=headers, timeout_ms=ANSWER_MS_MAX)
        except RequestTimeout:
            raise  # It was sent: the caller has to find out what became of it.
        except TransportError as exc:
            raise QuorumUnavailable(f"{what}: not sent: {exc}") from exc
        if reply.no_responders:
            raise QuorumUnavailable(f"{what}: the stream {self.name} has no leader")
        try:
            return Revision(decode(reply.data, PubAck).seq)
        except JetStreamRefusal as exc:
            raise exc.as_ours(what) from exc

    async def read_on(
        self, pattern: str, start: int, *, count: int, bytes_max: int, timeout_ms: int
    ) -> Batch:
        """Return up to `count` messages from sequence `start` on, as some replica has them.

        Raises:
            QuorumUnavailable: No replica answered in time.
            BrokerError: The answer makes no sense.
        """
        question = {
            "seq": max(1, start),
            "batch": count,
            "max_bytes": bytes_max,
            "next_by_subj": pattern,
        }
        try:
            replies = await self.fabric.ask_many(
                direct_api(self.name), encode(question), count=count, timeout_ms=timeout_ms
            )
        except TransportError as exc:
            raise QuorumUnavailable(f"reading on in {self.name}: {exc}") from exc
        *messages, last = replies
        if last.no_responders:
            raise QuorumUnavailable(f"no replica of {self.name} answers")
        if last.status not in (_END_OF_BATCH, _NOTHING):
            raise BrokerError(f"reading on in {self.name}: the broker says {last.status!r}")
        return Batch(tuple(messages), more=last.headers.get("Nats-Num-Pending", "0") != "0")

    async def request(
        self,
        verb: str,
        kind: type[Answer],
        question: dict[str, object] | None = None,
        *,
        timeout_ms: int = ANSWER_MS_MAX,
    ) -> Answer:
        """Ask JetStream about the stream.

        Raises:
            QuorumUnavailable: Nobody answered in time.
            BzzzError: JetStream refuses.
        """
        try:
            return await self._ask(verb, kind, question, timeout_ms=timeout_ms)
        except JetStreamRefusal as exc:
            raise exc.as_ours(f"{verb} of {self.name}") from exc
        except TransportError as exc:
            raise QuorumUnavailable(f"{verb} of {self.name}: {exc}") from exc

    async def _find_or_create(self) -> StreamInfo:
        try:
            return await self._ask("INFO", StreamInfo, timeout_ms=_FIND_MS_MAX)
        except JetStreamRefusal as exc:
            if exc.number != STREAM_MISSING:
                raise exc.as_ours(f"asking for {self.name}") from exc
        if self._settings is None:
            raise QuorumUnavailable(f"no voter has created {self.name} yet")
        settings = {
            **self._settings,
            "name": self.name,
            "metadata": {ID_KEY: secrets.token_hex(16)},
        }
        try:
            return await self._ask("CREATE", StreamInfo, settings)
        except JetStreamRefusal as exc:
            if exc.number == STREAM_EXISTS:
                raise QuorumUnavailable(f"another node is creating {self.name}") from exc
            raise exc.as_ours(f"creating {self.name}") from exc

    async def _limit(self, info: StreamInfo) -> None:
        """Give a stream of an earlier release, which kept everything, its limit of each subject.

        A stream that has a limit keeps it. Without one a voter can still work, so failure is
        written down only; `fabric status` shows it, and the next start tries again.
        """
        kept = (self._settings or {}).get(KEPT)
        if kept is None or info.config.max_msgs_per_subject > 0:
            return
        why = ""
        for _ in range(_LIMIT_TRIES):
            try:
                whole = await self._ask("INFO", WholeConfig)
                if int(whole.config.get(KEPT, 0)) > 0:
                    return  # By another voter, or by the attempt whose answer was lost.
                await self._ask("UPDATE", StreamInfo, {**whole.config, KEPT: kept})
            except (BzzzError, JetStreamRefusal) as exc:
                why = str(exc)
            else:
                self._log.info("stream limited", stream=self.name, kept=kept)
                return
        self._log.warning("stream not limited", stream=self.name, error=why)

    async def _ask(
        self,
        verb: str,
        kind: type[Answer],
        question: dict[str, object] | None = None,
        *,
        timeout_ms: int = ANSWER_MS_MAX,
    ) -> Answer:
        subject = stream_api(verb, self.name)
        body = encode(question) if question else b""
        reply = await reply_of(
            subject,
            lambda left_ms: self.fabric.ask(subject, body, timeout_ms=left_ms),
            clock=self._clock,
            timeout_ms=timeout_ms,
        )
        return decode(reply.data, kind)
