"""Streams of several nodes' logs, in virtual time: nothing twice, nothing skipped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

import msgspec
import pytest

from bzzz_core.api.event_documents import Lines, Message
from bzzz_core.api.event_stream import Follow
from bzzz_core.errors import PermissionDenied, TransportError
from bzzz_tui.feed.log_streams import HOSTS_MAX, Heard, LogEvent, LogStreams, Place, Wrote
from tests.fakes.log_hosts import FakeLogHost, line
from tests.fakes.virtual_time import VirtualClock, pass_s, run


class Told:
    """What streams emitted."""

    def __init__(self) -> None:
        self.events: list[LogEvent] = []

    def numbers(self, host: str) -> list[int]:
        return [
            each.number
            for event in self.events
            if isinstance(event, Wrote) and event.host == host
            for each in event.lines
        ]

    def missed(self, host: str) -> int:
        wrote = [event for event in self.events if isinstance(event, Wrote)]
        return sum(event.missed for event in wrote if event.host == host)

    def problems(self, host: str) -> list[str]:
        heard = [event for event in self.events if isinstance(event, Heard)]
        return [event.problem for event in heard if event.host == host]


def play(
    hosts: list[FakeLogHost],
    scenario: Callable[[Told], Awaitable[None]],
    *,
    places: dict[str, Place] | None = None,
    history: int = 500,
) -> Told:
    told = Told()

    async def stage() -> None:
        streams = LogStreams(
            hosts, clock=VirtualClock(), emit=told.events.append, places=places, history=history
        )
        async with asyncio.TaskGroup() as group:
            running = group.create_task(streams.run())
            await pass_s(0.1)
            await scenario(told)
            running.cancel()
        assert all(host.closed for host in hosts), "a connection was left open"

    run(stage())
    return told


def test_history_comes_first_then_what_is_written() -> None:
    host = FakeLogHost("a", tuple(line(n) for n in range(1, 11)))

    async def scenario(told: Told) -> None:
        assert told.numbers("a") == [8, 9, 10]
        host.write(line(11))
        await pass_s(0.1)

    told = play([host], scenario, history=3)
    assert told.numbers("a") == [8, 9, 10, 11]
    assert told.problems("a") == [""]


def test_a_stream_that_ends_goes_on_where_it_stopped() -> None:
    host = FakeLogHost("a", (line(1), line(2)))

    async def scenario(told: Told) -> None:
        host.end_streams("shutting down")
        await pass_s(0.1)
        assert told.problems("a")[-1] == "shutting down"
        host.lines += [line(3), line(4)]
        await pass_s(2)
        host.write(line(5))
        await pass_s(0.1)

    told = play([host], scenario)
    assert told.numbers("a") == [1, 2, 3, 4, 5]
    assert told.problems("a")[-1] == ""


def test_another_life_counts_anew_and_is_told_whole() -> None:
    host = FakeLogHost("a", tuple(line(n) for n in range(1, 4)))

    async def scenario(_told: Told) -> None:
        host.restart(*(line(n) for n in range(1, 6)))
        await pass_s(2)

    assert play([host], scenario).numbers("a") == [1, 2, 3, 1, 2, 3, 4, 5]


def test_what_is_no_longer_held_is_told_as_missed() -> None:
    host = FakeLogHost("a", (line(1),))

    async def scenario(_told: Told) -> None:
        host.end_streams()
        host.lines = [line(n) for n in range(8, 10)]
        await pass_s(2)

    told = play([host], scenario)
    assert told.numbers("a") == [1, 8, 9]
    assert told.missed("a") == 6


def test_more_than_a_page_is_fetched_page_by_page() -> None:
    host = FakeLogHost("a", (line(1),))

    async def scenario(_told: Told) -> None:
        host.end_streams()
        host.lines += [line(n) for n in range(2, 2_502)]
        await pass_s(2)

    assert play([host], scenario).numbers("a") == list(range(1, 2_502))


def test_an_agent_that_tells_no_events_is_asked_again_and_again() -> None:
    host = FakeLogHost("a", (line(1),))
    host.tells = False

    async def scenario(_told: Told) -> None:
        host.lines.append(line(2))
        await pass_s(1.5)
        host.lines.append(line(3))
        await pass_s(1.5)

    told = play([host], scenario)
    assert told.numbers("a") == [1, 2, 3]
    assert told.problems("a") == [""]


def test_a_host_that_fails_does_not_hold_up_others_and_waits_longer_each_time() -> None:
    silent, well = FakeLogHost("a"), FakeLogHost("b", (line(1, node="b"),))
    silent.failure = TransportError("nobody is there")

    async def scenario(told: Told) -> None:
        assert told.numbers("b") == [1]
        await pass_s(14)  # 1 + 2 + 4 s of waiting: asked 4 times.
        assert len(silent.asked) == 4
        silent.failure = None
        silent.lines.append(line(1, node="a"))
        await pass_s(8)

    told = play([silent, well], scenario)
    assert told.problems("a")[0] == "nobody is there"
    assert told.numbers("a") == [1]


def test_a_refused_token_is_a_problem_not_a_crash() -> None:
    host = FakeLogHost("a")
    host.failure = PermissionDenied("the API refused the token")

    async def scenario(told: Told) -> None:
        assert told.problems("a") == ["the API refused the token"]

    play([host], scenario)


def test_streams_made_later_go_on_from_the_places_of_earlier_ones() -> None:
    """The view was closed and is opened again."""
    host = FakeLogHost("a", (line(1), line(2)))
    places: dict[str, Place] = {}

    async def nothing(_told: Told) -> None:
        return

    assert play([host], nothing, places=places).numbers("a") == [1, 2]
    host.lines.append(line(3))
    assert play([host], nothing, places=places).numbers("a") == [3]


def test_hosts_beyond_the_limit_are_named_not_followed() -> None:
    hosts = [FakeLogHost(f"n{n}", (line(1),)) for n in range(HOSTS_MAX + 2)]
    told = Told()

    async def stage() -> None:
        streams = LogStreams(hosts, clock=VirtualClock(), emit=told.events.append)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(streams.run())
            await pass_s(0.1)
            running.cancel()

    run(stage())
    assert told.numbers("n31") == [1]
    assert "only 32 hosts" in told.problems("n32")[0]
    assert not hosts[33].asked


class Tiresome(FakeLogHost):
    """An agent whose answers each ask for another question; `answer` makes them."""

    def __init__(self, answer: Callable[[int], dict[str, object]]) -> None:
        super().__init__("a")
        self.questions = 0
        self._answer = answer

    async def call(self, method: str, path: str, body: object | None = None) -> object:
        del method, path, body
        self.questions += 1
        assert self.questions < 100, "it is asked again and again"
        return {"node": "a", **self._answer(self.questions)}


PAGE = [msgspec.to_builtins(line(n)) for n in range(1, 1_001)]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda n: {"lines": [], "next": 5, "life": f"life {n}"}, "counts its lines anew"),
        (lambda _: {"lines": PAGE, "next": 1_000, "life": "1"}, "comes back to line 1000"),
    ],
)
def test_answers_that_lead_nowhere_are_a_problem_and_asked_for_ever_more_rarely(
    answer: Callable[[int], dict[str, object]], words: str
) -> None:
    host = Tiresome(answer)

    async def scenario(told: Told) -> None:
        host.end_streams()
        await pass_s(60)
        assert words in told.problems("a")[-1]

    play([host], scenario)
    assert host.questions <= 2 * 11, "after 1, 2, 4, then every 8 s"


def test_a_stream_that_ends_at_once_is_asked_for_ever_more_rarely() -> None:
    class Short(FakeLogHost):
        async def follow(self, asked: Follow) -> AsyncGenerator[Message, None]:
            del asked
            self.streams += 1
            return
            yield Lines(lines=())

        streams = 0

    host = Short("a", (line(1),))

    async def scenario(told: Told) -> None:
        await pass_s(60)
        assert told.problems("a")[-1] == "its stream of lines ended"

    told = play([host], scenario)
    assert told.numbers("a") == [1]
    assert 8 <= host.streams <= 11


def test_an_answer_that_is_no_page_is_a_problem() -> None:
    class Strange(FakeLogHost):
        async def call(self, method: str, path: str, body: object | None = None) -> object:
            del method, path, body
            return {"lines": "none"}

    host = Strange("a")

    async def scenario(told: Told) -> None:
        assert "no page of a log" in told.problems("a")[0]

    play([host], scenario)
