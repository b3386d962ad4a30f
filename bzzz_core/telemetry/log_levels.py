"""How much each component writes down: as configured, and as an operator wants it for a while.

What is wished for one component goes before what is wished for all, that before what is configured
for one, and that before the configured level. A wish ends when it is taken back, when its time is
over, or with the process. Libraries write warnings at most unless somebody names them.

Reading costs one look into a table, because it is done for each line that is not written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Final

from bzzz_core.telemetry.components import ALL, LIBRARIES
from bzzz_core.telemetry.log_line import LEVELS

FOR_S_MAX: Final = 604_800
"""A week; what shall stay longer belongs into the configuration."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What an operator wants until it is taken back."""

    level: str
    until_ms: int | None
    """By the monotonic clock; None: as long as the process lives."""


@dataclass(frozen=True, slots=True)
class InForce:
    """The level of one component and where it comes from."""

    level: str
    configured: str
    """What holds when no wish does."""
    wish: Wish | None


def parse(entries: Iterable[str]) -> dict[str, str]:
    """Return component -> level of entries like `fabric=debug`, checked before; the last counts."""
    return dict(entry.split("=", 1) for entry in entries)


class LogLevels:
    """The table; every method may be called from any thread."""

    def __init__(self) -> None:
        """Write what is at least of level info."""
        self._lock = Lock()
        self._default = "info"
        self._configured: Mapping[str, str] = {}
        self._wishes: dict[str, Wish] = {}
        """By component; under the empty name: for all."""
        self._floors: Mapping[str, int] = {}
        self._floor = LEVELS["info"]
        self._apply()

    def floor(self, component: str) -> int:
        """Return the number of the lowest level that a component writes down."""
        return self._floors.get(component, self._floor)

    @property
    def libraries_floor(self) -> int:
        """Return the lowest level that any library writes down."""
        return min(self._floors[name] for name in LIBRARIES)

    def configure(self, default: str, components: Mapping[str, str]) -> None:
        """Take what the configuration says."""
        with self._lock:
            self._default, self._configured = default, dict(components)
            self._apply()

    def wish(self, component: str, wish: Wish | None) -> None:
        """Take a wish for a component, or for all under the empty name; None takes it back."""
        with self._lock:
            if wish is None:
                self._wishes.pop(component, None)
            else:
                self._wishes[component] = wish
            self._apply()

    def expire(self, now_ms: int) -> tuple[str, ...]:
        """End the wishes whose time is over and return whose they were."""
        with self._lock:
            over = tuple(
                name
                for name, wish in self._wishes.items()
                if wish.until_ms is not None and wish.until_ms <= now_ms
            )
            for name in over:
                del self._wishes[name]
            self._apply()
            return over

    @property
    def next_end_ms(self) -> int | None:
        """Return when the next wish ends; None: none does."""
        with self._lock:
            ends = [w.until_ms for w in self._wishes.values() if w.until_ms is not None]
            return min(ends, default=None)

    def in_force(self) -> dict[str, InForce]:
        """Return what holds for each component; under the empty name: for all others."""
        with self._lock:
            found = {}
            for name in ("", *ALL):
                wish = self._wishes.get(name) or (
                    self._wishes.get("") if name not in LIBRARIES else None
                )
                configured = self._configured_level(name)
                found[name] = InForce(wish.level if wish else configured, configured, wish)
            return found

    def _configured_level(self, name: str) -> str:
        if name in self._configured:
            return self._configured[name]
        if name in LIBRARIES:
            return max(self._default, "warning", key=lambda level: LEVELS[level])
        return self._default

    def _apply(self) -> None:
        everybody = self._wishes.get("")
        self._floor = LEVELS[everybody.level if everybody else self._default]
        floors = {}
        for name in ALL:
            level = self._configured_level(name)
            if name not in LIBRARIES and everybody is not None:
                level = everybody.level
            if name in self._wishes:
                level = self._wishes[name].level
            floors[name] = LEVELS[level]
        self._floors = floors
