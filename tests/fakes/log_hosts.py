"""Hosts whose logs a test writes, as the monitor asks for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from bzzz_core.api.event_documents import Bye, Lines, LogPage, Message
from bzzz_core.api.event_stream import Follow
from bzzz_core.errors import BzzzError, NotOffered, TransportError
from bzzz_core.telemetry.log_line import LogLine

DAY = "2026-03-01T12:00:"


def line(number: int, *, node: str = "bzzz-1", second: float | None = None, **more: Any) -> LogLine:
    """Return a line; by default one a second, at level info."""
    at = DAY + f"{number % 60 if second is None else second:06.3f}Z"
    values: dict[str, Any] = {"level": "info", "component": "fabric", "text": f"word {number}"}
    return LogLine(number=number, at=at, node=node, **{**values, **more})


class FakeLogHost:
    """One agent's log: what it holds, and streams of what it writes."""

    def __init__(self, name: str, lines: tuple[LogLine, ...] = (), *, life: str = "one") -> None:
        self.name = name
        self.lines = list(lines)
        self.life = life
        self.tells = True
        """Whether it offers events."""
        self.failure: BzzzError | None = None
        self.asked: list[str] = []
        self.closed = 0
        self._readers: set[asyncio.Queue[Message | None]] = set()

    async def call(self, method: str, path: str, body: object | None = None) -> Any:
        assert (method, body) == ("GET", None)
        self.asked.append(path)
        if self.failure is not None:
            raise self.failure
        query = parse_qs(urlsplit(path).query)
        limit = int(query["limit"][0])
        last = self.lines[-1].number if self.lines else 0
        if "after" in query:
            after = int(query["after"][0])
            lines = [each for each in self.lines if each.number > after or after > last][:limit]
            first = self.lines[0].number if self.lines else after + 1
            lost, last = max(0, first - 1 - after), lines[-1].number if lines else last
        else:
            lines, lost = self.lines[-limit:], 0
        page = LogPage(node=self.name, lines=tuple(lines), next=last, lost=lost, life=self.life)
        return msgspec.to_builtins(page)

    async def follow(self, asked: Follow) -> AsyncGenerator[Message, None]:
        if not self.tells:
            raise NotOffered("this agent does not tell events")
        if self.failure is not None:
            raise self.failure
        assert asked.topics == ("logs",)
        queue: asyncio.Queue[Message | None] = asyncio.Queue()
        self._readers.add(queue)
        try:
            while (message := await queue.get()) is not None:
                yield message
            raise TransportError("the connection ended")
        finally:
            self._readers.discard(queue)

    async def close(self) -> None:
        self.closed += 1

    @property
    def followed(self) -> bool:
        """Return whether somebody follows."""
        return bool(self._readers)

    def write(self, *lines: LogLine, lost: int = 0) -> None:
        """Write lines, and tell whoever follows."""
        self.lines += lines
        for reader in self._readers:
            reader.put_nowait(Lines(lines=lines, lost=lost))

    def end_streams(self, bye: str = "") -> None:
        """End what is followed, with a word or without."""
        for reader in self._readers:
            reader.put_nowait(Bye(reason="shutdown", words=bye) if bye else None)

    def restart(self, *lines: LogLine) -> None:
        """Begin another life: numbers begin anew."""
        self.life, self.lines = self.life + "+", list(lines)
        self.end_streams()
