"""What following a cluster costs: an agent and the wire, for each reader; the monitor, for a tick.

One agent with 1,000 members of which a tenth change each second; the sampling of its status is made
by hand and not counted, for it is the roster's cost and the same for one reader and for many.
"""

from __future__ import annotations

import msgspec
import pytest

from bzzz_core.api.documents import MemberStatus
from bzzz_core.api.events.board import Board
from bzzz_core.api.events.sampling import StatusSampler
from tests.bench.measuring.events import cost, reader_of
from tests.fakes import statuses

NOISE = 3.0
"""Budgets are for a quiet machine; the figures themselves are printed."""
TICK_MS_MAX = {1_000: 5.0, 10_000: 15.0}


@pytest.mark.timeout(280)
@pytest.mark.parametrize("count", [1_000, 10_000])
def test_what_a_second_costs(count: int) -> None:
    found = cost(count)
    print(
        f"\n{count} members, 10 % changed a second: compare {found.compare_ms:.1f} ms;"
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
        sampler.take(statuses.status(tuple(aged)))
        told = reader.state()
        assert (told is None) is (second > 0)
