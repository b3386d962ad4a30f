"""What following a cluster costs: an agent and the wire, for each reader; the monitor, for a tick.

One agent with 1,000 or 10,000 members, by its own roster. As a voter it hears as many beats a
second as it may (`BEATS_A_SECOND_MAX`), as an edge a digest that vouches for all; a tenth of the
members with another load each second is the worst that small clusters do. Each look at the roster
is counted whole, and the longest of its steps: so long nobody else in the agent runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import cast

import msgspec
import pytest

from bzzz_core.api.documents import MemberStatus
from bzzz_core.api.event_documents import MEMBERS, Message, Snapshot
from bzzz_core.api.events.board import Board
from bzzz_core.api.events.reading import EventsQuery, Frame, Reader, Speaker
from bzzz_core.api.events.sampling import Sight, StatusSampler
from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.sections import NodeEntry, RosterTimings
from bzzz_core.membership.beat import Beat, Digest, Told
from bzzz_core.membership.events import DigestHeard, Heard
from bzzz_core.membership.machine import BEATS_A_SECOND_MAX, Roster
from bzzz_core.model import MemberState, NodeId, Sample
from bzzz_core.status import sight_of
from bzzz_tui.store import Heard as Followed
from bzzz_tui.store import Store
from tests.fakes import statuses
from tests.fakes.sights import take

NOISE = 3.0
"""Budgets are for a quiet machine; the figures themselves are printed."""
SECONDS = 20
TICK_MS_MAX = {1_000: 5.0, 10_000: 15.0}
STEP_MS_MAX = 5.0
SPEAKER = Speaker(node="n", node_id=NodeId("n1"), version="0.1.0", epoch="epoch")


class Cluster:
    """A node's roster and what the node tells of it."""

    def __init__(self, count: int, *, edge: bool = False) -> None:
        self.ids = [NodeId(statuses.node_id(number)) for number in range(count)]
        self.edge = edge
        timings = RosterTimings(suspect_ms=60_000, dead_ms=120_000)
        self.roster = Roster(timings, me=self.ids[0], nodes=tuple(self.ids), edge=edge, now_ms=0)
        self.now_ms = 0
        self._number = 0
        self._config = _config_of(self.ids)
        self.hear(range(count), cpu=5.0)

    def hear(self, numbers: range, *, cpu: float) -> None:
        """Hear a beat, or what the leader tells, of some members."""
        self._number += 1
        for number in numbers:
            beat = Beat(
                node=self.ids[number],
                name=f"bzzz-{number}",
                address="10.0.0.1",
                version="0.1.0",
                incarnation=1,
                number=self._number,
                uptime_s=self.now_ms // 1_000,
                voter=number < 5,
                sample=Sample(
                    cpu_percent=cpu,
                    cpu_count=8,
                    load_1m=0.3,
                    memory_used_bytes=1 << 30,
                    memory_total_bytes=1 << 34,
                ),
                broker="bzzz-1",
            )
            if self.edge:
                told = Told(self.ids[number], MemberState.ALIVE, 0, beat)
                self.roster.handle(DigestHeard(Digest(1, members=(told,))), self.now_ms)
            else:
                self.roster.handle(Heard(beat), self.now_ms)

    def sight(self) -> Sight:
        """Return what the agent sees now."""
        head = msgspec.structs.replace(statuses.status((statuses.member(1),)), members=())
        return sight_of(self._config, head, self.roster.seen(), now_ms=self.now_ms)


def _config_of(ids: list[NodeId]) -> AgentConfig:
    """Return as much of a configuration as a sight takes."""
    nodes = tuple(
        NodeEntry(id=node, name=f"bzzz-{number}", public_key="", address="10.0.0.1")
        for number, node in enumerate(ids)
    )
    return cast("AgentConfig", SimpleNamespace(cluster=SimpleNamespace(nodes=nodes)))


def reader_of(board: Board) -> Reader:
    return Reader(EventsQuery(), board=board, log=None, speaker=SPEAKER, now=lambda: "t")


def timed_ms(began_s: float) -> float:
    return 1_000 * (time.process_time() - began_s)


def walked_ms(steps: Callable[[], Iterator[None]]) -> list[float]:
    """Return how long each step took, the making of the first one included."""
    took = []
    began_s = time.process_time()
    for _ in steps():
        took.append(timed_ms(began_s))
        began_s = time.process_time()
    return [*took, timed_ms(began_s)]


def typical(values: list[float]) -> float:
    return sorted(values[1:])[len(values) // 2]


@pytest.mark.parametrize("edge", [False, True], ids=["voter", "edge"])
def test_what_a_look_costs_and_how_long_nobody_else_runs(edge: bool) -> None:  # noqa: FBT001
    """10,000 members, as many beats as a voter may hear."""
    count = 10_000
    cluster = Cluster(count, edge=edge)
    sampler = StatusSampler(Board(changed=lambda: None))
    first = walked_ms(lambda: sampler.look(cluster.sight()))
    whole, longest = [], []
    for second in range(1, SECONDS):
        cluster.now_ms = 1_000 * second
        begin = second * BEATS_A_SECOND_MAX % count
        cluster.hear(range(begin, begin + BEATS_A_SECOND_MAX), cpu=30.0 + second)
        steps = walked_ms(lambda: sampler.look(cluster.sight()))
        whole.append(sum(steps))
        longest.append(max(steps))
    print(
        f"\n{count} members, {BEATS_A_SECOND_MAX} beats a second,"
        f" {'edge' if edge else 'voter'}: a look {typical(whole):.1f} ms, its longest step"
        f" {typical(longest):.1f} ms; the first look {sum(first):.0f} ms, longest {max(first):.1f}"
    )
    assert typical(longest) <= STEP_MS_MAX * NOISE


@pytest.mark.timeout(280)
@pytest.mark.parametrize("count", [1_000, 10_000])
def test_what_a_second_costs(count: int) -> None:
    cluster, board = Cluster(count), Board(changed=lambda: None)
    sampler, reader, store = StatusSampler(board), reader_of(board), Store(now_ms=0)
    look_ms, told_ms, fold_ms, sizes = [], [], [], []
    for second in range(SECONDS):
        cluster.now_ms = 1_000 * second
        tenth = count // 10
        begin = second % 10 * tenth
        cluster.hear(range(begin, begin + tenth), cpu=30.0 + second)
        look_ms.append(sum(walked_ms(lambda: sampler.look(cluster.sight()))))
        look_ms[-1] += sum(walked_ms(lambda: sampler.freshen(reader.due(MEMBERS))))
        began_s = time.process_time()
        frame: Frame | None = reader.state()
        told_ms.append(timed_ms(began_s))
        assert frame is not None
        sizes.append(len(frame.body))
        began_s = time.process_time()
        message: Message = msgspec.json.decode(frame.body, type=Message)
        store.apply(Followed(source="n", message=message, received_ms=1_000 * second))
        fold_ms.append(timed_ms(began_s))
        assert isinstance(message, Snapshot) is (second == 0)
    print(
        f"\n{count} members, 10 % changed a second:"
        f" a look {typical(look_ms):.1f} ms; a reader {typical(told_ms):.2f} ms and"
        f" {typical([float(size) for size in sizes]) / 1_000:.0f} kB a second;"
        f" monitor {typical(fold_ms):.1f} ms a second"
        f"\nsnapshot: {sizes[0] / 1e6:.2f} MB, {told_ms[0]:.0f} ms to write, {fold_ms[0]:.0f} ms"
        " to fold in"
    )
    assert len(store.rows) == count
    assert typical(fold_ms) <= TICK_MS_MAX[count] * NOISE
    assert sizes[0] < 8_000_000


def test_a_quiet_cluster_says_nothing() -> None:
    board = Board(changed=lambda: None)
    sampler, reader = StatusSampler(board), reader_of(board)
    members = [statuses.member(number) for number in range(1_000)]
    for second in range(5):
        aged: list[MemberStatus] = [
            msgspec.structs.replace(member, heard_ms_ago=second * 100, uptime_s=20_000 + second)
            for member in members
        ]
        take(sampler, statuses.status(tuple(aged)))
        told = reader.state()
        assert (told is None) is (second > 0)
