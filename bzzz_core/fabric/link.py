"""One TLS connection to one broker. It never reconnects; when it is over, it is over.

nats-py can reconnect by itself, but then it buffers what was published meanwhile, may give up
silently, and `connect` without a broker never returns. So each link is one client with all of that
turned off, and `fabric.nats` decides where to connect next.

Rules of this file:

- Requests carry their own answer subject and end at once when the broker refuses the subject
  (`-ERR permissions violation`, which names it in lower case) or the connection ends; nothing waits
  for a time limit to learn what is known already.
- Nothing waits longer than it says, not even for a broker whose process is stopped: nats-py waits
  for a full socket without an end and swallows a cancellation meanwhile. So every call that may
  write goes through `heedful`, and `flush_timeout` bounds the wait.
- TLS comes first and the broker must be the one we mean: its certificate has to carry the name of
  that node, not only an address.
- What comes out of a stream is no node's message. The broker checks the subject that a node
  publishes to, but not where it asks for an answer, and answers wherever it was told: a node that
  may read a bucket could make the broker repeat bytes of its choice under another node's subject.
  Such a repetition carries headers or an acknowledgement subject (`$JS.`), messages between nodes
  never do, and an interest drops it.
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
from nats.errors import NoServersError, SlowConsumerError

from bzzz_core.errors import BrokerRefused, PermissionDenied, RequestTimeout, TransportError
from bzzz_core.fabric.answers import Reply, Waiting
from bzzz_core.fabric.heedful import heedful
from bzzz_core.fabric.layout import INBOX, answer_subject, inbox_prefix, trace_of
from bzzz_core.model import NodeId
from bzzz_core.ports import Message
from bzzz_core.telemetry import logs
from bzzz_core.trust.names import node_name

CONNECT_MS_MAX: Final = 2_000
CLOSE_MS_MAX: Final = 500
FLUSH_MS_MAX: Final = 2_000
"""How long a message waits for room in a full socket; after that it only waits in memory. As long
as a silent broker is kept: a longer wait would only tell later that it is lost."""
PENDING_MESSAGES_MAX: Final = 8_192
PENDING_BYTES_MAX: Final = 16_777_216
_TOLD_MAX: Final = 256
_PING_S: Final = 2
_UNKNOWN: Final = "authorization"
"""Of what a broker says to an identity that is not on its list; nats-py hands on the words."""
_STORED: Final = "$JS."
_DENIED: Final = re.compile(
    r'permissions violation for (publish|subscription) to "([^"]*)"', re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where a voter's broker takes agents."""

    node: NodeId
    host: str
    port: int
    first: bool = False
    """Whether the configuration names it among those to try first."""


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
        self.rtt_ms: float | None = None
        """How long the newest `answers` took: to the broker and back, our event loop included."""
        self._asked = 0
        self._waiting: dict[str, Waiting] = {}
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
            BrokerRefused: It does not know us.
            TransportError: It cannot be reached, or is not the node we mean.
        """
        link = cls(broker, node=node, counters=counters)
        try:
            await heedful(link._meet(context, node))
        except BaseException as exc:
            await link.close()
            if isinstance(exc, NoServersError):
                # It says so whatever happened to each try.
                raise TransportError(
                    f"broker {broker.host}:{broker.port} does not answer or does not take us"
                ) from exc
            if isinstance(exc, OSError | NatsError):
                refused = isinstance(exc, NatsError) and _UNKNOWN in str(exc).lower()
                kind = BrokerRefused if refused else TransportError
                raise kind(f"broker {broker.host}:{broker.port}: {exc}") from exc
            raise
        return link

    @property
    def server_name(self) -> str:
        """Return the broker's name in its cluster."""
        return str(self._client._server_info.get("server_name", ""))  # noqa: SLF001  no accessor

    @property
    def client(self) -> Client:
        """Return the library's client, for flows that answer the broker itself (snapshots)."""
        return self._client

    def own_subject(self) -> str:
        """Return a new subject that only this node hears."""
        return f"{self._inbox}.{secrets.token_hex(8)}.flow"

    @property
    def traffic(self) -> dict[str, int]:
        """Return messages and bytes of payload so far: in_msgs, out_msgs, in_bytes, out_bytes."""
        return {name: int(count) for name, count in self._client.stats.items()}

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
        answers = await self._exchange(
            subject, lambda token: self._send(subject, data, token, headers), timeout_ms
        )
        return answers[0]

    async def request_many(
        self, subject: str, data: bytes, *, count: int, timeout_ms: int
    ) -> list[Reply]:
        """Publish and return up to `count` answers and then the one that ends them with a status.

        Raises:
            As `request`; what had come by then is lost.
        """
        return await self._exchange(
            subject, lambda token: self._send(subject, data, token, None), timeout_ms, count + 1
        )

    async def subscribe(
        self, subject: str, handler: Callable[[Message], None], *, stored: bool = False
    ) -> NatsSubscription:
        """Call `handler` for each message on `subject`, one at a time; what it raises is counted.

        With `stored`, for writes to a stream too, refused ones included: a hint, not a message.

        Raises:
            TransportError: The connection is over, or the broker does not confirm in time.
            PermissionDenied: The broker refuses the subject.
        """

        async def deliver(message: Msg) -> None:
            if not stored and (message.headers or message.reply.startswith(_STORED)):
                self._counters["stored_messages_refused"] += 1
                return
            reply = message.reply if message.reply.startswith(INBOX) else ""
            handler(Message(message.subject, message.data, reply, trace_of(reply)))

        try:
            subscription = await heedful(
                self._client.subscribe(
                    subject,
                    cb=deliver,
                    pending_msgs_limit=PENDING_MESSAGES_MAX,
                    pending_bytes_limit=PENDING_BYTES_MAX,
                )
            )
        except (OSError, NatsError) as exc:
            raise TransportError(f"subscribing to {subject}: {exc}") from exc
        self._refused.discard(subject.lower())
        try:
            await self._confirm(subject)
        except BaseException:
            # Nobody holds it: kept, it would hear everything twice once it is made again.
            await self.unsubscribe(subscription)
            raise
        return subscription

    async def _confirm(self, subject: str) -> None:
        await self._round_trip(CONNECT_MS_MAX)  # A refusal comes before our message comes back.
        if subject.lower() in self._refused:
            raise PermissionDenied(f"this node may not subscribe to {subject}")

    async def answers(self, timeout_ms: int) -> bool:
        """Return whether the broker still works for us; one that is paused keeps its sockets open.

        nats-py notices as well, but then waits for the paused broker's good-bye (seen: until it was
        resumed) before it says so.
        """
        loop = asyncio.get_running_loop()
        sent_s = loop.time()
        try:
            await self._round_trip(timeout_ms)
        except (TransportError, PermissionDenied):
            return False
        self.rtt_ms = round((loop.time() - sent_s) * 1000, 2)
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
        self,
        subject: str,
        send: Callable[[str], Awaitable[None]],
        timeout_ms: int,
        messages_max: int = 1,
    ) -> list[Reply]:
        """Send something that makes messages come to a subject of ours, and wait for them."""
        self._asked += 1
        token = answer_subject(self._inbox, self._asked)
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting[token] = Waiting(subject.lower(), answer, messages_max)
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await send(token)
                await answer
                return waiting.got
        except TimeoutError as exc:
            raise RequestTimeout(f"no answer to {subject} within {timeout_ms} ms") from exc
        finally:
            del self._waiting[token]
            answer.cancel()

    async def unsubscribe(self, subscription: NatsSubscription) -> None:
        """End a subscription; no handler call starts afterwards."""
        try:
            await heedful(subscription.unsubscribe())
        except (OSError, NatsError):
            return  # The connection is over, and with it the subscription.

    def give_up(self) -> None:
        """Use this connection no more; requests in flight end with `RequestTimeout` now."""
        self.closed.set()
        for waiting in self._waiting.values():
            if not waiting.answer.done():
                why = f"the connection ended before {waiting.subject} was answered"
                waiting.answer.set_exception(RequestTimeout(why))

    async def close(self) -> None:
        """End the connection; requests in flight end with `RequestTimeout`."""
        self.give_up()
        try:
            async with asyncio.timeout(CLOSE_MS_MAX / 1000):
                # A client whose TLS handshake failed waits for ever for its socket to close (seen
                # with nats-py 2.16), and has nothing to say good-bye to.
                if self._client.is_connected:
                    await heedful(self._client.close())
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

    async def _meet(self, context: ssl.SSLContext, node: NodeId) -> None:
        async with asyncio.timeout(CONNECT_MS_MAX / 1000):
            await self._connect(context, node)
            self._tell_stream_of_tls()
            await heedful(self._client.subscribe(f"{self._inbox}.*", cb=self._on_reply))

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
            flush_timeout=FLUSH_MS_MAX / 1000,
        )

    async def _send(
        self, subject: str, data: bytes, reply: str, headers: dict[str, str] | None
    ) -> None:
        if self.closed.is_set():
            raise TransportError("the connection to the broker is over")
        try:
            await heedful(self._client.publish(subject, data, reply=reply, headers=headers))
        except (OSError, NatsError) as exc:
            raise TransportError(f"publishing to {subject}: {exc}") from exc

    async def _on_reply(self, message: Msg) -> None:
        waiting = self._waiting.get(message.subject)
        if waiting is None or waiting.answer.done():
            self._counters["late_replies"] += 1
            return
        waiting.take(Reply(message.data, message.headers or {}))

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
        for waiting in self._waiting.values():
            if waiting.subject == subject and not waiting.answer.done():
                denied = PermissionDenied(f"this node may not publish to {subject}")
                waiting.answer.set_exception(denied)

    async def _on_closed(self) -> None:
        self.give_up()
