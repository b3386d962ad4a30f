"""One host as it is shown, and what of it counts as looking different. Pure.

A followed feed tells of a member when something about it changes, not each second. So a row keeps
when its document came in, and what only time changes is worked out when somebody looks: how long
the member runs, and how long a silent one has been silent. A member that is alive was heard lately;
how many milliseconds ago is nobody's business, and no reason to paint.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from bzzz_core.api.documents import MemberStatus
from bzzz_core.model import MemberState, NodeId
from bzzz_tui.wording import ago

_UNKNOWN: Final = 255
HISTORY_MAX: Final = 20
"""Values of a trend: five minutes."""


@dataclass(slots=True)
class Told:
    """When the feed last said anything; one for all rows of a store."""

    at_ms: int = 0
    followed: bool = False
    """Whether it tells of changes only; else of everything, each time."""


@dataclass(slots=True)
class Row:
    """One host as it is shown."""

    id: NodeId
    member: MemberStatus
    leads: bool
    version: int = 0
    shown: int = 0
    """Hash of what is shown: the values themselves would be kept twice."""
    samples: bytes = b""
    """Percent, one each 15 seconds, newest last; `_UNKNOWN` where it was not known. As bytes: a
    list of numbers takes ten times the room, and there may be 10,000 rows."""
    received_ms: int = 0
    """When the member's document came in."""
    told: Told = field(default_factory=Told)

    @property
    def cpu(self) -> list[float | None]:
        """Return the trend of the CPU: percent, one value each 15 seconds, newest last."""
        return [None if value == _UNKNOWN else float(value) for value in self.samples]

    def sample(self, percent: float | None) -> None:
        """Add a value to the trend."""
        value = _UNKNOWN if percent is None else min(100, max(0, round(percent)))
        self.samples = (self.samples + bytes((value,)))[-HISTORY_MAX:]

    @property
    def heard_ms(self) -> int | None:
        """Return the silence of the member as of the feed's last word; None: never heard.

        Whoever shows it adds the age of the data. A member that is alive in a followed feed was
        heard lately, or it would be told to be suspect: 0 stands for that.
        """
        heard = self.member.heard_ms_ago
        if heard is None:
            return None
        if self.member.state is MemberState.ALIVE:
            return 0 if self.told.followed else heard
        return heard + max(0, self.told.at_ms - self.received_ms)

    @property
    def uptime_s(self) -> int | None:
        """Return how long the member runs as of the feed's last word; None: not known."""
        uptime = self.member.uptime_s
        if uptime is None or self.member.state is not MemberState.ALIVE:
            return uptime
        return uptime + max(0, self.told.at_ms - self.received_ms) // 1_000


def shown(row: Row) -> tuple[object, ...]:
    """Return a row's values as coarsely as they are written."""
    m = row.member
    return (
        m.name,
        m.state,
        row.leads,
        m.voter,
        None if m.cpu_percent is None else round(m.cpu_percent),
        None if m.memory_used_bytes is None else m.memory_used_bytes >> 26,
        m.memory_total_bytes,
        None if m.load_1m is None else round(m.load_1m, 1),
        m.address,
        m.version,
        len(m.gpus),
        None if m.rtt_ms is None else round(m.rtt_ms, 1),
        m.models,
        m.languages,
        m.node_roles,
        ago(row.heard_ms),
    )


def natural(name: str) -> tuple[str, int, str]:
    """Return what orders bzzz-2 before bzzz-10."""
    stem = name.rstrip("0123456789")
    digits = name[len(stem) :]
    return stem, int(digits[:12]) if digits else -1, name
