"""Which columns of a table fit, and how wide each is. Pure, so that every width can be tested.

Columns leave by priority: the highest number goes first, 0 never goes. What room is left over is
given to the columns that can use it, up to their `width_max`. Widths depend on the width of the
table alone, never on its content, so columns do not jump when a value changes.
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


@dataclass(frozen=True, slots=True)
class Placed:
    """A column that is shown, and its width."""

    column: Column
    width: int


def place(wanted: Sequence[Column], width: int) -> tuple[Placed, ...]:
    """Return the columns that fit into `width`, in their order."""
    shown = list(wanted)
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


def _least(columns: Sequence[Column]) -> int:
    return sum(column.width for column in columns) + GAP * (len(columns) - 1)
