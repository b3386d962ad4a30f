"""A cluster of the chaos tests is well only if everybody says so."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pytest

from bzzz_core.api.documents import FabricStatus, Status
from bzzz_core.model import FabricState, MemberState, Term
from tests.chaos.roles import Roles, agreed
from tests.fakes.statuses import member, status, with_state


@dataclass(frozen=True)
class Host:
    """A place."""

    name: str
    voter: bool


HOSTS = [Host(f"bzzz-{number}", voter=number < 4) for number in (1, 2, 3, 4)]


def said() -> list[Status]:
    """Return what four healthy hosts say: the second leads, the stream is led by the third."""
    members = (member(1), member(2), member(3), member(4, voter=False))
    one = status(members)
    lookers_on = msgspec.structs.replace(one.fabric, stream_leader=None)
    edge = msgspec.structs.replace(one, role="edge", fabric=lookers_on)
    return [one, msgspec.structs.replace(one, role="leader"), one, edge]


def with_fabric(document: Status, **changes: object) -> Status:
    fabric: FabricStatus = msgspec.structs.replace(document.fabric, **changes)
    return msgspec.structs.replace(document, fabric=fabric)


def test_who_is_what() -> None:
    assert agreed(said(), HOSTS) == Roles(42, 1, 2, (0,), (3,))


@pytest.mark.parametrize(
    ("number", "change"),
    [
        (0, lambda _: None),
        (0, lambda one: msgspec.structs.replace(one, role="edge")),
        (0, lambda one: msgspec.structs.replace(one, leader=None)),
        (0, lambda one: msgspec.structs.replace(one, leader="bzzz-3")),
        (1, lambda one: msgspec.structs.replace(one, leader_serving=False)),
        (3, lambda one: msgspec.structs.replace(one, term=Term(41))),
        (2, lambda one: with_state(one, 4, MemberState.SUSPECT)),
        (3, lambda one: with_fabric(one, state=FabricState.DEGRADED)),
        (0, lambda one: with_fabric(one, stream_leader=None)),
        (2, lambda one: with_fabric(one, stream_leader="bzzz-1")),
    ],
    ids=[
        "one does not answer",
        "a voter does not take part yet",
        "a voter knows no leader",
        "two leaders are named",
        "it does not serve",
        "an edge is a term behind",
        "a member is suspect",
        "one is not at home",
        "a voter does not know who leads the stream",
        "two lead the stream",
    ],
)
def test_one_voice_is_enough_to_say_no(number: int, change: object) -> None:
    assert callable(change)
    statuses: list[Status | None] = [*said()]
    statuses[number] = change(statuses[number])
    assert agreed(statuses, HOSTS) is None


def test_a_leader_that_leads_the_stream_too_is_about_to_move_it() -> None:
    statuses = [with_fabric(one, stream_leader="bzzz-2") for one in said()]
    assert agreed(statuses, HOSTS) is None
