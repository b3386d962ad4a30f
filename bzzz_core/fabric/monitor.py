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


class _Replica(msgspec.Struct):
    name: str = ""


class _Meta(msgspec.Struct):
    leader: str = ""
    cluster_size: int = 0
    replicas: list[_Replica] = []


class _Jsz(msgspec.Struct):
    meta_cluster: _Meta | None = None
    storage: int = 0
    disabled: bool = False


class _Healthz(msgspec.Struct):
    error: str = ""


class _Varz(msgspec.Struct):
    config_load_time: str


@dataclass(frozen=True, slots=True)
class BrokerHealth:
    """What a broker says about itself."""

    healthy: bool
    """Its own verdict: listening, and JetStream caught up with its peers."""
    meta_leader: str | None
    """Broker that assigns streams; None while unknown."""
    size: int
    """How many brokers its cluster counts."""
    member: bool
    """Whether they count this one. Means something only while there is a leader."""
    store_bytes: int
    problem: str
    """Why it is not healthy, in its own words."""
    disabled: bool = False
    """Whether it has given its store up (a disk that was full); it stays so until its end."""

    @property
    def led(self) -> bool:
        """Return whether the metadata of its cluster has a leader."""
        return self.meta_leader is not None

    @property
    def ready(self) -> bool:
        """Return whether agents can work with it."""
        return self.healthy and self.led and self.member


async def ask_health(monitor: Endpoint) -> BrokerHealth:
    """Ask the broker behind a status page.

    Raises:
        TransportError: No usable answer within a second.
    """
    try:
        async with asyncio.timeout(_ASK_MS_MAX / 1000):
            status, verdict = await _get(monitor, "/healthz")
            _, body = await _get(monitor, "/jsz")
        said = msgspec.json.decode(body, type=_Jsz)
        problem = "" if status == _OK else msgspec.json.decode(verdict, type=_Healthz).error
    except (OSError, EOFError, ValueError, msgspec.DecodeError, asyncio.LimitOverrunError) as exc:
        raise TransportError(f"the broker's status page at {monitor} does not answer") from exc
    meta = said.meta_cluster or _Meta()
    return BrokerHealth(
        healthy=status == _OK,
        meta_leader=meta.leader or None,
        size=meta.cluster_size,
        # The list names all peers but the one that answers. (A broker that was removed sees a
        # leader and says it is healthy, but then nobody is missing from the list.)
        member=meta.cluster_size > len(meta.replicas),
        store_bytes=said.storage,
        problem=problem,
        disabled=said.disabled,
    )


async def ask_load_time(monitor: Endpoint) -> str:
    """Return when the broker behind a status page last took its configuration, as it says it.

    A reload that it refuses leaves the time as it was (measured); one that changes nothing does
    not. It is a text to compare, to the nanosecond.

    Raises:
        TransportError: No usable answer within a second.
    """
    try:
        async with asyncio.timeout(_ASK_MS_MAX / 1000):
            _, body = await _get(monitor, "/varz")
        return msgspec.json.decode(body, type=_Varz).config_load_time
    except (OSError, EOFError, ValueError, msgspec.DecodeError, asyncio.LimitOverrunError) as exc:
        raise TransportError(f"the broker's status page at {monitor} does not answer") from exc


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
