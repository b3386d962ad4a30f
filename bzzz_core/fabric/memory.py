"""The fabric inside one process: same ports, and trouble on demand.

All nodes attach to one `MemoryHub`. Latency and failure rate apply to every message and record
operation, drawn from a seeded generator, so that a run can be repeated; they and each node's
connection state can be changed at any time. A failed record operation is as nasty as a real one: in
half of the cases the write happened all the same.

Delivery runs through the event loop in the order of publishing, each message a call of its own: a
handler that raises is reported by the loop and the messages after it still come.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar, cast

from bzzz_core.errors import (
    NoResponders,
    PermissionDenied,
    QuorumUnavailable,
    RequestTimeout,
    RevisionConflict,
    StreamBusy,
    TransportError,
)
from bzzz_core.fabric.layout import Permissions, answer_subject, inbox_prefix, trace_of
from bzzz_core.fabric.room import Room
from bzzz_core.fabric.subjects import covers, matches
from bzzz_core.model import FabricState, NodeId, Revision, StreamId
from bzzz_core.ports import Clock, Guard, Message, Record

Shared = TypeVar("Shared")
_ATTACHED = (FabricState.CONNECTED, FabricState.DEGRADED)


@dataclass(slots=True)
class _Stream:
    """What a broker's stream would hold."""

    identity: StreamId
    last: int = 0
    records: dict[str, Record] = field(default_factory=dict)
    requests: dict[str, Revision] = field(default_factory=dict)
    writing: bool = False


class MemoryHub:
    """What a cluster of brokers would be."""

    def __init__(
        self,
        *,
        clock: Clock,
        seed: int = 0,
        latency_ms: tuple[int, int] = (0, 0),
        failure_rate: float = 0.0,
    ) -> None:
        """Start without nodes.

        Args:
            clock: For the waits of record operations.
            seed: Two hubs with one seed and the same calls behave alike.
            latency_ms: Least and most, 0 to 1000; changeable later.
            failure_rate: Share of messages and operations that fail, 0.0 to 1.0; changeable later.
        """
        self.clock = clock
        self.random = random.Random(seed)  # noqa: S311  repeatable, not secret
        self.latency_ms = latency_ms
        self.failure_rate = failure_rate
        self._nodes: dict[NodeId, MemoryFabric] = {}
        self._streams: dict[str, _Stream] = {}
        self._shared: dict[str, object] = {}

    def attach(self, node: NodeId, *, allowed: Permissions | None = None) -> MemoryFabric:
        """Return the fabric of a node that appears, or comes back; None allows it everything."""
        fabric = self._nodes.get(node)
        if fabric is None:
            fabric = self._nodes[node] = MemoryFabric(self, node, allowed)
        fabric.state = FabricState.CONNECTED
        return fabric

    def detach(self, node: NodeId) -> None:
        """Let a node leave: its interest is gone and it can send nothing."""
        fabric = self._nodes.pop(node, None)
        if fabric is not None:
            fabric.state = FabricState.LOST
            fabric.interests.clear()

    def draw_latency_ms(self) -> int:
        """Return the latency of the next message."""
        least, most = self.latency_ms
        return self.random.randint(least, most)

    def draw_failure(self) -> bool:
        """Return whether the next message or operation fails."""
        return self.random.random() < self.failure_rate

    def spread(self, message: Message) -> bool:
        """Deliver to everyone interested and return whether there is anyone."""
        interested = [node for node in list(self._nodes.values()) if node.receive(message)]
        return bool(interested)

    def find_stream(self, name: str) -> _Stream:
        """Return a stream, creating it on first use."""
        if name not in self._streams:
            identity = StreamId(f"{self.random.getrandbits(128):032x}")
            self._streams[name] = _Stream(identity)
        return self._streams[name]

    def shared(self, name: str, make: Callable[[], Shared]) -> Shared:
        """Return what all nodes share under `name`, made on first use."""
        return cast("Shared", self._shared.setdefault(name, make()))

    def forget_stream(self, name: str) -> None:
        """Lose a stream with all it holds; the next one of this name has another identity."""
        self._streams.pop(name, None)


class MemoryFabric:
    """One node's attachment; satisfies `ports.Fabric`."""

    def __init__(self, hub: MemoryHub, node: NodeId, allowed: Permissions | None) -> None:
        """Start connected; use `MemoryHub.attach`."""
        self.node = node
        self.allowed = allowed
        """What this node may do, settable; None is everything."""
        self.on_state: list[Callable[[], None]] = []
        """Called after each change of `state`."""
        self._state = FabricState.CONNECTED
        self.interests: list[MemoryInterest] = []
        self.counters: Counter[str] = Counter()
        self._hub = hub
        self._asked = 0

    @property
    def state(self) -> FabricState:
        """Return how well this node is attached.

        Settable: CONNECTING and LOST carry nothing, DEGRADED carries all.
        """
        return self._state

    @state.setter
    def state(self, state: FabricState) -> None:
        self._state = state
        for changed in list(self.on_state):
            changed()

    @property
    def attached(self) -> bool:
        """Return whether messages pass."""
        return self._state in _ATTACHED

    async def publish(self, subject: str, data: bytes) -> None:
        """Hand `data` to the hub; see `ports.Fabric.publish`."""
        try:
            self._send(Message(subject, data))
        except PermissionDenied:
            self.counters["permission_violations"] += 1

    async def request(self, subject: str, data: bytes, *, timeout_ms: int) -> bytes:
        """Publish and return the first answer; see `ports.Fabric.request`."""
        self._asked += 1
        inbox = answer_subject(inbox_prefix(self.node), self._asked)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        interest = await self.subscribe(inbox, partial(_settle, answer))
        try:
            if not self._send(Message(subject, data, inbox, trace_of(inbox))):
                raise NoResponders(f"nobody answers on {subject}")
            async with asyncio.timeout(timeout_ms / 1000):
                return await answer
        except TimeoutError as exc:
            raise RequestTimeout(f"no answer to {subject} within {timeout_ms} ms") from exc
        finally:
            await interest.stop()

    async def reply(self, message: Message, data: bytes) -> None:
        """Answer a message that a `request` published; see `ports.Fabric.reply`."""
        if not message.reply:
            raise ValueError(f"nobody waits for an answer to {message.subject}")
        await self.publish(message.reply, data)

    def _send(self, message: Message) -> bool:
        """Spread a message and return whether anybody is interested."""
        if not self.attached:
            raise TransportError(f"{self.node} is not attached ({self.state})")
        self.check_publish(message.subject)
        return self._hub.spread(message)

    def check_publish(self, subject: str) -> None:
        """Raise PermissionDenied if this node may not publish there."""
        if self.allowed is not None and not any(
            matches(pattern, subject) for pattern in self.allowed.publish
        ):
            raise PermissionDenied(f"this node may not publish to {subject}")

    async def subscribe(self, subject: str, handler: Callable[[Message], None]) -> MemoryInterest:
        """Call `handler` for each message; see `ports.Fabric.subscribe`."""
        if self.allowed is not None and not any(
            covers(pattern, subject) for pattern in self.allowed.subscribe
        ):
            raise PermissionDenied(f"this node may not subscribe to {subject}")
        interest = MemoryInterest(self, subject, handler)
        self.interests.append(interest)
        return interest

    def receive(self, message: Message) -> bool:
        """Schedule a message for every matching interest, or lose it; return whether one is."""
        interested = False
        for interest in self.interests:
            if not self.attached or not matches(interest.subject, message.subject):
                continue
            interested = True
            if self._hub.draw_failure():
                self.counters["dropped_messages"] += 1
                continue
            interest.schedule(message, self._hub.draw_latency_ms())
        return interested


def _settle(answer: asyncio.Future[bytes], message: Message) -> None:
    if not answer.done():
        answer.set_result(message.data)


class MemoryInterest:
    """A live interest in a subject."""

    def __init__(
        self, fabric: MemoryFabric, subject: str, handler: Callable[[Message], None]
    ) -> None:
        """Listen; use `MemoryFabric.subscribe`."""
        self.subject = subject
        self._fabric = fabric
        self._handler = handler
        self._stopped = False
        self._due_s = 0.0
        self._under_way: deque[Message] = deque()

    async def stop(self) -> None:
        """End it; no handler call starts afterwards."""
        self._stopped = True
        if self in self._fabric.interests:
            self._fabric.interests.remove(self)

    def schedule(self, message: Message, latency_ms: int) -> None:
        """Call the handler after `latency_ms`, but never before an earlier message's call."""
        loop = asyncio.get_running_loop()
        self._under_way.append(message)
        self._due_s = max(loop.time() + latency_ms / 1000, self._due_s)
        # Timers of one time fire in any order, so a timer says when, and the queue says which.
        if latency_ms:
            loop.call_at(self._due_s, self._deliver)
        else:
            loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        message = self._under_way.popleft()
        if self._stopped or not self._fabric.attached:
            return
        done = False
        try:
            self._handler(message)
            done = True
        finally:
            self._fabric.counters["handler_failures"] += not done


class MemoryRecords:
    """Records of one stream of a hub, as one node uses them; satisfies `ports.Records`."""

    def __init__(
        self,
        hub: MemoryHub,
        fabric: MemoryFabric,
        *,
        stream: str = "control",
        bytes_max: int | None = None,
    ) -> None:
        """Use `stream`; `open` finds or creates it.

        Args:
            hub: Where it lies.
            fabric: This node's attachment.
            stream: Its name. It keeps the last value of each record.
            bytes_max: What it may hold before large records are refused; None is no limit.
        """
        self._room = Room(self, bytes_max=bytes_max, kept=1)
        self._hub = hub
        self._fabric = fabric
        self._name = stream
        self._id: StreamId | None = None

    @property
    def stream(self) -> StreamId:
        """Return the identity of the stream, known once `open` has returned."""
        assert self._id is not None, "open comes first"
        return self._id

    async def open(self, timeout_ms: int = 60_000) -> None:
        """Find the stream or create it.

        Raises:
            QuorumUnavailable: Not attached.
        """
        del timeout_ms
        await self._travel("opening")
        self._id = self._hub.find_stream(self._name).identity

    async def read(self, key: str) -> Record | None:
        """Return the last record; see `ports.Records.read`."""
        await self._travel(f"reading {key}")
        if self._hub.draw_failure():
            raise QuorumUnavailable(f"reading {key}: failure drawn")
        return self._hub.find_stream(self._name).records.get(key)

    async def write(
        self, key: str, value: bytes, guard: Guard, *, request_id: str | None = None
    ) -> Revision:
        """Write if the guard holds; see `ports.Records.write`."""
        if guard.key != key and guard.revision == 0:
            raise ValueError("a fence at revision 0 is accepted by the store whatever holds")
        await self._room.take(key, len(value), guard)
        stream = self._hub.find_stream(self._name)
        if stream.writing:
            raise StreamBusy(f"writing {key}: another guarded write is in flight")
        stream.writing = True
        try:
            await self._travel(f"writing {key}")
            fails = self._hub.draw_failure()
            if fails and self._hub.random.random() < 0.5:  # noqa: PLR2004  one of the two ways
                raise RequestTimeout(f"writing {key}: lost on its way to the store")
            revision = _write(stream, key, value, guard, request_id)
            if fails:
                raise RequestTimeout(f"writing {key}: the answer was lost")
            return revision
        finally:
            stream.writing = False

    async def held(self, key: str) -> tuple[int, int]:
        """Return the stream's bytes and how many values `key` has: one or none."""
        records = self._hub.find_stream(self._name).records
        return sum(len(record.value) for record in records.values()), int(key in records)

    async def _travel(self, what: str) -> None:
        if not self._fabric.attached:
            raise QuorumUnavailable(f"{what}: {self._fabric.node} is not attached")
        latency_ms = self._hub.draw_latency_ms()
        if latency_ms:
            await self._hub.clock.sleep_ms(latency_ms)


def _write(
    stream: _Stream, key: str, value: bytes, guard: Guard, request_id: str | None
) -> Revision:
    if request_id in stream.requests:
        return stream.requests[request_id]
    held = stream.records.get(guard.key)
    revision = held.revision if held else Revision(0)
    if revision != guard.revision:
        raise RevisionConflict(f"{guard.key} is at {revision}, not at {guard.revision}")
    stream.last += 1
    written = Revision(stream.last)
    stream.records[key] = Record(key, value, written, request_id)
    if request_id is not None:
        stream.requests[request_id] = written
    return written
