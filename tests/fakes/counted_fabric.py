"""A fabric for a thousand nodes in one process: finds listeners at once, counts, cuts and loses.

Subjects are matched whole or by a final `*` only, which is what membership uses; delivery takes a
millisecond of the loop's time, so it runs in virtual time as well. Requests go to the leader's
handler (`LeaderLine`), as `bzzz_core.leader_requests` would carry them.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from bzzz_core.errors import NotLeader, TransportError
from bzzz_core.model import FabricState, NodeId
from bzzz_core.ports import Message

LATENCY_S = 0.001


@dataclass
class CountedHub:
    """What all nodes publish through."""

    seed: int = 0
    loss: float = 0.0
    """Share of deliveries that do not happen."""
    cut: set[NodeId] = field(default_factory=set)
    """Nodes that neither send nor hear."""
    sent_bytes: Counter[NodeId] = field(default_factory=Counter)
    heard_bytes: Counter[NodeId] = field(default_factory=Counter)
    heard_messages: Counter[NodeId] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.interests: dict[str, list[CountedInterest]] = defaultdict(list)

    def attach(self, node: NodeId) -> CountedFabric:
        """Return a node's fabric."""
        return CountedFabric(self, node)

    def spread(self, sender: NodeId, message: Message) -> None:
        """Deliver to everyone interested."""
        self.sent_bytes[sender] += len(message.data)
        if sender in self.cut:
            return
        prefix, _, _ = message.subject.rpartition(".")
        for pattern in (message.subject, f"{prefix}.*"):
            for interest in self.interests.get(pattern, ()):
                if interest.node not in self.cut and self.random.random() >= self.loss:
                    asyncio.get_running_loop().call_later(LATENCY_S, interest.take, message)


@dataclass(eq=False)
class CountedInterest:
    """One node's interest in a subject."""

    hub: CountedHub
    node: NodeId
    subject: str
    handler: Callable[[Message], None]
    live: bool = True

    def take(self, message: Message) -> None:
        """Hand a message over."""
        if self.live:
            self.hub.heard_bytes[self.node] += len(message.data)
            self.hub.heard_messages[self.node] += 1
            self.handler(message)

    async def stop(self) -> None:
        """End it."""
        self.live = False
        self.hub.interests[self.subject].remove(self)


class CountedFabric:
    """One node's attachment; the part of `ports.Fabric` that membership uses."""

    state = FabricState.CONNECTED

    def __init__(self, hub: CountedHub, node: NodeId) -> None:
        """Attach."""
        self.hub = hub
        self.node = node

    async def publish(self, subject: str, data: bytes) -> None:
        """Hand over."""
        if self.node in self.hub.cut:
            raise TransportError("cut off")
        self.hub.spread(self.node, Message(subject, data))

    async def subscribe(self, subject: str, handler: Callable[[Message], None]) -> CountedInterest:
        """Listen."""
        interest = CountedInterest(self.hub, self.node, subject, handler)
        self.hub.interests[subject].append(interest)
        return interest


class LeaderLine:
    """Carries questions to whoever leads."""

    def __init__(self, hub: CountedHub) -> None:
        """Know no leader."""
        self.hub = hub
        self.leader: NodeId | None = None
        self.handlers: dict[NodeId, Callable[[NodeId, bytes], Awaitable[bytes]]] = {}

    async def ask(self, asker: NodeId, body: bytes) -> bytes:
        """Return the leader's answer."""
        await asyncio.sleep(LATENCY_S)
        if self.leader is None or {self.leader, asker} & self.hub.cut:
            raise NotLeader("no leader answers")
        answer = await self.handlers[self.leader](asker, body)
        self.hub.sent_bytes[self.leader] += len(answer)
        self.hub.heard_bytes[asker] += len(answer)
        return answer
