"""Those lines that pass a test, kept up to date while lines come and go.

A selection follows a sorted list of lines: the book's, or another selection's. With a cheap test
new lines are tested as they come. Testing all lines anew (another filter, another search) is a
`Scan`, done in slices so that the screen goes on; a costly test is only ever made in a scan, for
its owner does that in a thread.

Rules: pure; a slice ends when the caller says so.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from bzzz_tui.logs.book import Change
from bzzz_tui.logs.entry import Entry, Key

Test: TypeAlias = Callable[[Entry], bool]
_SLICE: Final = 500
"""Lines between two looks at the clock: about a millisecond of plain words."""


def anything(_entry: Entry) -> bool:
    """Pass every line."""
    return True


class Scan:
    """The test of all lines that there were at one moment."""

    def __init__(self, entries: Sequence[Entry], test: Test, *, slice_lines: int = _SLICE) -> None:
        """Take the lines, in their order; test none yet."""
        self._entries = tuple(entries)
        self._test = test
        self._slice = slice_lines
        self._at = 0
        self.found: list[Entry] = []

    @property
    def done(self) -> bool:
        """Return whether all were tested."""
        return self._at >= len(self._entries)

    @property
    def share(self) -> float:
        """Return how much is done, 0 to 1."""
        return self._at / len(self._entries) if self._entries else 1.0

    def advance(self, more: Callable[[], bool]) -> None:
        """Test on, at least one slice, until all is done or `more` says no."""
        test = self._test
        while not self.done:
            some = self._entries[self._at : self._at + self._slice]
            self.found += [entry for entry in some if test(entry)]
            self._at += len(some)
            if not more():
                return


class Selection:
    """The lines that pass."""

    def __init__(self) -> None:
        """Hold nothing; everything passes."""
        self.entries: list[Entry] = []
        self.test: Test = anything
        self.costly = False
        self.untested: list[Entry] = []
        """With a costly test: what came and waits for a scan."""

    def follow(self, change: Change, first: Key | None) -> Change:
        """Follow a change of what is selected from; return what changed here.

        Args:
            change: What came and fell there.
            first: The first key that is still held there; None: nothing is.
        """
        fell = 0
        if change.fell:
            fell = len(self.entries) if first is None else _place(self.entries, first)
            del self.entries[:fell]
            if self.untested:
                self.untested = [e for e in self.untested if first is not None and e.key >= first]
        if self.costly:
            self.untested += change.came
            return Change((), fell)
        test = self.test
        came = tuple(entry for entry in change.came if test(entry))
        self._put(came)
        return Change(came, fell)

    def choose(self, test: Test, entries: Sequence[Entry], *, costly: bool = False) -> Scan | None:
        """Select by another test from now on.

        Returns the scan that has to be made and handed to `take`; None if everything passes.
        """
        self.test, self.costly, self.untested = test, costly, []
        if test is anything:
            self.entries = list(entries)
            return None
        self.entries = []
        return Scan(entries, test, slice_lines=_SLICE if not costly else 1)

    def take(self, scan: Scan, first: Key | None) -> None:
        """Take what a scan has found and that is still held."""
        found = scan.found
        if not found:
            return
        if first is None:
            found = []
        elif found[0].key < first:
            found = found[_place(found, first) :]
        if not self.entries:
            self.entries = found
        elif found:
            self.entries += found
            self.entries.sort(key=_key)

    def rest(self) -> Scan | None:
        """Return the scan of what came since the last one; None: nothing did."""
        if not self.untested:
            return None
        untested, self.untested = self.untested, []
        return Scan(untested, self.test, slice_lines=1)

    def _put(self, came: tuple[Entry, ...]) -> None:
        if not came:
            return
        entries = self.entries
        if not entries or entries[-1].key < came[0].key:
            entries += came
        else:
            for entry in came:
                insort(entries, entry, key=_key)


def _place(entries: Sequence[Entry], key: Key) -> int:
    return bisect_left(entries, key, key=_key)


def _key(entry: Entry) -> Key:
    return entry.key
