"""How a line of the log is written: columns, then words with what was searched for marked. Pure.

    10:49:35.053 wrn bzzz-1   fabric     lost the broker  peer=bzzz-2 after_ms=812
    time         level node   component  text, then fields

Level is a word and a colour, for colour alone says nothing to some; a node has its own colour and
its name. Only what is exceptional is coloured within the words: each change of colour costs bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from rich.cells import chop_cells

from bzzz_tui.logs.entry import Entry
from bzzz_tui.logs.matching import Match
from bzzz_tui.parts import Part, columns, fit
from bzzz_tui.wording import Tone

_LEVELS: Final[tuple[Part, ...]] = (
    ("dbg", Tone.MUTED),
    ("inf", Tone.PLAIN),
    ("wrn", Tone.WARN),
    ("err", Tone.BAD),
)
_NODE_TONES: Final = (Tone.INFO, Tone.ACCENT, Tone.OK, Tone.PLAIN)
_NODE_MAX: Final = 14
_COMPONENT: Final = 10
_NARROW: Final = 100
"""Below so many columns thousandths of a second and the ends of long names are left out."""


class Stamps(StrEnum):
    """What stands before a line."""

    TIME = "time"
    DATE = "date"
    SINCE = "since the line above"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """Everything that the look of lines depends on, but for the lines."""

    width: int
    stamps: Stamps = Stamps.TIME
    wrap: bool = False
    left: int = 0
    """Columns of the words that are scrolled out at the left."""
    nodes: tuple[str, ...] = ()
    """All nodes of which there are lines, in order; decides colours and the column's width."""
    match: Match | None = None

    @property
    def stamp_width(self) -> int:
        """Return the columns of the time, without the blank behind it."""
        wide = self.width >= _NARROW
        return {
            Stamps.TIME: 12 if wide else 8,
            Stamps.DATE: 18 if wide else 14,
            Stamps.SINCE: 8,
            Stamps.OFF: 0,
        }[self.stamps]

    @property
    def node_width(self) -> int:
        """Return the columns of a node's name; 0 where there is only one node."""
        if len(self.nodes) < 2:  # noqa: PLR2004  one name needs no column
            return 0
        longest = max(columns(node) for node in self.nodes)
        return min(longest, _NODE_MAX if self.width >= _NARROW else _NODE_MAX // 2 + 2)

    @property
    def component_width(self) -> int:
        """Return the columns of a component's name."""
        return _COMPONENT if self.width >= _NARROW else _COMPONENT - 2

    @property
    def indent(self) -> int:
        """Return how many columns stand before the words."""
        parts = (self.stamp_width, 3, self.node_width, self.component_width)
        return 1 + sum(width + 1 for width in parts if width)

    @property
    def room(self) -> int:
        """Return the columns for words."""
        return max(8, self.width - self.indent - 1)


def rows_of(entry: Entry, form: Form) -> int:
    """Return how many lines of the screen a line takes."""
    return len(_rows(entry.words, form.room)) if form.wrap else 1


def parts_of(entry: Entry, above: Entry | None, row: int, form: Form) -> list[Part]:
    """Return one line of the screen.

    Args:
        entry: What is written there.
        above: The line of the log above it, for `Stamps.SINCE`.
        row: Which of its lines, from 0.
        form: How.
    """
    tone = _LEVELS[entry.level][1] if entry.level > 1 else Tone.PLAIN
    words = entry.words
    if form.wrap:
        rows = _rows(words, form.room)
        words = rows[row] if row < len(rows) else ""
    elif form.left:
        words = words[form.left :]
    before = [(" " * form.indent, Tone.PLAIN)] if row else _before(entry, above, form)
    return [*before, *marked(words, tone, form.match)]


def marked(text: str, tone: Tone, match: Match | None) -> list[Part]:
    """Return a text with what was found in it marked."""
    spans = match.spans(text) if match is not None else []
    if not spans:
        return [(text, tone)]
    parts: list[Part] = []
    at = 0
    for begin, end in spans:
        if begin > at:
            parts.append((text[at:begin], tone))
        parts.append((text[begin:end], Tone.FOUND))
        at = end
    if at < len(text):
        parts.append((text[at:], tone))
    return parts


def stamp(entry: Entry, above: Entry | None, form: Form) -> str:
    """Return what stands for the time of a line."""
    width = form.stamp_width
    if form.stamps is Stamps.SINCE:
        return since(entry, above).rjust(width)
    if entry.at_ms is None:
        return "no time".ljust(width)
    text = datetime.fromtimestamp(entry.at_ms / 1_000, UTC).isoformat(" ", "milliseconds")
    return text[11 : 11 + width] if form.stamps is Stamps.TIME else text[5 : 5 + width]


def since(entry: Entry, above: Entry | None) -> str:
    """Return how long after the line above a line was written."""
    if above is None or entry.at_ms is None or above.at_ms is None:
        return ""
    span_ms = entry.at_ms - above.at_ms
    sign = "+" if span_ms >= 0 else "-"
    seconds = abs(span_ms) / 1_000
    if seconds < 100:  # noqa: PLR2004  as many digits as there is room for
        return f"{sign}{seconds:.3f}"
    if seconds < 36_000:  # noqa: PLR2004  ten hours
        return f"{sign}{int(seconds) // 60}m{int(seconds) % 60:02d}"
    return f"{sign}{int(seconds) // 3_600}h"


def node_tone(node: str, nodes: Sequence[str]) -> Tone:
    """Return a node's own colour."""
    return _NODE_TONES[nodes.index(node) % len(_NODE_TONES)] if node in nodes else Tone.PLAIN


def _before(entry: Entry, above: Entry | None, form: Form) -> list[Part]:
    parts: list[Part] = [(" ", Tone.PLAIN)]
    if form.stamps is not Stamps.OFF:
        parts.append((stamp(entry, above, form) + " ", Tone.MUTED))
    word, tone = _LEVELS[entry.level]
    parts.append((word + " ", tone))
    if form.node_width:
        name = fit(entry.node, form.node_width) + " "
        parts.append((name, node_tone(entry.node, form.nodes)))
    component = fit(entry.component, form.component_width) + " "
    parts += marked(component, Tone.MUTED, form.match)
    return parts


def _rows(words: str, room: int) -> list[str]:
    if words.isascii():
        return [words[at : at + room] for at in range(0, len(words), room)] or [""]
    return chop_cells(words, room) or [""]
