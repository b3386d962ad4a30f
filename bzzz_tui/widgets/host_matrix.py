"""Hosts down, phases across: where a deployment stands, at a glance.

A cell is a glyph and, where there is room, a word; the row under the cursor decides whose log is
shown beneath. Few rows that change often, so it paints itself line by line like everything here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from bzzz_tui.parts import Part, columns, fit, fit_line
from bzzz_tui.widgets.toned import Toned
from bzzz_tui.wording import Glyphs, Tone


class CellState(StrEnum):
    """How one phase stands on one host."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    SKIPPED = "skipped"
    NONE = "none"
    """The phase is not about this row."""


_TONES: Final = {
    CellState.WAITING: Tone.MUTED,
    CellState.RUNNING: Tone.INFO,
    CellState.DONE: Tone.OK,
    CellState.UNCHANGED: Tone.OK,
    CellState.FAILED: Tone.BAD,
    CellState.SKIPPED: Tone.MUTED,
    CellState.NONE: Tone.MUTED,
}

_NOTE: Final = 30
"""Columns to leave for what a host does now."""
_NUMBERED: Final = 3
"""Columns of a cell under a number."""


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """One host."""

    name: str
    cells: tuple[CellState, ...]
    note: str = ""
    """What it does now, or why it failed."""


class HostMatrix(Toned, can_focus=True):
    """Host x phase."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "previous host", show=False),
        Binding("down,j", "move(1)", "next host", show=False),
    ]

    class Moved(Message):
        """The cursor is on another host."""

        def __init__(self, name: str) -> None:
            """Carry the host's name."""
            super().__init__()
            self.name = name

    def __init__(self, glyphs: Glyphs, *, id: str | None = None) -> None:  # noqa: A002
        """Start empty."""
        super().__init__(id=id)
        self._glyphs = glyphs
        self._phases: tuple[str, ...] = ()
        self._rows: tuple[MatrixRow, ...] = ()
        self._at = 0

    @property
    def selected(self) -> str | None:
        """Return the name of the host under the cursor."""
        return self._rows[self._at].name if self._at < len(self._rows) else None

    def show(self, phases: Sequence[str], rows: Sequence[MatrixRow]) -> None:
        """Show these phases and hosts."""
        before = (self._phases, self._rows)
        self._phases, self._rows = tuple(phases), tuple(rows)
        if before == (self._phases, self._rows):
            return
        self._at = min(self._at, max(0, len(rows) - 1))
        self.refresh(layout=len(before[1]) != len(rows))

    def action_move(self, by: int) -> None:
        """Move the cursor to another host."""
        if self._rows:
            self._at = min(max(0, self._at + by), len(self._rows) - 1)
            self.refresh()
            self.post_message(self.Moved(self._rows[self._at].name))

    def on_click(self, event: events.Click) -> None:
        """Put the cursor on the host that was clicked."""
        if 0 < event.y <= len(self._rows):
            self.action_move(event.y - 1 - self._at)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return one line a host and one for the header."""
        del container, viewport, width
        return len(self._rows) + 1

    def render_line(self, y: int) -> Strip:
        """Return the header or one host."""
        width = self.size.width
        names = max((columns(row.name) for row in self._rows), default=4)
        each, numbered = self._cell_width(width - names - 3)
        if y == 0:
            head: list[Part] = [(" " * (names + 3), Tone.PLAIN)]
            # Two columns leave no room for tens: 9 0 1 2 is read better than 9 101112.
            last = 10 if each < _NUMBERED else 100
            titles = [
                str((n + 1) % last) if numbered else name for n, name in enumerate(self._phases)
            ]
            head += [(fit(title, each), Tone.MUTED) for title in titles]
            return self.strip_of(head, width)
        if y > len(self._rows):
            return Strip.blank(width, self.rich_style)
        row, under = self._rows[y - 1], y - 1 == self._at
        edge = self._glyphs.cursor if under and self.has_focus else " "
        line: list[Part] = [
            (edge, Tone.ACCENT),
            (fit(row.name, names), Tone.PLAIN),
            ("  ", Tone.PLAIN),
            *(self._cell(state, each) for state in row.cells),
            (row.note, Tone.BAD if CellState.FAILED in row.cells else Tone.INFO),
        ]
        if not under:
            return self.strip_of(line, width)
        ground = self.palette.cursor
        return Strip(
            [Segment(text, self.tone_style(tone) + ground) for text, tone in fit_line(line, width)]
        )

    def _cell_width(self, room: int) -> tuple[int, bool]:
        """Return a cell's width and whether phases are numbered for want of room."""
        longest = max((columns(phase) for phase in self._phases), default=1) + 1
        if longest * len(self._phases) + _NOTE <= room:
            return longest, False
        return (_NUMBERED if len(self._phases) * _NUMBERED + _NOTE // 2 <= room else 2), True

    def _cell(self, state: CellState, width: int) -> Part:
        glyphs = self._glyphs
        glyph = {
            CellState.WAITING: glyphs.pending,
            CellState.RUNNING: glyphs.running,
            CellState.DONE: glyphs.done,
            CellState.UNCHANGED: "=",
            CellState.FAILED: glyphs.bad,
            CellState.SKIPPED: "-",
            CellState.NONE: " ",
        }[state]
        return fit(glyph, width), _TONES[state]
