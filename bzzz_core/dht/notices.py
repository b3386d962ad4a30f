"""What the hybrid table tells about itself: events, and figures of each side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from bzzz_core.model import Revision


@dataclass(frozen=True, slots=True)
class FellBack:
    """The cluster did not answer: from now on this node serves by itself."""

    reason: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """The cluster answers again and has every write that was queued."""

    away_ms: int
    """How long this node served by itself."""


@dataclass(frozen=True, slots=True)
class Conflicted:
    """Others wrote a key while our write waited: theirs stays, ours lies beside it."""

    key: str
    kept_at: str
    """The key under which our value can be read."""
    revision: Revision
    """Of the value that stays under `key`."""


@dataclass(frozen=True, slots=True)
class Switched:
    """The backend was changed while running."""

    backend: str


Notice = FellBack | Recovered | Conflicted | Switched
Notify = Callable[[Notice], None]


class SideFigures(msgspec.Struct):
    """How one side of the table did so far."""

    operations: int = 0
    failures: int = 0
    total_ms: int = 0

    def note(self, took_ms: int, *, failed: bool) -> None:
        """Count one operation."""
        self.operations += 1
        self.failures += failed
        self.total_ms += took_ms


class SideStatus(msgspec.Struct, frozen=True):
    """How one side of the table did so far, as it is shown."""

    operations: int
    failures: int
    error_rate: float | None
    """None: nothing was asked yet."""
    mean_ms: float | None

    @classmethod
    def of(cls, figures: SideFigures) -> SideStatus:
        """Return the rates of what was counted."""
        asked = figures.operations
        return cls(
            operations=asked,
            failures=figures.failures,
            error_rate=figures.failures / asked if asked else None,
            mean_ms=figures.total_ms / asked if asked else None,
        )


class DhtStatus(msgspec.Struct, frozen=True):
    """The hash table as this node sees it."""

    backend: str
    falls_back: bool
    state: str
    """healthy, degraded (the cluster fails or is not in step yet), or failed (nothing serves)."""
    serving: str
    """Who answers now: memory, cluster, or this node by itself ("local")."""
    replicas: int
    """Copies of each value that the cluster is to keep."""
    watched: bool
    """Whether reads are answered from a local copy."""
    queued: int
    queued_bytes: int
    conflicts: tuple[str, ...]
    """Where the values lie that lost against another node's, the latest last."""
    cluster: SideStatus
    local: SideStatus
    counters: dict[str, int]
    replicas_present: int | None = None
    """Copies that are complete and at hand now; None if nobody could say."""
