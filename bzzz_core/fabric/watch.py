"""Judges a running broker by what it says of itself; decides nothing else and asks nobody.

A broker without a leader of the metadata is not unwell: its cluster is, and a restart would only
take one voter more. Unwell is a broker whose cluster has a leader and which still says that it is
not in order (a replica that gave up), or that says nothing at all. So is one that has given up its
store because the disk was full: it knows no leader any more, and nothing but a new start helps.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from bzzz_core.fabric.monitor import BrokerHealth

UNWELL_MS_MIN: Final = 30_000
"""A replica that catches up after a restart needs seconds; a shorter patience would disturb it."""
UNWELL_MS_MAX: Final = 600_000
REMOVED_MS: Final = 5_000
"""A peer that is just being added is for a moment not in the list either."""


class Verdict(StrEnum):
    """What is to be done with the broker."""

    WELL = "well"
    """Nothing: it works, is starting, or waits for its cluster."""
    STUCK = "stuck"
    """Start it anew."""
    REMOVED = "removed"
    """Set its store aside: the cluster does not count it any more."""


class Watch:
    """The history of one broker process as far as it matters for a verdict."""

    def __init__(self, patience_ms: int | None = None) -> None:
        """Begin with a process that was just started."""
        self._patience_ms = UNWELL_MS_MIN if patience_ms is None else patience_ms
        self._unwell_since_ms: int | None = None
        self._absent_since_ms: int | None = None
        self.was_ready = False
        """Whether this process was ever ready."""
        self.verdict = Verdict.WELL

    def look(self, health: BrokerHealth | None, *, now_ms: int, was_peer: bool) -> Verdict:
        """Take one look into account and return the verdict, which stays once it is not WELL.

        Args:
            health: What the broker says, None if it says nothing.
            now_ms: Monotonic time.
            was_peer: Whether the cluster was ever seen to count this broker's name.
        """
        self.was_ready |= health is not None and health.ready
        absent = was_peer and health is not None and health.led and not health.member
        unwell = self.was_ready and (
            health is None
            or health.disabled
            or (health.led and health.member and not health.healthy)
        )
        self._absent_since_ms = _since(self._absent_since_ms, absent, now_ms)
        self._unwell_since_ms = _since(self._unwell_since_ms, unwell, now_ms)
        if _lasts(self._absent_since_ms, REMOVED_MS, now_ms):
            self.verdict = Verdict.REMOVED
        elif _lasts(self._unwell_since_ms, self._patience_ms, now_ms):
            self.verdict = Verdict.STUCK
        return self.verdict

    def successor(self) -> Watch:
        """Return the watch over the next process: after a stuck one, with twice the patience."""
        if self.verdict is Verdict.STUCK:
            return Watch(min(2 * self._patience_ms, UNWELL_MS_MAX))
        return Watch(self._patience_ms if not self.was_ready else UNWELL_MS_MIN)


def _since(since_ms: int | None, holds: bool, now_ms: int) -> int | None:  # noqa: FBT001
    if not holds:
        return None
    return now_ms if since_ms is None else since_ms


def _lasts(since_ms: int | None, least_ms: int, now_ms: int) -> bool:
    return since_ms is not None and now_ms - since_ms >= least_ms
