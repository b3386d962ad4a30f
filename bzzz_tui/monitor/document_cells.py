"""Cells of rows that are documents: what is written does not change with the age of the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, TypeVar

from bzzz_tui.parts import Line
from bzzz_tui.widgets.columns import Placed
from bzzz_tui.wording import Glyphs, Tone, clean, shorten

R = TypeVar("R")
Cell: TypeAlias = Callable[[R, int, Glyphs], Line]
"""Of a row, the width and the glyphs."""
Cells: TypeAlias = Callable[[R, int, Sequence[Placed], Glyphs], Sequence[Line]]
"""As `TableSpec.cells`."""


def words(get: Callable[[R], str], tone: Tone = Tone.PLAIN) -> Cell[R]:
    """Return a cell of words, shortened to the width."""

    def cell(row: R, width: int, glyphs: Glyphs) -> Line:
        return [(shorten(clean(get(row)), width, glyphs), tone)]

    return cell


def cells_of(by_key: Mapping[str, Cell[R]]) -> Cells[R]:
    """Return what makes the cells of a row, from one cell a column."""

    def cells(row: R, _age_ms: int, placed: Sequence[Placed], glyphs: Glyphs) -> Sequence[Line]:
        return [by_key[each.column.key](row, each.width, glyphs) for each in placed]

    return cells
