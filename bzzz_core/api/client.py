"""Asks an agent's API; the one client for the command line, the demo, the monitor and tests."""

from __future__ import annotations

from types import TracebackType
from typing import Self, TypeVar

import httpx
import msgspec

from bzzz_core.api.documents import ErrorDocument, Health, Status
from bzzz_core.config.secrets import Secret
from bzzz_core.errors import PermissionDenied, TransportError

BODY_BYTES_MAX = 8_000_000
_TIMEOUT_S = 3.0
Document = TypeVar("Document", bound=msgspec.Struct)


class ApiClient:
    """One pooled connection to one agent; what it answers is untrusted and bounded."""

    def __init__(self, base_url: str, *, token: Secret, timeout_s: float = _TIMEOUT_S) -> None:
        """Open nothing yet. Proxies from the environment are ignored: the API is loopback."""
        self._http = httpx.AsyncClient(
            base_url=base_url,
            timeout=timeout_s,
            trust_env=False,
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
        _, body = await self._get("/v1/status")
        return _decode(body, Status)

    async def ready(self) -> Health:
        """Return whether the agent is ready, and if not, why.

        Raises:
            TransportError: No answer, or none that this version understands.
        """
        _, body = await self._get("/health/ready")
        return _decode(body, Health)

    async def _get(self, path: str) -> tuple[int, bytes]:
        try:
            async with self._http.stream("GET", path) as response:
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > BODY_BYTES_MAX:
                        raise TransportError(f"{path}: answer is over {BODY_BYTES_MAX} bytes")
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as exc:
            reason = str(exc) or type(exc).__name__
            raise TransportError(f"{self._http.base_url}: {reason}") from exc
        if response.status_code in {401, 403}:
            raise PermissionDenied(f"{self._http.base_url}: the API refused the token")
        if response.status_code >= 400 and not path.startswith("/health"):  # noqa: PLR2004
            error = _decode(bytes(body), ErrorDocument).error
            raise TransportError(f"{path}: {response.status_code} {error.code}: {error.message}")
        return response.status_code, bytes(body)


def _decode(body: bytes, kind: type[Document]) -> Document:
    try:
        return msgspec.json.decode(body, type=kind)
    except (ValueError, RecursionError) as exc:
        raise TransportError(f"not a {kind.__name__} document: {exc}") from exc
