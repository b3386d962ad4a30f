"""One TLS connection to one broker. It never reconnects; when it is over, it is over.

nats-py can reconnect by itself, but then it buffers what was published meanwhile, may give up
silently, and `connect` without a broker never returns. So each link is one client with all of that
turned off, and `fabric.nats` decides where to connect next.

Rules of this file:

- Requests carry their own answer subject and end at once when the broker refuses the subject
  (`-ERR permissions violation`, which names it in lower case) or the connection ends; nothing waits
  for a time limit to learn what is known already.
- TLS comes first and the broker must be the one we mean: its certificate has to carry the name of
  that node, not only an address.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Self

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription
from nats.errors import Error as NatsError
from nats.errors import SlowConsumerError

from bzzz_core.errors import PermissionDenied, RequestTimeout, TransportError
from bzzz_core.fabric.layout import inbox_prefix
from bzzz_core.model import NodeId
from bzzz_core.ports import Message
from bzzz_core.telemetry import logs
from bzzz_core.trust.ca import node_name

CONNECT_MS_MAX: Final = 2_000
_CLOSE_MS_MAX: Final = 500
PENDING_MESSAGES_MAX: Final = 8_192
PENDING_BYTES_MAX: Final = 16_777_216
_TOLD_MAX: Final = 256
_PING_S: Final = 2
_DENIED: Final = re.compile(
    r'permissions violation for (publish|subscription) to "([^"]*)"', re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where a voter's broker takes agents."""

    node: NodeId
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; `no_responders` says that nobody listens on the subject asked."""

    data: bytes
    no_responders: bool


class BrokerLink:
    """A live connection. Make one with `open`, wait on `closed`."""

    def __init__(self, broker: BrokerAddress, *, node: NodeId, counters: Counter[str]) -> None:
        """Connect nothing yet; use `open`."""
        self.broker = broker
        self.closed = asyncio.Event()
        """Set once the connection is over, for whatever reason."""
        self._client = Client()
        self._log = logs.get("fabric")
        self._counters = counters
        self._inbox = f"{inbox_prefix(node)}.{secrets.token_hex(8)}"
        self._asked = 0
        self._waiting: dict[str, tuple[str, asyncio.Future[Reply]]] = {}
        self._refused: set[str] = set()
        """Subscriptions that the broker refused, in lower case as it names them."""
        self._told: set[tuple[str, str]] = set()

    @classmethod
    async def open(
        cls,
        broker: BrokerAddress,
        *,
        node: NodeId,
        context: ssl.SSLContext,
        counters: Counter[str],
    ) -> Self:
        """Connect to a broker and prove to each other who we are.

        Raises:
            TransportError: It cannot be reached, is not the node we mean, or does not take us.
        """
        link = cls(broker, node=node, counters=counters)
        try:
            async with asyncio.timeout(CONNECT_MS_MAX / 1000):
                await link._connect(context, node)
                link._tell_stream_of_tls()
                await link._client.subscribe(f"{link._inbox}.*", cb=link._on_reply)
        except BaseException as exc:
            await link.close()
            if isinstance(exc, OSError | NatsError):
                raise TransportError(f"broker {broker.host}:{broker.port}: {exc}") from exc
            raise
        return link

    @property
    def server_name(self) -> str:
        """Return the broker's name in its cluster."""
        return str(self._client._server_info.get("server_name", ""))  # noqa: SLF001  no accessor

    @property
    def busy(self) -> bool:
        """Return whether requests wait for answers."""
        return bool(self._waiting)

    async def publish(self, subject: str, data: bytes) -> None:
        """Hand a message to the broker; if it refuses the subject, that is logged and counted.

        Raises:
            TransportError: The connection is over.
        """
        await self._send(subject, data, "", None)

    async def request(
        self, subject: str, data: bytes, *, headers: dict[str, str] | None, timeout_ms: int
    ) -> Reply:
        """Publish and wait for one answer.

        Raises:
            PermissionDenied: The broker refuses the subject.
            RequestTimeout: No answer in time, or the connection ended before one.
            TransportError: The connection was over before; nothing was sent.
        """
        return await self._exchange(
            subject, lambda token: self._send(subject, data, token, headers), timeout_ms
        )

    async def subscribe(self, subject: str, handler: Callable[[Message], None]) -> NatsSubscription:
        """Call `handler` for each message on `subject`, one at a time; what it raises is counted.

        Raises:
            TransportError: The connection is over, or the broker does not confirm in time.
            PermissionDenied: The broker refuses the subject.
        """

        async def deliver(message: Msg) -> None:
            handler(Message(subject=message.subject, data=message.data))

        try:
            subscription = await self._client.subscribe(
                subject,
                cb=deliver,
                pending_msgs_limit=PENDING_MESSAGES_MAX,
                pending_bytes_limit=PENDING_BYTES_MAX,
            )
        except (OSError, NatsError) as exc:
            raise TransportError(f"subscribing to {subject}: {exc}") from exc
        self._refused.discard(subject.lower())
        await self._round_trip(CONNECT_MS_MAX)  # A refusal comes before our message comes back.
        if subject.lower() in self._refused:
            await self.unsubscribe(subscription)
            raise PermissionDenied(f"this node may not subscribe to {subject}")
        return subscription

    async def answers(self, timeout_ms: int) -> bool:
        """Return whether the broker still works for us; one that is paused keeps its sockets open.

        nats-py notices as well, but then waits for the paused broker's good-bye (seen: until it was
        resumed) before it says so.
        """
        try:
            await self._round_trip(timeout_ms)
        except (TransportError, PermissionDenied):
            return False
        return True

    async def _round_trip(self, timeout_ms: int) -> None:
        """Return once the broker has done all that was sent before.

        `Client.flush` does not tell: in nats-py 2.16 its ping overtakes commands that wait to be
        written, so we send ourselves a message, which cannot.
        """
        await self._exchange(
            self._inbox, lambda token: self._send(token, b"", "", None), timeout_ms
        )

    async def _exchange(
        self, subject: str, send: Callable[[str], Awaitable[None]], timeout_ms: int
    ) -> Reply:
        """Send something that makes a message come to a subject of ours, and wait for it."""
        self._asked += 1
        token = f"{self._inbox}.{self._asked}"
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[token] = (subject.lower(), answer)
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await send(token)
                return await answer
        except TimeoutError as exc:
            raise RequestTimeout(f"no answer to {subject} within {timeout_ms} ms") from exc
        finally:
            del self._waiting[token]
            answer.cancel()

    async def unsubscribe(self, subscription: NatsSubscription) -> None:
        """End a subscription; no handler call starts afterwards."""
        try:
            await subscription.unsubscribe()
        except (OSError, NatsError):
            return  # The connection is over, and with it the subscription.

    def give_up(self) -> None:
        """Use this connection no more; requests in flight end with `RequestTimeout` now."""
        self.closed.set()
        for subject, answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(RequestTimeout(f"the connection ended before {subject}"))

    async def close(self) -> None:
        """End the connection; requests in flight end with `RequestTimeout`."""
        self.give_up()
        try:
            async with asyncio.timeout(_CLOSE_MS_MAX / 1000):
                # A client whose TLS handshake failed waits for ever for its socket to close (seen
                # with nats-py 2.16), and has nothing to say good-bye to.
                if self._client.is_connected:
                    await self._client.close()
        except (OSError, NatsError):  # A time limit is an OSError too.
            self._log.info("broker did not take our good-bye", broker=self.server_name)
        finally:
            self._cut()

    def _cut(self) -> None:
        """Drop the socket, whatever state the client is in; harmless after an orderly close."""
        writer = getattr(self._client._transport, "_io_writer", None)  # noqa: SLF001  no accessor
        if writer is not None:
            # Before CPython 3.11.3 (Debian 12 has 3.11.2) aborting a closed TLS transport raises.
            with contextlib.suppress(AttributeError):
                writer.transport.abort()

    def _tell_stream_of_tls(self) -> None:
        """Keep asyncio from warning at each lost connection about a stream it thinks is plain."""
        writer = getattr(self._client._transport, "_io_writer", None)  # noqa: SLF001  no accessor
        if writer is not None:
            writer.transport.get_protocol()._over_ssl = True  # noqa: SLF001  nats-py forgets it

    async def _connect(self, context: ssl.SSLContext, node: NodeId) -> None:
        host = f"[{self.broker.host}]" if ":" in self.broker.host else self.broker.host
        await self._client.connect(
            f"tls://{host}:{self.broker.port}",
            name=node,
            tls=context,
            tls_hostname=node_name(self.broker.node),
            tls_handshake_first=True,
            error_cb=self._on_error,
            closed_cb=self._on_closed,
            allow_reconnect=False,
            connect_timeout=CONNECT_MS_MAX // 1000,
            # 0 means "for ever" in this version, so one attempt is out of reach.
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            ping_interval=_PING_S,
            max_outstanding_pings=2,
        )

    async def _send(
        self, subject: str, data: bytes, reply: str, headers: dict[str, str] | None
    ) -> None:
        if self.closed.is_set():
            raise TransportError("the connection to the broker is over")
        try:
            await self._client.publish(subject, data, reply=reply, headers=headers)
        except (OSError, NatsError) as exc:
            raise TransportError(f"publishing to {subject}: {exc}") from exc

    async def _on_reply(self, message: Msg) -> None:
        waiting = self._waiting.get(message.subject)
        if waiting is None or waiting[1].done():
            self._counters["late_replies"] += 1
            return
        status = (message.headers or {}).get("Status")
        waiting[1].set_result(Reply(message.data, no_responders=status == "503"))

    async def _on_error(self, error: Exception) -> None:
        """Sort what nats-py reports: refusals, dropped messages, lost links, failing handlers."""
        denied = _DENIED.search(str(error)) if isinstance(error, NatsError) else None
        if denied:
            self._on_denied(denied[1].lower(), denied[2].lower())
        elif isinstance(error, SlowConsumerError):
            self._counters["dropped_messages"] += 1
        elif isinstance(error, NatsError | OSError):
            self._counters["connection_errors"] += 1
        else:
            self._counters["handler_failures"] += 1
            self._log.error("a message handler failed", exc_info=error)

    def _on_denied(self, kind: str, subject: str) -> None:
        self._counters["permission_violations"] += 1
        if kind == "subscription":
            self._refused.add(subject)
        if (kind, subject) not in self._told and len(self._told) < _TOLD_MAX:
            self._told.add((kind, subject))  # Once each: a heartbeat would fill the log.
            self._log.warning("the broker refused a subject", kind=kind, subject=subject)
        for waiting_subject, answer in self._waiting.values():
            if waiting_subject == subject and not answer.done():
                answer.set_exception(PermissionDenied(f"this node may not publish to {subject}"))

    async def _on_closed(self) -> None:
        self.give_up()
