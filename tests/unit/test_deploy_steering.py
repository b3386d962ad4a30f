"""Orders to a run: stop, leave a host out, try one again; and the waves in which it rolls."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from bzzz_core.deploy.rollout import batch_size, waves
from bzzz_core.deploy.steering import Order, Retry, Skip, Steering, Stop


def test_orders_travel_as_json() -> None:
    """Another process steers a run by sending them."""
    for order in (Stop(), Skip("a"), Retry("b")):
        assert msgspec.json.decode(msgspec.json.encode(order), type=Order) == order


def test_a_host_that_is_to_be_tried_again_is_so_once() -> None:
    steering = Steering()
    steering.take(Retry("a"))
    assert asyncio.run(steering.to_retry(["a", "b"])) == ["a"]
    assert asyncio.run(steering.to_retry(["a", "b"])) == []


def test_the_last_word_about_a_host_counts() -> None:
    steering = Steering()
    steering.take(Skip("a"))
    steering.take(Retry("a"))
    assert not steering.skips("a")
    steering.take(Skip("a"))
    assert steering.skips("a")
    assert asyncio.run(steering.to_retry(["a"])) == []


def test_a_run_that_holds_waits_for_a_word_about_every_host_that_failed() -> None:
    async def go() -> list[str]:
        steering = Steering(hold=True)
        waiting = asyncio.ensure_future(steering.to_retry(["a", "b"]))
        await asyncio.sleep(0)
        steering.take(Skip("b"))
        await asyncio.sleep(0)
        assert not waiting.done()
        steering.take(Retry("a"))
        return await waiting

    assert asyncio.run(go()) == ["a"]


def test_a_run_that_holds_can_be_stopped() -> None:
    async def go() -> list[str]:
        steering = Steering(hold=True)
        waiting = asyncio.ensure_future(steering.to_retry(["a"]))
        await asyncio.sleep(0)
        steering.take(Stop())
        return await waiting

    assert asyncio.run(go()) == []


def test_a_canary_then_batches_then_voters_one_by_one_the_leader_last() -> None:
    names = ["v1", "v2", "v3", "e1", "e2", "e3", "e4", "new"]
    found = waves(names, restarting=names[:-1], voters={"v1", "v2", "v3"}, leader="v1", batch="25%")
    assert found == [["new"], ["e1"], ["e2", "e3"], ["e4"], ["v2"], ["v3"], ["v1"]]


def test_without_edges_the_first_voter_is_the_canary() -> None:
    found = waves(["a", "b"], restarting=["a", "b"], voters=["a", "b"], leader="a", batch="100%")
    assert found == [["b"], ["a"]]


@pytest.mark.parametrize(
    ("batch", "count", "expected"),
    [("1", 50, 1), ("7", 3, 7), ("10%", 50, 5), ("10%", 9, 1), ("100%", 4, 4)],
)
def test_a_batch_is_a_number_or_a_share(batch: str, count: int, expected: int) -> None:
    assert batch_size(batch, count) == expected
