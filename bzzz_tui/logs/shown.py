"""What a log view shows of a book: lines that pass the filter, and those among them that match.

A new filter is worked out beside the old one, which stays on the screen until all lines were
tested; a new search marks lines at once where they are painted, and its count follows. `work` does
a slice of whatever is due. A costly search is handed out (`costly_work`) to be done in a thread.

Rules: pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from bzzz_core.telemetry.log_line import LogLine
from bzzz_tui.logs.book import Change, LogBook, place_of
from bzzz_tui.logs.entry import LEVELS, Entry, Key
from bzzz_tui.logs.histogram import Histogram
from bzzz_tui.logs.matching import Match
from bzzz_tui.logs.selection import Scan, Selection, Test, anything

_ERROR: Final = LEVELS["error"]


@dataclass(slots=True)
class _Due:
    """A scan under way, and what it is for."""

    scan: Scan
    selection: Selection
    costly: bool


class ShownLines:
    """The lines of one view."""

    def __init__(self, book: LogBook) -> None:
        """Show all lines of a book."""
        self.book = book
        self.histogram = Histogram()
        self.match: Match | None = None
        self._visible = Selection()
        self._visible.choose(anything, book.entries)
        self._coming: Selection | None = None
        """What a new filter selects, until all lines were tested."""
        self._matched = Selection()
        self._filtering: _Due | None = None
        self._matching: _Due | None = None
        self.histogram.count(self._visible.entries)

    @property
    def entries(self) -> Sequence[Entry]:
        """Return the lines that are shown, in their order."""
        return self._visible.entries

    @property
    def matches(self) -> Sequence[Entry]:
        """Return the lines among them that match, as far as they were looked at."""
        return self._matched.entries

    @property
    def progress(self) -> float | None:
        """Return how much of a filter or a search is done, 0 to 1; None: nothing is due."""
        due = self._filtering or self._matching
        return due.scan.share if due is not None else None

    def add(
        self, node: str, lines: Sequence[LogLine], *, before: bool = False, missed: int = 0
    ) -> Change:
        """Take in lines (see `LogBook.add`); return what changed among those that are shown."""
        change = self.book.add(node, lines, before=before, missed=missed)
        first = self._first()
        gone = self._leaving(change.fell, first)
        seen = self._visible.follow(change, first)
        self.histogram.count(gone, by=-1)
        self.histogram.count(seen.came)
        if self._coming is not None:
            self._coming.follow(change, first)
        if self.match is not None:
            self._matched.follow(seen, first)
        return seen

    def choose(self, test: Test) -> None:
        """Show only lines that pass a test."""
        coming = Selection()
        scan = coming.choose(test, self.book.entries)
        if scan is None:
            self._filtering = self._coming = None
            self._settle(coming)
        else:
            self._coming, self._filtering = coming, _Due(scan, coming, costly=False)

    def look_for(self, match: Match | None) -> None:
        """Search for something, or for nothing."""
        self.match, self._matching, self._matched = match, None, Selection()
        if match is None:
            return
        scan = self._matched.choose(match.finds, self.entries, costly=match.costly)
        assert scan is not None, "a search has a test"
        self._matching = _Due(scan, self._matched, match.costly)

    def work(self, more: Callable[[], bool]) -> bool:
        """Do a slice of what is due and may be done here; return whether lines to show changed."""
        if self._filtering is not None:
            self._filtering.scan.advance(more)
            return self._finish_filter()
        if self._matching is not None and not self._matching.costly:
            self._matching.scan.advance(more)
        self._finish_match()
        return False

    def costly_work(self) -> Scan | None:
        """Return a scan to be made in a thread; `work` takes what it has found."""
        if self._filtering is not None:
            return None
        if self._matching is None and (rest := self._matched.rest()) is not None:
            self._matching = _Due(rest, self._matched, costly=True)
        due = self._matching
        return due.scan if due is not None and due.costly and not due.scan.done else None

    # ---- places

    def place(self, entry: Entry) -> int:
        """Return where an entry stands among those shown, or would."""
        return place_of(self.entries, entry)

    def next_match(self, entry: Entry | None, by: int) -> Entry | None:
        """Return the nearest match below (`by` 1) or above (-1) an entry; it goes round."""
        found = self.matches
        if not found:
            return None
        if entry is None:
            return found[0 if by > 0 else -1]
        at = place_of(found, entry)
        here = at < len(found) and found[at] is entry
        at = at + (1 if here else 0) if by > 0 else at - 1
        return found[at % len(found)]

    def next_error(self, entry: Entry | None, by: int) -> Entry | None:
        """Return the nearest error below or above an entry; None: there is none."""
        entries = self.entries
        at = -1 if entry is None else self.place(entry)
        if by > 0:
            begin = at + 1 if at < 0 or (at < len(entries) and entries[at] is entry) else at
            return next(
                (entries[n] for n in range(begin, len(entries)) if entries[n].level == _ERROR), None
            )
        begin = len(entries) if entry is None else at
        return next(
            (entries[n] for n in range(begin - 1, -1, -1) if entries[n].level == _ERROR), None
        )

    # ---- inside

    def _first(self) -> Key | None:
        return self.book.entries[0].key if self.book.entries else None

    def _leaving(self, fell: int, first: Key | None) -> list[Entry]:
        """Return the shown lines that are no longer held."""
        if not fell:
            return []
        entries = self._visible.entries
        count = next(
            (n for n, e in enumerate(entries) if first is not None and e.key >= first), len(entries)
        )
        return entries[:count]

    def _settle(self, visible: Selection) -> None:
        self._visible = visible
        self.histogram.restart(self.histogram.step_ms)
        self.histogram.count(visible.entries)
        if self.match is not None:
            self.look_for(self.match)

    def _finish_filter(self) -> bool:
        due, coming = self._filtering, self._coming
        if due is None or coming is None or not due.scan.done:
            return False
        coming.take(due.scan, self._first())
        self._filtering = self._coming = None
        self._settle(coming)
        return True

    def _finish_match(self) -> None:
        due = self._matching
        if due is not None and due.scan.done:
            due.selection.take(due.scan, self._first())
            self._matching = None
