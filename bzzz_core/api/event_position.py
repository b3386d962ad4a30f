"""Where a reader of `/v1/events` stands, and whether a message builds on that. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from bzzz_core.api.event_documents import Beat, Bye, Delta, Lines, Message, Snapshot


@dataclass(frozen=True, slots=True)
class Position:
    """Everything up to `revision` of the life `epoch` of one agent."""

    epoch: str
    revision: int

    @classmethod
    def after(cls, before: Self | None, message: Message) -> Self | None:
        """Return where a reader stands after a message; None: it must ask for a snapshot.

        A message that does not build on `before` tells of a gap, whoever made it.
        """
        match message:
            case Snapshot():
                return cls(message.epoch, message.revision)
            case Delta():
                builds = before == cls(message.epoch, message.previous)
                return cls(message.epoch, message.revision) if builds else None
            case Beat():
                return before if before == cls(message.epoch, message.revision) else None
            case Lines() | Bye():
                return before
