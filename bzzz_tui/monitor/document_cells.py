"""Cells of rows that are documents: what is written does not change with the age of the data.

Only moments do, once a day: those of today are told without the day.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, TypeVar

from bzzz_tui.monitor.times import AsOf, moment
from bzzz_tui.parts import Line
from bzzz_tui.widgets.columns import Placed
from bzzz_tui.wording import Glyphs, Tone, clean, shorten

R = TypeVar("R")
Cell: TypeAlias = Callable[[R, int, Glyphs], Line]
"""Of a row, the width and the glyphs."""
Cells: TypeAlias = Callable[[R, AsOf, Sequence[Placed], Glyphs], Sequence[Line]]
"""As `TableSpec.cells`."""


def words(get: Callable[[R], str], tone: Tone = Tone.PLAIN) -> Cell[R]:
    """Return a cell of words, shortened to the width."""

    def cell(row: R, width: int, glyphs: Glyphs) -> Line:
        return [(shorten(clean(get(row)), width, glyphs), tone)]

    return cell


def cells_of(
    by_key: Mapping[str, Cell[R]], *, moments: Mapping[str, Callable[[R], str | None]]
) -> Cells[R]:
    """Return what makes the cells of a row.

    Args:
        by_key: One cell a column.
        moments: The other columns: what gives the instant that is shown there.
    """

    def cells(row: R, as_of: AsOf, placed: Sequence[Placed], glyphs: Glyphs) -> Sequence[Line]:
        return [
            [(moment(moments[key](row), today=as_of.today), Tone.MUTED)]
            if (key := each.column.key) in moments
            else by_key[key](row, each.width, glyphs)
            for each in placed
        ]

    return cells
