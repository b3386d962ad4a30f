"""What following a cluster costs: an agent and the wire, for each reader; the monitor, for a tick.

One agent with 1,000 or 10,000 members, by its own roster, of which a tenth change each second. Each
look at the roster is counted whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from types import SimpleNamespace
from typing import cast

import msgspec

from bzzz_core.api.event_documents import MEMBERS, Message, Snapshot
from bzzz_core.api.events.board import Board
from bzzz_core.api.events.reading import EventsQuery, Frame, Reader, Speaker
from bzzz_core.api.events.sampling import Sight, StatusSampler
from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.sections import NodeEntry, RosterTimings
from bzzz_core.membership.beat import Beat, Digest, Told
from bzzz_core.membership.events import DigestHeard, Heard
from bzzz_core.membership.machine import Roster
from bzzz_core.model import MemberState, NodeId, Sample
from bzzz_core.status import sight_of
from bzzz_tui.store import Heard as Followed
from bzzz_tui.store import Store
from tests.fakes import statuses

SECONDS = 20
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


def _since_ms(began_s: float) -> float:
    return 1_000 * (time.process_time() - began_s)


def walked_ms(steps: Callable[[], Iterator[None]]) -> list[float]:
    """Return how long each step took, the making of the first one included."""
    took = []
    began_s = time.process_time()
    for _ in steps():
        took.append(_since_ms(began_s))
        began_s = time.process_time()
    return [*took, _since_ms(began_s)]


@dataclass(frozen=True, slots=True)
class Second:
    """What a second of a cluster costs, a tenth of its members changed; CPU in milliseconds."""

    compare_ms: float
    """The agent looks at its roster and finds out what changed, once for all readers."""
    reader_ms: float
    """The agent writes it for one reader."""
    told_bytes: float
    """What that reader is sent."""
    fold_ms: float
    """The monitor takes it in."""
    snapshot_bytes: int
    """What a new reader is sent first."""
    snapshot_ms: float
    """The agent writes that."""
    snapshot_fold_ms: float
    """The monitor takes that in."""


def cost(count: int) -> Second:
    """Return what following a cluster of `count` members costs, the median of some seconds."""
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
        told_ms.append(_since_ms(began_s))
        assert frame is not None
        sizes.append(len(frame.body))
        began_s = time.process_time()
        message: Message = msgspec.json.decode(frame.body, type=Message)
        store.apply(Followed(source="n", message=message, received_ms=1_000 * second))
        fold_ms.append(_since_ms(began_s))
        assert isinstance(message, Snapshot) is (second == 0)
    assert len(store.rows) == count
    return Second(
        compare_ms=median(look_ms[1:]),
        reader_ms=median(told_ms[1:]),
        told_bytes=median(sizes[1:]),
        fold_ms=median(fold_ms[1:]),
        snapshot_bytes=sizes[0],
        snapshot_ms=told_ms[0],
        snapshot_fold_ms=fold_ms[0],
    )
