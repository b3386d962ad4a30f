"""How many lines of which level when: buckets of one length over the time that the lines span.

The length is the shortest of a fixed row of lengths with which the span fits into the width, so a
picture grows to the left and jumps only when that length changes. Lines are counted as they come
and go; only another length counts all anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from bzzz_tui.logs.entry import LEVELS, Entry

_S: Final = 1_000
_STEPS: Final = (
    *(n * _S for n in (1, 2, 5, 10, 15, 30)),
    *(n * 60 * _S for n in (1, 2, 5, 10, 15, 30)),
    *(n * 3_600 * _S for n in (1, 2, 3, 6, 12, 24, 48, 168)),
)
"""Lengths that people can read off a clock."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """The lines of one stretch of time."""

    begin_ms: int
    counts: tuple[int, ...]
    """One number for each level, the lowest first."""

    @property
    def total(self) -> int:
        """Return how many lines there are."""
        return sum(self.counts)

    @property
    def worst(self) -> int:
        """Return the highest level of which there is a line; -1: there is none."""
        return max((level for level, count in enumerate(self.counts) if count), default=-1)


@dataclass(slots=True)
class Histogram:
    """Counts of lines by time and level."""

    step_ms: int = _STEPS[0]
    _counts: dict[int, list[int]] = field(default_factory=dict)

    def count(self, entries: Iterable[Entry], by: int = 1) -> None:
        """Count lines in, or out with `by=-1`."""
        step, counts = self.step_ms, self._counts
        for entry in entries:
            slot = entry.key[0] // step
            bucket = counts.get(slot)
            if bucket is None:
                bucket = counts[slot] = [0] * len(LEVELS)
            bucket[entry.level] += by
            if by < 0 and not any(bucket):
                del counts[slot]

    def fit(self, entries: Sequence[Entry], width: int) -> None:
        """Choose the length for the lines that are counted, all of which are given."""
        if not entries:
            self.restart(self.step_ms)
            return
        step = step_for(entries[0].key[0], entries[-1].key[0], width)
        if step != self.step_ms:
            self.restart(step)
            self.count(entries)

    def restart(self, step_ms: int) -> None:
        """Forget all counts."""
        self.step_ms = step_ms
        self._counts = {}

    def buckets(self, width: int) -> list[Bucket]:
        """Return the last `width` stretches up to the newest line, empty ones too."""
        if not self._counts:
            return []
        last, none = max(self._counts), (0,) * len(LEVELS)
        first = max(min(self._counts), last - width + 1)
        return [
            Bucket(slot * self.step_ms, tuple(self._counts.get(slot, none)))
            for slot in range(first, last + 1)
        ]


def step_for(first_ms: int, last_ms: int, width: int) -> int:
    """Return the shortest length with which a span fits into `width` buckets."""
    for step in _STEPS:
        if last_ms // step - first_ms // step < max(1, width):
            return step
    return _STEPS[-1]
