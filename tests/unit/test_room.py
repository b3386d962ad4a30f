"""Large records keep away from the end of the store; an election never waits for room."""

import asyncio

import pytest

from bzzz_core.errors import CapacityExceeded
from bzzz_core.fabric.report import full
from bzzz_core.fabric.room import SMALL_BYTES_MAX, Room
from bzzz_core.fabric.streams import StreamState
from bzzz_core.model import Revision
from bzzz_core.ports import VALUE_BYTES_MAX, Guard

LARGE = 100_000
KEPT = 3
FIRST, SECOND = (Guard("_term", Revision(place)) for place in (7, 9))


class Held:
    """A stream of so many bytes; counts how often it is asked."""

    def __init__(self) -> None:
        self.bytes = 0
        self.values = 0
        self.asked = 0

    async def held(self, subject: str) -> tuple[int, int]:
        del subject
        self.asked += 1
        return self.bytes, self.values


def take(room: Room, size: int, guard: Guard = FIRST) -> None:
    asyncio.run(room.take("bz.control._nodes", size, guard))


def test_a_large_record_that_does_not_fit_is_refused_with_the_reason() -> None:
    stream = Held()
    room = Room(stream, bytes_max=1_000_000, kept=KEPT)
    stream.bytes = 950_000
    with pytest.raises(CapacityExceeded, match="950000 of the 1000000 bytes"):
        take(room, LARGE)


def test_small_records_are_never_refused_and_ask_nothing() -> None:
    """Terms, the first entry of a leadership, the voters: without them nobody leads."""
    stream = Held()
    stream.bytes = 2_000_000
    take(Room(stream, bytes_max=1_000_000, kept=KEPT), SMALL_BYTES_MAX)
    assert stream.asked == 0


def test_a_record_with_all_its_values_may_change_although_the_store_is_full() -> None:
    """Its oldest value goes with the same step; what it may grow by is bounded, too."""
    stream = Held()
    stream.bytes, stream.values = 1_100_000, KEPT
    take(Room(stream, bytes_max=1_000_000, kept=KEPT), LARGE)
    stream.values = KEPT - 1
    with pytest.raises(CapacityExceeded):
        take(Room(stream, bytes_max=1_000_000, kept=KEPT), LARGE)
    stream.bytes, stream.values = 1_200_000, KEPT
    with pytest.raises(CapacityExceeded):
        take(Room(stream, bytes_max=1_000_000, kept=KEPT), LARGE)


def test_the_answer_is_used_until_it_is_used_up() -> None:
    stream = Held()
    room = Room(stream, bytes_max=1_000_000, kept=KEPT)
    for _ in range(9):
        take(room, LARGE)
    assert stream.asked == 1
    stream.bytes = 500_000
    take(room, LARGE)
    assert stream.asked == 2


def test_under_another_guard_it_is_asked_anew() -> None:
    """Another leader may have filled the stream since."""
    stream = Held()
    room = Room(stream, bytes_max=1_000_000, kept=KEPT)
    take(room, LARGE)
    stream.bytes = 990_000
    with pytest.raises(CapacityExceeded):
        take(room, LARGE, SECOND)


def test_a_refusal_is_not_remembered() -> None:
    stream = Held()
    room = Room(stream, bytes_max=1_000_000, kept=KEPT)
    stream.bytes = 990_000
    with pytest.raises(CapacityExceeded):
        take(room, LARGE)
    stream.bytes = 0
    take(room, LARGE)


def control(*, held: int, kept: int, name: str = "BZZZ_CONTROL") -> StreamState:
    return StreamState(name, 1, (), 1, held, 1, kept)


def test_the_operator_is_told_of_a_full_control_stream_and_of_one_without_limit() -> None:
    limit = 10 * VALUE_BYTES_MAX
    assert full([control(held=1, kept=16)], limit) == []
    assert full([control(held=limit, kept=0, name="KV_dht")], limit) == []
    (nearly,) = full([control(held=limit - 1, kept=16)], limit)
    assert "refused, leaders are still elected" in nearly
    (endless,) = full([control(held=1, kept=0)], limit)
    assert "keeps everything" in endless
