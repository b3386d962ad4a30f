"""A real HTTP server on loopback that answers like an agent's API, and can be paused.

It tells events as an agent does, from the agent's own board, unless it is to be an older one.
"""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import parse_qsl, urlsplit

import msgspec

from bzzz_core.api.documents import Status
from bzzz_core.api.event_documents import Beat
from bzzz_core.api.events.board import Board
from bzzz_core.api.events.reading import EventsQuery, Frame, Reader, Speaker
from bzzz_core.api.events.sampling import StatusSampler
from tests.fakes.sights import take

_STEP_S: Final = 0.01
TOKEN = "token-of-the-fake"  # noqa: S105  a fake's token is no secret


class StatusServer:
    """Tells `status` to whoever shows the token, on `/v1/status` and as events."""

    def __init__(self, status: Status, *, tells_events: bool = True) -> None:
        """Take the document; it may be exchanged while serving."""
        self.tells_events = tells_events
        self.followed = 0
        """How often somebody began to follow."""
        self.queries: list[dict[str, str]] = []
        """What they asked for."""
        self.speak_of: int | None = None
        """A revision that the next message names wrongly, once."""
        self.epoch = secrets.token_hex(4)
        self.board = Board(changed=lambda: None)
        self._sampler = StatusSampler(self.board)
        self.status = status
        self._sampled: Status | None = None
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
        await asyncio.sleep(3 * _STEP_S)  # Whoever is told events sees it at its next step.
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
                if self.tells_events and head.startswith(b"GET /v1/events"):
                    await self._tell(head, writer)
                    return
                writer.write(self._answer(head))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self._waiting.discard(writer)
            writer.close()

    async def _tell(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        if not _allowed(head):
            writer.write(self._answer(head))
            return
        self.followed += 1
        target = head.split(b" ", 2)[1].decode()
        asked = dict(parse_qsl(urlsplit(target).query))
        self.queries.append(asked)
        query = msgspec.convert(asked, EventsQuery, strict=False)
        speaker = Speaker(
            node=self.status.node,
            node_id=self.status.node_id,
            version=self.status.version,
            epoch=self.epoch,
        )
        reader = Reader(
            query, board=self.board, log=None, speaker=speaker, now=lambda: self.status.at
        )
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        silent_s = query.beat_ms / 1_000
        while not writer.is_closing():
            if not self.paused:
                self._sample()
                frame = reader.state()
                if frame is None and silent_s >= query.beat_ms / 1_000:
                    frame = reader.beat()
                if self.speak_of is not None:
                    gap = Beat(epoch=self.epoch, revision=self.speak_of, at=self.status.at)
                    self.speak_of, frame = None, Frame(msgspec.json.encode(gap))
                if frame is not None:
                    writer.write(b"data: " + frame.body + b"\n\n")
                    silent_s = 0
            await writer.drain()
            await asyncio.sleep(_STEP_S)
            silent_s += _STEP_S

    def _sample(self) -> None:
        """Take in the document, if it is another one; to compare a large one takes its time."""
        if self.status is not self._sampled:
            self._sampled = self.status
            take(self._sampler, self.status)

    def _answer(self, head: bytes) -> bytes:
        allowed, found = _allowed(head), head.startswith(b"GET /v1/status ")
        refusal = "not_found" if allowed else "unauthorized"
        body = msgspec.json.encode(
            self.status if allowed and found else {"error": {"code": refusal, "message": "no"}}
        )
        code = (b"200 OK" if found else b"404 Not Found") if allowed else b"401 Unauthorized"
        return (
            b"HTTP/1.1 "
            + code
            + b"\r\ncontent-type: application/json\r\ncontent-length: "
            + str(len(body)).encode()
            + b"\r\n\r\n"
            + body
        )


def _allowed(head: bytes) -> bool:
    return f"authorization: bearer {TOKEN}".encode() in head.lower()


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
