"""The fabric on a NATS cluster: stays attached to some broker, keeps interest, carries messages.

A voter prefers its own broker and goes to another voter's while its own is away; then it is
`DEGRADED`, and it goes home as soon as its own broker is routed again. (A broker that accepts
connections need not be part of the cluster yet, so the way home is proven first: a message sent
through the new link has to arrive on the old one.) An edge spreads over the voters by a hash of the
two ids, the same order at each start.

`run` owns all connections. Subscriptions belong to this object, not to a connection: they are made
again on each new one. What is published while no broker is reachable is refused, never buffered: a
heartbeat from the past helps nobody.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from nats.aio.subscription import Subscription as NatsSubscription

from bzzz_core.config.schema import AgentConfig
from bzzz_core.errors import PermissionDenied, TransportError
from bzzz_core.fabric.broker import loopback_of
from bzzz_core.fabric.layout import inbox_prefix
from bzzz_core.fabric.link import BrokerAddress, BrokerLink, Reply
from bzzz_core.model import FabricState, NodeId
from bzzz_core.ports import Clock, Message
from bzzz_core.telemetry import logs
from bzzz_core.trust.secrets_directory import SecretsDirectory
from bzzz_core.trust.tls import client_context

_RETRY_MS_MIN: Final = 50
_RETRY_MS_MAX: Final = 1_000
_LOOK_MS: Final = 1_000
_SILENCE_MS_MAX: Final = 2_000
"""A broker that is paused or cut off is left after at most `_LOOK_MS` plus this."""
_PROBE_MS_MAX: Final = 500
_RETIRE_MS_MAX: Final = 3_000


@dataclass(eq=False, slots=True)
class _Interest:
    """A subscription as the caller sees it, whatever connection carries it at the moment."""

    owner: NatsFabric
    subject: str
    handler: Callable[[Message], None]
    carried_by: BrokerLink | None = None
    carrier: NatsSubscription | None = None

    async def stop(self) -> None:
        """End it; no handler call starts afterwards."""
        await self.owner._forget(self)  # noqa: SLF001  the two are one thing


class NatsFabric:
    """Publish/subscribe over mutual TLS; satisfies `ports.Fabric` while `run` is running."""

    def __init__(
        self,
        *,
        node: NodeId,
        brokers: Sequence[BrokerAddress],
        secrets: SecretsDirectory,
        clock: Clock,
    ) -> None:
        """Connect nothing yet.

        Args:
            node: Who we are, as our certificate says.
            brokers: All voters' brokers, in any order; our own may be among them.
            secrets: Where our certificate and the node authority are.
            clock: For the waits between attempts.
        """
        self._node = node
        self._brokers = _by_preference(node, brokers)
        self._secrets = secrets
        self._clock = clock
        self._log = logs.get("fabric")
        self._link: BrokerLink | None = None
        self._attached = asyncio.Event()
        self._state = FabricState.CONNECTING
        self._interests: list[_Interest] = []
        self._carrying = asyncio.Lock()
        """Held while interest moves between connections, so that none is left on an old one."""
        self.counters: Counter[str] = Counter()
        """What happened so far, by kind: connections, connection_errors, permission_violations,
        interest_not_carried, dropped_messages, handler_failures, late_replies."""

    @classmethod
    def from_agent_config(cls, config: AgentConfig, *, clock: Clock) -> Self:
        """Return the fabric of a configured node; its own broker is reached over loopback.

        Loopback works when the node's address is not the machine's own (NAT) or its link is down.
        """
        me = config.me
        return cls(
            node=NodeId(me.id),
            brokers=[
                BrokerAddress(
                    node=NodeId(entry.id),
                    host=loopback_of(entry.address) if entry.id == me.id else entry.address,
                    port=entry.fabric_client,
                )
                for entry in config.cluster.nodes
                if entry.voter
            ],
            secrets=SecretsDirectory(Path(config.security.directory)),
            clock=clock,
        )

    @property
    def state(self) -> FabricState:
        """Return how well this node is attached right now."""
        return self._state

    @property
    def server_name(self) -> str | None:
        """Return the name of the broker we are attached to, or None."""
        return self._link.server_name if self._link else None

    async def run(self) -> None:
        """Stay attached until cancelled.

        Raises:
            TrustError: Our certificate cannot be used.
        """
        context = client_context(self._secrets)
        link: BrokerLink | None = None
        try:
            async with asyncio.TaskGroup() as retiring:
                link = await self._open_any(context, self._brokers)
                while True:
                    successor = await self._serve(link, context)
                    retiring.create_task(self._retire(link))
                    if successor is None:
                        # The broker just lost comes last: if it is paused, trying it costs seconds.
                        last = link.broker
                        others = [broker for broker in self._brokers if broker is not last]
                        link = None
                        successor = await self._open_any(context, [*others, last])
                    link = successor
        finally:
            self._detach()
            if link is not None:
                await link.close()

    async def wait_attached(self) -> None:
        """Return once a broker is connected; at once if one is."""
        await self._attached.wait()

    async def publish(self, subject: str, data: bytes) -> None:
        """Hand `data` to the broker; returns before anyone received it.

        Raises:
            TransportError: Not attached.
        """
        if self._link is None:
            raise TransportError("not attached to any broker")
        await self._link.publish(subject, data)

    async def subscribe(self, subject: str, handler: Callable[[Message], None]) -> _Interest:
        """Call `handler` for each message, one at a time, in order.

        Before the first connection the interest is only noted.

        Raises:
            PermissionDenied: The broker refuses the subject.
        """
        interest = _Interest(self, subject, handler)
        async with self._carrying:
            self._interests.append(interest)
            if self._link is not None:
                try:
                    await self._carry(interest, self._link)
                except PermissionDenied:
                    self._interests.remove(interest)
                    raise
                except TransportError:
                    self.counters["connection_errors"] += 1  # The next connection carries it.
        return interest

    async def request(
        self,
        subject: str,
        data: bytes,
        *,
        timeout_ms: int,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """Publish and wait for one answer; waits for a connection first, within the same time.

        Raises:
            PermissionDenied: The broker refuses the subject.
            RequestTimeout: It was sent, and no answer came.
            TransportError: It was not sent.
        """
        started_ms = self._clock.now_ms()
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await self._attached.wait()
        except TimeoutError as exc:
            raise TransportError(f"no broker reached within {timeout_ms} ms") from exc
        if self._link is None:  # Lost again before this task had its turn.
            raise TransportError("the connection to the broker is over")
        left_ms = max(1, timeout_ms - (self._clock.now_ms() - started_ms))
        return await self._link.request(subject, data, headers=headers, timeout_ms=left_ms)

    async def _open_any(
        self, context: ssl.SSLContext, brokers: Sequence[BrokerAddress]
    ) -> BrokerLink:
        delay_ms = _RETRY_MS_MIN
        while True:
            for broker in brokers:
                try:
                    return await self._open(broker, context)
                except TransportError as exc:
                    self.counters["connection_errors"] += 1
                    self._log.info("broker not reached", peer=broker.node, reason=str(exc))
            await self._clock.sleep_ms(delay_ms)
            delay_ms = min(2 * delay_ms, _RETRY_MS_MAX)

    async def _open(self, broker: BrokerAddress, context: ssl.SSLContext) -> BrokerLink:
        return await BrokerLink.open(
            broker, node=self._node, context=context, counters=self.counters
        )

    async def _serve(self, link: BrokerLink, context: ssl.SSLContext) -> BrokerLink | None:
        """Work through `link` until it is over (None) or a link to our own broker replaces it."""
        await self._attach(link)
        while not link.closed.is_set():
            try:
                async with asyncio.timeout(_LOOK_MS / 1000):
                    await link.closed.wait()
            except TimeoutError:
                if not await link.answers(_SILENCE_MS_MAX):
                    link.give_up()
                    break
                await self._carry_what_is_left(link)
                if self._state is FabricState.DEGRADED:
                    home = await self._way_home(link, context)
                    if home is not None:
                        return home
        self._detach()
        self._log.warning("broker lost", broker=link.server_name)
        return None

    async def _attach(self, link: BrokerLink) -> None:
        async with self._carrying:
            for interest in self._interests:
                await self._drop(interest)
                await self._try_to_carry(interest, link)
            self._link = link
        home = self._brokers[0]
        away = home.node == self._node and link.broker is not home
        self._state = FabricState.DEGRADED if away else FabricState.CONNECTED
        self._attached.set()
        self.counters["connections"] += 1
        self._log.info("attached", broker=link.server_name, state=str(self._state))

    def _detach(self) -> None:
        self._link = None
        self._attached.clear()
        if self._state is not FabricState.CONNECTING:
            self._state = FabricState.LOST

    async def _way_home(self, link: BrokerLink, context: ssl.SSLContext) -> BrokerLink | None:
        """Return a link to our own broker if it is back and routed to the one we use now."""
        try:
            # Our own broker is near: one that takes longer is not well, and we must not miss the
            # loss of the present one meanwhile.
            async with asyncio.timeout(_PROBE_MS_MAX / 1000):
                home = await self._open(self._brokers[0], context)
        except (TransportError, TimeoutError):
            return None
        try:
            if await self._is_routed(home, link):
                return home
        except BaseException:
            await home.close()
            raise
        await home.close()
        return None

    async def _is_routed(self, home: BrokerLink, link: BrokerLink) -> bool:
        arrived = asyncio.Event()
        subject = f"{inbox_prefix(self._node)}.probe.{self.counters['connections']}"
        try:
            carrier = await link.subscribe(subject, lambda _: arrived.set())
            try:
                async with asyncio.timeout(_PROBE_MS_MAX / 1000):
                    await home.publish(subject, b"")
                    await arrived.wait()
            finally:
                await link.unsubscribe(carrier)
        except (TimeoutError, TransportError, PermissionDenied):
            return False
        return True

    async def _retire(self, link: BrokerLink) -> None:
        """Close a replaced link once its last answers have come."""
        waited_ms = 0
        while link.busy and waited_ms < _RETIRE_MS_MAX:
            await self._clock.sleep_ms(_RETRY_MS_MIN)
            waited_ms += _RETRY_MS_MIN
        await link.close()

    async def _carry(self, interest: _Interest, link: BrokerLink) -> None:
        interest.carrier = await link.subscribe(interest.subject, interest.handler)
        interest.carried_by = link

    async def _try_to_carry(self, interest: _Interest, link: BrokerLink) -> None:
        try:
            await self._carry(interest, link)
        except (PermissionDenied, TransportError) as exc:
            self.counters["interest_not_carried"] += 1
            self._log.info("interest not carried", subject=interest.subject, reason=str(exc))

    async def _carry_what_is_left(self, link: BrokerLink) -> None:
        """Try again what failed; a broker that is told of new rights has no other sign of it."""
        async with self._carrying:
            for interest in self._interests:
                if interest.carrier is None and not link.closed.is_set():
                    await self._try_to_carry(interest, link)

    async def _drop(self, interest: _Interest) -> None:
        if interest.carried_by is not None and interest.carrier is not None:
            await interest.carried_by.unsubscribe(interest.carrier)
        interest.carried_by = interest.carrier = None

    async def _forget(self, interest: _Interest) -> None:
        async with self._carrying:
            if interest in self._interests:
                self._interests.remove(interest)
            await self._drop(interest)


def _by_preference(node: NodeId, brokers: Sequence[BrokerAddress]) -> tuple[BrokerAddress, ...]:
    """Order brokers: our own, then the others in an order that differs from node to node."""

    def rank(broker: BrokerAddress) -> tuple[bool, bytes]:
        pair = f"{node} {broker.node}".encode()
        return broker.node != node, hashlib.sha256(pair).digest()

    assert brokers, "a cluster has at least one voter"
    return tuple(sorted(brokers, key=rank))
