"""Guarded records on one JetStream stream; satisfies `ports.Records` once `open` has returned.

Key K lives at subject `<prefix>.K`; its value is the last message there, its revision the sequence
of that message. Everything goes through the stream's Raft leader (`fabric.stream` says why), which
`move_stream_leader` puts where it disturbs least.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bzzz_core.config.schema import AgentConfig
from bzzz_core.errors import BrokerError, QuorumUnavailable
from bzzz_core.fabric.jetstream import REQUEST_ID
from bzzz_core.fabric.layout import (
    CONTROL_KEPT,
    CONTROL_PREFIX,
    CONTROL_STREAM,
    control_bytes_max,
    control_settings,
)
from bzzz_core.fabric.nats import NatsFabric
from bzzz_core.fabric.room import Room
from bzzz_core.fabric.stream import EXPECTED, EXPECTED_SUBJECT, Stream
from bzzz_core.model import Revision, StreamId
from bzzz_core.ports import Clock, Guard, Record

MOVE_MS_MAX: Final = 5_000
_MOVE_AGAIN_MS: Final = 300
_UNSETTLED_MS_MAX: Final = 100
"""A stream without a leader does not answer at all, so asking again soon beats waiting."""
_POLL_MS: Final = 5


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
        kept: int = CONTROL_KEPT,
        bytes_max: int | None = None,
        stream: str = CONTROL_STREAM,
        prefix: str = CONTROL_PREFIX,
    ) -> None:
        """Ask nothing yet.

        Args:
            fabric: Where the brokers are reached.
            replicas: The number of voters.
            clock: For the waits between attempts.
            kept: How many values of each record stay in the stream.
            bytes_max: What the stream may hold before large records are refused; None is no limit.
            stream: Its name.
            prefix: What stands before keys in subjects.
        """
        self._fabric = fabric
        self._clock = clock
        self._prefix = prefix
        self._stream = Stream(
            fabric,
            name=stream,
            clock=clock,
            settings=control_settings(replicas, kept, prefix),
        )
        self._room = Room(self._stream, bytes_max=bytes_max, kept=kept)

    @property
    def stream(self) -> StreamId:
        """Return the identity of the stream, known once `open` has returned."""
        return self._stream.identity

    async def open(self, timeout_ms: int = 60_000) -> None:
        """Find the stream or create it, and learn its identity; see `Stream.open`."""
        await self._stream.open(timeout_ms)

    async def read(self, key: str) -> Record | None:
        """Return the last record as the stream's leader knows it; see `ports.Records.read`."""
        stored = await self._stream.last_of(self._subject(key), f"reading {key}")
        if stored is None:
            return None
        try:
            return Record(key, stored.payload, Revision(stored.seq), stored.request_id)
        except ValueError as exc:
            raise BrokerError(f"reading {key}: the answer is damaged") from exc

    async def write(
        self, key: str, value: bytes, guard: Guard, *, request_id: str | None = None
    ) -> Revision:
        """Write durably if the guard holds; see `ports.Records.write`."""
        headers = {EXPECTED: str(guard.revision)}
        if guard.key != key:
            if guard.revision == 0:
                raise ValueError("a fence at revision 0 is accepted by the store whatever holds")
            headers[EXPECTED_SUBJECT] = self._subject(guard.key)
        if request_id is not None:
            headers[REQUEST_ID] = request_id
        await self._room.take(self._subject(key), len(value), guard)
        return await self._stream.write(self._subject(key), value, headers, f"writing {key}")

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
        info = await self._stream.info()
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
        raise QuorumUnavailable(f"{preferred} did not become leader of {self._stream.name}")

    async def _leader_or_none(self) -> str | None:
        try:
            info = await self._stream.info(_UNSETTLED_MS_MAX)
        except QuorumUnavailable:
            return None  # It is between two leaders.
        return info.cluster.leader if info.cluster else self._fabric.server_name

    async def _step_down(self, preferred: str) -> None:
        question: dict[str, object] = {"placement": {"preferred": preferred}}
        await self._stream.request("LEADER.STEPDOWN", dict, question)

    def _subject(self, key: str) -> str:
        return f"{self._prefix}.{key}"


def control_records(
    config: AgentConfig, fabric: NatsFabric, *, clock: Clock, kept: int = CONTROL_KEPT
) -> NatsRecords:
    """Return a cluster's control records through a node's fabric, not opened."""
    return NatsRecords(
        fabric,
        replicas=sum(node.voter for node in config.cluster.nodes),
        clock=clock,
        kept=kept,
        bytes_max=control_bytes_max(config.resources.store_bytes_max),
    )
