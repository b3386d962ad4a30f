"""What a node answers while nobody leads."""

from __future__ import annotations

import asyncio

import pytest

from bzzz_core.election.machine import View
from bzzz_core.election.quorum import Policy, QuorumWatch
from bzzz_core.election.stages import Role
from bzzz_core.errors import QuorumUnavailable
from bzzz_core.model import NodeId, Revision, Term
from tests.fakes.election_nodes import SharedClock


def view(leader: str | None, served: int = 2) -> View:
    node = NodeId(leader) if leader else None
    return View(Role.FOLLOWER, node, Term(1), Revision(1), 0, Revision(served), abstains=False)


class Bench:
    """A watch over a view that may be changed."""

    def __init__(self, policy: Policy = "read-only") -> None:
        self.clock = SharedClock()
        self.view: View | None = view("a")
        self.told: list[bool] = []
        self.watch = QuorumWatch(
            view=lambda: self.view,
            policy=policy,
            clock=self.clock,
            changed=self.told.append,
            grace_ms=1_000,
        )

    def wait(self, duration_ms: int) -> None:
        self.clock.ms += duration_ms


@pytest.mark.parametrize("seen", [None, view(None), view("a", served=0)])
def test_a_failover_is_no_loss_and_a_long_want_of_a_leader_is(seen: View | None) -> None:
    bench = Bench()
    assert bench.watch.check() is False
    bench.view = seen
    bench.wait(999)
    assert bench.watch.check() is False
    bench.wait(1)
    assert bench.watch.check() is True, "stale"
    assert bench.watch.check() is True
    bench.view = view("a")
    assert bench.watch.check() is False
    assert bench.told == [False, True]


def test_stop_answers_nothing_that_may_be_out_of_date() -> None:
    bench = Bench("stop")
    bench.view = None
    bench.wait(1_000)
    with pytest.raises(QuorumUnavailable, match=r"cluster\.without_quorum is stop"):
        bench.watch.check()


def test_a_loss_is_told_when_it_comes_and_so_is_the_return() -> None:
    """Nobody has to ask for it."""

    async def story() -> None:
        bench = Bench()
        task = asyncio.get_running_loop().create_task(bench.watch.run())
        await bench.clock.run(2_000)
        bench.view = None
        await bench.clock.run(6_000)
        assert bench.told == [False]
        bench.view = view("a")
        await bench.clock.run(9_000)
        assert bench.told == [False, True]
        task.cancel()

    asyncio.run(story())
