"""What the monitor knows: rows with versions, the link it knows them by, and what happened.

Theory of operation
-------------------
A feed posts immutable events; `apply` folds them in and says which rows look different now. A row's
`version` grows only when something that is *shown* changes, so a table can cache its painted lines
by (id, version) and repaint nothing else. Values are compared as coarsely as they are shown.

Two kinds of feed lead to the same store: one that follows `/v1/events` (`Heard`, a whole state and
then what differs), and one that asks an older agent again and again (`Snapshot`). Which of the
other collections the answering node tells of is in `known`: a collection that is not among them is
unknown, which is something else than empty.

Knowing and having known are kept apart: data stays when the link is lost, and grows old. `age_ms`
says how old; nothing here ever invents a zero.

Rules: no Textual, no I/O; time arrives as `now_ms` and is never read. Documents that this version
cannot read are passed over and counted; what the feed brings never raises.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from bzzz_core.api import event_documents as events
from bzzz_core.api.documents import MemberStatus, Status
from bzzz_core.api.event_documents import AlertDocument, CheckDocument, HaltDocument, LogLine
from bzzz_core.model import FabricState, MemberState, NodeId
from bzzz_tui.collected import NAMES, Collected
from bzzz_tui.feed_events import FeedEvent, Heard, Jump, Link, LinkPhase, Snapshot
from bzzz_tui.happenings import Happening, cluster_lines, member_line, noticed_at
from bzzz_tui.rows import HISTORY_MAX, Row, Told, natural, shown
from bzzz_tui.wording import Tone

__all__ = [
    "EVENTS_MAX",
    "HISTORY_MAX",
    "Changes",
    "FeedEvent",
    "Happening",
    "Heard",
    "Jump",
    "Link",
    "LinkPhase",
    "Row",
    "Snapshot",
    "Store",
]

EVENTS_MAX: Final = 500
_HISTORY_STEP_MS: Final = 15_000


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
    collections: frozenset[str] = frozenset()
    """Which of checks, alerts and halt are different."""
    lines: tuple[LogLine, ...] = ()
    """What the answering node wrote into its log; the store does not keep them."""


class Store:
    """Everything the monitor shows, folded from feed events."""

    def __init__(self, *, now_ms: int) -> None:
        """Start knowing nothing."""
        self.link = Link(phase=LinkPhase.CONNECTING, host=None, since_ms=now_ms)
        self.events: deque[Happening] = deque(maxlen=EVENTS_MAX)
        self.rows: dict[str, Row] = {}
        self.order: list[NodeId] = []
        """Row ids in the order of node names."""
        self.asked: dict[str, object] = {}
        """What views asked for besides what the feed tells, by view; see `monitor.asked`."""
        self._forget()

    def _forget(self) -> None:
        """Know nothing of the cluster; who holds `rows`, `order` or `events` sees it too."""
        self.rows.clear()
        self.order = []
        self.events.clear()
        self.asked.clear()
        self.source: str | None = None
        self._collected = Collected()
        self._head: Status | None = None
        self._status: Status | None = None
        self._up = self._voters = self._up_voters = 0
        self._told = Told()
        self._received_ms: int | None = None
        self._sampled_ms: int | None = None
        self._silent: set[NodeId] = set()

    @property
    def status(self) -> Status | None:
        """Return the newest status with all members, in the order of names; None: none yet."""
        if self._status is None and self._head is not None:
            members = tuple(self.rows[i].member for i in self.order)
            self._status = msgspec.structs.replace(self._head, members=members)
        return self._status

    @property
    def checks(self) -> Mapping[str, CheckDocument]:
        """Return the health checks of the answering node, by name."""
        return self._collected.checks

    @property
    def alerts(self) -> Mapping[str, AlertDocument]:
        """Return the alerts that the answering node knows of, by id."""
        return self._collected.alerts

    @property
    def halt(self) -> HaltDocument | None:
        """Return whether work is stopped everywhere; None: not known."""
        return self._collected.halt

    @property
    def known(self) -> frozenset[str]:
        """Return the collections that the answering node tells of."""
        return self._collected.known

    @property
    def passed_over(self) -> int:
        """Return how many documents this version could not read."""
        return self._collected.passed_over

    def apply(self, event: FeedEvent) -> Changes:
        """Fold in one event of the feed."""
        match event:
            case Snapshot():
                return self._take(event)
            case Heard():
                return self._hear(event)
            case Link():
                before, self.link = self.link, event
                return Changes(happened=self._tell_link(before, event))
            case Jump():
                return self._jump(event)

    def age_ms(self, now_ms: int) -> int | None:
        """Return how old the data is; None if there never was any."""
        return None if self._received_ms is None else max(0, now_ms - self._received_ms)

    @property
    def head(self) -> Status | None:
        """Return the newest status without its members; None: none yet.

        Cheap in a large cluster: `status` puts all members into one document for each change.
        """
        return self._head

    def voters(self) -> tuple[int, int]:
        """Return (voters that are alive, all voters)."""
        return self._up_voters, self._voters

    def alive(self) -> tuple[int, int]:
        """Return (nodes that are alive, all nodes)."""
        return self._up, len(self.rows)

    def _count(self, member: MemberStatus, by: int) -> None:
        """Keep count of what is asked at every paint: among 10,000 nodes counting anew is slow."""
        alive = member.state is MemberState.ALIVE
        self._up += by * alive
        self._voters += by * member.voter
        self._up_voters += by * (alive and member.voter)

    def has_quorum(self) -> bool:
        """Return whether a majority of the voters is alive and the fabric is not lost."""
        if self._head is None:
            return False
        fabric = self._head.fabric
        return self.voters()[0] >= fabric.quorum and fabric.state is not FabricState.LOST

    def _take(self, snapshot: Snapshot) -> Changes:
        """Fold in a whole status; of the other collections it says nothing."""
        status = snapshot.status
        collections = self._collected.forget()
        self._told.at_ms, self._told.followed = snapshot.received_ms, False
        self.source = snapshot.source
        gone = self.rows.keys() - {member.node_id for member in status.members}
        return self._fold(status, status.members, gone, collections=collections)

    def _hear(self, heard: Heard) -> Changes:
        message = heard.message
        self._told.at_ms, self._told.followed = heard.received_ms, True
        self.source = heard.source
        match message:
            case events.Snapshot():
                return self._hear_all(message)
            case events.Delta():
                return self._hear_change(message)
            case events.Beat():
                return self._fold(self._dated(message.at), (), ())
            case events.Lines():
                self._received_ms = heard.received_ms
                return Changes(lines=message.lines)
            case events.Bye():
                return Changes()

    def _hear_all(self, message: events.Snapshot) -> Changes:
        documents = message.documents
        collections = self._collected.replace(documents)
        head = self._collected.read(documents.get(events.STATUS, {}).get(events.SELF), Status)
        if head is None:
            return Changes(collections=collections)
        members = self._collected.members(documents.get(events.MEMBERS, {}))
        gone = self.rows.keys() - {member.node_id for member in members}
        return self._fold(head, members, gone, collections=collections)

    def _hear_change(self, message: events.Delta) -> Changes:
        collections, changed = self._collected.change(message), message.changed
        head = self._collected.read(changed.get(events.STATUS, {}).get(events.SELF), Status)
        head = head or self._dated(message.at)
        members = self._collected.members(changed.get(events.MEMBERS, {}))
        gone = self.rows.keys() & set(message.gone.get(events.MEMBERS, ()))
        return self._fold(head, members, gone, collections=collections)

    def _dated(self, at: str) -> Status | None:
        """Return the present status as of `at`, by the answering node's wall clock."""
        return None if self._head is None else msgspec.structs.replace(self._head, at=at)

    def _jump(self, jump: Jump) -> Changes:
        if jump.anew:
            self.link = Link(phase=LinkPhase.CONNECTING, host=None, since_ms=jump.now_ms)
            self._forget()
        for event in jump.events:
            self.apply(event)
        return Changes(
            ids=frozenset(self.order),
            order=True,
            sampled=True,
            happened=len(self.events),
            collections=frozenset(NAMES),
        )

    def _fold(
        self,
        head: Status | None,
        changed: Sequence[MemberStatus],
        gone: Iterable[str],
        *,
        collections: frozenset[str] = frozenset(),
    ) -> Changes:
        """Take in what is known of the cluster now, the members that differ, and who is gone."""
        if head is None:
            return Changes(collections=collections)
        before = self._head
        lines = self._member_lines(before, head, changed) + cluster_lines(before, head)
        self._head, self._status = msgspec.structs.replace(head, members=()), None
        now_ms = self._received_ms = self._told.at_ms
        moved = self._set_members(changed, gone, now_ms)
        touched = {member.node_id for member in changed} | self._silent
        if before is None or before.leader_id != head.leader_id:
            touched |= {i for i in (before and before.leader_id, head.leader_id) if i}
        ids = {i for i in touched if i in self.rows and self._looks_different(self.rows[i], head)}
        if moved:
            self.order = sorted(
                (row.id for row in self.rows.values()),
                key=lambda i: natural(self.rows[i].member.name),
            )
        self.events.extend(lines)
        return Changes(
            ids=frozenset(ids),
            order=moved,
            sampled=self._sample(now_ms),
            happened=len(lines),
            collections=collections,
        )

    def _set_members(
        self, changed: Iterable[MemberStatus], gone: Iterable[str], now_ms: int
    ) -> bool:
        """Put members into their rows; return whether the order of rows may be another."""
        moved = False
        for node in set(gone):
            moved = True
            self._count(self.rows.pop(node).member, -1)
            self._silent.discard(NodeId(node))
        for member in changed:
            row = self.rows.get(member.node_id)
            if row is None:
                row = Row(member.node_id, member, leads=False, told=self._told)
                self.rows[member.node_id] = row
                moved = True
            else:
                self._count(row.member, -1)
            self._count(member, 1)
            moved = moved or row.member.name != member.name
            row.member, row.received_ms = member, now_ms
            if member.state is MemberState.ALIVE:
                self._silent.discard(member.node_id)
            else:
                self._silent.add(member.node_id)
        return moved

    def _looks_different(self, row: Row, head: Status) -> bool:
        row.leads = row.id == head.leader_id
        values = hash(shown(row))
        if values == row.shown:
            return False
        row.shown = values
        row.version += 1
        return True

    def _sample(self, now_ms: int) -> bool:
        """Add a value to every trend if one is due; return whether."""
        if self._sampled_ms is not None and 0 <= now_ms - self._sampled_ms < _HISTORY_STEP_MS:
            return False
        self._sampled_ms = now_ms
        for row in self.rows.values():
            alive = row.member.state is MemberState.ALIVE
            row.sample(row.member.cpu_percent if alive else None)
        return True

    def _member_lines(
        self, before: Status | None, head: Status, changed: Iterable[MemberStatus]
    ) -> list[Happening]:
        at, lines = noticed_at(before, head), []
        for member in changed:
            row = self.rows.get(member.node_id)
            was = None if row is None else row.member.state
            line = member_line(member, was, first=before is None)
            lines += [] if line is None else [Happening(at, *line)]
        return lines

    def _tell_link(self, before: Link, link: Link) -> int:
        if (before.phase, before.host) == (link.phase, link.host):
            return 0
        at = noticed_at(self._head, self._head) if self._head else ""
        if link.phase is LinkPhase.CONNECTED:
            words = f"watching through {link.host}" + (f" ({link.note})" if link.note else "")
            self.events.append(Happening(at, Tone.INFO, words))
            return 1
        if link.phase is LinkPhase.LOST and before.phase is not LinkPhase.LOST:
            self.events.append(Happening(at, Tone.BAD, f"no host answers: {link.reason}"))
            return 1
        return 0
