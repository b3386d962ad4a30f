"""What a view with a table says about itself, and which of its rows are shown in which order.

A `TableSpec` is all that differs between one table of the monitor and another: where its rows come
from, its columns and its fields. The screen, `--plain`, export, describe, filters and completion
are made from it, so they cannot disagree.

`Arrangement` filters and sorts. It does so anew at most once a second, and only when a value that
the filter or the sort looks at has changed; and not at all for a while after the operator moved or
marked, because nothing may move that somebody is looking at.

Rules: pure; time arrives as `now_ms`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from bzzz_tui.monitor.times import AsOf
from bzzz_tui.parts import Line, text_of
from bzzz_tui.query import Field, Kind, Query, Value, parse
from bzzz_tui.store import Store
from bzzz_tui.widgets.columns import Column, Placed
from bzzz_tui.wording import Glyphs

R = TypeVar("R")
ARRANGE_MS: Final = 1_000
"""Least time between two new orders."""
FREEZE_MS: Final = 3_000
"""How long nothing moves after the operator moved the cursor, scrolled or marked."""
_DIGITS: Final = re.compile(r"(\d{1,12})")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSpec(Generic[R]):
    """One table of the monitor."""

    view: str
    """Name of the view it belongs to."""
    noun: str
    """What a row is, in one word."""
    plural: str = ""
    """What several are; empty: as the noun with an s."""
    columns: tuple[Column, ...]
    """What can be shown; the first one always is."""
    fields: tuple[Field[R], ...]
    """What can be filtered, sorted and exported. A column is sorted by the field of its key."""
    rows: Callable[[Store], Mapping[str, R]]
    """Rows by id, as they are now."""
    order: Callable[[Store], Sequence[str]]
    """Ids in their natural order."""
    version: Callable[[R], int]
    """Grows whenever the row looks different."""
    cells: Callable[[R, AsOf, Sequence[Placed], Glyphs], Sequence[Line]]
    """The cells of a row."""
    describe: Callable[[R, int], Sequence[tuple[str, str]]]
    """Everything that is known of a row, as (label, words)."""
    raw: Callable[[R], Any]
    """The document behind a row, for JSON."""
    name: Callable[[R], str]
    """What operators call it."""
    empty: str = "nothing yet"
    known: Callable[[Store], bool] = lambda store: store.head is not None
    """Whether it is known how many rows there are: none that are known is not the same."""
    hidden: frozenset[str] = frozenset()
    """Keys of columns that are not shown unless asked for."""

    def counted(self, count: int) -> str:
        """Return a number of rows in words."""
        return f"{count} {self.noun if count == 1 else self.plural or self.noun + 's'}"

    @property
    def unknown(self) -> str:
        """Return what to say instead of a number while it is not known."""
        return f"{self.plural or self.noun + 's'} not known"

    def field(self, key: str) -> Field[R] | None:
        """Return the field of a key or alias."""
        return next((each for each in self.fields if key == each.key or key in each.aliases), None)

    def sortable(self) -> list[Column]:
        """Return the columns that can be sorted by."""
        return [column for column in self.columns if self.field(column.key)]

    def wanted(self, keys: Sequence[str]) -> tuple[Column, ...]:
        """Return the columns of these keys in their order; the first column always, all if none."""
        if not keys:
            return tuple(column for column in self.columns if column.key not in self.hidden)
        by_key = {column.key: column for column in self.columns}
        first = self.columns[0]
        return (first, *(by_key[key] for key in keys if key in by_key and key != first.key))


def sort_key(value: Value) -> Any:
    """Return what a field's value is sorted by: numbers by size, texts with their numbers.

    None stands for what is not known; among 10,000 rows a bare number is sorted fastest.
    """
    if value is None or isinstance(value, int | float):
        return value
    text = value if isinstance(value, str) else " ".join(value)
    parts = _DIGITS.split(text.casefold())
    found = tuple((n % 2, int(part) if n % 2 else part) for n, part in enumerate(parts) if part)
    return found or None


class Arrangement(Generic[R]):
    """Which rows are shown, in which order."""

    def __init__(self, spec: TableSpec[R]) -> None:
        """Show everything in the natural order."""
        self.spec = spec
        self.query: Query[R] = parse("", spec.fields)
        self.total = 0
        self.shown: list[str] = []
        self._sort: tuple[Field[R], bool] | None = None
        self._keys: dict[str, Any] = {}
        self._matched: set[str] = set()
        self._dirty = True
        self._made_ms: int | None = None
        self._frozen_until_ms = 0

    @property
    def sort(self) -> tuple[str, bool] | None:
        """Return the key that rows are sorted by, and whether the largest comes first."""
        return None if self._sort is None else (self._sort[0].key, self._sort[1])

    def filter(self, query: Query[R]) -> None:
        """Show only what this query matches."""
        self.query = query
        self._dirty = True

    def sort_by(self, key: str | None, *, largest_first: bool = False) -> None:
        """Sort by a field; None: the natural order."""
        found = None if key is None else self.spec.field(key)
        self._sort = None if found is None else (found, largest_first)
        self._keys.clear()
        self._dirty = True

    def touch(self, now_ms: int) -> None:
        """Hold the order for a while: the operator is at work on it."""
        self._frozen_until_ms = now_ms + FREEZE_MS

    def note(self, ids: Iterable[str], rows: Mapping[str, R]) -> None:
        """Look at rows that changed: does it matter for filter or order?

        What the filter and the sort say of a row is kept, so that a new order asks them of the rows
        that changed and of no other.
        """
        filtering, sort = self._filtering(), self._sort
        if not filtering and sort is None:
            return
        matches, get = self.query.matches, sort[0].get if sort else None
        for row_id in ids:
            row = rows.get(row_id)
            if row is None:
                continue
            if filtering and matches(row) != (row_id in self._matched):
                self._matched ^= {row_id}
                self._dirty = True
            if get is not None and self._keys.get(row_id) != (key := sort_key(get(row))):
                self._keys[row_id] = key
                self._dirty = True

    def _filtering(self) -> bool:
        return bool(self.query.keys) or self.query.everything

    def due(self, now_ms: int) -> bool:
        """Return whether the order should be made anew now."""
        if not self._dirty or now_ms < self._frozen_until_ms:
            return False
        return self._made_ms is None or now_ms - self._made_ms >= ARRANGE_MS

    def make(self, store: Store, now_ms: int, *, anew: bool = True) -> list[str]:
        """Return the ids to show, from top to bottom.

        Args:
            store: Where the rows are.
            now_ms: The time.
            anew: Ask filter and sort of every row; else `note` was told of all that changed.
        """
        rows, order = self.spec.rows(store), self.spec.order(store)
        self.total = len(order)
        if self._filtering():
            if anew:
                matches = self.query.matches
                self._matched = {row_id for row_id in order if matches(rows[row_id])}
            shown = [row_id for row_id in order if row_id in self._matched]
        else:
            shown = list(order)
        if self._sort is not None:
            get, largest_first = self._sort[0].get, self._sort[1]
            if anew:
                self._keys = {row_id: sort_key(get(rows[row_id])) for row_id in order}
            shown = self._sorted(shown, largest_first=largest_first)
        self.shown, self._dirty, self._made_ms = shown, False, now_ms
        return shown

    def _sorted(self, ids: list[str], *, largest_first: bool) -> list[str]:
        keys = self._keys
        # What is not known stands at the end, whichever way it is sorted. The sort is stable, so
        # rows that are alike keep their natural order.
        known = [row_id for row_id in ids if keys[row_id] is not None]
        unknown = [row_id for row_id in ids if keys[row_id] is None]
        known.sort(key=keys.__getitem__, reverse=largest_first)
        return known + unknown


def largest_first(spec: TableSpec[Any], key: str) -> bool:
    """Return which way a column is sorted first: numbers with the largest on top."""
    found = spec.field(key)
    return found is not None and found.kind is not Kind.TEXT


def as_of(store: Store, now_ms: int) -> AsOf:
    """Return as of when rows are shown that are painted now."""
    return AsOf(store.age_ms(now_ms) or 0, "" if store.head is None else store.head.at)


def as_text(  # noqa: PLR0917  the four that `--plain` gives every view
    spec: TableSpec[R],
    store: Store,
    now_ms: int,
    query: str,
    glyphs: Glyphs,
    columns: Sequence[str] = (),
) -> list[str]:
    """Return a table as lines of text, all columns but drawings, each as wide as what is in it.

    Raises:
        QueryError: The query is none.
    """
    arrangement = Arrangement(spec)
    arrangement.filter(parse(query, spec.fields))
    ids = arrangement.make(store, now_ms)
    rows, shown_as = spec.rows(store), as_of(store, now_ms)
    wanted = [c for c in spec.wanted(columns) if not c.picture]
    placed = [Placed(each, each.bare or max(each.width, each.width_max)) for each in wanted]
    lines = [[column.title for column in wanted]]
    for row_id in ids:
        cells = spec.cells(rows[row_id], shown_as, placed, glyphs)
        lines.append([text_of(cell).strip() for cell in cells])
    widths = [max(len(line[n]) for line in lines) for n in range(len(wanted))]
    made = [_aligned(line, widths, wanted) for line in lines]
    if not spec.known(store):
        return [*made, "", spec.unknown]
    count = f"{len(ids)} of {spec.counted(arrangement.total)}"
    # Where there are some, but none that the filter matches, the view is not empty.
    return [*made, "", count if arrangement.total else f"{count}: {spec.empty}"]


def _aligned(words: Sequence[str], widths: Sequence[int], wanted: Sequence[Column]) -> str:
    cells = (
        word.rjust(width) if column.right else word.ljust(width)
        for word, width, column in zip(words, widths, wanted, strict=True)
    )
    return "  ".join(cells).rstrip()
