"""A real HTTP server on loopback that answers like an agent's API, and can be paused."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from bzzz_core.api.documents import Status

TOKEN = "token-of-the-fake"  # noqa: S105  a fake's token is no secret


class StatusServer:
    """Answers `GET /v1/status` with `status` to whoever shows the token."""

    def __init__(self, status: Status) -> None:
        """Take the document; it may be exchanged while serving."""
        self.status = status
        self.paused = False
        """Accepts connections and answers nothing, like a stopped process."""
        self.asked = 0
        self._server: asyncio.Server | None = None
        self._waiting: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop listening and drop all connections."""
        assert self._server
        self._server.close()
        for writer in self._waiting:
            writer.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """Return where it listens."""
        assert self._server
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._waiting.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.asked += 1
                if self.paused:
                    continue
                writer.write(self._answer(head))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self._waiting.discard(writer)
            writer.close()

    def _answer(self, head: bytes) -> bytes:
        allowed = f"authorization: bearer {TOKEN}".encode() in head.lower()
        body = msgspec.json.encode(
            self.status if allowed else {"error": {"code": "unauthorized", "message": "no"}}
        )
        code = b"200 OK" if allowed else b"401 Unauthorized"
        return (
            b"HTTP/1.1 "
            + code
            + b"\r\ncontent-type: application/json\r\ncontent-length: "
            + str(len(body)).encode()
            + b"\r\n\r\n"
            + body
        )


def write_demo_state(directory: Path, servers: dict[str, str]) -> None:
    """Write `cluster.json` and a token file as a running demo does; `servers` is name -> URL."""
    token = directory / "api-token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    agents = [
        {"name": name, "pid": 1, "nats_pid": 2, "api_url": url, "token_file": str(token)}
        for name, url in servers.items()
    ]
    document = {"name": "honeycomb", "cluster_id": "c0ffee", "agents": agents}
    (directory / "cluster.json").write_bytes(msgspec.json.encode(document))
