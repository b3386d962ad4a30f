"""One reader of the events: what it asked for, where it stands, what it has to be told next.

A reader keeps no queue. It has a place on the board and a place in the log, and takes what differs
from there when it can be written to; what came and went meanwhile it never learns, and a thousand
changes of one document are one. So the memory that a reader may take is one message, however slow
it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Protocol, cast

import msgspec

from bzzz_core.api.event_documents import (
    LOGS,
    TOPICS,
    Beat,
    Bye,
    Delta,
    Lines,
    LogLevel,
    LogLine,
    Message,
    Snapshot,
)
from bzzz_core.api.event_position import Position
from bzzz_core.api.events.board import Board
from bzzz_core.errors import RequestInvalid
from bzzz_core.model import NodeId

BEAT_MS: Final = 5_000
BEAT_MS_MIN: Final = 500
BEAT_MS_MAX: Final = 30_000
EVERY_MS_MAX: Final = 60_000
LINES_MAX: Final = 500
"""Lines of the log in one message."""
_REVISION_MAX: Final = 2**53
_TOPICS_MAX: Final = 16
_LEVELS: Final[dict[str, int]] = {"debug": 0, "info": 1, "warning": 2, "error": 3}
_STATE: Final = ",".join(topic for topic in TOPICS if topic != LOGS)
_Number = Annotated[int, msgspec.Meta(ge=0, le=_REVISION_MAX)]
_Name = Annotated[str, msgspec.Meta(max_length=100)]


class EventsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader asks for, in the query of `/v1/events`."""

    topics: Annotated[str, msgspec.Meta(max_length=300)] = _STATE
    """Names with commas between; those that this version does not have are passed over."""
    epoch: _Name = ""
    after: _Number | None = None
    """With `epoch`: where the reader stands."""
    beat_ms: Annotated[int, msgspec.Meta(ge=BEAT_MS_MIN, le=BEAT_MS_MAX)] = BEAT_MS
    """So often the reader hears something, if it is only that nothing changed."""
    every_ms: Annotated[int, msgspec.Meta(ge=0, le=EVERY_MS_MAX)] = 0
    """No more than one delta in this time."""
    level: LogLevel = "debug"
    """Lines of this level and above."""
    component: _Name = ""
    """Lines of this component and what lies below it; empty: all."""
    after_line: _Number | None = None
    """Lines after this number; without it: those to come."""

    def named(self) -> tuple[str, ...]:
        """Return the topics that there are among those asked for, in the order of `TOPICS`.

        Raises:
            RequestInvalid: Too many were named.
        """
        names = [name.strip() for name in self.topics.split(",")]
        if len(names) > _TOPICS_MAX:
            raise RequestInvalid(f"topics: at most {_TOPICS_MAX}")
        return tuple(topic for topic in TOPICS if topic in names)

    def position(self) -> Position | None:
        """Return where the reader stands; None: nowhere."""
        return Position(self.epoch, self.after) if self.epoch and self.after is not None else None


class Held(Protocol):
    """Lines that a log could give."""

    @property
    def lines(self) -> tuple[LogLine, ...]:
        """Return them, in their order."""
        ...

    @property
    def lost(self) -> int:
        """Return how many of those asked for are no longer held."""
        ...


class LogSource(Protocol):
    """The newest lines of the log; satisfied by `telemetry.log_ring`."""

    @property
    def last(self) -> int:
        """Return the number of the newest line; 0: none yet."""
        ...

    def since(self, number: int, *, limit: int) -> Held:
        """Return the oldest lines after a number."""
        ...

    def subscribe(self, callback: Callable[[LogLine], None]) -> Callable[[], None]:
        """Call `callback` with each line, in any thread; return what ends that."""
        ...


@dataclass(frozen=True, slots=True)
class Frame:
    """One message, encoded, and the id by which its reader may go on after it."""

    body: bytes
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """Who tells."""

    node: str
    node_id: NodeId
    version: str
    epoch: str


class Reader:
    """What one reader has to be told."""

    def __init__(
        self,
        query: EventsQuery,
        *,
        board: Board,
        log: LogSource | None,
        speaker: Speaker,
        now: Callable[[], str],
    ) -> None:
        """Begin where the query says.

        Args:
            query: What was asked for.
            board: The documents.
            log: The lines; None: there are none for this reader.
            speaker: Whose they are.
            now: Gives UTC, for people.

        Raises:
            RequestInvalid: The query asks for nothing that there is.
        """
        named = query.named()
        if not named:
            raise RequestInvalid(f"topics: none of {', '.join(TOPICS)} was asked for")
        self.query = query
        self._topics = tuple(topic for topic in named if topic != LOGS)
        self._board = board
        self._log = log if LOGS in named else None
        self._speaker = speaker
        self._now = now
        asked = query.position()
        self._told = asked.revision if asked and asked.epoch == speaker.epoch else None
        self._seen = self._told
        after = query.after_line
        self._line = (self._log.last if self._log else 0) if after is None else after
        self._lost = 0
        self._level = _LEVELS[query.level]

    @property
    def wants_lines(self) -> bool:
        """Return whether lines of the log are among what it asked for."""
        return self._log is not None

    @property
    def wants_state(self) -> bool:
        """Return whether any collection is among what it asked for."""
        return bool(self._topics)

    @property
    def behind(self) -> bool:
        """Return whether the board changed since the reader was last brought up to date."""
        return self._seen != self._board.revision

    def due(self, topic: str) -> tuple[str, ...]:
        """Return the ids of a collection's documents that `state` would tell now."""
        if topic not in self._topics or not (self._seen is None or self.behind):
            return ()
        return self._board.due(topic, self._seen)

    def state(self) -> Frame | None:
        """Return what the reader has to know of the collections; None: nothing new."""
        if self._told is None or self._seen is None:
            return self._whole()
        if self._seen == self._board.revision:
            return None
        difference = self._board.since(self._seen, self._topics)
        if difference is None:
            return self._whole()
        self._seen = self._board.revision
        if not difference:
            return None
        previous, self._told = self._told, self._seen
        return self._frame(
            Delta(
                epoch=self._speaker.epoch,
                revision=self._told,
                previous=previous,
                at=self._now(),
                changed=cast("Any", difference.changed),
                gone=difference.gone,
            )
        )

    def lines(self) -> Frame | None:
        """Return the next lines of the log that fit; None: no more for now."""
        while self._log is not None:
            held = self._log.since(self._line, limit=LINES_MAX)
            self._lost += held.lost
            if not held.lines:
                return None
            self._line = held.lines[-1].number
            fitting = tuple(line for line in held.lines if self._fits(line))
            if fitting:
                lost, self._lost = self._lost, 0
                return self._frame(Lines(lines=fitting, lost=lost))
        return None

    def beat(self) -> Frame:
        """Return word that nothing changed."""
        told = self._told or 0
        return self._frame(Beat(epoch=self._speaker.epoch, revision=told, at=self._now()))

    def bye(self, reason: str, words: str) -> Frame:
        """Return the last message."""
        return self._frame(Bye(reason=reason, words=words))

    def _whole(self) -> Frame:
        self._told = self._seen = self._board.revision
        return self._frame(
            Snapshot(
                epoch=self._speaker.epoch,
                revision=self._told,
                at=self._now(),
                node=self._speaker.node,
                node_id=self._speaker.node_id,
                version=self._speaker.version,
                documents=cast("Any", self._board.everything(self._topics)),
            )
        )

    def _frame(self, message: Message) -> Frame:
        where = "" if self._told is None else f"{self._speaker.epoch}:{self._told}"
        return Frame(msgspec.json.encode(message), where)

    def _fits(self, line: LogLine) -> bool:
        component = self.query.component
        below = line.component == component or line.component.startswith(f"{component}.")
        return _LEVELS.get(line.level, 0) >= self._level and (not component or below)


def position_of(last_event_id: str) -> Position | None:
    """Return the place that a browser's `Last-Event-ID` names; None: it names none."""
    epoch, _, revision = last_event_id.rpartition(":")
    number = revision.isascii() and revision.isdecimal() and len(revision) < len(str(_REVISION_MAX))
    return Position(epoch, int(revision)) if number and 0 < len(epoch) <= 100 else None  # noqa: PLR2004
