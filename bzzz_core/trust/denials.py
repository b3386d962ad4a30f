"""How often whom was refused what, lately: denied reads, calls and subjects, rejected messages.

One number for each kind and actor within a sliding window, in as many slices as the window has; an
actor that reaches the threshold is *past* it until its count has fallen below again. Pure.

Rules: bounded whatever is sent. With `ACTORS_MAX` actors in the window, all further ones count as
`others`. Totals are by kind, for ever; there are as many kinds as the code has words for.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Final

WINDOW_MS: Final = 300_000
THRESHOLD: Final = 20
"""Refusals of one actor within the window: more than a person's mistakes, less than an attack."""
ACTORS_MAX: Final = 256
_SLICES: Final = 10
_KINDS_MAX: Final = 64
OTHERS: Final = "others"


@dataclass(slots=True)
class _Spell:
    """Refusals of one actor, by slice of the window."""

    slices: OrderedDict[int, Counter[str]] = field(default_factory=OrderedDict)
    past: bool = False

    @property
    def count(self) -> int:
        return sum(one.total() for one in self.slices.values())

    def kinds(self) -> Counter[str]:
        return sum(self.slices.values(), Counter[str]())


@dataclass(frozen=True, slots=True)
class Denied:
    """What one actor was refused within the window."""

    actor: str
    count: int
    kinds: tuple[tuple[str, int], ...]
    """By kind, the most frequent first."""
    past: bool
    """It has reached the threshold."""


class Denials:
    """The refusals that one node saw. Not thread-safe; the desk locks around it."""

    def __init__(self, *, window_ms: int = WINDOW_MS, threshold: int = THRESHOLD) -> None:
        """Begin without any."""
        self.window_ms = window_ms
        self.threshold = threshold
        self._actors: OrderedDict[str, _Spell] = OrderedDict()
        """The one that was refused longest ago first."""
        self.totals: Counter[str] = Counter()
        """By kind, since the start."""

    def note(self, kind: str, actor: str, now_ms: int) -> bool:
        """Count a refusal; return whether it takes its actor past the threshold."""
        self._forget(now_ms)
        counted = kind if kind in self.totals or len(self.totals) < _KINDS_MAX else OTHERS
        self.totals[counted] += 1
        if actor not in self._actors and len(self._actors) >= ACTORS_MAX:
            actor = OTHERS
        spell = self._actors.setdefault(actor, _Spell())
        self._actors.move_to_end(actor)
        spell.slices.setdefault(self._slice(now_ms), Counter())[counted] += 1
        crossed = not spell.past and spell.count >= self.threshold
        spell.past = spell.past or crossed
        return crossed

    def denied(self, now_ms: int) -> tuple[Denied, ...]:
        """Return who was refused what within the window, the most refused first."""
        self._forget(now_ms)
        found = [
            Denied(actor, spell.count, tuple(spell.kinds().most_common()), spell.past)
            for actor, spell in self._actors.items()
        ]
        return tuple(sorted(found, key=lambda one: (-one.count, one.actor)))

    def of(self, actor: str, now_ms: int) -> int:
        """Return how often an actor was refused within the window."""
        self._forget(now_ms)
        spell = self._actors.get(actor)
        return spell.count if spell else 0

    def _slice(self, now_ms: int) -> int:
        return now_ms * _SLICES // self.window_ms

    def _forget(self, now_ms: int) -> None:
        """Drop what is older than the window."""
        oldest = self._slice(now_ms) - _SLICES
        for actor, spell in list(self._actors.items()):
            if next(reversed(spell.slices)) > oldest and next(iter(spell.slices)) > oldest:
                continue
            while spell.slices and next(iter(spell.slices)) <= oldest:
                spell.slices.popitem(last=False)
            if not spell.slices:
                del self._actors[actor]
            elif spell.count < self.threshold:
                spell.past = False
