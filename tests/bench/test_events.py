"""What following a cluster costs: an agent and the wire, for each reader; the monitor, for a tick.

One agent with 1,000 members of which a tenth change each second; the sampling of its status is made
by hand and not counted, for it is the roster's cost and the same for one reader and for many.
"""

from __future__ import annotations

import time

import msgspec
import pytest

from bzzz_core.api.documents import MemberStatus, Status
from bzzz_core.api.event_documents import Message, Snapshot
from bzzz_core.api.events.board import Board
from bzzz_core.api.events.reading import EventsQuery, Frame, Reader, Speaker
from bzzz_core.api.events.sampling import StatusSampler
from bzzz_core.model import NodeId
from bzzz_tui.store import Heard, Store
from tests.fakes import statuses

NOISE = 3.0
"""Budgets are for a quiet machine; the figures themselves are printed."""
SECONDS = 20
TICK_MS_MAX = {1_000: 5.0, 10_000: 15.0}
SPEAKER = Speaker(node="n", node_id=NodeId("n1"), version="0.1.0", epoch="epoch")


def cluster(count: int) -> list[Status]:
    """Return a status for each second: a tenth of the members with another load, all heard."""
    members = [statuses.member(number) for number in range(count)]
    found = []
    for second in range(SECONDS):
        for number in range(count):
            member = members[number]
            cpu = member.cpu_percent
            if number % 10 == second % 10:
                cpu = 30.0 + second
            members[number] = msgspec.structs.replace(
                member, cpu_percent=cpu, heard_ms_ago=100 + second, uptime_s=1_000 + second
            )
        found.append(statuses.status(tuple(members)))
    return found


def reader_of(board: Board) -> Reader:
    return Reader(EventsQuery(), board=board, log=None, speaker=SPEAKER, now=lambda: "t")


def timed_ms(began_s: float) -> float:
    return 1_000 * (time.process_time() - began_s)


@pytest.mark.timeout(280)
@pytest.mark.parametrize("count", [1_000, 10_000])
def test_what_a_second_costs(count: int) -> None:
    board = Board(changed=lambda: None)
    sampler, reader, store = StatusSampler(board), reader_of(board), Store(now_ms=0)
    sample_ms, told_ms, fold_ms, sizes = [], [], [], []
    for second, status in enumerate(cluster(count)):
        began_s = time.process_time()
        sampler.take(status)
        sample_ms.append(timed_ms(began_s))
        began_s = time.process_time()
        frame: Frame | None = reader.state()
        told_ms.append(timed_ms(began_s))
        assert frame is not None
        sizes.append(len(frame.body))
        began_s = time.process_time()
        message: Message = msgspec.json.decode(frame.body, type=Message)
        store.apply(Heard(source="n", message=message, received_ms=1_000 * second))
        fold_ms.append(timed_ms(began_s))
        assert isinstance(message, Snapshot) is (second == 0)

    def typical(values: list[float]) -> float:
        return sorted(values[1:])[len(values) // 2]

    print(
        f"\n{count} members, 10 % changed a second:"
        f" compare {typical(sample_ms):.1f} ms; a reader {typical(told_ms):.2f} ms and"
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
        sampler.take(statuses.status(tuple(aged)))
        told = reader.state()
        assert (told is None) is (second > 0)
