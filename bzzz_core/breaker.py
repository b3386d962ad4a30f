"""A circuit breaker: when to stop asking something that fails, and when to look again.

Pure: time arrives as `now_ms`. One failure is bad luck and only noted; several in a row open the
circuit, and then only a probe now and then is let through, at growing distances. The first success
closes it again.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

FAILURES_MAX: Final = 3
PROBE_MS_MIN: Final = 250
PROBE_MS_MAX: Final = 4_000


class Health(StrEnum):
    """How something behind a breaker does."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    """It failed lately, and is still asked."""
    FAILED = "failed"
    """It is only probed."""


class Breaker:
    """Counts failures in a row and spaces out the probes."""

    def __init__(
        self,
        *,
        failures_max: int = FAILURES_MAX,
        probe_ms_min: int = PROBE_MS_MIN,
        probe_ms_max: int = PROBE_MS_MAX,
    ) -> None:
        """Start closed.

        Args:
            failures_max: The circuit opens with that many failures in a row. Fewer react sooner,
                and to mere bad luck too.
            probe_ms_min: The first probe comes that long after the circuit opened; each failed one
                doubles the distance.
            probe_ms_max: The longest distance, and so about the longest delay of a recovery.
        """
        assert failures_max >= 1
        assert 1 <= probe_ms_min <= probe_ms_max
        self._failures_max = failures_max
        self._probe_ms_min = probe_ms_min
        self._probe_ms_max = probe_ms_max
        self._failures = 0
        self._distance_ms = probe_ms_min
        self._probe_at_ms = 0

    @property
    def state(self) -> Health:
        """Return how the thing behind does."""
        if not self._failures:
            return Health.HEALTHY
        return Health.FAILED if self.open else Health.DEGRADED

    @property
    def open(self) -> bool:
        """Return whether only probes may ask."""
        return self._failures >= self._failures_max

    def may_probe(self, now_ms: int) -> bool:
        """Return whether a probe is due; while closed, always."""
        return not self.open or now_ms >= self._probe_at_ms

    def failed(self, now_ms: int) -> None:
        """Note that an attempt ended badly."""
        was_open = self.open
        self._failures += 1
        if was_open and now_ms < self._probe_at_ms:
            return  # An attempt from before the circuit opened; it says nothing new.
        if was_open:
            self._distance_ms = min(2 * self._distance_ms, self._probe_ms_max)
        if self.open:
            self._probe_at_ms = now_ms + self._distance_ms

    def succeeded(self) -> None:
        """Note that an attempt went well."""
        self._failures = 0
        self._distance_ms = self._probe_ms_min
