"""What following a cluster costs: an agent and the wire, for each reader; the monitor, for a tick.

One agent with 1,000 members of which a tenth change each second; the sampling of its status is made
by hand and not counted, for it is the roster's cost and the same for one reader and for many.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

import msgspec

from bzzz_core.api.documents import Status
from bzzz_core.api.event_documents import Message, Snapshot
from bzzz_core.api.events.board import Board
from bzzz_core.api.events.reading import EventsQuery, Frame, Reader, Speaker
from bzzz_core.api.events.sampling import StatusSampler
from bzzz_core.model import NodeId
from bzzz_tui.store import Heard, Store
from tests.fakes import statuses

SECONDS = 20
SPEAKER = Speaker(node="n", node_id=NodeId("n1"), version="0.1.0", epoch="epoch")


def cluster(count: int) -> Iterator[Status]:
    """Yield a status for each second: a tenth of the members with another load, all heard."""
    members = [statuses.member(number) for number in range(count)]
    for second in itertools.count():
        for number in range(count):
            member = members[number]
            cpu = member.cpu_percent
            if number % 10 == second % 10:
                cpu = 30.0 + second % 70
            members[number] = msgspec.structs.replace(
                member, cpu_percent=cpu, heard_ms_ago=100 + second, uptime_s=1_000 + second
            )
        yield statuses.status(tuple(members))


def reader_of(board: Board) -> Reader:
    return Reader(EventsQuery(), board=board, log=None, speaker=SPEAKER, now=lambda: "t")


def _since_ms(began_s: float) -> float:
    return 1_000 * (time.process_time() - began_s)


@dataclass(frozen=True, slots=True)
class Second:
    """What a second of a cluster costs, a tenth of its members changed; CPU in milliseconds."""

    compare_ms: float
    """The agent finds out what changed, once for all readers."""
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
    board = Board(changed=lambda: None)
    sampler, reader, store = StatusSampler(board), reader_of(board), Store(now_ms=0)
    sample_ms, told_ms, fold_ms, sizes = [], [], [], []
    for second, status in enumerate(itertools.islice(cluster(count), SECONDS)):
        began_s = time.process_time()
        sampler.take(status)
        sample_ms.append(_since_ms(began_s))
        began_s = time.process_time()
        frame: Frame | None = reader.state()
        told_ms.append(_since_ms(began_s))
        assert frame is not None
        sizes.append(len(frame.body))
        began_s = time.process_time()
        message: Message = msgspec.json.decode(frame.body, type=Message)
        store.apply(Heard(source="n", message=message, received_ms=1_000 * second))
        fold_ms.append(_since_ms(began_s))
        assert isinstance(message, Snapshot) is (second == 0)
    assert len(store.rows) == count
    return Second(
        compare_ms=median(sample_ms[1:]),
        reader_ms=median(told_ms[1:]),
        told_bytes=median(sizes[1:]),
        fold_ms=median(fold_ms[1:]),
        snapshot_bytes=sizes[0],
        snapshot_ms=told_ms[0],
        snapshot_fold_ms=fold_ms[0],
    )
