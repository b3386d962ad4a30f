"""What following a cluster costs: an agent and the wire, for each reader; the monitor, for a tick.

One agent with 1,000 or 10,000 members, by its own roster. As a voter it hears as many beats a
second as it may (`BEATS_A_SECOND_MAX`), as an edge a digest that vouches for all; a tenth of the
members with another load each second is the worst that small clusters do. The longest step of a
look is counted as well: so long nobody else in the agent runs.
"""

from __future__ import annotations

from statistics import median

import msgspec
import pytest

from bzzz_core.api.documents import MemberStatus
from bzzz_core.api.events.board import Board
from bzzz_core.api.events.sampling import StatusSampler
from bzzz_core.membership.machine import BEATS_A_SECOND_MAX
from tests.bench.measuring.events import SECONDS, Cluster, cost, reader_of, walked_ms
from tests.fakes import statuses
from tests.fakes.sights import take

NOISE = 3.0
"""Budgets are for a quiet machine; the figures themselves are printed."""
TICK_MS_MAX = {1_000: 5.0, 10_000: 15.0}
STEP_MS_MAX = 5.0


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
        f" {'edge' if edge else 'voter'}: a look {median(whole[1:]):.1f} ms, its longest step"
        f" {median(longest[1:]):.1f} ms; the first look {sum(first):.0f} ms,"
        f" longest {max(first):.1f}"
    )
    assert median(longest[1:]) <= STEP_MS_MAX * NOISE


@pytest.mark.timeout(280)
@pytest.mark.parametrize("count", [1_000, 10_000])
def test_what_a_second_costs(count: int) -> None:
    found = cost(count)
    print(
        f"\n{count} members, 10 % changed a second: a look {found.compare_ms:.1f} ms;"
        f" a reader {found.reader_ms:.2f} ms and {found.told_bytes / 1_000:.0f} kB a second;"
        f" monitor {found.fold_ms:.1f} ms a second"
        f"\nsnapshot: {found.snapshot_bytes / 1e6:.2f} MB, {found.snapshot_ms:.0f} ms to write,"
        f" {found.snapshot_fold_ms:.0f} ms to fold in"
    )
    assert found.fold_ms <= TICK_MS_MAX[count] * NOISE
    assert found.snapshot_bytes < 8_000_000


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
