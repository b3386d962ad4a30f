"""Which columns of a table fit, and how wide each is. Pure, so that every width can be tested.

Columns leave by priority: the highest number goes first, 0 never goes. What room is left over is
given to the columns that can use it, up to their `width_max`. Widths depend on the width of the
table alone, never on its content, so columns do not jump when a value changes.

An operator who wants to see them all goes *wide*: then columns stay in their order, as many as fit,
and the first one, which says what the row is, stays while the others are scrolled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

GAP: Final = 2
"""Blank columns between two columns of a table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table."""

    key: str
    title: str
    width: int
    """Least width in terminal columns; the title must fit too."""
    width_max: int = 0
    """Grows up to here when there is room; 0 means it does not."""
    priority: int = 0
    right: bool = False
    """Set flush right, as numbers are."""
    letter: str = ""
    """Sorts by this column; empty: the first letter of the key."""
    picture: bool = False
    """A drawing: left out where there is only text."""
    bare: int = 0
    """Width without its drawing, where there is only text; 0: it has none."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A column that is shown, and its width."""

    column: Column
    width: int


def place(
    wanted: Sequence[Column], width: int, *, wide: bool = False, first: int = 0
) -> tuple[Placed, ...]:
    """Return the columns that fit into `width`, in their order.

    Args:
        wanted: All columns, the most telling one first.
        width: Of the table.
        wide: Do not choose by priority.
        first: How many columns after the first one are scrolled out; any makes it wide.
    """
    shown = list(wanted)
    if wide or first:
        shown = shown[:1] + shown[1:][min(first, max(0, len(shown) - 2)) :]
        while len(shown) > 1 and _least(shown) > width:
            shown.pop()
    while len(shown) > 1 and _least(shown) > width:
        last = max(shown, key=lambda column: column.priority)
        if last.priority == 0:
            break
        shown.remove(last)
    spare = max(0, width - _least(shown))
    widths = {column.key: column.width for column in shown}
    growing = [column for column in shown if column.width_max > column.width]
    while spare and growing:
        for column in list(growing):
            if not spare:
                break
            widths[column.key] += 1
            spare -= 1
            if widths[column.key] >= column.width_max:
                growing.remove(column)
    return tuple(Placed(column, widths[column.key]) for column in shown)


def letters(columns: Sequence[Column]) -> dict[str, Column]:
    """Return letter -> column to sort by; where two want one letter, the first has it."""
    found: dict[str, Column] = {}
    for column in columns:
        found.setdefault(column.letter or column.key[:1], column)
    return found


def _least(columns: Sequence[Column]) -> int:
    return sum(column.width for column in columns) + GAP * (len(columns) - 1)
