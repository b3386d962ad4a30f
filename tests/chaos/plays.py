"""Which plays of a cell decide whether it held.

A leader that is kept from running gives way, by design, so a cell in which nothing was to be
disturbed says nothing about the cluster if the machine disturbed it: that play does not count. Not
all can be measured from here that keeps a broker waiting, so a play that was broken for no such
reason leaves a doubt, and two in a row have to hold before the cell does; a second one like it, or
the first if the judge is strict, ends the doubt. Nothing is excused in a cell about safety
(`waits`), or about load itself (`busy`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

Expectation: TypeAlias = Literal["replaced", "undisturbed", "goes on", "waits", "heals"]

LOST_MS: Final = 200
"""A leader gives way that hears nobody for 600 ms, of which 200 are until its next heartbeat: half
of the rest."""
PLAYS_MAX: Final = 5
AGAIN_S_MAX: Final = 150.0
"""A run of all tests has its limit; no further play begins after that time."""


@dataclass(slots=True)
class Outcome:
    """What a play showed."""

    expected: Expectation
    took_ms: int | None
    """Until the expectation was met; without one, the longest time without a write."""
    recovered_ms: int = 0
    broken: list[str] = field(default_factory=list)
    """Expectations that were not met."""
    lost_ms: int = 0
    """How much one processor was away within a second, at most."""
    told: list[str] = field(default_factory=list, repr=False)
    """What the hosts said, if something was broken."""


class Judge:
    """Takes the plays of one cell."""

    def __init__(self, *, load: bool = False, strict: bool = False) -> None:
        """Begin without any.

        Args:
            load: Whether the fault is load.
            strict: Whether a play that was broken for no reason that was seen breaks the cell.
        """
        self._load = load
        self._strict = strict
        self._plays = 0
        self._doubts = 0
        self._held = 0
        self._broken: Outcome | None = None
        self._last: Outcome | None = None

    @property
    def verdict(self) -> Outcome:
        """Return the outcome that speaks for the cell: a broken one, unless enough have held."""
        assert self._last is not None, "nothing was played"
        if self._broken is not None and not self._enough:
            return self._broken
        return self._last

    def take(self, outcome: Outcome, after_s: float) -> bool:
        """Return whether the cell is decided by this play, which ended `after_s` from the start."""
        self._plays += 1
        self._last = outcome
        if not outcome.broken:
            self._held += 1
            return self._enough or self._over(after_s)
        self._held = 0
        self._broken = outcome
        if self._load or outcome.expected == "waits":
            return True
        if outcome.expected == "undisturbed" and outcome.lost_ms > LOST_MS:
            return self._over(after_s)
        self._doubts += 1
        return self._strict or self._doubts > 1 or self._over(after_s)

    @property
    def _enough(self) -> bool:
        return self._held >= (2 if self._doubts else 1)

    def _over(self, after_s: float) -> bool:
        return self._plays == PLAYS_MAX or after_s > AGAIN_S_MAX
