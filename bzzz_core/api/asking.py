"""One client of an agent's API, and how answers are read.

Apart from `bzzz_core.api.client`, because the monitor needs this and none of what a node's own
commands need besides: configuration, registry, certificates, 15 MB of libraries (measured).
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import msgspec

from bzzz_core.api.documents import ErrorDocument, Health, Status
from bzzz_core.api.event_documents import Message
from bzzz_core.api.event_stream import Follow, messages
from bzzz_core.config.secrets import Secret
from bzzz_core.errors import (
    NotOffered,
    PermissionDenied,
    RequestTimeout,
    TransportError,
    error_of,
)

BODY_BYTES_MAX = 8_000_000
TIMEOUT_S = 3.0
_NOT_ASKED = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)
Document = TypeVar("Document", bound=msgspec.Struct)


class ApiClient:
    """One pooled connection to one agent; what it answers is untrusted and bounded."""

    def __init__(self, base_url: str, *, token: Secret, timeout_s: float = TIMEOUT_S) -> None:
        """Open nothing yet. Proxies from the environment are ignored: the API is loopback."""
        self._http = httpx.AsyncClient(
            base_url=base_url,
            timeout=timeout_s,
            trust_env=False,
            verify=_trust(base_url),
            headers={"authorization": f"Bearer {token.reveal()}"},
        )

    async def __aenter__(self) -> Self:
        """Return the client itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection."""
        await self._http.aclose()

    async def status(self) -> Status:
        """Return the agent's status document.

        Raises:
            TransportError: No answer, or none that this version understands.
            PermissionDenied: The token was refused.
        """
        status, body = await self._ask("GET", "/v1/status")
        raise_refusal(status, body)
        return decode(body, Status)

    async def ready(self) -> Health:
        """Return whether the agent is ready, and if not, why.

        Raises:
            TransportError: No answer, or none that this version understands.
        """
        _, body = await self._ask("GET", "/health/ready")
        return decode(body, Health)

    async def call(self, method: str, path: str, body: object | None = None) -> Any:
        """Ask for an operation and return its answer as plain JSON values.

        Raises:
            RequestTimeout: It was asked and did not answer; it may have done it.
            TransportError: It was not asked.
            BzzzError: The agent's own failure, told by its code.
        """
        content = None if body is None else msgspec.json.encode(body)
        status, answer = await self._ask(method, path, content)
        raise_refusal(status, answer)
        try:
            return msgspec.json.decode(answer)
        except (ValueError, RecursionError) as exc:
            raise TransportError(f"{path}: the answer is no JSON: {exc}") from exc

    async def follow(self, asked: Follow) -> AsyncGenerator[Message, None]:
        """Yield the messages of `/v1/events` until the agent ends them; close it with `aclosing`.

        Raises:
            NotOffered: The agent is older than that; ask for its status instead.
            TransportError: No answer, silence for two beats, or none that this version understands.
            PermissionDenied: The token was refused.
        """
        silence_s = 2 * asked.beat_ms / 1_000 + TIMEOUT_S
        timeout = httpx.Timeout(TIMEOUT_S, read=silence_s)
        try:
            async with self._http.stream(
                "GET", "/v1/events", params=asked.params(), timeout=timeout
            ) as response:
                if response.status_code == 404:  # noqa: PLR2004
                    raise NotOffered(f"{self._http.base_url}: this agent does not tell events")
                if response.status_code >= 400:  # noqa: PLR2004
                    self._raise_if_unknown(response.status_code)
                    raise_refusal(response.status_code, await _body(response, "/v1/events"))
                async for message in messages(response.aiter_bytes()):
                    yield message
        except httpx.ReadTimeout as exc:
            raise TransportError(
                f"the agent at {self._http.base_url} said nothing for {silence_s:.1f} s"
            ) from exc
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as exc:
            raise TransportError(
                f"the agent at {self._http.base_url}: {str(exc) or type(exc).__name__}"
            ) from exc

    async def _ask(self, method: str, path: str, content: bytes | None = None) -> tuple[int, bytes]:
        try:
            status, body = await exchange(self._http, method, path, content)
        except _NOT_ASKED as exc:
            reason = str(exc) or type(exc).__name__
            raise TransportError(
                f"the agent at {self._http.base_url} does not answer ({reason}); does it run?"
            ) from exc
        except (httpx.HTTPError, httpx.StreamError) as exc:
            reason = str(exc) or type(exc).__name__
            raise RequestTimeout(
                f"the agent at {self._http.base_url} was asked and did not answer ({reason})"
            ) from exc
        self._raise_if_unknown(status)
        return status, body

    def _raise_if_unknown(self, status: int) -> None:
        if status == 401:  # noqa: PLR2004
            raise PermissionDenied(f"{self._http.base_url}: the API refused the token")


def _trust(base_url: str) -> ssl.SSLContext | bool:
    """Return whose certificates count: those of the system's authorities.

    Reading them takes 120 ms of CPU and 3 MB, for each client (measured); an address without TLS
    gets an empty store, with which nobody could be verified.
    """
    plain = base_url.startswith("http://")
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else True


async def exchange(
    client: httpx.AsyncClient, method: str, path: str, content: bytes | None, **extensions: str
) -> tuple[int, bytes]:
    """Ask once; return status and body.

    Raises:
        TransportError: The body is too large.
        httpx.HTTPError: No answer.
    """
    async with client.stream(method, path, content=content, extensions=extensions) as response:
        return response.status_code, await _body(response, path)


async def _body(response: httpx.Response, path: str) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise TransportError(f"{path}: answer is over {BODY_BYTES_MAX} bytes")
    return bytes(body)


def raise_refusal(status: int, answer: bytes) -> None:
    """Raise the failure that an answer tells; return if it tells none."""
    if status >= 400:  # noqa: PLR2004
        error = decode(answer, ErrorDocument).error
        raise error_of(error.code, error.message)


def decode(body: bytes, kind: type[Document]) -> Document:
    """Return a body as a document.

    Raises:
        TransportError: It is none of this kind.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except (ValueError, RecursionError) as exc:
        raise TransportError(f"not a {kind.__name__} document: {exc}") from exc
