"""A table for data that changes every second, ten thousand rows of it.

Theory of operation
-------------------
The table holds no data. It asks `Rows` for the order of row ids, for a row's version, and, only
for rows in view, for cells. A painted line is cached by (id, version, under the cursor?) within one
*generation*; width, theme, columns and a general repaint start a new one. `changed` repaints the
visible ones of the given rows, and everything if that is more than half of the view:

    cost of a tick = visible changed rows, whatever the number of rows

The cursor is kept on a row's id, never on its index: rows that come and go do not move what the
operator is looking at.

Why not Textual's DataTable: one changed cell repaints its whole visible part (a counter of updates
is in every key of its cache), 7 to 63 times the CPU measured; tests/bench holds the ratio.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.cache import LRUCache
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from bzzz_tui.parts import Line, Part, columns, fit, fit_line
from bzzz_tui.widgets.columns import GAP, Column, Placed, place
from bzzz_tui.widgets.toned import Toned
from bzzz_tui.wording import Tone

_CACHE_LINES: Final = 1_024
_BOLD: Final = Style(bold=True)
_EDGE: Final = 1
"""Blank column at either edge."""


class Rows(Protocol):
    """Where a table's content comes from."""

    def order(self) -> Sequence[str]:
        """Return all row ids from top to bottom."""
        ...

    def version(self, row: str) -> int:
        """Return a number that grows whenever the row looks different."""
        ...

    def cells(self, row: str, placed: Sequence[Placed]) -> Sequence[Line]:
        """Return one line of parts for each column that is shown."""
        ...


class LiveTable(ScrollView, Toned, can_focus=True, inherit_bindings=False):
    """Paints visible rows of a `Rows`, and of those only what changed."""

    class Moved(Message):
        """The cursor is on another row."""

        def __init__(self, table: LiveTable, row: str) -> None:
            """Say which row."""
            super().__init__()
            self.table = table
            self.row = row

        @property
        def control(self) -> LiveTable:
            """Return the table that sent this."""
            return self.table

    def __init__(
        self,
        wanted: Sequence[Column],
        rows: Rows,
        *,
        empty: str,
        id: str | None = None,  # noqa: A002
    ) -> None:
        """Take the columns, where rows come from, and what to say when there are none."""
        super().__init__(id=id)
        self._wanted = tuple(wanted)
        self._rows = rows
        self._empty = empty
        self._order: list[str] = []
        self._index: dict[str, int] = {}
        self._placed: tuple[Placed, ...] = ()
        self._cursor: str | None = None
        self._generation = 0
        self._lines: LRUCache[tuple[object, ...], Strip] = LRUCache(_CACHE_LINES)

    @property
    def cursor(self) -> str | None:
        """Return the id of the row under the cursor."""
        return self._cursor

    @property
    def placed(self) -> tuple[Placed, ...]:
        """Return the columns that are shown at the present width."""
        return self._placed

    def on_mount(self) -> None:
        """Show what is there already."""
        self.reload()

    def reload(self) -> None:
        """Ask for the order anew: rows came, went or were sorted."""
        before = self._index.get(self._cursor, 0) if self._cursor else 0
        self._order = list(self._rows.order())
        self._index = {row: at for at, row in enumerate(self._order)}
        if self._cursor not in self._index:
            at = min(before, len(self._order) - 1)
            self._move_to(at)
        self.virtual_size = Size(0, len(self._order) + 1)
        self.repaint()

    def repaint(self) -> None:
        """Paint everything anew."""
        self._generation += 1
        self.refresh()

    def changed(self, rows: Iterable[str]) -> None:
        """Paint anew those of the given rows that are in view."""
        top, height = self.scroll_offset.y, self.size.height - 1
        lines = {
            at - top + 1
            for row in rows
            if (at := self._index.get(row, -1)) >= top and at < top + height
        }
        if len(lines) * 2 > height:
            self.refresh()
        elif lines:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in lines))

    def move(self, lines: int) -> None:
        """Move the cursor by this many rows, stopping at either end."""
        if self._order:
            at = self._index.get(self._cursor or "", 0)
            self._move_to(min(max(0, at + lines), len(self._order) - 1))

    @property
    def page(self) -> int:
        """Return the number of rows in view."""
        return max(1, self.size.height - 1)

    def select(self, row: str) -> None:
        """Put the cursor on a row, if it is there."""
        if row in self._index:
            self._move_to(self._index[row])

    def _move_to(self, at: int) -> None:
        old = self._cursor
        self._cursor = self._order[at] if 0 <= at < len(self._order) else None
        if self._cursor == old:
            return
        self.changed([row for row in (old, self._cursor) if row])
        if self._cursor is None:
            return
        top = self.scroll_offset.y
        if at < top:
            self.scroll_to(y=at, animate=False)
        elif at >= top + self.page:
            self.scroll_to(y=at - self.page + 1, animate=False)
        self.post_message(self.Moved(self, self._cursor))

    def on_resize(self, event: events.Resize) -> None:
        """Choose the columns that fit now."""
        self._placed = place(self._wanted, max(0, event.size.width - 2 * _EDGE))
        self.repaint()

    def notify_style_update(self) -> None:
        """Forget painted lines: the theme or the focus changed."""
        super().notify_style_update()
        self._generation += 1

    def on_click(self, event: events.Click) -> None:
        """Put the cursor on the row that was clicked."""
        at = self.scroll_offset.y + event.y - 1
        if event.y > 0 and at < len(self._order):
            self._move_to(at)

    def render_line(self, y: int) -> Strip:
        """Return one painted line: the header, a row, or blank."""
        width = self.size.width
        if y == 0:
            return self._header(width)
        at = self.scroll_offset.y + y - 1
        if at >= len(self._order):
            if not self._order and y == 1:
                return self.strip_of([(" " + self._empty, Tone.MUTED)], width)
            return Strip.blank(width, self.tone_style(Tone.PLAIN))
        row = self._order[at]
        under = row == self._cursor
        key = (self._generation, row, self._rows.version(row), under, width, self.has_focus)
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = self._paint(row, under=under, width=width)
        return line

    def _header(self, width: int) -> Strip:
        style = self.tone_style(Tone.MUTED) + _BOLD
        titles = (_aligned((p.column.title, Tone.MUTED), p)[0] for p in self._placed)
        text = " " * _EDGE + (" " * GAP).join(titles)
        return Strip([Segment(fit(text, width), style)], width)

    def _paint(self, row: str, *, under: bool, width: int) -> Strip:
        ground = Style.null()
        if under:
            ground = self.palette.cursor if self.has_focus else self.palette.shade
        plain = self.tone_style(Tone.PLAIN) + ground
        segments = [Segment(" " * _EDGE, plain)]
        used = _EDGE
        for n, (cell, placed) in enumerate(
            zip(self._rows.cells(row, self._placed), self._placed, strict=True)
        ):
            if n:
                segments.append(Segment(" " * GAP, plain))
                used += GAP
            for text, tone in _fitted(cell, placed):
                style = plain if tone is Tone.PLAIN else self.tone_style(tone) + ground
                segments.append(Segment(text, style))
            used += placed.width
        segments.append(Segment(" " * max(0, width - used), plain))
        return Strip(segments).simplify().crop(0, width)


def _fitted(cell: Line, placed: Placed) -> list[Part]:
    """Return a cell's parts in exactly the width of its column."""
    if len(cell) == 1:
        return [_aligned(cell[0], placed)]
    return fit_line(cell, placed.width)


def _aligned(part: Part, placed: Placed) -> Part:
    text, tone = part
    room = placed.width - columns(text)
    if room > 0 and placed.column.right:
        return " " * room + text, tone
    return fit(text, placed.width), tone
