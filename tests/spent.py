"""Where the time of a test run went, for whoever reads why the time limit ended it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Spent:
    """Seconds by folder, with those of a test that was ended: no report tells of it."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        """Begin with nothing.

        Args:
            now_s: The clock, in seconds.
        """
        self._now_s = now_s
        self._seconds: Counter[str] = Counter()
        self._tests: Counter[str] = Counter()
        self._under_way = ""

    @contextmanager
    def on(self, test: str) -> Iterator[None]:
        """Count the block for the test of this name, its fixtures included."""
        folder = "/".join(test.partition("::")[0].split("/")[:-1][:2])
        began_s = self._now_s()
        self._under_way = test
        try:
            yield
            self._under_way = ""
        finally:
            self._seconds[folder] += self._now_s() - began_s
            self._tests[folder] += 1

    def lines(self) -> list[str]:
        """Return one line a folder, in the order in which they were run."""
        told = [
            f"{seconds:7.0f} s  {folder}, {self._tests[folder]} tests"
            for folder, seconds in self._seconds.items()
        ]
        return [*told, f"ended in {self._under_way}"] if self._under_way else told
