"""Asks a broker how it is, through its loopback status page.

Plain HTTP/1.0 by hand: two GETs on loopback need no client library. Answers come from our own child
but are bounded and parsed strictly all the same.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import msgspec

from bzzz_core.errors import TransportError
from bzzz_core.fabric.broker import Endpoint

_ANSWER_BYTES_MAX: Final = 1_000_000
_ASK_MS_MAX: Final = 1_000
_OK: Final = 200


class _Meta(msgspec.Struct):
    leader: str = ""
    cluster_size: int = 0


class _Jsz(msgspec.Struct):
    meta_cluster: _Meta | None = None


@dataclass(frozen=True, slots=True)
class BrokerHealth:
    """What a broker says about itself."""

    healthy: bool
    """Its own verdict: listening, and JetStream caught up with its peers."""
    meta_leader: str | None
    """Broker that assigns streams; None while unknown, or for a broker alone."""
    clustered: bool

    @property
    def ready(self) -> bool:
        """Return whether agents can work with it."""
        return self.healthy and (self.meta_leader is not None or not self.clustered)


async def ask_health(monitor: Endpoint) -> BrokerHealth:
    """Ask the broker behind a status page.

    Raises:
        TransportError: No usable answer within a second.
    """
    try:
        async with asyncio.timeout(_ASK_MS_MAX / 1000):
            status, _ = await _get(monitor, "/healthz")
            _, body = await _get(monitor, "/jsz")
        meta = msgspec.json.decode(body, type=_Jsz).meta_cluster
    except (OSError, EOFError, ValueError, msgspec.DecodeError, asyncio.LimitOverrunError) as exc:
        raise TransportError(f"the broker's status page at {monitor} does not answer") from exc
    return BrokerHealth(
        healthy=status == _OK,
        meta_leader=(meta.leader or None) if meta else None,
        clustered=meta is not None,
    )


async def _get(monitor: Endpoint, path: str) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection(monitor.host, monitor.port)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {monitor}\r\n\r\n".encode("ascii"))
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.read(_ANSWER_BYTES_MAX)
        while chunk := await reader.read(_ANSWER_BYTES_MAX):
            body += chunk
            if len(body) > _ANSWER_BYTES_MAX:
                raise ValueError("the answer is too long")
        return int(head.split(b" ", 2)[1]), body
    finally:
        writer.close()
