"""Rows of a `TableSpec` on the screen: which are shown, where the cursor is, which are marked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual import on
from textual.widget import Widget

from bzzz_tui.monitor.tables import Arrangement, TableSpec, as_of
from bzzz_tui.monitor.times import AsOf
from bzzz_tui.parts import Line, Part
from bzzz_tui.query import QueryError, parse
from bzzz_tui.store import Changes
from bzzz_tui.widgets.columns import Placed
from bzzz_tui.widgets.live_table import LiveTable
from bzzz_tui.widgets.prompt import Mode
from bzzz_tui.wording import Tone, clean
from screens.monitor.base import MonitorView

if TYPE_CHECKING:
    from screens.monitor.shell import Shell

_FILTER_SHOWN: Final = 40
_COMPLETIONS_SHOWN: Final = 8
_RENEW_MS: Final = 15_000
"""How often rows are looked at for what only time changes."""


class SpecRows:
    """The rows of a `TableSpec` as a `LiveTable` asks for them."""

    def __init__(self, view: ArrangedView, arrangement: Arrangement[Any]) -> None:
        """Take whose rows, and which of them."""
        self._view = view
        self._arrangement = arrangement

    def order(self) -> Sequence[str]:
        """Return the ids that are shown."""
        return self._arrangement.shown

    def version(self, row: str) -> int:
        """Return the version of a row."""
        spec = self._arrangement.spec
        known = spec.rows(self._view.session.store).get(row)
        return -1 if known is None else spec.version(known)

    def cells(self, row: str, placed: Sequence[Placed]) -> Sequence[Line]:
        """Return the cells of a row; all muted once the data is old."""
        view, spec = self._view, self._arrangement.spec
        known = spec.rows(view.session.store).get(row)
        if known is None:  # Gone since the order was made; the next order is without it.
            return [[("", Tone.MUTED)] for _ in placed]
        shown_as = view.as_of
        cells = spec.cells(known, shown_as, placed, view.glyphs)
        if shown_as.age_ms < view.session.stale_ms:
            return cells
        return [[(text, Tone.MUTED) for text, _ in cell] for cell in cells]


class ArrangedView(MonitorView):
    """A view of rows: painting, cursor, marks and filter."""

    SPEC: ClassVar[TableSpec[Any]]

    def __init__(self, shell: Shell, argument: str = "") -> None:
        """Take the shell, and a filter or nothing."""
        super().__init__(shell, argument)
        self.arrangement: Arrangement[Any] = Arrangement(self.SPEC)
        rows, empty = SpecRows(self, self.arrangement), self.SPEC.empty
        self.table = LiveTable(self.SPEC.columns, rows, empty=empty, id="table")
        self._was_stale = False
        self._renewed_ms = 0

    def on_mount(self) -> None:
        """Take up filter, order and columns where they were left."""
        state, spec = self.state, self.SPEC
        if self.argument:
            state.filter, self.argument = self.argument, ""
        try:
            self.arrangement.filter(parse(state.filter, spec.fields))
        except QueryError as exc:
            state.filter = ""
            self.call_after_refresh(self.say, str(exc), Tone.BAD)
        if state.sort is not None:
            self.arrangement.sort_by(state.sort[0], largest_first=state.sort[1])
        super().on_mount()

    def body(self) -> Iterable[Widget]:
        """Return the table; a view that has more puts it where it belongs."""
        yield self.table

    @property
    def age_ms(self) -> int:
        """Return the age of the data; 0 while there is none."""
        return self.as_of.age_ms

    @property
    def as_of(self) -> AsOf:
        """Return as of when rows are shown that are painted now."""
        return as_of(self.session.store, self.session.clock.now_ms())

    # ---- painting

    def focus_body(self) -> None:
        """Keys are for the table."""
        self.set_focus(self.table)

    def paint(self) -> None:
        """Arrange and paint everything."""
        state = self.state
        self.table.show_columns(self.SPEC.wanted(state.columns), wide=state.wide, first=state.first)
        self.table.mark(state.marks)
        self.show_order()
        self.arrange_rows(at_once=True)
        if state.cursor is not None:
            self.table.select(state.cursor)
        if self.focused is None:
            self.set_focus(self.table)

    def changed(self, changes: Changes) -> None:
        """Paint the rows that changed, in a new order if that is due."""
        self.arrangement.note(changes.ids, self.SPEC.rows(self.session.store))
        if changes.order:
            self.arrange_rows(at_once=True)
        elif self.arrange_rows():
            pass
        elif changes.sampled and any(placed.column.picture for placed in self.table.placed):
            self.table.repaint()
        elif changes.ids:
            self.table.changed(changes.ids)

    def aged(self) -> None:
        """Paint old data as old, and an order that had to wait."""
        stale, now_ms = self.age_ms >= self.session.stale_ms, self.session.clock.now_ms()
        due = now_ms - self._renewed_ms >= _RENEW_MS
        if not self.arrange_rows() and (stale or self._was_stale or due):
            self.table.renew()
            self._renewed_ms = now_ms
        self._was_stale = stale

    def arrange_rows(self, *, at_once: bool = False) -> bool:
        """Make the order anew if that is due; return whether it was made."""
        now_ms = self.session.clock.now_ms()
        if not at_once and not self.arrangement.due(now_ms):
            return False
        self.arrangement.make(self.session.store, now_ms, anew=at_once)
        found_none = self.arrangement.total and not self.arrangement.shown
        self.table.say_empty("nothing matches the filter" if found_none else self.nothing())
        rows = self.SPEC.rows(self.session.store)
        if self.state.marks and not self.state.marks <= rows.keys():
            self.state.marks &= set(rows)
            self.table.mark(self.state.marks)
        self.table.reload()
        return True

    def info(self) -> list[Part]:
        """Return filter, count, order and marks."""
        state, arrangement = self.state, self.arrangement
        parts: list[Part] = []
        if state.filter:
            short = state.filter[:_FILTER_SHOWN]
            parts += [("/", Tone.MUTED), (clean(short), Tone.INFO), ("  ", Tone.PLAIN)]
        if not self.SPEC.known(self.session.store):
            parts.append((self.SPEC.unknown, Tone.MUTED))
        else:
            matched = f"{len(arrangement.shown)} of " if state.filter else ""
            parts.append((matched + self.SPEC.counted(arrangement.total), Tone.PLAIN))
        if state.marks:
            parts.append((f"  {len(state.marks)} marked", Tone.ACCENT))
        if state.first:
            parts.append((f"  columns from {state.first + 1}", Tone.MUTED))
        return parts

    def nothing(self) -> str:
        """Return what stands where there are no rows."""
        return self.SPEC.empty

    def show_order(self) -> None:
        """Mark the column that rows are sorted by."""
        sort = self.arrangement.sort
        if sort is None:
            self.table.sorted_by(None)
        else:
            self.table.sorted_by(sort[0], self.glyphs.down if sort[1] else self.glyphs.up)

    @on(LiveTable.Moved)
    def _moved(self, event: LiveTable.Moved) -> None:
        self.state.cursor = event.row
        self.moved(event.row)

    def moved(self, row: str) -> None:
        """Learn that the cursor is on another row."""

    @on(LiveTable.Scrolled)
    def _touched(self) -> None:
        self.arrangement.touch(self.session.clock.now_ms())

    @on(LiveTable.Chosen)
    def _chosen(self) -> None:
        self.chosen()

    def chosen(self) -> None:
        """Open what is under the cursor."""

    # ---- the cursor and marks

    def current(self) -> Any | None:
        """Return the row under the cursor."""
        row = self.table.cursor
        return None if row is None else self.SPEC.rows(self.session.store).get(row)

    def meant(self) -> list[str]:
        """Return the ids of all marked rows, or of the one under the cursor."""
        marks, order = self.state.marks, self.SPEC.order(self.session.store)
        if marks:
            return [row for row in order if row in marks]
        return [self.table.cursor] if self.table.cursor else []

    def action_cursor(self, rows: int) -> None:
        """Move the cursor."""
        self._touched()
        self.table.move(rows)

    def action_page(self, pages: int) -> None:
        """Move the cursor by pages."""
        self._touched()
        self.table.move(pages * self.table.page)

    def action_edge(self, direction: int) -> None:
        """Move the cursor to the first or last row."""
        self._touched()
        self.table.move(direction * max(1, self.arrangement.total))

    def action_mark(self) -> None:
        """Mark the row, or take the mark off, and go on to the next one."""
        if self.table.cursor is not None:
            self.state.marks ^= {self.table.cursor}
            self._marked()
            self.table.move(1)

    def action_mark_all(self) -> None:
        """Mark all rows that are shown."""
        self.state.marks |= set(self.arrangement.shown)
        self._marked()

    def action_unmark(self) -> None:
        """Take all marks off."""
        self.state.marks.clear()
        self._marked()

    def _marked(self) -> None:
        self._touched()
        self.table.mark(self.state.marks)

    # ---- filter

    def action_filter(self, text: str = "") -> None:
        """Write a filter, or take the one given."""
        if text:
            self._filter(text)
        else:
            self.prompt(Mode.FILTER, self.state.filter)

    def take_argument(self, argument: str) -> None:
        """Be opened again with a filter; without one nothing changes."""
        if argument:
            self._filter(argument)

    def _filter(self, text: str) -> None:
        query = parse(text, self.SPEC.fields)
        self.state.filter = query.text
        self.arrangement.filter(query)
        self.arrange_rows(at_once=True)
        self.paint_frame()

    def _try_filter(self, text: str) -> bool:
        try:
            self.arrangement.filter(parse(text, self.SPEC.fields))
        except QueryError as exc:
            where = f" (at {exc.at + 1})" if text else ""
            self.say(f"{exc}{where}", Tone.BAD, stays=True)
            return False
        self.arrange_rows(at_once=True)
        return True

    def written(self, mode: Mode, text: str) -> None:
        """Show what a filter that is being written finds; take the letter of a column."""
        if mode is Mode.FILTER and self._try_filter(text):
            found = self.complete_filter(text) if text else []
            count = f"{len(self.arrangement.shown)} of {self.arrangement.total}"
            self.say("  ".join((count, *found[:_COMPLETIONS_SHOWN])), Tone.MUTED, stays=True)
        elif mode is Mode.SORT and text:
            self.close_prompt()
            self.sort_letter(text[-1])
            self.paint_frame()

    def sort_letter(self, letter: str) -> None:
        """Sort by the column of a letter."""

    def entered(self, mode: Mode, text: str | None) -> None:
        """Keep the filter that was written, or the one before."""
        if mode is Mode.FILTER:
            if text is None or not self._try_filter(text):
                self._filter(self.state.filter)
            else:
                self._filter(text)

    def action_back(self) -> None:
        """Clear the filter first; then go back."""
        if self.state.filter:
            self._filter("")
        else:
            super().action_back()
