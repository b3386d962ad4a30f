"""What the monitor knows: rows with versions, the link it knows them by, and what happened.

Theory of operation
-------------------
A feed posts immutable events; `apply` folds them in and says which rows look different now. A row's
`version` grows only when something that is *shown* changes, so a table can cache its painted lines
by (id, version) and repaint nothing else. Values are compared as coarsely as they are shown.

Knowing and having known are kept apart: data stays when the link is lost, and grows old. `age_ms`
says how old; nothing here ever invents a zero.

Rules: no Textual, no I/O; time arrives as `now_ms` and is never read.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

from bzzz_core.api.documents import MemberStatus, Status
from bzzz_core.model import FabricState, MemberState, NodeId
from bzzz_tui.wording import Tone, ago, clean

EVENTS_MAX: Final = 500
HISTORY_MAX: Final = 20
"""Values of a trend: five minutes."""
_HISTORY_STEP_MS: Final = 15_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One answer of one node."""

    source: str
    """Name of the host that answered."""
    status: Status
    received_ms: int


class LinkPhase(StrEnum):
    """How the monitor stands with the cluster."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Whom the monitor talks to, or why it talks to nobody."""

    phase: LinkPhase
    host: str | None
    """The host that answers, or the one being asked now."""
    since_ms: int
    attempt: int = 0
    """Hosts asked in vain since the last answer."""
    retry_at_ms: int | None = None
    """When the next attempt starts, if the feed is waiting."""
    reason: str = ""


FeedEvent: TypeAlias = Snapshot | Link


@dataclass(slots=True)
class Row:
    """One host as it is shown."""

    id: NodeId
    member: MemberStatus
    leads: bool
    version: int = 0
    shown: tuple[object, ...] = ()
    cpu: deque[float | None] = field(default_factory=lambda: deque(maxlen=HISTORY_MAX))
    """Percent, one value each 15 seconds, newest last."""


@dataclass(frozen=True, slots=True)
class Happening:
    """Something worth a line in the event list."""

    at: str
    """Wall-clock time of the answering node, for people."""
    tone: Tone
    text: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What one event changed."""

    ids: frozenset[NodeId] = frozenset()
    order: bool = False
    """Rows came or went."""
    sampled: bool = False
    """Trends have one more value; it does not count as a row that looks different."""
    happened: int = 0
    """How many lines were added to the event list."""


class Store:
    """Everything the monitor shows, folded from feed events."""

    def __init__(self, *, now_ms: int) -> None:
        """Start knowing nothing."""
        self.rows: dict[str, Row] = {}
        self.order: list[NodeId] = []
        """Row ids in the order of node names."""
        self.status: Status | None = None
        self.source: str | None = None
        self.link = Link(phase=LinkPhase.CONNECTING, host=None, since_ms=now_ms)
        self.events: deque[Happening] = deque(maxlen=EVENTS_MAX)
        self._received_ms: int | None = None
        self._sampled_ms: int | None = None

    def apply(self, event: FeedEvent) -> Changes:
        """Fold in one event of the feed."""
        match event:
            case Snapshot():
                return self._take(event)
            case Link():
                before, self.link = self.link, event
                return Changes(happened=self._tell_link(before, event))

    def age_ms(self, now_ms: int) -> int | None:
        """Return how old the data is; None if there never was any."""
        return None if self._received_ms is None else max(0, now_ms - self._received_ms)

    def voters(self) -> tuple[int, int]:
        """Return (voters that are alive, all voters)."""
        if self.status is None:
            return 0, 0
        voters = [member for member in self.status.members if member.voter]
        return sum(m.state is MemberState.ALIVE for m in voters), len(voters)

    def has_quorum(self) -> bool:
        """Return whether a majority of the voters is alive and the fabric is not lost."""
        if self.status is None:
            return False
        fabric = self.status.fabric
        return self.voters()[0] >= fabric.quorum and fabric.state is not FabricState.LOST

    def _take(self, snapshot: Snapshot) -> Changes:
        before, status = self.status, snapshot.status
        happened = self._tell(before, snapshot)
        self.status, self.source = status, snapshot.source
        self._received_ms = snapshot.received_ms
        sample = self._sample_due(snapshot.received_ms)
        ids = {m.node_id for m in status.members if self._fold(m, status.leader_id, sample=sample)}
        order = sorted(
            (m.node_id for m in status.members), key=lambda i: _natural(self.rows[i].member.name)
        )
        moved = order != self.order
        if moved:
            for gone in self.rows.keys() - set(order):
                del self.rows[gone]
            self.order = list(order)
        return Changes(ids=frozenset(ids), order=moved, sampled=sample, happened=happened)

    def _sample_due(self, now_ms: int) -> bool:
        if self._sampled_ms is not None and now_ms - self._sampled_ms < _HISTORY_STEP_MS:
            return False
        self._sampled_ms = now_ms
        return True

    def _fold(self, member: MemberStatus, leader: NodeId | None, *, sample: bool) -> bool:
        """Take one member in; return whether it looks different now."""
        row = self.rows.get(member.node_id)
        if row is None:
            row = self.rows[member.node_id] = Row(member.node_id, member, leads=False)
        row.member, row.leads = member, member.node_id == leader
        if sample:
            alive = member.state is MemberState.ALIVE
            row.cpu.append(member.cpu_percent if alive else None)
        shown = _shown(row)
        if shown == row.shown:
            return False
        row.shown = shown
        row.version += 1
        return True

    def _tell(self, before: Status | None, snapshot: Snapshot) -> int:
        """Write down how this answer differs from the last; return the number of lines."""
        status = snapshot.status
        lines: list[tuple[Tone, str]] = []
        known = {m.node_id: m.state for m in before.members} if before else {}
        for member in status.members:
            was = known.get(member.node_id)
            if was is None and before is None and member.state is MemberState.ALIVE:
                continue  # Being well at first sight is no news.
            if was is not member.state:
                lines.append(_state_line(member, was))
        if before is None or before.term != status.term or before.leader != status.leader:
            lines.append(_leader_line(status))
        elif status.leader_serving and not before.leader_serving and status.leader:
            lines.append((Tone.OK, f"{clean(status.leader)} serves: its first write is durable"))
        if before is not None and before.fabric.state is not status.fabric.state:
            tone = Tone.OK if status.fabric.state is FabricState.CONNECTED else Tone.WARN
            lines.append((tone, f"fabric is {status.fabric.state.value}"))
        at = clean(status.at)[11:19]
        self.events.extend(Happening(at, tone, text) for tone, text in lines)
        return len(lines)

    def _tell_link(self, before: Link, link: Link) -> int:
        if (before.phase, before.host) == (link.phase, link.host):
            return 0
        at = clean(self.status.at)[11:19] if self.status else ""
        if link.phase is LinkPhase.CONNECTED:
            self.events.append(Happening(at, Tone.INFO, f"watching through {link.host}"))
            return 1
        if link.phase is LinkPhase.LOST and before.phase is not LinkPhase.LOST:
            self.events.append(Happening(at, Tone.BAD, f"no host answers: {link.reason}"))
            return 1
        return 0


def _shown(row: Row) -> tuple[object, ...]:
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
        ago(m.heard_ms_ago),
    )


def _leader_line(status: Status) -> tuple[Tone, str]:
    if status.leader is None:
        return Tone.BAD, f"no leader (last term {status.term})"
    return Tone.ACCENT, f"{clean(status.leader)} leads in term {status.term}"


def _state_line(member: MemberStatus, was: MemberState | None) -> tuple[Tone, str]:
    name = clean(member.name)
    match member.state:
        case MemberState.ALIVE:
            return Tone.OK, f"{name} is alive" if was else f"{name} joined"
        case MemberState.SUSPECT if member.heard_ms_ago is None:
            return Tone.WARN, f"{name} was not heard yet"
        case MemberState.SUSPECT:
            return Tone.WARN, f"{name} is suspect: unheard for {ago(member.heard_ms_ago)}"
        case MemberState.DEAD:
            return Tone.BAD, f"{name} is held to be dead"
        case MemberState.LEFT:
            return Tone.MUTED, f"{name} left"


def _natural(name: str) -> tuple[str, int, str]:
    """Order bzzz-2 before bzzz-10."""
    stem = name.rstrip("0123456789")
    digits = name[len(stem) :]
    return stem, int(digits[:12]) if digits else -1, name
