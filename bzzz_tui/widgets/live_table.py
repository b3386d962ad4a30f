"""A table for data that changes every second, ten thousand rows of it.

Theory of operation
-------------------
The table holds no data. It asks `Rows` for the order of row ids, for a row's version, and, only
for rows in view, for cells. A painted line is cached by (id, version, under the cursor?) within one
*generation*; width, theme, columns and a general repaint start a new one. `changed` repaints the
visible ones of the given rows, and everything if that is more than half of the view:

    cost of a tick = visible changed rows, whatever the number of rows

The cursor is kept on a row's id, never on its index: rows that come and go do not move what the
operator is looking at. Marks are ids too, and belong to whoever gave them.

Why not Textual's DataTable: one changed cell repaints its whole visible part (a counter of updates
is in every key of its cache), 7 to 63 times the CPU measured; tests/bench holds the ratio.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
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

    class Chosen(Message):
        """A row was clicked twice."""

        def __init__(self, row: str) -> None:
            """Say which row."""
            super().__init__()
            self.row = row

    class TitleClicked(Message):
        """The title of a column was clicked."""

        def __init__(self, column: Column) -> None:
            """Say which column."""
            super().__init__()
            self.column = column

    class Scrolled(Message):
        """The operator moved what is in view."""

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
        self._order: Sequence[str] = ()
        self._index: dict[str, int] = {}
        self._placed: tuple[Placed, ...] = ()
        self._cursor: str | None = None
        self._wide = False
        self._first = 0
        self._sorted: tuple[str, str] | None = None
        self._marks: AbstractSet[str] = frozenset()
        self._generation = 0
        self._styles: dict[Tone, Style] = {}
        self._styles_of: tuple[int, bool, bool] | None = None
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

    def show_columns(self, wanted: Sequence[Column], *, wide: bool = False, first: int = 0) -> None:
        """Show these columns; see `place`."""
        self._wanted, self._wide, self._first = tuple(wanted), wide, first
        self._place()

    def sorted_by(self, key: str | None, glyph: str = "") -> None:
        """Mark the title of the column by which rows are sorted."""
        self._sorted = None if key is None else (key, glyph)
        self.refresh(Region(0, 0, self.size.width, 1))

    def mark(self, rows: AbstractSet[str]) -> None:
        """Show these rows as marked."""
        self._marks = rows
        self.repaint()

    def reload(self) -> None:
        """Ask for the order anew: rows came, went or were sorted."""
        before = self._index.get(self._cursor, 0) if self._cursor else 0
        self._order = self._rows.order()
        self._index = {row: at for at, row in enumerate(self._order)}
        self.virtual_size = Size(0, len(self._order) + 1)
        if self._cursor not in self._index:
            self._move_to(min(before, len(self._order) - 1))
        self.repaint()

    def repaint(self) -> None:
        """Paint everything anew."""
        self._generation += 1
        self.refresh()

    def renew(self) -> None:
        """Paint anew the rows in view that look different now, whatever their versions say.

        For what only time changes, such as an age.
        """
        lines = range(1, min(self.size.height, len(self._order) - self.scroll_offset.y + 1))
        before = [self.render_line(y) for y in lines]
        self._generation += 1
        for y, old in zip(lines, before, strict=True):
            if self.render_line(y) != old:
                self.refresh(Region(0, y, self.size.width, 1))

    def say_empty(self, words: str) -> None:
        """Say this where there are no rows."""
        if words != self._empty:
            self._empty = words
            self.refresh(Region(0, 1, self.size.width, 1))

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
        self._place(event.size.width)

    def _place(self, width: int | None = None) -> None:
        room = max(0, (self.size.width if width is None else width) - 2 * _EDGE)
        self._placed = place(self._wanted, room, wide=self._wide, first=self._first)
        self.repaint()

    def notify_style_update(self) -> None:
        """Forget painted lines: the theme or the focus changed."""
        super().notify_style_update()
        self._generation += 1

    def on_click(self, event: events.Click) -> None:
        """Put the cursor on the row that was clicked; a title is told, and a row clicked twice."""
        at = self.scroll_offset.y + event.y - 1
        if event.y > 0 and at < len(self._order):
            self._move_to(at)
            if event.chain > 1:
                self.post_message(self.Chosen(self._order[at]))
        elif event.y == 0 and (column := self._column_at(event.x)):
            self.post_message(self.TitleClicked(column))

    def _column_at(self, x: int) -> Column | None:
        begin = _EDGE
        for placed in self._placed:
            if begin <= x < begin + placed.width + GAP:
                return placed.column
            begin += placed.width + GAP
        return None

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Tell that what is in view moved, by wheel, bar or cursor."""
        super().watch_scroll_y(old_value, new_value)
        self.post_message(self.Scrolled())

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
        under, marked = row == self._cursor, row in self._marks
        version = self._rows.version(row)
        key = (self._generation, row, version, under, marked, width, self.has_focus)
        line = self._lines.get(key)
        if line is None:
            line = self._paint(row, under=under, marked=marked, width=width)
            self._lines[key] = line
        return line

    def _header(self, width: int) -> Strip:
        style = self.tone_style(Tone.MUTED) + _BOLD
        titles = (_aligned((self._title(p.column), Tone.MUTED), p)[0] for p in self._placed)
        text = " " * _EDGE + (" " * GAP).join(titles)
        return Strip([Segment(fit(text, width), style)], width)

    def _title(self, column: Column) -> str:
        if self._sorted is None or self._sorted[0] != column.key:
            return column.title
        return column.title + self._sorted[1]

    def _paint(self, row: str, *, under: bool, marked: bool, width: int) -> Strip:
        styles = self._styles_on(under=under)
        parts: list[Part] = [("*", Tone.ACCENT) if marked else (" " * _EDGE, Tone.PLAIN)]
        used = _EDGE - GAP
        for cell, placed in zip(self._rows.cells(row, self._placed), self._placed, strict=True):
            if used > 0:
                parts.append((" " * GAP, Tone.PLAIN))
            if len(cell) == 1:
                parts.append(_aligned(cell[0], placed))
            else:
                parts += fit_line(cell, placed.width)
            used += GAP + placed.width
        parts.append((" " * max(0, width - used), Tone.PLAIN))
        # As few segments as there are changes of style: each costs bytes, and time in Textual.
        segments: list[Segment] = []
        text, last = "", Tone.PLAIN
        for piece, tone in parts:
            if tone is last:
                text += piece
            else:
                if text:
                    segments.append(Segment(text, styles[last]))
                text, last = piece, tone
        segments.append(Segment(text, styles[last]))
        strip = Strip(segments, max(width, used))
        return strip if used <= width else strip.crop(0, width)

    def _styles_on(self, *, under: bool) -> dict[Tone, Style]:
        """Return the style of each tone on the ground of a row."""
        key = (self._generation, under, self.has_focus)
        if self._styles_of != key:
            ground = Style.null()
            if under:
                ground = self.palette.cursor if self.has_focus else self.palette.shade
            self._styles = {tone: self.tone_style(tone) + ground for tone in Tone}
            self._styles_of = key
        return self._styles


def _aligned(part: Part, placed: Placed) -> Part:
    text, tone = part
    room = placed.width - columns(text)
    if room > 0 and placed.column.right:
        return " " * room + text, tone
    return fit(text, placed.width), tone
