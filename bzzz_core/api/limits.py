"""What bounds a request before anybody looks into it: its head, its body, its name for this host.

A page on the web can make a browser on this machine call the API under a name that the page's owner
points here (DNS rebinding). It has no token; the check of names refuses it before that matters. An
address is nobody's to point elsewhere, so any address is taken.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Final, Self

from starlette.requests import ClientDisconnect, Request

from bzzz_core.api.answers import Refusal
from bzzz_core.api.operations import BODY_BYTES_MAX
from bzzz_core.config.schema import AgentConfig

HEADERS_MAX: Final = 64
HEADERS_BYTES_MAX: Final = 16_384
"""h11 bounds a head by as much, but only one that comes in pieces."""
QUERY_BYTES_MAX: Final = 8_192
PATH_BYTES_MAX: Final = 2_048
BODY_S_MAX: Final = 20.0
"""1.5 MB in 20 s are 600 kbit/s; who is slower holds one of the server's connections."""
_NAME_MAX: Final = 253


class Hosts:
    """The names under which this API may be called."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        """Take `localhost`, every address, and some names."""
        self._names = {"localhost", *(name.lower().rstrip(".") for name in names)}

    @classmethod
    def of(cls, config: AgentConfig) -> Self:
        """Return the names of a configured node."""
        own = config.network
        return cls((config.system.node_name, own.address, own.api_host, *own.api_names))

    def knows(self, header: str) -> bool:
        """Return whether a `Host` header names this API; the port does not matter."""
        if len(header) > _NAME_MAX:
            return False
        if header.startswith("["):
            address, closed, port = header[1:].partition("]")
            return bool(closed) and _is_address(address) and _is_port(port)
        name, colon, port = header.partition(":")
        if colon and not _is_port(colon + port):
            return False
        return name.lower().rstrip(".") in self._names or _is_address(name)


def check_head(path: bytes, query: bytes, headers: Sequence[tuple[bytes, bytes]]) -> Refusal | None:
    """Return why the head of a request is too large; None: it is not."""
    if len(path) > PATH_BYTES_MAX or len(query) > QUERY_BYTES_MAX:
        return Refusal(
            414,
            "uri_too_long",
            f"a path has at most {PATH_BYTES_MAX} bytes, a query {QUERY_BYTES_MAX}",
        )
    size = sum(len(name) + len(value) for name, value in headers)
    if len(headers) > HEADERS_MAX or size > HEADERS_BYTES_MAX:
        return Refusal(
            431,
            "headers_too_large",
            f"a request has at most {HEADERS_MAX} headers of {HEADERS_BYTES_MAX} bytes in all",
        )
    return None


async def body_of(request: Request) -> bytes | Refusal:
    """Return a request's body, or why it is not read to its end."""
    too_large = Refusal(
        413, "body_too_large", f"a body has at most {BODY_BYTES_MAX} bytes", {"connection": "close"}
    )
    if _length(request) > BODY_BYTES_MAX:
        return too_large
    body = bytearray()
    limit = asyncio.timeout(BODY_S_MAX)
    try:
        async with limit:
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_BYTES_MAX:
                    return too_large
    except ClientDisconnect:
        return Refusal(400, "body_cut_off", "the body did not come to its end")
    except TimeoutError:
        if not limit.expired():
            raise
        return Refusal(
            408,
            "body_too_slow",
            f"a body comes within {BODY_S_MAX:.0f} s",
            {"connection": "close"},
        )
    return bytes(body)


def _length(request: Request) -> int:
    said = request.headers.get("content-length", "0")
    return int(said) if said.isascii() and said.isdigit() else 0


def _is_port(text: str) -> bool:
    return re.fullmatch(r"(:[0-9]{1,5})?", text) is not None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
