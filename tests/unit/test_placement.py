"""Streams are led elsewhere than the cluster, and moved by the leader only."""

import asyncio
from typing import Any

import pytest

from bzzz_core.errors import QuorumUnavailable
from bzzz_core.model import NodeId
from bzzz_core.placement import LOOK_MS, WATCH_MS, StreamPlacement
from tests.fakes import virtual_time

ME = NodeId("a" * 26)
OTHER = NodeId("b" * 26)


class FakeStream:
    """A stream whose leader is told, and which notes where it was asked to go."""

    asked = 0

    def __init__(self, leader: str | None) -> None:
        self.leader = leader
        self.moved: list[str] = []
        self.silent = False

    async def stream_leader(self) -> str | None:
        self.asked += 1
        if self.silent:
            raise QuorumUnavailable("nobody answers")
        return self.leader

    async def move_stream_leader(self, preferred: str) -> None:
        self.moved.append(preferred)
        self.leader = preferred


def look(
    *streams: FakeStream, for_ms: int = 1, begin_ms: int = 0, **choices: Any
) -> StreamPlacement:
    """Run for a while, in virtual time; tell of a new leadership at `begin_ms`."""
    settings: dict[str, Any] = {
        "leads": lambda: True,
        "choices": lambda: [f"{OTHER}-00000001"],
    } | choices
    named = {f"stream {number}": stream for number, stream in enumerate(streams)}
    placement = StreamPlacement(me=ME, streams=named, **settings)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(placement.run())
            if begin_ms:
                await virtual_time.pass_s(begin_ms / 1000)
                placement.look()
            await virtual_time.pass_s(for_ms / 1000)
            task.cancel()

    virtual_time.run(main())
    return placement


def test_a_leader_moves_the_stream_off_its_own_broker() -> None:
    stream = FakeStream(f"{ME}-00000001")
    placement = look(stream)
    assert stream.moved == [f"{OTHER}-00000001"]
    assert placement.led_by == {"stream 0": OTHER}


def test_a_follower_moves_nothing() -> None:
    stream = FakeStream(f"{ME}-00000001")
    placement = look(stream, leads=lambda: False)
    assert stream.moved == []
    assert placement.led_by == {"stream 0": ME}


def test_a_stream_led_elsewhere_stays() -> None:
    stream = FakeStream(f"{OTHER}-00000001")
    placement = look(stream)
    assert placement.led_by == {"stream 0": OTHER}
    assert stream.moved == []


def test_without_a_choice_nothing_is_moved() -> None:
    """A cluster of one, or the last one standing, keeps the stream where it is."""
    stream = FakeStream(f"{ME}-00000001")
    look(stream, choices=list)
    assert stream.moved == []


def test_silence_means_unknown() -> None:
    stream = FakeStream(None)
    stream.silent = True
    placement = look(stream)
    assert placement.led_by == {"stream 0": None}


def test_several_streams_are_spread_over_the_others() -> None:
    """The loss of one broker then stops as few streams as possible."""
    brokers = [f"{letter * 26}-00000001" for letter in "bcd"]
    streams = [FakeStream(f"{ME}-00000001") for _ in range(4)]
    streams[0].leader = brokers[0]
    look(*streams, choices=lambda: brokers)
    assert [stream.leader for stream in streams] == [brokers[0], brokers[1], brokers[2], brokers[0]]
    assert streams[0].moved == []


def test_a_stream_that_cannot_be_moved_keeps_none_of_the_others() -> None:
    stuck, other = FakeStream(f"{ME}-00000001"), FakeStream(f"{ME}-00000001")

    async def refuse(preferred: str) -> None:
        raise QuorumUnavailable(preferred)

    stuck.move_stream_leader = refuse  # type: ignore[method-assign]
    placement = look(stuck, other)
    assert placement.led_by == {"stream 0": ME, "stream 1": OTHER}


@pytest.mark.parametrize(
    ("leader", "leads", "asked"),
    [
        (f"{OTHER}-00000001", True, 1),
        (f"{OTHER}-00000001", False, 1),
        (f"{ME}-00000001", False, 1),
        (None, True, WATCH_MS // LOOK_MS),
    ],
    ids=["elsewhere", "elsewhere, following", "here, following", "unknown"],
)
def test_the_brokers_are_asked_often_only_while_it_matters(
    leader: str | None, *, leads: bool, asked: int
) -> None:
    """An idle node costs next to nothing; a new leader moves its stream away at once."""
    stream = FakeStream(leader)
    look(stream, for_ms=WATCH_MS - 1, leads=lambda: leads)
    assert stream.asked == asked


def test_a_new_leader_looks_at_once() -> None:
    stream = FakeStream(f"{ME}-00000001")
    began: list[bool] = []

    async def stream_leader() -> str | None:
        began.append(True)
        return stream.leader

    stream.stream_leader = stream_leader  # type: ignore[method-assign]
    look(stream, begin_ms=100, leads=lambda: len(began) > 1)
    assert stream.moved == [f"{OTHER}-00000001"]
