"""When a node leaves a broker, where it goes, and how long it says that it is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from bzzz_core.fabric.lone import STAY_MS
from bzzz_core.fabric.refusals import STEADY_MS
from bzzz_core.model import FabricState
from tests.fakes.broker_links import FakeBrokers, FakedFabric
from tests.fakes.virtual_time import pass_s, run

STAY_S = STAY_MS / 1000
STEADY_S = STEADY_MS / 1000
SOON_S = 4
"""A look each second, and what a look takes."""
RARELY_S = 20

Scenario = Callable[[FakeBrokers, FakedFabric], Awaitable[None]]


def play(brokers: FakeBrokers, scenario: Scenario) -> None:
    """Run the fabric of node `a` on some brokers."""

    async def body() -> None:
        fabric = FakedFabric(brokers, "a")
        async with asyncio.TaskGroup() as group:
            running = group.create_task(fabric.run())
            await fabric.wait_attached()
            await scenario(brokers, fabric)
            running.cancel()
        await pass_s(1)
        assert all(link.closed.is_set() for link in brokers.opened)

    run(body())


async def doubt_for(fabric: FakedFabric, duration_s: float) -> list[str | None]:
    """Doubt its broker all the time, as a node does that hears nothing; return where it was."""
    names = [fabric.server_name]
    for _ in range(round(10 * duration_s)):
        fabric.doubt()
        await pass_s(0.1)
        if fabric.server_name != names[-1]:
            names.append(fabric.server_name)
    return names


def other_than(name: str | None) -> str:
    """Return the one of `b` and `c` that is not meant."""
    return "c" if name == "b" else "b"


def test_where_every_broker_stands_alone_a_node_moves_rarely() -> None:
    async def scenario(brokers: FakeBrokers, fabric: FakedFabric) -> None:
        del brokers
        await doubt_for(fabric, 3 * STAY_S)
        assert fabric.counters["lone_brokers_left"] == 3

    play(FakeBrokers({"a": 1, "b": 2, "c": 3}), scenario)


def test_routes_that_come_and_go_do_not_move_a_node_each_time() -> None:
    async def scenario(brokers: FakeBrokers, fabric: FakedFabric) -> None:
        assert len(await doubt_for(fabric, SOON_S)) == 2
        assert fabric.state is FabricState.DEGRADED
        brokers.group["a"] = 2
        await pass_s(SOON_S)
        assert fabric.server_name == "a"
        brokers.group["a"] = 1
        assert await doubt_for(fabric, STAY_S - 4 * SOON_S) == ["a"]
        assert len(await doubt_for(fabric, 4 * SOON_S)) == 2, "but not for ever"

    play(FakeBrokers({"a": 1, "b": 2, "c": 2}), scenario)


def test_one_whose_next_broker_dies_does_not_go_back_to_the_lone_one() -> None:
    """Its own broker takes it at once, and is of no use."""

    async def scenario(brokers: FakeBrokers, fabric: FakedFabric) -> None:
        await doubt_for(fabric, SOON_S)
        died = fabric.server_name
        assert died in ("b", "c")
        connections = fabric.counters["connections"]
        brokers.kill(died)
        await pass_s(SOON_S)
        assert fabric.server_name == other_than(died)
        assert fabric.counters["connections"] == connections + 1

    play(FakeBrokers({"a": 1, "b": 2, "c": 2}), scenario)


def test_one_that_had_to_go_back_leaves_again_as_soon_as_another_takes_it() -> None:
    async def scenario(brokers: FakeBrokers, fabric: FakedFabric) -> None:
        await doubt_for(fabric, SOON_S)
        died = fabric.server_name
        assert died in ("b", "c")
        brokers.refusing = other_than(died)
        brokers.kill(died)
        assert (await doubt_for(fabric, SOON_S))[-1] == "a"
        brokers.refusing = died
        assert await doubt_for(fabric, SOON_S) == ["a", other_than(died)]

    play(FakeBrokers({"a": 1, "b": 2, "c": 2}), scenario)


def test_the_lone_one_is_home_again_once_the_stay_is_over() -> None:
    async def scenario(brokers: FakeBrokers, fabric: FakedFabric) -> None:
        await doubt_for(fabric, SOON_S)
        went = fabric.server_name
        assert went in ("b", "c")
        brokers.refusing = other_than(went)
        await pass_s(STAY_S)
        brokers.refusing = ""
        brokers.kill(went)
        await pass_s(SOON_S)
        assert fabric.server_name == "a"

    play(FakeBrokers({"a": 1, "b": 2, "c": 2}), scenario)


def test_one_doubt_is_enough_to_learn_that_the_others_refuse_and_that_they_do_no_more() -> None:
    """After a slow join they know the node late, and nothing makes it doubt again."""

    async def scenario(brokers: FakeBrokers, fabric: FakedFabric) -> None:
        fabric.doubt()
        await pass_s(STEADY_S - 1)
        assert not fabric.shut_out
        await pass_s(SOON_S)
        assert fabric.shut_out
        assert len(fabric.alarms) == 1
        brokers.revoking = ""
        await pass_s(RARELY_S)
        assert not fabric.shut_out
        assert fabric.server_name == "a"
        tries = brokers.tries
        await pass_s(10 * RARELY_S)
        assert brokers.tries == tries, "whoever was taken looks no more"

    play(FakeBrokers({"a": 1, "b": 1, "c": 1}, revoking="bc"), scenario)


def test_others_that_refuse_for_good_are_asked_rarely() -> None:
    async def scenario(brokers: FakeBrokers, fabric: FakedFabric) -> None:
        await doubt_for(fabric, 2 * STEADY_S)
        tries = brokers.tries
        await doubt_for(fabric, 300)
        assert brokers.tries - tries <= 2 * 300 / 15
        assert fabric.shut_out

    play(FakeBrokers({"a": 1, "b": 1, "c": 1}, revoking="bc"), scenario)


def test_others_that_have_refused_once_and_are_gone_are_not_looked_for_without_end() -> None:
    async def scenario(brokers: FakeBrokers, fabric: FakedFabric) -> None:
        fabric.doubt()
        await pass_s(2)
        brokers.revoking, brokers.refusing = "", "bc"
        await pass_s(60)
        tries = brokers.tries
        await pass_s(3_600)
        assert brokers.tries == tries
        brokers.revoking, brokers.refusing = "bc", ""
        fabric.doubt()
        await pass_s(STEADY_S / 2)
        assert not fabric.shut_out, "what was an hour ago does not count"

    play(FakeBrokers({"a": 1, "b": 1, "c": 1}, revoking="bc"), scenario)
