"""A node that no broker takes any more says so, and does not hammer at their doors."""

from __future__ import annotations

import asyncio

import pytest

from bzzz_core.errors import TransportError
from bzzz_core.fabric.refusals import STEADY_MS, Look, Refusals
from bzzz_core.model import NodeId
from tests.fakes.broker_links import FakeBrokers

ME = NodeId("a" * 26)


def test_only_refusals_that_last_are_an_alarm() -> None:
    """After a join the brokers know the new node a second later."""
    refusals = Refusals()
    refusals.note(1_000, refused=True)
    refusals.note(1_000 + STEADY_MS - 1, refused=True)
    assert (refusals.alarm, refusals.delay_ms_max(1_000)) == (None, 1_000)
    refusals.note(1_000 + STEADY_MS, refused=True)
    assert refusals.alarm is not None
    assert refusals.alarm.startswith("the brokers refuse this node: was it revoked?")
    assert refusals.delay_ms_max(1_000) > 10_000


def test_two_refusals_a_day_apart_are_no_alarm() -> None:
    refusals, day_ms = Refusals(), 86_400_000
    refusals.note(0, refused=True)
    refusals.note(day_ms, refused=True)
    assert refusals.alarm is None
    refusals.note(day_ms + STEADY_MS, refused=True)
    assert refusals.alarm is not None
    refusals.note(2 * day_ms, refused=True)
    assert refusals.alarm is not None, "nobody took this node meanwhile"


def test_being_taken_ends_the_alarm_and_a_broker_that_is_away_does_not() -> None:
    refusals = Refusals()
    refusals.note(0, refused=True)
    refusals.note(STEADY_MS, refused=True)
    refusals.note(STEADY_MS + 1, refused=False)
    assert refusals.alarm is not None, "nobody answered, so nobody took it back"
    refusals.taken()
    assert (refusals.alarm, refusals.delay_ms_max(1_000)) == (None, 1_000)
    refusals.note(2 * STEADY_MS, refused=True)
    assert refusals.alarm is None, "it counts anew"


def test_a_node_whose_own_broker_alone_takes_it_is_told_that_all_others_refuse_it() -> None:
    """It was revoked while it slept: its broker has not heard of it, and nobody tells it."""
    refusals, brokers = Refusals(), FakeBrokers({"b": 2, "c": 2}, revoking="b", refusing="c")
    brokers.group["a"] = 1
    for now_ms in (0, STEADY_MS):
        look = Look(brokers.open_link, ME)
        asyncio.run(look.open_link(brokers.addresses("a")[0]))
        for broker in brokers.addresses("bc"):
            with pytest.raises(TransportError):
                asyncio.run(look.open_link(broker))
        refusals.note_look(now_ms, look)
    assert refusals.alarm is not None
    look = Look(FakeBrokers({"b": 2}).open_link, ME)
    asyncio.run(look.open_link(brokers.addresses("b")[0]))
    refusals.note_look(STEADY_MS, look)
    assert refusals.alarm is None
