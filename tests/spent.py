"""Where the time of a test run went, for whoever reads why the time limit ended it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable


class Spent:
    """Seconds by folder, with those of a test that was ended: no report tells of it.

    Tests that run beside each other all count: then the seconds are more than those of the run.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        """Begin with nothing.

        Args:
            now_s: The clock, in seconds.
        """
        self._now_s = now_s
        self._seconds: Counter[str] = Counter()
        self._tests: Counter[str] = Counter()
        self._began_s: dict[str, float] = {}

    def begin(self, test: str) -> None:
        """Count from now on for the test of this name, its fixtures included."""
        self._began_s[test] = self._now_s()

    def end(self, test: str) -> None:
        """Count for it no longer."""
        folder = "/".join(test.partition("::")[0].split("/")[:-1][:2])
        self._seconds[folder] += self._now_s() - self._began_s.pop(test)
        self._tests[folder] += 1

    def lines(self) -> list[str]:
        """Return one line a folder, in the order in which they were run; tests under way end."""
        ended = list(self._began_s)
        for test in ended:
            self.end(test)
        told = [
            f"{seconds:7.0f} s  {folder}, {self._tests[folder]} tests"
            for folder, seconds in self._seconds.items()
        ]
        return [*told, *(f"ended in {test}" for test in ended)]
