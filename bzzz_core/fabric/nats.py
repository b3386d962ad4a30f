"""The fabric on a NATS cluster: stays attached to some broker, keeps interest, carries messages.

A voter prefers its own broker and goes to another voter's while its own is away; then it is
`DEGRADED`, and it goes home as soon as its own broker is routed again. An edge spreads over the
voters by a hash of the two ids, the same order at each start. (A broker that accepts connections
need not be part of the cluster yet, or any more: so the way home is proven first, and a broker that
stands alone is left as soon as this node is in doubt; see `fabric.routed`.)

`run` owns all connections. Subscriptions belong to this object, not to a connection: they are made
again on each new one. What is published while no broker is reachable is refused, never buffered: a
heartbeat from the past helps nobody.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Self

from bzzz_core.config.schema import AgentConfig
from bzzz_core.errors import BrokerRefused, NoResponders, TransportError
from bzzz_core.fabric import routed
from bzzz_core.fabric.answers import Reply
from bzzz_core.fabric.brokers import brokers_of, by_preference
from bzzz_core.fabric.credentials import Credentials
from bzzz_core.fabric.interests import Interest, Interests
from bzzz_core.fabric.kept import Kept, KeptWork, Work
from bzzz_core.fabric.link import BrokerAddress, BrokerLink
from bzzz_core.fabric.lone import LoneBroker
from bzzz_core.fabric.refusals import Look, Refusals
from bzzz_core.model import FabricState, NodeId
from bzzz_core.ports import Clock, Message
from bzzz_core.telemetry import logs
from bzzz_core.trust.secrets_directory import SecretsDirectory

_RETRY_MS_MIN: Final = 50
_RETRY_MS_MAX: Final = 1_000
_LOOK_MS: Final = 1_000
_SILENCE_MS_MAX: Final = 2_000
"""A broker that is paused or cut off is left after at most `_LOOK_MS` plus this."""
_RETIRE_MS_MAX: Final = 3_000


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
        self._brokers = by_preference(node, brokers)
        self._clock = clock
        self._log = logs.get("fabric")
        self._link: BrokerLink | None = None
        self._attached = asyncio.Event()
        self._state = FabricState.CONNECTING
        self._changed = False
        """Whether brokers or certificates may be others than the connection's."""
        self._doubted = False
        """Whether somebody asked to look if our broker still belongs to the others."""
        self._lone = LoneBroker()
        self._kept = KeptWork()
        self._refusals = Refusals()
        self.counters: Counter[str] = Counter()
        """What happened so far, by kind: connections, connection_errors, refused_by_brokers,
        permission_violations, interest_not_carried, dropped_messages, handler_failures,
        late_replies, stored_messages_refused, reconfigurations, certificates_refused,
        lone_brokers_left."""
        self._past: Counter[str] = Counter()
        self._interests = Interests(self.counters)
        self._credentials = Credentials(secrets, self.counters)

    @classmethod
    def from_agent_config(cls, config: AgentConfig, *, clock: Clock) -> Self:
        """Return the fabric of a configured node; its own broker is reached over loopback.

        Loopback works when the node's address is not the machine's own (NAT) or its link is down.
        """
        return cls(
            node=NodeId(config.me.id),
            brokers=brokers_of(config),
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

    @property
    def rtt_ms(self) -> float | None:
        """Return the time to that broker and back, as last measured; None before."""
        return self._link.rtt_ms if self._link else None

    @property
    def shut_out(self) -> bool:
        """Return whether the brokers have been refusing this node for a while."""
        return self._refusals.alarm is not None

    @property
    def alarms(self) -> tuple[str, ...]:
        """Return what an operator has to look at, in words."""
        return (self._refusals.alarm,) if self._refusals.alarm else ()

    @property
    def traffic(self) -> Counter[str]:
        """Return what went over all connections so far, as `BrokerLink.traffic` names it."""
        return self._past + Counter(self._link.traffic if self._link else {})

    async def run(self) -> None:
        """Stay attached until cancelled.

        Raises:
            TrustError: Our certificate cannot be used.
        """
        self._credentials.load()
        link: BrokerLink | None = None
        try:
            async with asyncio.TaskGroup() as group:
                self._kept.start_all(group)
                link = await self._open_any(None)
                while True:
                    successor = await self._serve(link)
                    group.create_task(self._retire(link))
                    last, link = link.broker, None
                    link = successor or await self._open_any(last)
        finally:
            self._kept.ended()
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

    async def subscribe(self, subject: str, handler: Callable[[Message], None]) -> Interest:
        """Call `handler` for each message, one at a time, in order.

        Before the first connection the interest is only noted.

        Raises:
            PermissionDenied: The broker refuses the subject.
        """
        return await self._interests.add(subject, handler)

    async def hear_writes(self, subject: str, handler: Callable[[Message], None]) -> Interest:
        """Call `handler` whenever somebody tries to write to a stream at `subject`.

        It is a hint to go and read: the write may be refused, and it is not done yet.

        Raises:
            PermissionDenied: The broker refuses the subject.
        """
        return await self._interests.add(subject, handler, stored=True)

    def keep(self, work: Work, on_attach: Callable[[], None]) -> Kept:
        """Do `work` as long as this fabric runs, from its start or from now on.

        `on_attach` is called after each new connection: what happened in between was not heard.
        """
        return self._kept.add(work, on_attach)

    def reconfigure(self, config: AgentConfig) -> None:
        """Go by another list of brokers, and by the certificates as they are on disk now.

        Returns at once. Within about a second the connection is replaced if its broker has left or
        the certificates have changed; the new one is made first, and interest moves over to it. If
        nothing of the new works, the old connection stays, and it is tried again.
        """
        self._brokers = by_preference(self._node, brokers_of(config))
        self._changed = True

    def doubt(self) -> None:
        """Look soon whether the others' brokers still route to ours, and go to one if none does.

        For whoever hears nothing of the cluster though this node is attached.
        """
        self._doubted = True

    async def request(self, subject: str, data: bytes, *, timeout_ms: int) -> bytes:
        """Publish and return the first answer; see `ports.Fabric.request`."""
        answer = await self.ask(subject, data, timeout_ms=timeout_ms)
        if answer.no_responders:
            raise NoResponders(f"nobody answers on {subject}")
        return answer.data

    async def reply(self, message: Message, data: bytes) -> None:
        """Answer a message that a `request` published; see `ports.Fabric.reply`."""
        if not message.reply:
            raise ValueError(f"nobody waits for an answer to {message.subject}")
        await self.publish(message.reply, data)

    async def ask(
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
        link, left_ms = await self._attached_link(timeout_ms)
        return await link.request(subject, data, headers=headers, timeout_ms=left_ms)

    async def ask_many(
        self, subject: str, data: bytes, *, count: int, timeout_ms: int
    ) -> list[Reply]:
        """Publish and return up to `count` answers and the one with a status that ends them.

        Raises:
            As `ask`.
        """
        link, left_ms = await self._attached_link(timeout_ms)
        return await link.request_many(subject, data, count=count, timeout_ms=left_ms)

    async def _attached_link(self, timeout_ms: int) -> tuple[BrokerLink, int]:
        """Return the connection and what is left of the time."""
        if self._link is not None:
            return self._link, timeout_ms
        started_ms = self._clock.now_ms()
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await self._attached.wait()
        except TimeoutError as exc:
            raise TransportError(f"no broker reached within {timeout_ms} ms") from exc
        if self._link is None:  # Lost again before this task had its turn.
            raise TransportError("the connection to the broker is over")
        left_ms = max(1, timeout_ms - (self._clock.now_ms() - started_ms))
        return self._link, left_ms

    async def _open_any(self, last: BrokerAddress | None) -> BrokerLink:
        """Return a link to the first broker that takes us, trying for ever."""
        delay_ms = _RETRY_MS_MIN
        while True:
            self._credentials.reload()
            before = self.counters["refused_by_brokers"]
            for broker in self._lone.order(self._brokers, last, self._clock.now_ms()):
                link = await self._try_to_open(broker)
                if link is not None:
                    return link
            refused = self.counters["refused_by_brokers"] > before
            self._refusals.note(self._clock.now_ms(), refused=refused)
            await self._clock.sleep_ms(delay_ms)
            delay_ms = min(2 * delay_ms, self._refusals.delay_ms_max(_RETRY_MS_MAX))

    async def _try_to_open(self, broker: BrokerAddress) -> BrokerLink | None:
        try:
            return await self._open(broker)
        except TransportError as exc:
            self.counters["connection_errors"] += 1
            self.counters["refused_by_brokers"] += isinstance(exc, BrokerRefused)
            self._log.info("broker not reached", peer=broker.node, reason=str(exc))
        return None

    async def _open(self, broker: BrokerAddress) -> BrokerLink:
        return await BrokerLink.open(
            broker, node=self._node, context=self._credentials.context, counters=self.counters
        )

    async def _reconfigured(self, link: BrokerLink) -> BrokerLink | None:
        """Return the link that replaces `link` after a change of brokers or certificates."""
        if not self._credentials.reload() and link.broker in self._brokers:
            self._changed = False
            return None
        for broker in sorted(self._brokers, key=lambda broker: broker != link.broker):
            successor = await self._try_to_open(broker)
            if successor is not None:
                self._changed = False
                self.counters["reconfigurations"] += 1
                return successor
        self._credentials.doubt()  # The next look tries again.
        return None

    async def _serve(self, link: BrokerLink) -> BrokerLink | None:
        """Work through `link` until it is over (None) or another link replaces it."""
        await self._attach(link)
        while not link.closed.is_set():
            try:
                async with asyncio.timeout(_LOOK_MS / 1000):
                    await link.closed.wait()
            except TimeoutError:
                if not await link.answers(_SILENCE_MS_MAX):
                    link.give_up()
                    break
                await self._interests.carry_rest()
                successor = await self._reconfigured(link) if self._changed else None
                if successor is None and self._doubted:
                    successor = await self._way_out(link)
                if successor is None and self._state is FabricState.DEGRADED:
                    successor = await self._way_home(link)
                if successor is not None:
                    return successor
        self._detach()
        self._log.warning("broker lost", broker=link.server_name)
        return None

    async def _attach(self, link: BrokerLink) -> None:
        await self._interests.move_to(link)
        self._past = self.traffic
        self._link = link
        home = self._brokers[0]
        away = home.node == self._node and link.broker != home
        self._state = FabricState.DEGRADED if away else FabricState.CONNECTED
        self._attached.set()
        self._refusals.taken()
        self.counters["connections"] += 1
        self._log.info("attached", broker=link.server_name, state=str(self._state))
        self._kept.attached()

    def _detach(self) -> None:
        self._past = self.traffic
        self._link = None
        self._interests.detach()
        self._attached.clear()
        if self._state is not FabricState.CONNECTING:
            self._state = FabricState.LOST

    async def _way_home(self, link: BrokerLink) -> BrokerLink | None:
        home = self._brokers[0]
        found = await routed.way_home(link, home=home, node=self._node, open_link=self._open)
        if found is not None:
            self._lone.rejoin()
        return found

    async def _way_out(self, link: BrokerLink) -> BrokerLink | None:
        """Return a link to another node's broker if ours stands alone.

        The others that refuse this node are looked at again until one takes it: nothing else would
        tell that they do.
        """
        now_ms = self._clock.now_ms()
        if self._lone.keeps(link.broker, now_ms) or not self._refusals.may_look(now_ms):
            return None
        self._doubted = False
        others = [one for one in self._brokers if one.node != link.broker.node]
        look = Look(self._open, self._node)
        found = await routed.way_out(
            link, others, voters=len(self._brokers), node=self._node, open_link=look.open_link
        )
        now_ms = self._clock.now_ms()
        self._refusals.note_look(now_ms, look)
        self._doubted |= self._refusals.stand(now_ms)
        if found is not None:
            self._lone.leave(link.broker, now_ms)
            self.counters["lone_brokers_left"] += 1
            self._log.warning("broker stands alone", broker=link.server_name)
        return found

    async def _retire(self, link: BrokerLink) -> None:
        """Close a replaced link once its last answers have come."""
        waited_ms = 0
        try:
            while link.busy and waited_ms < _RETIRE_MS_MAX:
                await self._clock.sleep_ms(_RETRY_MS_MIN)
                waited_ms += _RETRY_MS_MIN
        finally:
            await link.close()
