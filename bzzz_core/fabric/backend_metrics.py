"""What a backend did so far: counts, latency, share of errors."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from typing import Final

import msgspec

BOUNDS_MS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000)
"""Upper bounds of the histogram's boxes; the last box has none."""
_RECENT: Final = 200


class BackendReport(msgspec.Struct, frozen=True):
    """One backend at one moment."""

    operations: int
    failures: int
    error_rate: float
    """Share of failures among the last 200 operations, 0.0 to 1.0."""
    p50_ms: float | None
    """Upper bound of the box that holds the median of successful operations; None before any, and
    infinity above the last bound."""
    p99_ms: float | None


class BackendMetrics:
    """Counts of one backend."""

    def __init__(self) -> None:
        """Start at zero."""
        self.operations = 0
        self.failures = 0
        self.boxes = [0] * (len(BOUNDS_MS) + 1)
        self._recent: deque[bool] = deque(maxlen=_RECENT)

    def succeeded(self, latency_ms: float) -> None:
        """Count a success."""
        self.operations += 1
        self._recent.append(False)
        self.boxes[bisect_left(BOUNDS_MS, latency_ms)] += 1

    def failed(self) -> None:
        """Count a failure; how long it took says more about a time limit than about the backend."""
        self.operations += 1
        self.failures += 1
        self._recent.append(True)

    def percentile_ms(self, share: float) -> float | None:
        """Return the upper bound of the box below which `share` of the successes lie."""
        total = sum(self.boxes)
        if not total:
            return None
        counted = 0
        for bound, count in zip((*BOUNDS_MS, float("inf")), self.boxes, strict=True):
            counted += count
            if counted >= share * total:
                return bound
        return float("inf")

    def report(self) -> BackendReport:
        """Return everything at this moment."""
        recent = len(self._recent)
        return BackendReport(
            operations=self.operations,
            failures=self.failures,
            error_rate=sum(self._recent) / recent if recent else 0.0,
            p50_ms=self.percentile_ms(0.5),
            p99_ms=self.percentile_ms(0.99),
        )
