"""How the findings of one check become its state. Pure.

One bad look is no verdict: a machine that is busy for a second, a leader that is just elected. So a
check says that something is not well after some looks in a row that agree about it, and that it is
well again after some that do. Once it is not well, how bad it is follows each look at once. What
could not be told (`unknown`) changes nothing, but for a check that has said nothing else yet.

Rules: every transition lives in this file; time arrives as `now_ms`.
"""

from __future__ import annotations

from bzzz_core.api.event_documents import CheckState
from bzzz_core.health.check import Finding


class CheckHistory:
    """What came of one check so far."""

    def __init__(self, *, failures: int, successes: int) -> None:
        """Begin with nothing known.

        Args:
            failures: Looks in a row that are not well before the state says so.
            successes: Looks in a row that are well before it says so again.
        """
        self._needed = failures
        self._needed_well = successes
        self._well_in_a_row = 0
        self.state: CheckState = "unknown"
        self.words = "not looked at yet"
        self.failures = 0
        """Looks in a row that were not well."""
        self.critical_since_ms: int | None = None
        """Since when the state is critical; None while it is not."""

    def take(self, finding: Finding, now_ms: int) -> bool:
        """Take one look into account; return whether the state has changed."""
        before = self.state
        match finding.state:
            case "ok":
                self._take_well()
            case "warning" | "critical":
                self._take_unwell(finding.state)
            case "unknown":
                pass
        if finding.state == self.state:
            self.words = finding.words
        elif finding.state != "unknown" or self.state == "unknown":
            self.words = f"{finding.words} (not for long enough to count)"
        if self.state != "critical":
            self.critical_since_ms = None
        elif self.critical_since_ms is None:
            self.critical_since_ms = now_ms
        return self.state != before

    def agrees(self, finding: Finding) -> bool:
        """Return whether the state says what was found; if not, one should look again soon."""
        return finding.state in {self.state, "unknown"}

    def critical_for_ms(self, now_ms: int) -> int:
        """Return for how long the state has been critical; 0 if it is not."""
        return 0 if self.critical_since_ms is None else now_ms - self.critical_since_ms

    def _take_well(self) -> None:
        self.failures = 0
        self._well_in_a_row += 1
        if self.state in {"unknown", "ok"} or self._well_in_a_row >= self._needed_well:
            self.state = "ok"

    def _take_unwell(self, state: CheckState) -> None:
        self._well_in_a_row = 0
        self.failures += 1
        if self.failures >= self._needed:
            self.state = state
