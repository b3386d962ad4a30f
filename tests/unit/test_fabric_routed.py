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

ME = NodeId("a" * 26)


def way_out(brokers: FakeBrokers, others: str) -> str | None:
    """Return where a node goes that doubts broker `a`; every link but that and `a`'s is closed."""

    async def look() -> BrokerLink | None:
        present = brokers.link("a")
        return await routed.way_out(
            present, others=brokers.addresses(others), node=ME, open_link=brokers.open_link
        )

    found = cast("FakeLink | None", virtual_time.run(look()))
    present, *rest = brokers.opened
    assert not present.closed
    assert [link for link in rest if not link.closed] == ([found] if found else [])
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
def test_a_broker_is_left_only_if_it_is_routed_to_none_of_the_others(
    group: dict[str, int], went: str | None
) -> None:
    assert way_out(FakeBrokers(group), "bc") == went


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
                others=brokers.addresses("bcd"),
                node=ME,
                open_link=brokers.open_link,
            )
        )
        await virtual_time.pass_s(0.1)  # Two are asked by then.
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    virtual_time.run(look())
    assert [link.closed for link in brokers.opened] == [False, True, True]


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
    assert brokers.opened[1].closed is (home is None)
