"""Who reads an agent's events, and when it looks at itself for them; in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, MutableMapping
from contextlib import aclosing
from typing import Any

import msgspec
import pytest
from starlette.requests import Request

from bzzz_core.api.documents import MemberStatus, Status
from bzzz_core.api.event_documents import Beat, Bye, Delta, Lines, LogLine, Message, Snapshot
from bzzz_core.api.events.hub import READERS_MAX, READERS_OF_ONE_MAX, Events
from bzzz_core.api.events.reading import EventsQuery, Reader, Speaker, position_of
from bzzz_core.api.events.sampling import STEP, Sight
from bzzz_core.api.events.streaming import WRITE_S_MAX, operation
from bzzz_core.api.operations import ADMIN
from bzzz_core.errors import CapacityExceeded, RequestInvalid
from bzzz_core.model import MemberState, NodeId
from bzzz_core.telemetry.log_ring import LogRing
from tests.fakes import statuses
from tests.fakes.sights import sight_of
from tests.fakes.virtual_time import VirtualClock, pass_s, run

SPEAKER = Speaker(node="bzzz-1", node_id=NodeId("n1"), version="0.1.0", epoch="e")


class Agent:
    """Events, and the status that they look at."""

    def __init__(self) -> None:
        self.status: Status = statuses.status()
        self.looked: list[float] = []
        self.ring = LogRing()
        self.events = Events(
            speaker=SPEAKER,
            sight=self._look,
            log=self.ring,
            clock=VirtualClock(),
            now=lambda: "t",
        )
        self.heard: list[tuple[float, Message]] = []

    def _look(self) -> Sight:
        self.looked.append(asyncio.get_running_loop().time())
        return sight_of(self.status)

    async def read(self, query: EventsQuery) -> None:
        """Read until the end."""
        reader = self.events.open(query, lines=True)
        try:
            async with aclosing(self.events.frames(reader)) as frames:
                async for frame in frames:
                    message = msgspec.json.decode(frame.body, type=Message)
                    self.heard.append((asyncio.get_running_loop().time(), message))
        finally:
            self.events.close(reader)

    def write(self, text: str) -> None:
        self.ring.add(
            lambda number: LogLine(
                number=number, at="t", node="n", level="info", component="c", text=text
            )
        )

    def times_of(self, kind: type) -> list[float]:
        return [round(t, 1) for t, message in self.heard if isinstance(message, kind)]


Story = Callable[[Agent, asyncio.TaskGroup], Coroutine[Any, Any, None]]


def on_agent(story: Story) -> Agent:
    agent = Agent()

    async def play() -> None:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(agent.events.run())
            await story(agent, group)
            await agent.events.farewell()
            running.cancel()

    run(play())
    return agent


def test_without_a_reader_nobody_looks() -> None:
    async def story(agent: Agent, _group: asyncio.TaskGroup) -> None:
        await pass_s(100)
        agent.events.hurry()
        await pass_s(1)

    assert on_agent(story).looked == []


def test_with_readers_however_many_it_looks_once_a_second() -> None:
    async def story(agent: Agent, group: asyncio.TaskGroup) -> None:
        for _ in range(5):
            group.create_task(agent.read(EventsQuery()))
        await pass_s(10)

    agent = on_agent(story)
    assert 10 <= len(agent.looked) <= 12


def test_others_run_while_a_large_cluster_is_looked_at() -> None:
    turns: list[int] = []

    async def story(agent: Agent, group: asyncio.TaskGroup) -> None:
        agent.status = statuses.status(tuple(statuses.member(n) for n in range(5_000)))
        reading = group.create_task(agent.read(EventsQuery()))
        turns.append(0)
        while not agent.heard:
            turns[0] += bool(agent.looked)
            await asyncio.sleep(0)
        reading.cancel()

    on_agent(story)
    assert turns[0] >= 5_000 * 20 // STEP


def test_readers_that_come_together_look_once() -> None:
    async def story(agent: Agent, group: asyncio.TaskGroup) -> None:
        agent.status = statuses.status(tuple(statuses.member(n) for n in range(5_000)))
        for _ in range(8):
            group.create_task(agent.read(EventsQuery()))
        while len(agent.times_of(Snapshot)) < 8:
            await pass_s(0.001)
        assert len(agent.looked) <= 2
        wholes = [message for _, message in agent.heard if isinstance(message, Snapshot)]
        assert all(len(whole.documents["members"]) == 5_000 for whole in wholes)

    on_agent(story)


class Silent(Agent):
    """An agent whose only member was heard when it started, and never again."""

    def _look(self) -> Sight:
        now_ms = VirtualClock().now_ms()
        self.looked.append(now_ms / 1_000)
        member = statuses.member(1)
        head = msgspec.structs.replace(self.status, members=())

        def document(source: MemberStatus) -> MemberStatus:
            return msgspec.structs.replace(source, heard_ms_ago=now_ms)

        return Sight(head=head, members=[(member.node_id, "as ever", member)], document=document)

    def ages_s(self) -> list[tuple[float, float]]:
        """Return when which age was told."""
        found = []
        for at_s, message in self.heard:
            told = {}
            if isinstance(message, Snapshot):
                told = message.documents["members"]
            elif isinstance(message, Delta):
                told = message.changed.get("members", {})
            for raw in told.values():
                age_ms = msgspec.json.decode(raw, type=MemberStatus).heard_ms_ago
                assert age_ms is not None
                found.append((at_s, age_ms / 1_000))
        return found


def test_whoever_comes_later_is_told_how_long_ago_a_silent_member_was_heard() -> None:
    agent = Silent()

    async def story() -> None:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(agent.events.run())
            reading = [group.create_task(agent.read(EventsQuery()))]
            await pass_s(60)
            reading.append(group.create_task(agent.read(EventsQuery())))
            await pass_s(1)
            running.cancel()
            for each in reading:
                each.cancel()

    run(story())
    assert agent.ages_s() == [(0.0, 0.0), (60.0, pytest.approx(60.0, abs=1.1))]


def test_a_reader_that_is_brought_up_to_date_rarely_is_told_ages_of_now() -> None:
    agent = Silent()
    board = agent.events.board

    async def story() -> None:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(agent.events.run())
            reading = group.create_task(agent.read(EventsQuery(every_ms=30_000)))
            await pass_s(1)
            # Something of it counted as a change soon after the reader was told everything.
            other = statuses.member(1, MemberState.SUSPECT)
            board.put("members", other.node_id, other)
            await pass_s(32)
            running.cancel()
            reading.cancel()

    run(story())
    (_, whole), (at_s, age_s) = agent.ages_s()
    assert whole == 0
    assert at_s >= 30
    assert age_s == pytest.approx(at_s, abs=1.1)


def test_beats_come_when_nothing_else_did() -> None:
    async def story(agent: Agent, group: asyncio.TaskGroup) -> None:
        group.create_task(agent.read(EventsQuery(beat_ms=2_000)))
        await pass_s(5)
        agent.status = statuses.status(term=43)
        await pass_s(4)

    agent = on_agent(story)
    assert agent.times_of(Snapshot) == [0.0]
    (changed,) = agent.times_of(Delta)
    assert 5 <= changed <= 6
    beats = agent.times_of(Beat)
    assert beats[:2] == [2.0, 4.0]
    assert beats[2] == pytest.approx(changed + 2, abs=0.2)


def test_leadership_that_changes_is_told_at_once() -> None:
    async def story(agent: Agent, group: asyncio.TaskGroup) -> None:
        group.create_task(agent.read(EventsQuery()))
        await pass_s(3.3)
        agent.status = statuses.status(leader=3, term=43)
        agent.events.hurry()
        await pass_s(2)

    assert on_agent(story).times_of(Delta) == [3.3]


def test_being_hurried_all_the_time_costs_no_more_than_ten_looks_a_second() -> None:
    async def story(agent: Agent, group: asyncio.TaskGroup) -> None:
        group.create_task(agent.read(EventsQuery()))
        for _ in range(500):
            agent.events.hurry()
            await pass_s(0.01)

    assert len(on_agent(story).looked) <= 52


def test_rarer_deltas_hold_everything_and_forget_nothing() -> None:
    async def story(agent: Agent, group: asyncio.TaskGroup) -> None:
        group.create_task(agent.read(EventsQuery(every_ms=5_000, beat_ms=1_000)))
        for term in range(43, 55):
            await pass_s(1)
            agent.status = statuses.status(term=term)
        await pass_s(6)

    agent = on_agent(story)
    deltas = agent.times_of(Delta)
    gaps = [later - earlier for earlier, later in zip([0, *deltas], deltas, strict=False)]
    assert all(gap >= 4.9 for gap in gaps), deltas
    last = next(m for _, m in reversed(agent.heard) if isinstance(m, Delta))
    head = msgspec.json.decode(last.changed["status"]["self"], type=Status)
    assert head.term == 54


def test_lines_wake_a_reader_and_say_what_was_lost() -> None:
    async def story(agent: Agent, group: asyncio.TaskGroup) -> None:
        agent.ring = agent.events._log = LogRing(lines_max=3)
        group.create_task(agent.read(EventsQuery(topics="logs", beat_ms=30_000)))
        await pass_s(1)
        for number in range(10):
            agent.write(f"line {number}")
        await pass_s(1)

    agent = on_agent(story)
    (lines,) = [message for _, message in agent.heard if isinstance(message, Lines)]
    assert [line.text for line in lines.lines] == ["line 7", "line 8", "line 9"]
    assert lines.lost == 7
    assert agent.looked == [] or len(agent.looked) <= 3


def test_at_the_end_everybody_is_told_and_nobody_may_begin() -> None:
    async def story(agent: Agent, group: asyncio.TaskGroup) -> None:
        for _ in range(3):
            group.create_task(agent.read(EventsQuery(every_ms=60_000)))
        await pass_s(1)

    agent = on_agent(story)
    byes = [message for _, message in agent.heard if isinstance(message, Bye)]
    assert [bye.reason for bye in byes] == ["stopping"] * 3
    with pytest.raises(CapacityExceeded):
        agent.events.open(EventsQuery(), lines=True)


def test_there_are_only_so_many_readers() -> None:
    async def story(agent: Agent, _group: asyncio.TaskGroup) -> None:
        readers = [
            agent.events.open(EventsQuery(), lines=True, whose=str(number % 2))
            for number in range(READERS_MAX)
        ]
        with pytest.raises(CapacityExceeded):
            agent.events.open(EventsQuery(), lines=True)
        agent.events.close(readers.pop())
        readers.append(agent.events.open(EventsQuery(), lines=True))
        for reader in readers:
            agent.events.close(reader)

    on_agent(story)


def test_one_token_never_takes_the_place_of_all_others() -> None:
    """Whoever may only look could otherwise keep the operators' monitors out."""

    async def story(agent: Agent, _group: asyncio.TaskGroup) -> None:
        def begin(whose: str) -> Reader:
            return agent.events.open(EventsQuery(), lines=True, whose=whose)

        readers = [begin("watcher") for _ in range(READERS_OF_ONE_MAX)]
        with pytest.raises(CapacityExceeded, match="watcher"):
            begin("watcher")
        readers.append(begin("admin"))
        agent.events.close(readers.pop(0))
        readers.append(begin("watcher"))
        for reader in readers:
            agent.events.close(reader)

    on_agent(story)


def test_a_thin_line_takes_its_time_for_a_large_message_and_is_not_cut() -> None:
    """10,000 members are 6 MB: whoever takes them in pieces reads, however long it takes in all."""

    async def story(agent: Agent, _group: asyncio.TaskGroup) -> None:
        agent.status = statuses.status(tuple(statuses.member(number) for number in range(1_000)))
        sent: list[bytes] = []
        gone = asyncio.Event()

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message.get("body", b""))
            if len(message.get("body", b"")) > 10_000:
                await pass_s(WRITE_S_MAX * 0.4)
            if sent[-1].endswith(b"\n\n") and b"retry" not in sent[-1]:
                gone.set()

        async def receive() -> dict[str, Any]:
            await gone.wait()
            return {"type": "http.disconnect"}

        scope = {"type": "http", "query_string": b"", "headers": []}
        offer = operation(agent.events)
        assert offer.answer is not None
        answer = await offer.answer(Request(scope), ADMIN)
        await answer(scope, receive, send)
        told = b"".join(sent)
        assert len(told) > 3 * 65_536
        assert told.count(b"data: ") == 1
        assert b"slow_reader" not in told

    on_agent(story)


def test_without_the_right_to_the_log_its_lines_stay_away() -> None:
    async def story(agent: Agent, _group: asyncio.TaskGroup) -> None:
        agent.write("secret enough")
        reader = agent.events.open(EventsQuery(topics="status,logs", after_line=0), lines=False)
        assert reader.lines() is None
        agent.events.close(reader)

    on_agent(story)


@pytest.mark.parametrize("topics", ["", "nothing", ",".join(["status"] * 17)])
def test_topics_must_name_something_and_not_too_much(topics: str) -> None:
    with pytest.raises(RequestInvalid):
        Agent().events.open(EventsQuery(topics=topics), lines=True)


@pytest.mark.parametrize(
    ("text", "place"),
    [("e:5", ("e", 5)), ("a:b:7", ("a:b", 7))]
    + [(odd, None) for odd in ("", "5", ":5", "e:", "e:-1", "e:x", "e:٣", "e:" + "9" * 40)],
)
def test_a_browsers_place_is_read_or_ignored(text: str, place: tuple[str, int] | None) -> None:
    found = position_of(text)
    assert (None if found is None else (found.epoch, found.revision)) == place
