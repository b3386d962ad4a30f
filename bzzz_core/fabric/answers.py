"""Answers from the wire, and the requests that wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

_FROM_STREAM: Final = "Nats-Stream"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came from the wire."""

    data: bytes
    headers: Mapping[str, str]

    @property
    def status(self) -> str:
        """Return what the broker says in place of an answerer, or an empty string.

        A stored message may carry any header that its writer liked, this one too; the broker adds
        the name of the stream to those, and to none of its own words.
        """
        return "" if _FROM_STREAM in self.headers else self.headers.get("Status", "")

    @property
    def no_responders(self) -> bool:
        """Return whether nobody listens on the subject asked."""
        return self.status == "503"


@dataclass(slots=True)
class Waiting:
    """A request in flight."""

    subject: str
    """In lower case, as the broker names what it refuses."""
    answer: asyncio.Future[None]
    messages_max: int
    """One, or as many as may come before the one that ends them with a status."""
    got: list[Reply] = field(default_factory=list)

    def take(self, reply: Reply) -> None:
        """Add an answer."""
        self.got.append(reply)
        if (reply.status or len(self.got) >= self.messages_max) and not self.answer.done():
            self.answer.set_result(None)
