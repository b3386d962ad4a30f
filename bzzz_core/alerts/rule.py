"""What a rule is. Pure.

A rule compares one metric with a threshold. The same definition is evaluated here (`machine`) and
written down for Prometheus (`prometheus`), so the two cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from bzzz_core.api.event_documents import Severity
from bzzz_core.config.sections import AlertsConfig
from bzzz_core.telemetry.metrics_catalogue import Metric

Scope: TypeAlias = Literal["cluster", "node"]
"""Of a node: every node finds it about itself. Of the cluster: every node may find it, and it is
one alert all the same; its id does not name the node that found it."""
Limit: TypeAlias = Callable[[AlertsConfig], float]
Unit: TypeAlias = Literal["", "s", "%"]
KEEP_S: Final = 15
"""An alert stays for so long after what it is about has ended: what comes and goes is one alert."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """When something is an alert, and what to say then."""

    name: str
    severity: Severity
    scope: Scope
    metric: Metric
    where: tuple[tuple[str, str], ...] = ()
    """(label, value): which series of the metric count."""
    window_s: int = 0
    """0: the metric's value counts. Else how much it has grown within so long."""
    above: bool = True
    """Whether values above the threshold are wrong, or those below it."""
    limit: Limit
    """The threshold."""
    for_s: Limit
    """How long it has to be so."""
    keep_s: int = KEEP_S
    per: str = ""
    """The label whose values are alerts of their own; empty: one, about the node or cluster."""
    unit: Unit = ""
    words: str
    """What is wrong. `{subject}`, `{value}` and `{threshold}` stand for what they say."""
    next_step: str

    @property
    def title(self) -> str:
        """Return the name as Prometheus knows it: `BzzzNoLeader` for `no_leader`."""
        return "Bzzz" + "".join(word.capitalize() for word in self.name.split("_"))


def constant(value: float) -> Limit:
    """Return a limit that nobody configures."""
    return lambda _config: value


def shown(value: float, unit: Unit) -> str:
    """Return a figure as people read it."""
    if unit == "%":
        return f"{100 * value:.0f} %"
    text = f"{value:.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.2f}"  # noqa: PLR2004
    return f"{text} s" if unit == "s" else text
