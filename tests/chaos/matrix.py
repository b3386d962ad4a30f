"""The fault matrix: each fault against each target, and what must be true while it lasts.

A cell breaks one thing in a healthy cluster of three voters and an edge, looks whether the cluster
does what this table says, heals, and waits until all is well; the checker then judges the whole
history. What may be expected while a fault lasts:

    replaced    another node leads a later term, and a write of it is acknowledged, within
                `within_s`: the present leader is lost, a majority is there
    undisturbed the leader stays, no election is held, and no write waits longer than `within_s`:
                nobody is lost who is needed
    goes on     a write is acknowledged within `within_s`, by whomever
    waits       no majority is left: nothing asked for after `GRACE_S` is acknowledged
    heals       nothing is expected but the healing: what happens meanwhile is a matter of luck

What a cell may need differs with what the brokers have to do. If the leader of the *stream* is
lost, the brokers elect another one, which takes 4 to 9 s and cannot be configured; the leader keeps
its office meanwhile and its writes wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

from bzzz_core.api.documents import Status
from bzzz_core.clock import utc_now
from tests.chaos.cluster import ChaosCluster
from tests.chaos.faults import Fault, Kind, Target, resolve
from tests.chaos.history import Answered, Event, Followed, Invoked, Late, now_ns
from tests.chaos.host import Part
from tests.chaos.nemesis import Nemesis
from tests.chaos.plays import Expectation, Judge, Outcome
from tests.chaos.roles import Roles
from tests.chaos.standstill import processors_watched
from tests.shards import part_of

TAKEOVER_S: Final = 5.0
"""Failover has p95 <= 1.5 s on a calm machine; this is a limit for a loaded one."""
STREAM_S: Final = 15.0
"""For the brokers to elect a leader of the stream: 4 to 9 s measured, twice that allowed."""
GRACE_S: Final = 3.0
BUSY_S: Final = 75.0
FULL_BUSY_S: Final = 600.0
"""How long a machine under full load must not lose its leader."""
SHARDS: Final = 7
_LOOK_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Cell:
    """One fault and what it must (not) do."""

    fault: Fault
    expect: Expectation
    within_s: float = TAKEOVER_S
    hold_s: float = 5.0
    """How long it lasts at least."""

    @property
    def name(self) -> str:
        """Return the cell as the name of a test."""
        return self.fault.label.replace(" ", "-")


def cells(*, busy_s: float = BUSY_S) -> list[Cell]:
    """Return the whole matrix, cells of one kind and target beside each other."""
    return [
        *_of("kill", "machine", _LOST_MACHINE),
        *_of("stop", "machine", _LOST_MACHINE, hold_s=8.0),
        *_of("cut", "machine", _LOST_MACHINE, hold_s=8.0),
        *_of("deaf", "machine", _LOST_MACHINE),
        *_of("mute", "machine", _LOST_MACHINE),
        *_of("lossy", "machine", _LOSSY),
        Cell(Fault("link", "both"), "goes on", within_s=40.0),
        *_of("disk", "machine", _FULL_DISK, hold_s=8.0),
        Cell(Fault("busy"), "undisturbed", within_s=STREAM_S, hold_s=busy_s),
        Cell(Fault("restart"), "heals", hold_s=0.0),
        Cell(Fault("power"), "heals", hold_s=1.0),
        *_of("kill", "agent", _LOST_AGENT),
        *_of("kill", "broker", _RESTARTED_BROKER),
        *_of("stop", "agent", _LOST_AGENT, hold_s=8.0),
        *_of("stop", "broker", _LOST_BROKER, hold_s=8.0),
    ]


def chosen(commit: str) -> list[Cell]:
    """Return the commit's shard: one cell in seven, for neighbours resemble each other.

    A failover and a lost majority are in every run.
    """
    taken = part_of(cells(), commit, SHARDS)
    missing = {"replaced", "waits"} - {cell.expect for cell in taken}
    return taken + [next(c for c in cells() if c.expect == expect) for expect in sorted(missing)]


async def play(
    cluster: ChaosCluster, cell: Cell, nemesis: Nemesis, *, strict: bool = False
) -> tuple[Outcome, list[str]]:
    """Play one cell until it is decided (`plays`); the cluster is well before and after.

    Return the outcome that decided, and what is to be told of all plays that were broken.

    Raises:
        TimeoutError: It was not well before, or did not come back.
    """
    judge = Judge(load=cell.fault.kind == "busy", strict=strict)
    began_ns = now_ns()
    told: list[str] = []
    while True:
        outcome = await _play_once(cluster, cell, nemesis)
        if outcome.broken:
            told += [f"\n{cell.name}: {outcome}", *outcome.told]
        if judge.take(outcome, (now_ns() - began_ns) / 1e9):
            return judge.verdict, told


async def _play_once(cluster: ChaosCluster, cell: Cell, nemesis: Nemesis) -> Outcome:
    roles = await cluster.settled()
    before = next(status for status in await cluster.statuses() if status)
    cluster.fresh()
    began_ns, began_at = now_ns(), utc_now()
    with processors_watched() as pauses:
        what = await nemesis.inflict(cell.fault, roles)
        watch = _Watch(cluster, cell, roles, before, began_ns)
        outcome = await watch.outcome()
    outcome.lost_ms = pauses.lost_ms_max
    if outcome.broken:
        outcome.told = (
            sorted([line for host in cluster.hosts for line in host.said_since(began_at)])
            + watch.late()
        )
    outcome.recovered_ms = await nemesis.heal(what)
    return outcome


class _Watch:
    """Looks at a cluster while a fault lasts."""

    def __init__(
        self, cluster: ChaosCluster, cell: Cell, roles: Roles, before: Status, began_ns: int
    ) -> None:
        self._cluster = cluster
        self._cell = cell
        self._roles = roles
        self._before = before
        self._began_ns = began_ns
        self._broken_ns = now_ns()
        """When the fault was complete: what is asked for from here on meets it."""
        self._hit = resolve(cell.fault, roles, cluster)
        self._events: list[Event] = []

    async def outcome(self) -> Outcome:
        """Return whether the expectation was met, once the fault has lasted long enough."""
        cell = self._cell
        took_ms = None
        broken: list[str] = []
        if cell.expect in {"replaced", "goes on", "undisturbed"}:
            took_ms = await self._until_written(cell.within_s)
            if took_ms is None:
                broken.append(f"not {cell.expect} within {cell.within_s} s")
        await self._hold(broken)
        if cell.expect in {"undisturbed", "heals"}:
            took_ms = self._longest_wait_ms()
        if cell.expect == "undisturbed":
            if took_ms is not None and took_ms > cell.within_s * 1000:
                broken.append(f"writes waited {took_ms} ms")
        elif cell.expect == "waits":
            broken += self._written_without_majority()
        return Outcome(cell.expect, took_ms, broken=broken)

    async def _until_written(self, within_s: float) -> int | None:
        """Return when a write asked for during the fault was acknowledged, None if none was."""
        while self._lasted_s() < within_s:
            self._events += self._cluster.fresh()
            for asked, answer in self._written(self._broken_ns):
                if self._cell.expect != "replaced" or asked.term > self._before.term:
                    return (answer.at_ns - self._began_ns) // 1_000_000
            await asyncio.sleep(_LOOK_S)
        return None

    async def _hold(self, broken: list[str]) -> None:
        """Let the fault last; where the leader has to stay, look whether it does."""
        while self._lasted_s() < self._cell.hold_s and not broken:
            if self._cell.expect == "undisturbed":
                broken += self._disturbed(await self._cluster.statuses())
            await asyncio.sleep(_LOOK_S)
        self._events += self._cluster.fresh()

    def _disturbed(self, statuses: Sequence[Status | None]) -> list[str]:
        """Return who does not follow the leader of before, or follows a later one.

        An edge may hear of nobody for a while: its broker may be the one that was lost.
        """
        return [
            f"{status.node} is in term {status.term} and follows {status.leader}"
            for place, status in enumerate(statuses)
            if status is not None
            and (place not in self._hit or self._cell.fault.target == "all")
            and (status.leader is not None or status.role != "edge")
            and (status.term != self._before.term or status.leader != self._before.leader)
        ]

    def _written(self, since_ns: int) -> list[tuple[Invoked, Answered]]:
        """Return the writes that were asked for since then and acknowledged."""
        asked = {e.op: e for e in self._events if isinstance(e, Invoked)}
        return [
            (asked[e.op], e)
            for e in self._events
            if isinstance(e, Answered)
            and e.outcome == "written"
            and e.op in asked
            and asked[e.op].at_ns > since_ns
        ]

    def _longest_wait_ms(self) -> int:
        """Return the longest time between two acknowledged writes since the fault began."""
        times = [
            self._began_ns,
            *(answer.at_ns for _, answer in self._written(self._began_ns)),
            now_ns(),
        ]
        return max(later - earlier for earlier, later in pairwise(times)) // 1_000_000

    def late(self) -> list[str]:
        """Return whose event loop was late since the fault began."""
        return [
            f"{event.node}: late by {event.late_ms} ms, of which it computed {event.computed_ms}"
            for event in self._events
            if isinstance(event, Late) and event.at_ns > self._began_ns
        ]

    def _written_without_majority(self) -> list[str]:
        late_ns = self._began_ns + int(GRACE_S * 1e9)
        return [
            f"{asked.op} was acknowledged without a majority"
            for asked, _ in self._written(self._began_ns)
            if asked.at_ns > late_ns
        ] + [
            f"{event.node} served in term {event.term} without a majority"
            for event in self._events
            if isinstance(event, Followed) and event.mine and event.at_ns > late_ns
        ]

    def _lasted_s(self) -> float:
        return (now_ns() - self._began_ns) / 1e9


_Row: TypeAlias = dict[Target, tuple[Expectation, float]]

_LOST_MACHINE: Final[_Row] = {
    "leader": ("replaced", TAKEOVER_S),
    "stream leader": ("undisturbed", STREAM_S),
    "both": ("waits", 0),
    "follower": ("undisturbed", TAKEOVER_S),
    "edge": ("undisturbed", TAKEOVER_S),
}
_LOST_AGENT: Final[_Row] = {
    "leader": ("replaced", TAKEOVER_S),
    "stream leader": ("undisturbed", TAKEOVER_S),
    "both": ("waits", 0),
    "follower": ("undisturbed", TAKEOVER_S),
}
_LOST_BROKER: Final[_Row] = {
    "leader": ("goes on", STREAM_S),
    "stream leader": ("undisturbed", STREAM_S),
    "both": ("waits", 0),
    "follower": ("undisturbed", TAKEOVER_S),
}
_RESTARTED_BROKER: Final[_Row] = {
    "leader": ("goes on", STREAM_S),
    "stream leader": ("goes on", STREAM_S),
    "both": ("heals", 0),
    "follower": ("undisturbed", TAKEOVER_S),
}
_LOSSY: Final[_Row] = {
    "leader": ("heals", 0),
    "stream leader": ("heals", 0),
    "follower": ("heals", 0),
}
_FULL_DISK: Final[_Row] = {
    "leader": ("goes on", STREAM_S),
    "stream leader": ("goes on", STREAM_S),
    "follower": ("undisturbed", TAKEOVER_S),
}


def _of(kind: Kind, part: Part, row: _Row, hold_s: float = 5.0) -> list[Cell]:
    return [
        Cell(Fault(kind, target, part), expect, within_s or TAKEOVER_S, hold_s)
        for target, (expect, within_s) in row.items()
    ]
