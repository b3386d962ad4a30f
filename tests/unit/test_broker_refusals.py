"""A node that no broker takes any more says so, and does not hammer at their doors."""

from __future__ import annotations

from bzzz_core.fabric.refusals import STEADY_MS, Refusals


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
