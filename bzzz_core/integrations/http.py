"""The HTTP client of every integration: deadlines, bounds, and no secret in any message.

One `JsonEndpoint` is one base URL with one credential. Redirects are not followed, because they
would carry the credential elsewhere; answers are bounded and decoded into the type that the caller
names.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeAlias, TypeVar

import httpx
import msgspec

from bzzz_core.config.secrets import Secret
from bzzz_core.errors import (
    PermissionDenied,
    ProxyFailed,
    RequestTimeout,
    TransportError,
    UnexpectedAnswer,
)

BODY_BYTES_MAX: Final = 8_000_000
LINE_BYTES_MAX: Final = 1_000_000
Answer = TypeVar("Answer")
Transport: TypeAlias = httpx.AsyncBaseTransport
"""How requests are carried; the one name of the HTTP library that callers need."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came."""

    status: int
    content: bytes


@dataclass(frozen=True, slots=True)
class LinesReply:
    """An answer of lines that goes on."""

    status: int
    lines: AsyncIterator[bytes]
    """Each without its end; empty ones are left out."""


class JsonEndpoint:
    """A service that takes and gives JSON."""

    def __init__(
        self,
        base_url: str,
        *,
        bearer: Secret | None = None,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
        transport: Transport | None = None,
    ) -> None:
        """Open nothing yet.

        Args:
            base_url: Scheme, host, port and the common part of all paths.
            bearer: The key, sent as a bearer token.
            timeout_s: For a whole exchange, connecting included.
            headers: Sent with every request; nothing secret.
            transport: Another way to carry requests; tests use it.
        """
        self._base_url = base_url.rstrip("/")
        sent = dict(headers or {})
        if bearer is not None:
            sent["authorization"] = f"Bearer {bearer.reveal()}"
        self._timeout_s = timeout_s
        self._client = httpx.AsyncClient(timeout=timeout_s, headers=sent, transport=transport)

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
        return self.decode(path, await self._send("GET", path, None), kind)

    async def post(self, path: str, body: Any, kind: type[Answer]) -> Answer:
        """Send a document and return the answer; raises as `get`."""
        return self.decode(path, await self._send("POST", path, body), kind)

    async def ask(self, method: str, path: str, body: Any = None) -> Reply:
        """Send a request and return the answer, whatever its status is.

        Raises:
            RequestTimeout: No answer in time.
            ProxyFailed: The proxy on the way refused, or could not reach the service.
            TransportError: No connection, or an answer without end.
        """
        with self._foreign_faults(path):
            async with self._client.stream(method, self._place(path), **_body(body)) as response:
                content = bytearray()
                async for part in response.aiter_bytes():
                    content += part
                    if len(content) > BODY_BYTES_MAX:
                        raise TransportError(
                            f"{self._place(path)}: answer is over {BODY_BYTES_MAX} bytes"
                        )
        return Reply(response.status_code, bytes(content))

    @asynccontextmanager
    async def lines(self, method: str, path: str, body: Any) -> AsyncIterator[LinesReply]:
        """Send a request and yield an answer of lines; leaving the block ends it.

        Connecting has the time of the endpoint. How long the service may be silent between lines is
        for the caller to say, by `asyncio.timeout` around the next one.

        Raises:
            As `ask`; a line may be lost, and then `lines` itself raises.
        """
        patient = httpx.Timeout(self._timeout_s, read=None)
        with self._foreign_faults(path):
            request = self._client.stream(method, self._place(path), timeout=patient, **_body(body))
            async with request as response:
                yield LinesReply(response.status_code, self._lines_of(path, response))

    async def _lines_of(self, path: str, response: httpx.Response) -> AsyncIterator[bytes]:
        kept = bytearray()
        with self._foreign_faults(path):
            async for part in response.aiter_bytes():
                kept += part
                *whole, rest = kept.split(b"\n")
                for line in whole:
                    if line.strip():
                        yield bytes(line)
                kept = bytearray(rest)
                if len(kept) > LINE_BYTES_MAX:
                    raise TransportError(
                        f"{self._place(path)}: a line is over {LINE_BYTES_MAX} bytes"
                    )
        if kept.strip():
            yield bytes(kept)

    async def _send(self, method: str, path: str, body: Any) -> bytes:
        reply = await self.ask(method, path, body)
        place = self._place(path)
        if reply.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise PermissionDenied(f"{place}: the key was refused ({reply.status})")
        if reply.status != HTTPStatus.OK:
            raise TransportError(f"{place}: answered {reply.status}")
        return reply.content

    def _place(self, path: str) -> str:
        return f"{self._base_url}{path}"

    @contextmanager
    def _foreign_faults(self, path: str) -> Iterator[None]:
        place = self._place(path)
        try:
            yield
        except httpx.TimeoutException as exc:
            raise RequestTimeout(f"{place}: no answer within {self._timeout_s:g} s") from exc
        except httpx.ProxyError as exc:
            raise ProxyFailed(f"{place}: the proxy on the way: {exc}") from exc
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise TransportError(f"{place}: {str(exc) or type(exc).__name__}") from exc

    def decode(self, path: str, content: bytes, kind: type[Answer]) -> Answer:
        """Return an answer's document.

        Raises:
            UnexpectedAnswer: It is another one than was expected.
        """
        try:
            return msgspec.json.decode(content, type=kind)
        except (ValueError, RecursionError) as exc:
            raise UnexpectedAnswer(f"{self._base_url}{path}: not the expected answer") from exc


def _body(body: Any) -> dict[str, Any]:
    if body is None:
        return {}
    headers = {"content-type": "application/json"}
    return {"content": msgspec.json.encode(body), "headers": headers}


async def download(
    url: str,
    target: Path,
    *,
    timeout_s: float,
    bytes_max: int,
    progress: Callable[[int, int], None],
    transport: Transport | None = None,
) -> None:
    """Fetch a file; it appears under its name only when it is whole, and else nothing stays.

    Redirects are followed: no credential is sent. Whether it is the right file its checksum says.

    Raises:
        RequestTimeout: It took longer than `timeout_s`, or nothing came for a minute.
        TransportError: No connection, another status than 200, more than `bytes_max`, or it cannot
            be written here.
    """
    with _landing(url, target) as part:
        try:
            async with (
                asyncio.timeout(timeout_s),
                httpx.AsyncClient(timeout=60, follow_redirects=True, transport=transport) as client,
                client.stream("GET", url) as response,
            ):
                if response.status_code != HTTPStatus.OK:
                    raise TransportError(f"{url}: answered {response.status_code}")
                said = response.headers.get("content-length", "")
                # Only shown: a server may say anything here.
                total = int(said) if said.isascii() and said.isdigit() and len(said) < 19 else 0  # noqa: PLR2004
                come = 0
                with part.open("wb") as file:
                    async for block in response.aiter_bytes(1 << 20):
                        come += len(block)
                        if come > bytes_max:
                            raise TransportError(f"{url}: more than {bytes_max} bytes")
                        file.write(block)
                        progress(come, total)
        except (TimeoutError, httpx.TimeoutException) as exc:
            raise RequestTimeout(f"{url}: not fetched within {timeout_s:g} s") from exc
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise TransportError(f"{url}: {str(exc) or type(exc).__name__}") from exc


@contextmanager
def _landing(url: str, target: Path) -> Iterator[Path]:
    """Yield a file beside `target` that takes its place, or goes if it does not get whole."""
    part = target.with_name(f"{target.name}.part")
    try:
        yield part
        part.replace(target)
    except OSError as exc:
        raise TransportError(f"{url}: {target}: {exc.strerror or exc}") from exc
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
