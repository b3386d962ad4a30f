"""The reader's end of `/v1/events`: what to ask for, and messages from the bytes that come.

What an agent sends is untrusted: a message is bounded, and one that is none ends the stream. Kinds
of messages that this version does not know are passed over, for a newer agent may have more.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Final

import msgspec

from bzzz_core.api.event_documents import (
    ALERTS,
    CHECKS,
    HALT,
    MEMBERS,
    STATUS,
    LogLevel,
    Message,
)
from bzzz_core.api.event_position import Position
from bzzz_core.errors import TransportError

EVENT_BYTES_MAX: Final = 16_000_000
"""A snapshot of 10,000 members has 6 MB."""
STATE: Final = (STATUS, MEMBERS, CHECKS, ALERTS, HALT)
"""Everything but the log."""
_KINDS: Final = frozenset({"snapshot", "delta", "beat", "lines", "bye"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Follow:
    """What to ask for."""

    topics: tuple[str, ...] = STATE
    resume: Position | None = None
    """Where the reader stands; None: it has nothing."""
    beat_ms: int = 5_000
    """So often the agent says something; 500 to 30,000."""
    every_ms: int = 0
    """No more than one delta in this time; up to 60,000."""
    level: LogLevel | None = None
    component: str | None = None
    after_line: int | None = None

    def params(self) -> dict[str, str]:
        """Return the query."""
        asked: dict[str, object] = {
            "topics": ",".join(self.topics),
            "epoch": self.resume.epoch if self.resume else None,
            "after": self.resume.revision if self.resume else None,
            "beat_ms": self.beat_ms,
            "every_ms": self.every_ms or None,
            "level": self.level,
            "component": self.component,
            "after_line": self.after_line,
        }
        return {name: str(value) for name, value in asked.items() if value is not None}


class _Kind(msgspec.Struct):
    type: str


async def messages(
    chunks: AsyncIterator[bytes], *, bytes_max: int = EVENT_BYTES_MAX
) -> AsyncGenerator[Message, None]:
    """Yield the messages among server-sent events.

    Raises:
        TransportError: A line is too long, or a message is none.
    """
    line = bytearray()
    async for chunk in chunks:
        begin = 0
        while (end := chunk.find(b"\n", begin)) >= 0:
            line += chunk[begin:end]
            begin = end + 1
            message = _message(bytes(line), bytes_max)
            line.clear()
            if message is not None:
                yield message
        line += chunk[begin:]
        if len(line) > bytes_max:
            raise TransportError(f"events: a message is over {bytes_max} bytes")


def _message(line: bytes, bytes_max: int) -> Message | None:
    """Return the message in a line; None: there is none, or one of a kind that came later."""
    if not line.startswith(b"data:"):
        return None
    if len(line) > bytes_max:
        raise TransportError(f"events: a message is over {bytes_max} bytes")
    return decode(line[5:])


def decode(data: bytes) -> Message | None:
    """Return a message; None: it is of a kind that this version does not know.

    Raises:
        TransportError: It is none.
    """
    try:
        message: Message = msgspec.json.decode(data, type=Message)
    except (ValueError, RecursionError) as exc:
        if _is_of_later(data):
            return None
        raise TransportError(f"events: not a message: {exc}") from exc
    return message


def _is_of_later(data: bytes) -> bool:
    try:
        return msgspec.json.decode(data, type=_Kind).type not in _KINDS
    except (ValueError, RecursionError):
        return False
