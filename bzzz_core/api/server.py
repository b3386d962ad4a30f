"""The server of the API: where it listens, how it ends, and how long a head may take.

The agent's own API listens on loopback in any case, in plain HTTP: commands on this machine, the
monitor through its SSH connection and deployments ask there. With `network.api_host` set to another
address it listens there too, with TLS and the node's certificate: a token never goes over a network
in the clear. A caller there trusts the cluster's node authority.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import nullcontext
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import uvicorn
from starlette.types import ASGIApp, Scope
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from bzzz_core.api.handshakes import Handshakes
from bzzz_core.api.place import LOOPBACK, Place, configured, told
from bzzz_core.config.schema import AgentConfig
from bzzz_core.errors import ConfigError, TrustError
from bzzz_core.ports import Clock
from bzzz_core.telemetry import logs
from bzzz_core.trust.secrets_directory import SecretsDirectory
from bzzz_core.trust.tls import reload_chain, server_context

_STOP_SECONDS_MAX: Final = 3
_CONNECTIONS_MAX: Final = 256
_WAITING_MAX: Final = 96
"""Connections without a request under way; one more, and the one that waited longest goes. So a
caller without a token, who opens connections and is silent, keeps nobody else out."""
_HEAD_BYTES_MAX: Final = 16_384
HEAD_S_MAX: Final = 10.0
"""How long a connection may take to bring the head of a request, from its first byte or from its
opening; else a caller that sends a byte now and then holds one of the few connections for good."""
_SOCKET_BYTES_MAX: Final = 4_096
"""Of a message that comes over a WebSocket; nobody has much to say there."""
_ABORT: Final = "bzzz.abort"
_PIECES: Final = "bzzz.pieces"
PIECE_BYTES: Final = 65_536
"""As much as is buffered before a writer waits, and as much of a message as goes out at once."""
_UNREAD_S_MAX: Final = 10.0
"""How long a connection that was closed may go on holding an answer that nobody reads."""
_LOOK_MS: Final = 10_000


Pieces: TypeAlias = Callable[[bytes, float, Callable[[], None]], Awaitable[None]]
"""Sends a text, and gives each piece so many seconds."""


class ApiServer:
    """Serves an app on one address until cancelled."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str,
        port: int,
        context: ssl.SSLContext | None = None,
        told_in: SecretsDirectory | None = None,
        farewell: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Bind nothing yet; with a `context` it speaks TLS.

        Args:
            app: What answers.
            host: Where to listen.
            port: Where to listen.
            context: Of TLS; None: plain HTTP.
            told_in: Where commands learn that this is the agent's own API (`api.place`).
            farewell: Ends answers that go on, before connections are closed; takes a moment.
        """
        self._farewell = farewell
        self._place = Place(host, port)
        self._told_in = told_in
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            lifespan="off",
            http=_Connection,
            ws=_Socket,
            ws_max_size=_SOCKET_BYTES_MAX,
            ws_per_message_deflate=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=_STOP_SECONDS_MAX,
            limit_concurrency=_CONNECTIONS_MAX,
            h11_max_incomplete_event_size=_HEAD_BYTES_MAX,
        )
        # It warns of every malformed request, as often as anybody cares to send one.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        self._server = _Server(config, context)

    @property
    def started(self) -> bool:
        """Return whether callers can connect."""
        return self._server.started

    async def run(self) -> None:
        """Serve until cancelled, then close the port and what is still open.

        Raises:
            ConfigError: The address is not ours or the port is taken.
        """
        host, port = self._place.host, self._place.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            listener = socket.create_server((host, port), family=family, backlog=128)
        except OSError as exc:
            raise ConfigError(f"API cannot listen on {host} port {port}: {exc.strerror}") from exc
        # Connections inherit it. asyncio sets it only where a socket says that it speaks TCP, which
        # this one does not; without, each answer waits 40 ms for the caller's kernel.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Else the kernel takes megabytes, and says nothing for as long as a third of them lasts.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, PIECE_BYTES)
        try:
            with told(self._place, self._told_in) if self._told_in else nullcontext():
                await self._server.serve(sockets=[listener])
        finally:
            if self._server.started:
                if self._farewell is not None:
                    await self._farewell()
                await self._server.shutdown(sockets=[listener])
            listener.close()


class AgentApi:
    """The API of a configured agent, on every address where it is to listen."""

    def __init__(
        self,
        app: ASGIApp,
        config: AgentConfig,
        *,
        clock: Clock,
        farewell: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Bind nothing yet; `farewell` ends the answers that go on, when the agent stops.

        Raises:
            ConfigError: `network.api_host` is a wildcard.
            TrustError: It is no loopback address, and the node's certificate cannot be used.
        """
        self._clock = clock
        self._secrets = SecretsDirectory(Path(config.security.directory))
        place = configured(config)
        self._local = ApiServer(
            app, host=place.host, port=place.port, told_in=self._secrets, farewell=farewell
        )
        self._remote: ApiServer | None = None
        self._context: ssl.SSLContext | None = None
        outside = outside_host(config)
        if outside is not None:
            self._context = server_context(self._secrets)
            self._remote = ApiServer(
                app,
                host=outside,
                port=config.network.ports.api,
                context=self._context,
                farewell=farewell,
            )

    @property
    def started(self) -> bool:
        """Return whether callers can connect, wherever they are to."""
        return self._local.started and (self._remote is None or self._remote.started)

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            ConfigError: An address is not ours or a port is taken.
        """
        if self._remote is None or self._context is None:
            await self._local.run()
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._local.run(), name="api-loopback")
            group.create_task(self._remote.run(), name="api-outside")
            group.create_task(self._follow(self._context), name="api-certificate")

    async def _follow(self, context: ssl.SSLContext) -> None:
        """Show a renewed certificate to whoever connects after it came."""
        shown = _stamp(self._secrets)
        while True:
            await self._clock.sleep_ms(_LOOK_MS)
            if _stamp(self._secrets) == shown:
                continue
            try:
                reload_chain(context, self._secrets)
                shown = _stamp(self._secrets)
            except TrustError as exc:  # Half of a renewal was seen; the next look sees the rest.
                logs.get("api").info("the renewed certificate is not taken yet", reason=str(exc))


def abort_of(scope: Scope) -> Callable[[], None] | None:
    """Return what cuts the connection of a request at once, with all that it did not read."""
    abort: Callable[[], None] | None = scope.get("extensions", {}).get(_ABORT)
    return abort


def pieces_of(scope: Scope) -> Pieces | None:
    """Return what sends a text over the WebSocket of a request in pieces; see `_Socket`."""
    pieces: Pieces | None = scope.get("extensions", {}).get(_PIECES)
    return pieces


def outside_host(config: AgentConfig) -> str | None:
    """Return the address besides loopback at which the API is to listen; None: no other.

    Raises:
        ConfigError: It is a wildcard, or no address.
    """
    host = config.network.api_host
    try:
        address = ipaddress.ip_address(LOOPBACK if host == "localhost" else host)
    except ValueError as exc:
        raise ConfigError(f"network.api_host: {host} is no address; name one of this host") from exc
    if address.is_unspecified:
        raise ConfigError(
            f"network.api_host: {host} stands for every address; name the one that callers use"
        )
    return None if address.is_loopback else host


def _stamp(found: SecretsDirectory) -> tuple[int, int]:
    try:
        stat = found.node_certificate.stat()
    except OSError:
        return 0, 0
    return stat.st_mtime_ns, stat.st_ino


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the agent has one way to stop, and it is not this.

    So it need not look ten times a second whether it should: an idle agent sleeps. Where it speaks
    TLS it takes connections itself, because uvicorn leaves a handshake as long as asyncio does.
    """

    def __init__(self, config: uvicorn.Config, context: ssl.SSLContext | None) -> None:
        super().__init__(config)
        self._handshakes = None if context is None else Handshakes(context, self._connection)
        self._listener: socket.socket | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self._handshakes is None:
            await super().startup(sockets)
        else:
            assert sockets is not None, "whoever runs it has bound it"
            self.servers = []
            (self._listener,) = sockets
            self.started = True

    async def main_loop(self) -> None:
        await self.on_tick(0)  # Fills in the default headers.
        if self._handshakes is None or self._listener is None:
            await asyncio.Event().wait()
        else:
            await self._handshakes.run(self._listener)

    def _connection(self) -> asyncio.Protocol:
        return _Connection(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Connection(H11Protocol):
    """A connection whose heads come in time. h11 refuses heads that can be read in two ways."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._late: asyncio.TimerHandle | None = None

    @property
    def late_at_s(self) -> float | None:
        """Return when, by the loop's clock, its head is late; None: a request is under way."""
        return None if self._late is None else self._late.when()

    def give_way(self) -> None:
        """Be closed at once, for somebody else."""
        self._head_is_there()
        self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # TLS would buffer eight times as much, and a reader would be slow for eight times as long.
        transport.set_write_buffer_limits(PIECE_BYTES)
        self._make_room()
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.scope is not None:
            _offer_abort(self.scope, self.transport)
        waits = self.cycle is None or self.cycle.response_complete
        if waits and self.transport.get_protocol() is self:
            self._expect_head()
        else:
            self._head_is_there()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_there()
        super().connection_lost(exc)

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self.loop.call_later(_UNREAD_S_MAX, self.transport.abort)

    def _make_room(self) -> None:
        waiting = [
            (each.late_at_s, each)
            for each in self.connections
            if isinstance(each, _Connection) and each.late_at_s is not None
        ]
        if len(waiting) >= _WAITING_MAX:
            min(waiting, key=itemgetter(0))[1].give_way()

    def _expect_head(self) -> None:
        if self._late is None and not self.transport.is_closing():
            self._late = self.loop.call_later(HEAD_S_MAX, self.transport.abort)

    def _head_is_there(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class _Socket(WebSocketsSansIOProtocol):
    """A WebSocket whose application can cut it, and send what is large in pieces.

    A message that is written in one piece lies in memory until it is taken, and all that can be
    seen of a slow reader is that the next one has to wait. In fragments (RFC 6455, section 5.4)
    each waits for the one before, and a ping need not wait for all of them.
    """

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        scope = getattr(self, "scope", None)  # There is none if the handshake was wrong.
        if scope is not None:
            _offer_abort(scope, self.transport)
            cast("Any", scope)["extensions"][_PIECES] = self._send_text

    async def _send_text(
        self, text: bytes, piece_s_max: float, before_each: Callable[[], None]
    ) -> None:
        """Send a text, and wait so long at most until each piece can go out.

        `before_each` is asked before each piece but the first; what it raises ends the sending.

        Raises:
            TimeoutError: One could not; nothing more can be sent.
            OSError: The connection is closed, or was given up within a message.
        """
        for begin in range(0, len(text), PIECE_BYTES):
            if begin:
                before_each()
            async with asyncio.timeout(piece_s_max):
                await self.writable.wait()
            over = self.disconnected or self.close_sent or self.transport.is_closing()
            if over or (begin == 0 and self.conn.expect_continuation_frame):
                raise ConnectionResetError("nothing can be sent any more")
            piece, last = text[begin : begin + PIECE_BYTES], begin + PIECE_BYTES >= len(text)
            if begin == 0:
                self.conn.send_text(piece, fin=last)
            else:
                self.conn.send_continuation(piece, fin=last)
            self.transport.write(b"".join(self.conn.data_to_send()))


def _offer_abort(scope: Any, transport: asyncio.Transport) -> None:
    scope.setdefault("extensions", {})[_ABORT] = transport.abort
