"""What a feed tells the store: values, the same from a live cluster and from a recording."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from bzzz_core.api.documents import Status
from bzzz_core.api.event_documents import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One answer of one node that was asked for its status."""

    source: str
    """Name of the host that answered."""
    status: Status
    received_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One message of the event stream of one node.

    The feed has seen to it that messages build on each other (`Position.after`).
    """

    source: str
    message: Message
    received_ms: int


class LinkPhase(StrEnum):
    """How the monitor stands with the cluster."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Whom the monitor talks to, or why it talks to nobody."""

    phase: LinkPhase
    host: str | None
    """The host that answers, or the one being asked now."""
    since_ms: int
    attempt: int = 0
    """Hosts asked in vain since the last answer."""
    retry_at_ms: int | None = None
    """When the next attempt starts, if the feed is waiting."""
    reason: str = ""
    note: str = ""
    """What is worth knowing of a link that works; that an old agent is polled, for one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Jump:
    """A replay went elsewhere: all of these at once, on nothing if `anew`."""

    events: tuple[Snapshot | Heard | Link, ...]
    anew: bool
    now_ms: int


FeedEvent: TypeAlias = Snapshot | Heard | Link | Jump
