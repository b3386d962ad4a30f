"""Whether a broker stands alone, and what becomes of the links by which that was found out."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from bzzz_core.fabric import routed
from bzzz_core.fabric.link import BrokerLink
from bzzz_core.model import NodeId
from tests.fakes import virtual_time
from tests.fakes.broker_links import FakeBrokers, FakeLink

ME = NodeId("z" * 26)


def way_out(
    brokers: FakeBrokers,
    others: str,
    *,
    present: str = "a",
    voters: int | None = None,
    node: NodeId = ME,
) -> str | None:
    """Return where a node goes that doubts its broker; all links but that and the old are closed.

    There are as many voters as brokers are named, unless it says how many.
    """

    async def look() -> BrokerLink | None:
        return await routed.way_out(
            brokers.link(present),
            brokers.addresses(others),
            voters=1 + len(others) if voters is None else voters,
            node=node,
            open_link=brokers.open_link,
        )

    found = cast("FakeLink | None", virtual_time.run(look()))
    old, *rest = brokers.opened
    assert not old.closed.is_set()
    assert [link for link in rest if not link.closed.is_set()] == ([found] if found else [])
    return found.name if found else None


@pytest.mark.parametrize(
    ("group", "went"),
    [
        ({"a": 1, "b": 1, "c": 1}, None),
        ({"a": 1, "b": 2, "c": 1}, None),
        ({"a": 1, "b": 1, "c": 2}, None),
        ({"a": 1, "b": 2, "c": 2}, "b"),
        ({"a": 1, "b": 2, "c": 3}, "b"),
    ],
)
def test_a_broker_of_three_is_left_only_if_it_is_routed_to_none_of_the_others(
    group: dict[str, int], went: str | None
) -> None:
    assert way_out(FakeBrokers(group), "bc") == went


@pytest.mark.parametrize(
    ("sides", "went"),
    [
        ("ab cde", "c"),
        ("a b cde", "c"),
        ("abc de", None),
        ("ab c de", None),
        ("ab cd", None),
        ("abc def", None),
        ("ab c defg", "d"),
        ("ab cd efg", None),
    ],
)
def test_two_that_were_shut_out_together_are_left_for_the_majority(
    sides: str, went: str | None
) -> None:
    """They are routed to each other still; a majority that is none of its own is no reason."""
    brokers = FakeBrokers(split(sides))
    assert way_out(brokers, "".join(sorted(brokers.group))[1:]) == went


@pytest.mark.parametrize("home", list("abcde"))
def test_while_routes_are_cut_everybody_comes_to_rest_on_the_side_of_the_majority(
    home: str,
) -> None:
    present, went = home, []
    for _ in range(4):
        brokers = FakeBrokers(split("ab cde"))
        others = "".join(sorted(set("abcde") - {present}))
        found = way_out(brokers, others, present=present, node=NodeId(home * 26))
        if found is not None:
            present = found
            went.append(found)
    assert went == (["c"] if home in "ab" else [])


@pytest.mark.parametrize(
    ("sides", "went"),
    [("ace bd", "a"), ("a b c", "c"), ("ab c", "c"), ("a b", None), ("abd ce", None)],
)
def test_home_is_one_of_the_majority_and_no_resort_of_its_own(sides: str, went: str | None) -> None:
    """Node `a` is at `b`, its own broker takes it as always."""
    brokers = FakeBrokers(split(sides))
    others = "".join(sorted(set(brokers.group) - {"b"}))
    assert way_out(brokers, others, present="b", node=NodeId("a" * 26)) == went


def split(sides: str) -> dict[str, int]:
    """Return the group of each broker, of groups that are set apart."""
    return {name: number for number, side in enumerate(sides.split()) for name in side}


def test_one_that_does_not_take_us_says_nothing_of_ours() -> None:
    brokers = FakeBrokers({"a": 1, "b": 2, "c": 2, "d": 2}, refusing="b", silent="c")
    assert way_out(brokers, "bcd") == "d"
    assert way_out(FakeBrokers({"a": 1, "b": 2, "c": 2}, refusing="b", silent="c"), "bc") is None
    assert way_out(FakeBrokers({"a": 1}), "") is None


def test_all_links_are_closed_if_the_look_is_given_up() -> None:
    brokers = FakeBrokers({"a": 1, "b": 2, "c": 2, "d": 2}, silent="d")

    async def look() -> None:
        task = asyncio.create_task(
            routed.way_out(
                brokers.link("a"),
                brokers.addresses("bcd"),
                voters=4,
                node=ME,
                open_link=brokers.open_link,
            )
        )
        await virtual_time.pass_s(0.1)  # Two are asked by then.
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    virtual_time.run(look())
    assert [link.closed.is_set() for link in brokers.opened] == [False, True, True]


@pytest.mark.parametrize(("group", "home"), [({"a": 1, "b": 1}, "a"), ({"a": 1, "b": 2}, None)])
def test_the_way_home_is_taken_once_home_is_routed(group: dict[str, int], home: str | None) -> None:
    brokers = FakeBrokers(group)

    async def look() -> BrokerLink | None:
        (address,) = brokers.addresses("a")
        return await routed.way_home(
            brokers.link("b"), home=address, node=ME, open_link=brokers.open_link
        )

    found = cast("FakeLink | None", virtual_time.run(look()))
    assert (found.name if found else None) == home
    assert brokers.opened[1].closed.is_set() is (home is None)
