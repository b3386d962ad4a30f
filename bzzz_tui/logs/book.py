"""The lines of many nodes in one order, of which the oldest are let go.

Theory of operation
-------------------
Lines of one node arrive in their order, in pieces: what it wrote before we asked (`before`), and
what it writes now. Between nodes anything may be late. Each line gets its key (see `entry`) and its
place by it; nearly always that is the end, so following costs an append a line.

Bounded by lines and by memory. What falls out at the top is counted, and so is what a node says we
missed; a reader is told of both, never left to believe that there was nothing.

Rules: pure; no clock. `changed` tells everything that an index over the lines has to know.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from bzzz_core.telemetry.log_line import LogLine
from bzzz_tui.logs.entry import Entry, moment

LINES_MAX: Final = 100_000
BYTES_MAX: Final = 64_000_000
NODES_MAX: Final = 1_024
"""Names that are remembered; an agent cannot make us keep more by telling lines of others."""
_ONE_BY_ONE_MAX: Final = 64
"""From so many late lines on, sorting all is cheaper than putting each in its place."""


@dataclass(frozen=True, slots=True)
class Change:
    """What came in and what was let go by one `add`."""

    came: tuple[Entry, ...]
    """In their order; those that were let go at once are not among them."""
    fell: int
    """How many were let go at the top."""


@dataclass(slots=True)
class NodeLines:
    """What is known of one node's lines."""

    first: tuple[int, int] = (0, 0)
    """Time and place of the oldest line ever added."""
    last: tuple[int, int] = (0, -1)
    held: int = 0
    missed: int = 0
    """Lines that the node wrote and we never got."""


@dataclass(slots=True)
class LogBook:
    """All lines that are held."""

    lines_max: int = LINES_MAX
    bytes_max: int = BYTES_MAX
    entries: list[Entry] = field(default_factory=list)
    nodes: dict[str, NodeLines] = field(default_factory=dict)
    fallen: int = 0
    """How many lines were let go."""
    bytes: int = 0

    def add(
        self, node: str, lines: Sequence[LogLine], *, before: bool = False, missed: int = 0
    ) -> Change:
        """Take in lines of a node in their order.

        Args:
            node: Whose log they stand in.
            lines: As they came.
            before: They are older than all lines of this node so far.
            missed: How many lines before them will never come.
        """
        known = self.nodes.get(node)
        if known is None:
            if len(self.nodes) >= NODES_MAX:
                return Change((), 0)
            known = self.nodes[node] = NodeLines()
        known.missed += missed
        if not lines:
            return Change((), 0)
        new = _older(node, lines, known) if before else _newer(node, lines, known)
        self._put(new)
        known.held += len(new)
        self.bytes += sum(entry.bytes for entry in new)
        fell = self._let_go()
        if fell:
            first = self.entries[0].key if self.entries else None
            new = [entry for entry in new if first is not None and entry.key >= first]
        return Change(tuple(new), fell)

    @property
    def missed(self) -> int:
        """Return how many lines were written and never came."""
        return sum(node.missed for node in self.nodes.values())

    def _put(self, new: list[Entry]) -> None:
        entries = self.entries
        if not entries or entries[-1].key < new[0].key:
            entries += new
        elif len(new) <= _ONE_BY_ONE_MAX:
            for entry in new:
                insort(entries, entry, key=_key)
        else:
            entries += new
            entries.sort(key=_key)

    def _let_go(self) -> int:
        entries = self.entries
        count = max(0, len(entries) - self.lines_max)
        freed = sum(entry.bytes for entry in entries[:count])
        while self.bytes - freed > self.bytes_max and count < len(entries):
            freed += entries[count].bytes
            count += 1
        for entry in entries[:count]:
            self.nodes[entry.node].held -= 1
        del entries[:count]
        self.bytes -= freed
        self.fallen += count
        return count


def _newer(node: str, lines: Sequence[LogLine], known: NodeLines) -> list[Entry]:
    new: list[Entry] = []
    time_ms, place = known.last
    begun = place >= known.first[1]
    for line in lines:
        at_ms = moment(line.at)
        time_ms = max(time_ms, at_ms or 0) if begun or new else (at_ms or 0)
        place += 1
        new.append(Entry(line, node=node, key=(time_ms, node, place), at_ms=at_ms))
    known.last = (time_ms, place)
    if not begun:
        known.first = (new[0].key[0], new[0].key[2])
    return new


def _older(node: str, lines: Sequence[LogLine], known: NodeLines) -> list[Entry]:
    if known.last[1] < known.first[1]:
        return _newer(node, lines, known)
    new: list[Entry] = []
    time_ms, place = known.first
    for line in reversed(lines):
        at_ms = moment(line.at)
        time_ms = min(time_ms, time_ms if at_ms is None else at_ms)
        place -= 1
        new.append(Entry(line, node=node, key=(time_ms, node, place), at_ms=at_ms))
    known.first = (time_ms, place)
    new.reverse()
    return new


def place_of(entries: Sequence[Entry], entry: Entry) -> int:
    """Return where an entry stands, or would, in a sequence that is in order."""
    return bisect_left(entries, entry.key, key=_key)


def _key(entry: Entry) -> tuple[int, str, int]:
    return entry.key
