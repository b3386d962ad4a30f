"""A question that no broker listens to is asked again, for as long as a reload may take."""

from __future__ import annotations

import pytest

from bzzz_core.errors import QuorumUnavailable, RequestTimeout
from bzzz_core.fabric.answers import Reply
from bzzz_core.fabric.jetstream import reply_of
from tests.fakes.virtual_time import VirtualClock, pass_s, run

NOBODY = Reply(b"", {"Status": "503"})
ANSWER = Reply(b"{}", {})


class Broker:
    """Does not listen at first, and takes a millisecond for each question."""

    def __init__(self, away_ms: float) -> None:
        """Begin to listen after a while."""
        self.away_ms = away_ms
        self.allowed_ms: list[int] = []

    async def ask(self, timeout_ms: int) -> Reply:
        """Answer like the broker."""
        self.allowed_ms.append(timeout_ms)
        await pass_s(0.001)
        return ANSWER if VirtualClock().now_ms() > self.away_ms else NOBODY

    async def asked(self, timeout_ms: int) -> Reply:
        """Ask it as the streams do."""
        return await reply_of("api", self.ask, clock=VirtualClock(), timeout_ms=timeout_ms)


def test_a_reload_is_not_noticed() -> None:
    broker = Broker(away_ms=40)
    assert run(broker.asked(2_000)) is ANSWER
    assert broker.allowed_ms == [2_000 - spent for spent in (0, 6, 17, 38, 79)], "what is left"


def test_where_jetstream_is_off_it_is_said_soon() -> None:
    async def body() -> int:
        with pytest.raises(QuorumUnavailable, match="no JetStream answers api"):
            await Broker(away_ms=10_000).asked(2_000)
        return VirtualClock().now_ms()

    assert 400 <= run(body()) <= 510


def test_the_callers_time_is_kept() -> None:
    async def body() -> int:
        with pytest.raises(QuorumUnavailable):
            await Broker(away_ms=10_000).asked(50)
        return VirtualClock().now_ms()

    assert run(body()) <= 50


def test_what_may_have_happened_is_not_asked_again() -> None:
    asked = []

    async def lost(timeout_ms: int) -> Reply:
        asked.append(timeout_ms)
        raise RequestTimeout("no answer")

    with pytest.raises(RequestTimeout):
        run(reply_of("api", lost, clock=VirtualClock(), timeout_ms=100))
    assert asked == [100]
