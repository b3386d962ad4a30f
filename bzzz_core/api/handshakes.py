"""TLS handshakes of callers: each has so long, and of too many the one that began first goes.

asyncio's own server gives a handshake a minute, and tells nobody of it before it is done: who
connects and is silent would cost a file for that long, as often as he likes, and the limits on
connections would not see him. So connections are taken here, and become the server's own when they
are secure. What comes after that is bounded there (`server`).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final

from bzzz_core.telemetry import logs

HANDSHAKE_S_MAX: Final = 10.0
"""Three round trips; who needs longer finds nobody here."""
SHUTDOWN_S_MAX: Final = 5.0
"""How long a connection that is closed waits for the other side to say so, too."""
UNDER_WAY_MAX: Final = 96
"""As many as may wait with a head (`server`); one more, and the one that began first goes."""
_AGAIN_S: Final = 0.5
"""After the machine had no file left for a connection."""


class Handshakes:
    """Takes connections of one listener. Run `run` as long as it listens."""

    def __init__(self, context: ssl.SSLContext, protocol: Callable[[], asyncio.Protocol]) -> None:
        """Take nothing yet.

        Args:
            context: Of the server's side.
            protocol: Makes what speaks on a connection that is secure.
        """
        self._context = context
        self._protocol = protocol
        self._under_way: dict[asyncio.Task[None], None] = {}
        """In the order in which they began."""
        self._log = logs.get("api")

    async def run(self, listener: socket.socket) -> None:
        """Take connections until cancelled; handshakes under way are given up then."""
        loop = asyncio.get_running_loop()
        listener.settimeout(0)
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    connection, _ = await loop.sock_accept(listener)
                except ConnectionError:
                    continue  # The caller is gone already.
                except OSError as exc:  # No file is left.
                    self._log.warning("a connection could not be taken", reason=str(exc))
                    await asyncio.sleep(_AGAIN_S)
                    continue
                self._make_room()
                task = group.create_task(self._secure(connection), name="api-handshake")
                self._under_way[task] = None
                task.add_done_callback(self._ended)
                await asyncio.sleep(0)  # Whoever waits in the queue must not hold up the others.

    def _make_room(self) -> None:
        if len(self._under_way) >= UNDER_WAY_MAX:
            first = next(iter(self._under_way))
            del self._under_way[first]
            first.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.pop(task, None)

    async def _secure(self, connection: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._protocol,
                connection,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_S_MAX,
                ssl_shutdown_timeout=SHUTDOWN_S_MAX,
            )
        except OSError as exc:  # Every failure of TLS is one, and so is the end of its time.
            self._log.debug("a handshake failed", reason=str(exc))
        except asyncio.CancelledError:
            connection.close()
            raise
