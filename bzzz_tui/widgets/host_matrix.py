"""Hosts down, phases across: where a deployment stands, at a glance.

The row under the cursor decides whose log is shown beneath. Where the names of the phases have no
room, their numbers stand upright over the columns, and a line of its own names the phase of one
column: the one that the operator chose, else the one at which that host is. Few rows that change
often, so it paints itself line by line like everything here.
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

_TOLD_FIRST: Final = (CellState.FAILED, CellState.RUNNING)
_TO_COME: Final = frozenset({CellState.WAITING, CellState.NONE})

_NOTE: Final = 30
"""Columns to leave for what a host does now."""
_NUMBERED: Final = 2
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
        Binding("left,h", "look(-1)", "previous phase", show=False),
        Binding("right,l", "look(1)", "next phase", show=False),
        Binding("end", "follow", "the phase at work", show=False),
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
        self._chosen: int | None = None
        """The column that the operator chose; None: follow the work."""

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
        self.refresh(layout=before[0] != self._phases or len(before[1]) != len(rows))

    def action_move(self, by: int) -> None:
        """Move the cursor to another host."""
        if self._rows:
            self._at = min(max(0, self._at + by), len(self._rows) - 1)
            self.refresh()
            self.post_message(self.Moved(self._rows[self._at].name))

    def action_look(self, by: int) -> None:
        """Name another phase, and stay with it."""
        if self._rows and self._phases:
            self._chosen = min(max(0, self.column + by), len(self._phases) - 1)
            self.refresh()

    def action_follow(self) -> None:
        """Name the phase that is at work, whichever that is."""
        self._chosen = None
        self.refresh()

    @property
    def column(self) -> int:
        """Return the number of the phase that is named, from 0."""
        if self._chosen is not None and self._chosen < len(self._phases):
            return self._chosen
        cells = self._rows[self._at].cells if self._rows else ()
        for state in _TOLD_FIRST:
            if state in cells:
                return cells.index(state)
        over = [n for n, state in enumerate(cells) if state not in _TO_COME]
        return over[-1] if over else 0

    def on_click(self, event: events.Click) -> None:
        """Put the cursor on the host that was clicked, and on the phase."""
        names, each, numbered = self._measures(self.size.width)
        row, column = event.y - self._heads(numbered), (event.x - names) // each
        if 0 <= column < len(self._phases):
            self._chosen = column
            self.refresh()
        if 0 <= row < len(self._rows):
            self.action_move(row - self._at)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return one line a host and those over them."""
        del container, viewport
        return len(self._rows) + self._heads(self._measures(width)[2])

    def render_line(self, y: int) -> Strip:
        """Return a line of the heads, or one host."""
        width = self.size.width
        names, each, numbered = self._measures(width)
        heads = self._heads(numbered)
        if y < heads:
            head = self._legend() if numbered and y == 0 else self._head(y, names, each, numbered)
            return self.strip_of(head, width)
        if y >= heads + len(self._rows):
            return Strip.blank(width, self.rich_style)
        row, under = self._rows[y - heads], y - heads == self._at
        edge = self._glyphs.cursor if under and self.has_focus else " "
        line: list[Part] = [
            (edge, Tone.ACCENT),
            (fit(row.name, names - 1), Tone.PLAIN),
            *(self._cell(state, each) for state in row.cells),
            (row.note, Tone.BAD if CellState.FAILED in row.cells else Tone.INFO),
        ]
        if not under:
            return self.strip_of(line, width)
        ground = self.palette.cursor
        return Strip(
            [Segment(text, self.tone_style(tone) + ground) for text, tone in fit_line(line, width)]
        )

    def _legend(self) -> list[Part]:
        """Name the phase of one column, and how it stands on the host under the cursor."""
        if not self._rows or not self._phases:
            return []
        at, row = self.column, self._rows[self._at]
        state = row.cells[at]
        stands = "" if state is CellState.NONE else f" {state.value}"
        keys = f"{self._glyphs.dot} left and right name another"
        return [
            (f" phase {at + 1} of {len(self._phases)}: ", Tone.MUTED),
            (self._phases[at], Tone.ACCENT),
            (stands, _TONES[state]),
            (f"  {keys}", Tone.MUTED),
        ]

    def _head(self, y: int, names: int, each: int, numbered: bool) -> list[Part]:  # noqa: FBT001
        """Return the names of the phases, or one digit of each number."""
        titles = list(self._phases)
        if numbered:
            digits = self._heads(numbered) - 1
            titles = [f"{n + 1:{digits}}"[y - 1] for n in range(len(self._phases))]
        at = self.column if numbered else None
        return [
            (" " * names, Tone.PLAIN),
            *(
                (fit(title, each), Tone.ACCENT if n == at else Tone.MUTED)
                for n, title in enumerate(titles)
            ),
        ]

    def _measures(self, width: int) -> tuple[int, int, bool]:
        """Return the columns before the cells, those of a cell, and whether phases are numbered."""
        names = max((columns(row.name) for row in self._rows), default=4) + 3
        longest = max((columns(phase) for phase in self._phases), default=1) + 1
        if longest * len(self._phases) + _NOTE <= width - names:
            return names, longest, False
        roomy = (_NUMBERED + 1) * len(self._phases) + _NOTE // 2 <= width - names
        return names, _NUMBERED + roomy, True

    def _heads(self, numbered: bool) -> int:  # noqa: FBT001
        """Return the lines over the hosts: the names, or the name of one and the digits of all."""
        return 1 + len(str(len(self._phases))) if numbered else 1

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
