"""The streams as a voter keeps them at its own broker: list, scale, move, evict.

Low-level steps like those of `fabric.operations`, here of the account that holds the streams. Each
may be repeated. They return once the broker has *taken* the change; whether the replicas have
caught up is what `states` says, and who changes anything looks there first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from bzzz_core.config.schema import AgentConfig
from bzzz_core.errors import QuorumUnavailable, RequestTimeout
from bzzz_core.fabric.jetstream import (
    NO_PEERS,
    STREAM_MISSING,
    Answer,
    ClusterInfo,
    JetStreamRefusal,
    decode,
    encode,
    reply_of,
)
from bzzz_core.fabric.layout import stream_api
from bzzz_core.fabric.link import BrokerLink
from bzzz_core.fabric.operations import own_broker
from bzzz_core.fabric.stream import KEPT
from bzzz_core.model import NodeId
from bzzz_core.ports import Clock
from bzzz_core.trust.secrets_directory import SecretsDirectory
from bzzz_core.trust.tls import client_context

ANSWER_MS_MAX: Final = 5_000
"""A list asks every broker, and one that is away is waited for."""
SCALE_MS_MAX: Final = 20_000
_AGAIN_MS: Final = 500
"""Right after a join the new broker still counts as offline (10005) for a moment."""
_STREAMS_MAX: Final = 1_000

_Name = Annotated[str, msgspec.Meta(max_length=256)]


class _State(msgspec.Struct):
    messages: int = 0
    bytes: int = 0
    last_seq: int = 0


class _Stream(msgspec.Struct):
    config: dict[str, Any]
    state: _State
    cluster: ClusterInfo | None = None


class _Page(msgspec.Struct):
    total: int = 0
    streams: Annotated[list[_Stream], msgspec.Meta(max_length=_STREAMS_MAX)] | None = None
    missing: list[_Name] | None = None


class _Done(msgspec.Struct):
    success: bool = False


@dataclass(frozen=True, slots=True)
class Placed:
    """One replica of a stream."""

    server_name: str
    leader: bool
    current: bool
    """Online, and has all that the leader acknowledged."""
    lag: int


@dataclass(frozen=True, slots=True)
class StreamState:
    """One stream: what it is to be and where it is."""

    name: str
    replicas: int
    """How many it is to have."""
    placed: tuple[Placed, ...]
    """Those there are, the leader first; without one the stream is between leaders."""
    messages: int
    bytes: int
    last_sequence: int
    kept: int
    """How many messages of each subject it keeps; 0 if all."""

    @property
    def settled(self) -> bool:
        """Return whether it has all its replicas, each with everything."""
        return (
            len(self.placed) == self.replicas
            and any(replica.leader for replica in self.placed)
            and all(replica.current for replica in self.placed)
        )


class StreamKeeper:
    """The streams of the account, over one link to our own broker."""

    def __init__(self, link: BrokerLink, *, clock: Clock) -> None:
        """Ask nothing yet."""
        self._link = link
        self._clock = clock

    @property
    def link(self) -> BrokerLink:
        """Return the connection, for what needs more than questions and answers."""
        return self._link

    async def ask(
        self,
        subject: str,
        question: dict[str, Any],
        kind: type[Answer],
        *,
        timeout_ms: int = ANSWER_MS_MAX,
    ) -> Answer:
        """Ask JetStream something; an empty question is none.

        Raises:
            QuorumUnavailable: Nobody listens.
            RequestTimeout: No answer; it may still have happened.
            JetStreamRefusal: It refuses.
        """
        body = encode(question) if question else b""
        reply = await reply_of(
            subject,
            lambda left_ms: self._link.request(subject, body, headers=None, timeout_ms=left_ms),
            clock=self._clock,
            timeout_ms=timeout_ms,
        )
        return decode(reply.data, kind)

    async def states(self) -> tuple[StreamState, ...]:
        """Return all streams, by name.

        Raises:
            QuorumUnavailable: Not all of them could be asked.
        """
        found: dict[str, StreamState] = {}
        while len(found) < _STREAMS_MAX:
            try:
                page = await self.ask("$JS.API.STREAM.LIST", {"offset": len(found)}, _Page)
            except JetStreamRefusal as exc:
                raise exc.as_ours("listing the streams") from exc
            if page.missing:
                raise QuorumUnavailable(f"no answer for the streams {', '.join(page.missing)}")
            found |= {str(s.config.get("name")): self._state_of(s) for s in page.streams or []}
            if not page.streams or len(found) >= page.total:
                break
        return tuple(found[name] for name in sorted(found))

    async def state(self, stream: str) -> StreamState | None:
        """Return one stream, or None if there is none of this name."""
        try:
            return self._state_of(await self._info(stream))
        except JetStreamRefusal as exc:
            if exc.number == STREAM_MISSING:
                return None
            raise exc.as_ours(f"asking for {stream}") from exc

    async def config(self, stream: str) -> dict[str, Any]:
        """Return a stream's configuration as the broker holds it."""
        try:
            return (await self._info(stream)).config
        except JetStreamRefusal as exc:
            raise exc.as_ours(f"asking for {stream}") from exc

    async def scale(self, stream: str, replicas: int) -> None:
        """Let a stream have this many replicas.

        Raises:
            QuorumUnavailable: There are not enough brokers that could hold them.
        """
        deadline_ms = self._clock.now_ms() + SCALE_MS_MAX
        while True:
            config = await self.config(stream)
            if config.get("num_replicas") == replicas:
                return
            try:
                subject = stream_api("UPDATE", stream)
                await self.ask(subject, {**config, "num_replicas": replicas}, _Stream)
            except JetStreamRefusal as exc:
                if exc.number != NO_PEERS or self._clock.now_ms() >= deadline_ms:
                    raise exc.as_ours(f"{replicas} replicas of {stream}") from exc
            except RequestTimeout:
                if self._clock.now_ms() >= deadline_ms:
                    raise
            else:
                return
            await self._clock.sleep_ms(_AGAIN_MS)

    async def evict(self, stream: str, server_name: str) -> None:
        """Take a stream's replica off one broker; another broker gets one if there is a choice."""
        await self._order(stream_api("PEER.REMOVE", stream), {"peer": server_name}, stream)

    async def move_leader(self, stream: str, server_name: str) -> None:
        """Ask for the stream to be led by this broker; whether it is, its state says."""
        state = await self.state(stream)
        if state and state.placed and state.placed[0] == Placed(server_name, True, True, 0):  # noqa: FBT003
            return  # Asking would be refused with the number of "no suitable peers".
        placement = {"placement": {"preferred": server_name}}
        await self._order(stream_api("LEADER.STEPDOWN", stream), placement, stream)

    async def delete(self, stream: str) -> None:
        """Delete a stream and all it holds."""
        await self._order(stream_api("DELETE", stream), {}, stream)

    async def _order(self, subject: str, question: dict[str, Any], stream: str) -> None:
        try:
            done = await self.ask(subject, question, _Done)
        except JetStreamRefusal as exc:
            raise exc.as_ours(f"{subject} of {stream}") from exc
        if not done.success:
            raise QuorumUnavailable(f"{subject} was not carried out")

    async def _info(self, stream: str) -> _Stream:
        return await self.ask(stream_api("INFO", stream), {}, _Stream)

    def _state_of(self, stream: _Stream) -> StreamState:
        cluster = stream.cluster or ClusterInfo(leader=self._link.server_name)
        leader = [Placed(cluster.leader, leader=True, current=True, lag=0)]
        others = [
            Placed(peer.name, leader=False, current=peer.current and not peer.offline, lag=peer.lag)
            for peer in cluster.replicas or []
        ]
        return StreamState(
            name=str(stream.config.get("name")),
            replicas=int(stream.config.get("num_replicas", 1)),
            placed=(*(leader if cluster.leader else []), *others),
            messages=stream.state.messages,
            bytes=stream.state.bytes,
            last_sequence=stream.state.last_seq,
            kept=max(0, int(stream.config.get(KEPT, 0))),
        )


@asynccontextmanager
async def stream_keeper(config: AgentConfig, *, clock: Clock) -> AsyncIterator[StreamKeeper]:
    """Keep the streams through this voter's own broker while the block lasts.

    Raises:
        TransportError: The broker does not answer or does not take us.
    """
    secrets = SecretsDirectory(Path(config.security.directory))
    link = await BrokerLink.open(
        own_broker(config),
        node=NodeId(config.me.id),
        context=client_context(secrets),
        counters=Counter(),
    )
    try:
        yield StreamKeeper(link, clock=clock)
    finally:
        await link.close()
