"""One line of a log as the monitor holds it: small, with its place among the lines of all nodes.

A line's *key* is (time, node, place in its node's log). The time is the one the line says, bent so
that the lines of a node stay in their order: it never runs backwards within a node, even if the
node's clock does. Ties of two nodes are broken by their names, so the order depends on what was
written and not on what arrived first.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, TypeAlias

import msgspec

from bzzz_core.telemetry.log_line import LogLine
from bzzz_tui.wording import clean

Key: TypeAlias = tuple[int, str, int]
LEVELS: Final[dict[str, int]] = {"debug": 0, "info": 1, "warning": 2, "error": 3}
NOTHING: Final[Mapping[str, str]] = {}
_ENTRY_BYTES: Final = 420
"""An entry without its words: objects, key, its share of the lists that hold it."""


class Entry:
    """One line."""

    __slots__ = (
        "_fields",
        "at_ms",
        "component",
        "folded",
        "key",
        "level",
        "node",
        "number",
        "text",
        "trace",
    )

    def __init__(self, line: LogLine, *, node: str, key: Key, at_ms: int | None) -> None:
        """Take over what a line says; what may come from anybody is made harmless to a terminal.

        Args:
            line: As it came.
            node: Whose log it stands in.
            key: Its place.
            at_ms: Its own time; None: it says none that can be read.
        """
        self.key = key
        self.node = sys.intern(node)
        self.at_ms = at_ms
        self.level = LEVELS[line.level]
        self.component = sys.intern(clean(line.component))
        self.text = clean(line.text)
        self.trace = clean(line.trace)
        # Encoded they take a third of what a dictionary does, and few lines are ever looked at.
        self._fields = msgspec.msgpack.encode(line.fields) if line.fields else b""
        self.number = line.number
        self.folded = self.searched.casefold()
        """What words are looked for in, whatever their case."""

    @property
    def fields(self) -> Mapping[str, str]:
        """Return what else the line says."""
        if not self._fields:
            return NOTHING
        found = msgspec.msgpack.decode(self._fields, type=dict[str, str])
        return {clean(name): clean(value) for name, value in found.items()}

    @property
    def words(self) -> str:
        """Return what stands behind node and component: text, and fields as `name=value`."""
        if not self._fields:
            return self.text
        return f"{self.text}  " + " ".join(f"{name}={v}" for name, v in self.fields.items())

    @property
    def searched(self) -> str:
        """Return everything of a line that words are looked for in, as it is shown."""
        return f"{self.node} {self.component} {self.words}"

    @property
    def bytes(self) -> int:
        """Return about how much memory it takes."""
        return _ENTRY_BYTES + len(self.text) + len(self._fields) + len(self.folded)

    @property
    def level_name(self) -> str:
        """Return the level in a word."""
        return _NAMES[self.level]

    def __lt__(self, other: Entry) -> bool:
        """Return whether this one stands above the other."""
        return self.key < other.key


_NAMES: Final = tuple(LEVELS)


def moment(at: str) -> int | None:
    """Return a time of RFC 3339 as milliseconds since 1970, or None."""
    try:
        found = datetime.fromisoformat(at)
        if found.tzinfo is None:
            found = found.replace(tzinfo=UTC)
        return round(found.timestamp() * 1_000)
    except (ValueError, OverflowError):
        return None
