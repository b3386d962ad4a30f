"""The stream is led elsewhere than the cluster, and moved by the leader only."""

import asyncio
from typing import Any

import pytest

from bzzz_core.errors import QuorumUnavailable
from bzzz_core.model import NodeId
from bzzz_core.placement import StreamPlacement

ME = NodeId("a" * 26)
OTHER = NodeId("b" * 26)


class FakeStream:
    """A stream whose leader is told, and which notes where it was asked to go."""

    def __init__(self, leader: str | None) -> None:
        self.leader = leader
        self.moved: list[str] = []
        self.silent = False

    async def stream_leader(self) -> str | None:
        if self.silent:
            raise QuorumUnavailable("nobody answers")
        return self.leader

    async def move_stream_leader(self, preferred: str) -> None:
        self.moved.append(preferred)
        self.leader = preferred


class OneLook:
    """A clock that ends the watching at its first wait."""

    def now_ms(self) -> int:
        return 0

    async def sleep_ms(self, duration_ms: int) -> None:
        del duration_ms
        raise asyncio.CancelledError


def look(stream: FakeStream, **choices: Any) -> StreamPlacement:
    settings: dict[str, Any] = {"leads": lambda: True, "choices": lambda: [f"{OTHER}-1"]} | choices
    placement = StreamPlacement(me=ME, stream=stream, clock=OneLook(), **settings)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(placement.run())
    return placement


def test_a_leader_moves_the_stream_off_its_own_broker() -> None:
    stream = FakeStream(f"{ME}-00000001")
    look(stream)
    assert stream.moved == [f"{OTHER}-1"]


def test_a_follower_moves_nothing() -> None:
    stream = FakeStream(f"{ME}-00000001")
    placement = look(stream, leads=lambda: False)
    assert stream.moved == []
    assert placement.led_by == ME


def test_a_stream_led_elsewhere_stays() -> None:
    stream = FakeStream(f"{OTHER}-00000001")
    assert look(stream).led_by == OTHER
    assert stream.moved == []


def test_without_a_choice_nothing_is_moved() -> None:
    """A cluster of one, or the last one standing, keeps the stream where it is."""
    stream = FakeStream(f"{ME}-00000001")
    look(stream, choices=list)
    assert stream.moved == []


def test_silence_means_unknown() -> None:
    stream = FakeStream(None)
    stream.silent = True
    assert look(stream).led_by is None
