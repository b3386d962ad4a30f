"""A view that is a table: filter, order, columns, describe, export, all from its `TableSpec`.

A view of this kind says `VIEW`, `SCOPES` and `SPEC`, and adds what can be done with its rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec
from textual import on
from textual.binding import BindingType

from bzzz_tui.action_kinds import Argument
from bzzz_tui.actions import Scope, bindings
from bzzz_tui.monitor.tables import largest_first
from bzzz_tui.parts import text_of
from bzzz_tui.query import QueryError, completions
from bzzz_tui.widgets.columns import Placed, letters
from bzzz_tui.widgets.live_table import LiveTable
from bzzz_tui.widgets.prompt import Mode
from bzzz_tui.wording import Tone, clean
from screens.monitor.arranged import ArrangedView


class TableView(ArrangedView):
    """A view of rows with everything that can be done to any table."""

    SCOPES: ClassVar[tuple[Scope, ...]] = (Scope.LIST, Scope.VIEW, Scope.TABLE)
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(Scope.TABLE, Scope.LIST)]

    @on(LiveTable.TitleClicked)
    def _title_clicked(self, event: LiveTable.TitleClicked) -> None:
        self._sort_by(event.column.key)
        self.paint_frame()

    def sort_letter(self, letter: str) -> None:
        """Sort by the column of a letter."""
        column = letters(self.SPEC.sortable()).get(letter)
        if column is None:
            self.say(f"no column has the letter {letter!r}", Tone.BAD)
        else:
            self._sort_by(column.key)

    # ---- order and columns

    def action_sort(self, words: str = "") -> None:
        """Sort by the column whose letter comes next, or by the one named."""
        if not words:
            named = (f"{k} {c.title.lower()}" for k, c in letters(self.SPEC.sortable()).items())
            self.prompt(Mode.SORT)
            self.say("  ".join(named), Tone.MUTED, stays=True)
            return
        key, _, way = words.partition(" ")
        if key in {"none", "off"}:
            self._sort_as(None, largest_first=False)
        elif self.SPEC.field(key) is None:
            raise QueryError(f"nothing is called {key!r} here", 0)
        elif way:
            self._sort_as(key, largest_first=way.strip() in {"desc", "down"})
        else:
            self._sort_by(key)

    def _sort_by(self, key: str) -> None:
        found = self.SPEC.field(key)
        if found is None:
            return
        now = self.arrangement.sort
        reverse = not now[1] if now and now[0] == found.key else largest_first(self.SPEC, key)
        self._sort_as(found.key, largest_first=reverse)

    def _sort_as(self, key: str | None, *, largest_first: bool) -> None:
        self.state.sort = None if key is None else (key, largest_first)
        self.arrangement.sort_by(key, largest_first=largest_first)
        self.show_order()
        self.arrange_rows(at_once=True)
        self.shell.keep_settings()

    def action_sort_next(self, by: int) -> None:
        """Sort by the column beside the present one."""
        keys = [column.key for column in self.SPEC.sortable()]
        now = self.arrangement.sort
        at = keys.index(now[0]) + by if now and now[0] in keys else 0
        key = keys[at % len(keys)]
        self._sort_as(key, largest_first=largest_first(self.SPEC, key))

    def action_wide(self) -> None:
        """Show all columns, or those that fit."""
        self.state.wide, self.state.first = not self.state.wide, 0
        self._show_columns()

    def action_scroll(self, by: int) -> None:
        """Show columns further right or left."""
        last = len(self.SPEC.wanted(self.state.columns)) - 2
        self.state.first = min(max(0, self.state.first + by), max(0, last))
        self._show_columns()

    def action_columns(self, words: str = "") -> None:
        """Choose columns."""
        if not words:
            self.action_command("cols ")
            return
        known = [column.key for column in self.SPEC.columns]
        kept = [c.key for c in self.SPEC.wanted(self.state.columns)]
        given = words.replace(",", " ").split()
        wrong = [each for each in given if each.lstrip("+-") not in {*known, "reset"}]
        if wrong:
            raise QueryError(f"no column is called {wrong[0]!r}; there are {', '.join(known)}", 0)
        if given == ["reset"]:
            kept = []
        elif all(each[0] not in "+-" for each in given):
            kept = given
        else:
            kept = [key for key in kept if f"-{key}" not in given]
            kept += [each.lstrip("+") for each in given if each[0] != "-"]
        self.state.columns, self.state.first = tuple(dict.fromkeys(kept)), 0
        self._show_columns()

    def _show_columns(self) -> None:
        state = self.state
        self.table.show_columns(self.SPEC.wanted(state.columns), wide=state.wide, first=state.first)
        self.shell.keep_settings()

    def choices(self, kind: Argument, text: str) -> Sequence[str]:
        """Return what may stand behind a command here."""
        head, gap, last = text.rpartition(" ")
        match kind:
            case Argument.FILTER:
                return completions(text, self.SPEC.fields)
            case Argument.SORT:
                keys: Sequence[str] = [column.key for column in self.SPEC.sortable()]
                return [each for each in [*keys, "none"] if each.startswith(text)]
            case Argument.COLUMNS:
                sign = last[:1] if last[:1] in {"+", "-"} else ""
                names = [column.key for column in self.SPEC.columns]
                return [
                    f"{head}{gap}{sign}{each}"
                    for each in [*names, "reset"]
                    if each.startswith(last.removeprefix(sign))
                ]
            case _:
                return super().choices(kind, text)

    # ---- one row

    def action_describe(self) -> None:
        """Show everything that is known of the row."""
        row = self.current()
        if row is None:
            return
        from screens.dialogs import Reading  # noqa: PLC0415

        facts = self.SPEC.describe(row, self.age_ms)
        width = max((len(label) for label, _ in facts), default=0)
        lines = [
            [(f"{label:<{width}}  ", Tone.MUTED), (clean(words), Tone.PLAIN)]
            for label, words in facts
        ]
        self.app.push_screen(Reading(f"{self.SPEC.noun} {clean(self.SPEC.name(row))}", lines))

    def action_raw(self) -> None:
        """Show the row as JSON."""
        row = self.current()
        if row is None:
            return
        from screens.dialogs import Reading  # noqa: PLC0415

        encoded = msgspec.json.format(msgspec.json.encode(self.SPEC.raw(row)))
        text = "\n".join(clean(line) for line in encoded.decode().splitlines())
        self.app.push_screen(Reading(f"{self.SPEC.noun} {clean(self.SPEC.name(row))}", text))

    def action_copy_id(self) -> None:
        """Copy names."""
        from screens.monitor.exporting import copy  # noqa: PLC0415  not for the first frame

        rows = self.SPEC.rows(self.session.store)
        copy(self, [self.SPEC.name(rows[row]) for row in self.meant()])

    def action_copy_row(self) -> None:
        """Copy rows as text."""
        from screens.monitor.exporting import copy  # noqa: PLC0415

        rows, glyphs = self.SPEC.rows(self.session.store), self.glyphs
        placed = [
            Placed(p.column, p.column.bare or p.width)
            for p in self.table.placed
            if not p.column.picture
        ]
        lines = []
        for row in self.meant():
            cells = self.SPEC.cells(rows[row], self.as_of, placed, glyphs)
            texts = (text_of(cell).strip() for cell in cells)
            lines.append("\t".join(texts))
        copy(self, lines)

    def action_export(self, words: str = "") -> None:
        """Write the table into a file."""
        from screens.monitor.exporting import export  # noqa: PLC0415

        export(self, words)
