"""The HTTP client of every integration: deadlines, bounds, and no secret in any message.

One `JsonEndpoint` is one base URL with one credential. Redirects are not followed, because they
would carry the credential elsewhere; answers are bounded and decoded into the type that the caller
names.
"""

from __future__ import annotations

from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self, TypeAlias, TypeVar

import httpx
import msgspec

from bzzz_core.config.secrets import Secret
from bzzz_core.errors import PermissionDenied, RequestTimeout, TransportError

BODY_BYTES_MAX: Final = 8_000_000
Answer = TypeVar("Answer")
Transport: TypeAlias = httpx.AsyncBaseTransport
"""How requests are carried; the one name of the HTTP library that callers need."""


class JsonEndpoint:
    """A service that takes and gives JSON."""

    def __init__(
        self,
        base_url: str,
        *,
        bearer: Secret | None = None,
        timeout_s: float,
        transport: Transport | None = None,
    ) -> None:
        """Open nothing yet.

        Args:
            base_url: Scheme, host, port and the common part of all paths.
            bearer: The key, sent as a bearer token.
            timeout_s: For a whole exchange, connecting included.
            transport: Another way to carry requests; tests use it.
        """
        self._base_url = base_url.rstrip("/")
        headers = {} if bearer is None else {"authorization": f"Bearer {bearer.reveal()}"}
        self._timeout_s = timeout_s
        self._client = httpx.AsyncClient(timeout=timeout_s, headers=headers, transport=transport)

    async def __aenter__(self) -> Self:
        """Return the endpoint itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def get(self, path: str, kind: type[Answer]) -> Answer:
        """Fetch a document.

        Raises:
            PermissionDenied: The key was refused, or one is missing.
            RequestTimeout: No answer in time.
            TransportError: No connection, another status than 200, or no such document.
        """
        return self._decode(path, await self._send("GET", path, None), kind)

    async def post(self, path: str, body: Any, kind: type[Answer]) -> Answer:
        """Send a document and return the answer; raises as `get`."""
        return self._decode(path, await self._send("POST", path, msgspec.json.encode(body)), kind)

    async def _send(self, method: str, path: str, body: bytes | None) -> bytes:
        headers = {} if body is None else {"content-type": "application/json"}
        place = f"{self._base_url}{path}"
        try:
            request = self._client.stream(method, place, content=body, headers=headers)
            async with request as response:
                content = bytearray()
                async for part in response.aiter_bytes():
                    content += part
                    if len(content) > BODY_BYTES_MAX:
                        raise TransportError(f"{place}: answer is over {BODY_BYTES_MAX} bytes")
        except httpx.TimeoutException as exc:
            raise RequestTimeout(f"{place}: no answer within {self._timeout_s:g} s") from exc
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise TransportError(f"{place}: {str(exc) or type(exc).__name__}") from exc
        if response.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise PermissionDenied(f"{place}: the key was refused ({response.status_code})")
        if response.status_code != HTTPStatus.OK:
            raise TransportError(f"{place}: answered {response.status_code}")
        return bytes(content)

    def _decode(self, path: str, content: bytes, kind: type[Answer]) -> Answer:
        try:
            return msgspec.json.decode(content, type=kind)
        except (ValueError, RecursionError) as exc:
            raise TransportError(f"{self._base_url}{path}: not the expected answer") from exc
