"""How fit a node is to lead, from 0 to 100. It only says who stands first, never who wins.

    fitness = 20 x uptime + 30 x idleness + 30 x free memory + 20 x processors      each part 0..1

    uptime       u / (u + 1 h)              a node that restarts often should not lead; the first
                                            hours matter, the hundredth does not
    idleness     1 - load / processors      at least 0; load is the 1-minute average
    free memory  (total - used) / total
    processors   log2(1 + n) / log2(65)     at most 1; 64 are as good as any more

A preferred coordinator scores 50 + fitness / 2, any other node fitness / 2: preference goes before
fitness, and among the preferred fitness decides. A part that the node cannot measure counts 0, for
a node that knows itself is the safer choice. The result is rounded to whole points, so that noise
does not reorder equals; ties go to the smaller id (`machine`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

_HOUR_S: Final = 3_600.0
_PROCESSORS_MAX: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """What a node knows of itself; None is "could not be read"."""

    uptime_s: float | None
    load_1m: float | None
    cpu_count: int | None
    memory_used_bytes: int | None
    memory_total_bytes: int | None
    preferred: bool = False
    """Whether the operator wants this node to lead when it can."""


def score(node: Capability) -> float:
    """Return the score, a whole number from 0 to 100."""
    fitness = (
        20 * _uptime(node.uptime_s)
        + 30 * _idleness(node.load_1m, node.cpu_count)
        + 30 * _free(node.memory_used_bytes, node.memory_total_bytes)
        + 20 * _processors(node.cpu_count)
    )
    return float(round((50 if node.preferred else 0) + fitness / 2))


def _uptime(uptime_s: float | None) -> float:
    if uptime_s is None or uptime_s <= 0:
        return 0.0
    return uptime_s / (uptime_s + _HOUR_S)


def _idleness(load_1m: float | None, cpu_count: int | None) -> float:
    if load_1m is None or cpu_count is None or cpu_count < 1:
        return 0.0
    return _part(1 - load_1m / cpu_count)


def _free(used: int | None, total: int | None) -> float:
    if used is None or not total:
        return 0.0
    return _part((total - used) / total)


def _processors(cpu_count: int | None) -> float:
    if cpu_count is None or cpu_count < 1:
        return 0.0
    return _part(math.log2(1 + cpu_count) / math.log2(1 + _PROCESSORS_MAX))


def _part(value: float) -> float:
    return min(1.0, max(0.0, value))
