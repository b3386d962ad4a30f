"""The order of an end, and how long each part of it may take."""

import pytest

from bzzz_core.deploy import layout
from bzzz_core.deploy.units import STOP_S
from bzzz_core.shutdown.plan import (
    ELSEWHERE,
    FAST_MS,
    FORCE_MS,
    ORDER,
    Phase,
    Place,
    Urgency,
    budget_ms,
    deadline_ms,
    place_of,
    raised,
    steps,
)


def position(name: str) -> int:
    return next(place for place, step in enumerate(steps(ORDER)) if name in step.names)


def test_what_others_stand_on_ends_after_them() -> None:
    chain = ["resign", "goodbye", "api", "dht", "membership", "fabric", "broker", "audit"]
    assert [position(name) for name in chain] == sorted({position(name) for name in chain})
    assert position("remains") == len(steps(ORDER)) - 1


def test_phases_come_in_their_order_whatever_the_priorities_are() -> None:
    places = {
        "last": Place(Phase.CLEANUP, 1, 1),
        "second": Place(Phase.SHUTDOWN, 90, 1),
        "third": Place(Phase.POST_SHUTDOWN, 5, 1),
        "first": Place(Phase.PRE_SHUTDOWN, 99, 1),
        "beside": Place(Phase.SHUTDOWN, 90, 7),
    }
    assert [step.names for step in steps(places)] == [
        ("first",),
        ("beside", "second"),
        ("third",),
        ("last",),
    ]


def test_a_part_that_nobody_placed_ends_between_the_api_and_the_fabric() -> None:
    assert place_of("added later") == ELSEWHERE
    assert place_of("api").priority < ELSEWHERE.priority < place_of("fabric").priority


def test_the_budget_counts_the_slowest_of_each_step_and_the_force() -> None:
    places = {
        "a": Place(Phase.SHUTDOWN, 1, 300),
        "b": Place(Phase.SHUTDOWN, 1, 4_000),
        "c": Place(Phase.CLEANUP, 1, 200),
    }
    assert budget_ms(places) == 4_000 + FORCE_MS + 200 + FORCE_MS
    assert budget_ms(places, hurried=True) == FAST_MS + FORCE_MS + 200 + FORCE_MS


def test_systemd_waits_for_the_whole_budget() -> None:
    assert STOP_S[layout.AGENT] * 1_000 > budget_ms(ORDER)


@pytest.mark.parametrize(
    ("hurried_ms", "expected_ms"),
    [(None, 15_000), (5_000, 11_000), (12_000, 13_000), (14_900, 15_000)],
    ids=["no hurry", "before its turn", "in its turn", "nearly over"],
)
def test_a_hurry_shortens_what_is_left(hurried_ms: int | None, expected_ms: int) -> None:
    place = Place(Phase.SHUTDOWN, 1, 5_000)
    assert deadline_ms(place, begun_ms=10_000, hurried_ms=hurried_ms) == expected_ms


def test_each_signal_raises_the_urgency_and_one_begins_with_a_hurry() -> None:
    seen: list[Urgency] = []
    for _ in range(4):
        seen.append(raised(seen[-1] if seen else None, quick=False))
    assert seen == [Urgency.ORDERLY, Urgency.FAST, Urgency.AT_ONCE, Urgency.AT_ONCE]
    assert raised(None, quick=True) is Urgency.FAST
