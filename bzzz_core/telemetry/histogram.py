"""Counts durations into boxes, in memory that does not grow."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from bzzz_core.telemetry.metrics_catalogue import Boxes

BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""From an answer out of memory to the patience of a caller."""


class Histogram:
    """Durations of one kind."""

    def __init__(self, bounds: tuple[float, ...] = BOUNDS_S) -> None:
        """Start empty; `bounds` are ascending seconds."""
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def note(self, took_s: float) -> None:
        """Count one."""
        self._counts[bisect_left(self._bounds, took_s)] += 1
        self._total += took_s

    def boxes(self) -> Boxes:
        """Return what was counted so far."""
        return Boxes(self._bounds, tuple(self._counts), self._total)
