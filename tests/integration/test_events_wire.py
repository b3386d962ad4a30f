"""`/v1/events` over real connections: a state and its changes, going on, being slow, the end."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Self

import httpx
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.protocol import Event
from websockets.uri import parse_uri

from bzzz_core.api.client import ApiClient
from bzzz_core.api.documents import Status
from bzzz_core.api.event_documents import (
    AlertDocument,
    Beat,
    Bye,
    Delta,
    Lines,
    Message,
    Snapshot,
)
from bzzz_core.api.event_position import Position
from bzzz_core.api.event_stream import Follow
from bzzz_core.api.events import hub, streaming
from bzzz_core.api.events.hub import READERS_OF_ONE_MAX
from bzzz_core.config.secrets import Secret
from bzzz_core.config.sources import load_agent_config
from bzzz_core.errors import BzzzError, PermissionDenied, RequestInvalid
from bzzz_core.trust.secrets_directory import SecretsDirectory
from bzzz_core.trust.tls import EVERY_NODE
from tests.fakes import statuses
from tests.fakes.api_node import founded
from tests.fakes.event_agent import TOKEN, EventAgent, on_agent, serving, until

pytestmark = pytest.mark.integration
HEADERS = {"authorization": f"Bearer {TOKEN.reveal()}"}


def alert(key: str, words: str = "w") -> AlertDocument:
    return AlertDocument(
        id=key, rule="r", severity="warning", subject="s", node="n",
        since_at="2026-01-01T00:00:00Z", words=words, next_step="look",
    )  # fmt: skip


class Following:
    """One stream of messages, read one at a time."""

    def __init__(self, agent: EventAgent, asked: Follow) -> None:
        self._client = ApiClient(agent.url, token=TOKEN)
        self._messages: AsyncGenerator[Message, None] = self._client.follow(asked)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_told: object) -> None:
        await self._messages.aclose()
        await self._client.__aexit__(None, None, None)

    async def next(self) -> Message:
        async with asyncio.timeout(10):
            return await anext(self._messages)


def test_a_reader_gets_everything_and_then_what_differs() -> None:
    async def check(agent: EventAgent) -> None:
        agent.events.board.replace("alerts", {})
        async with Following(agent, Follow()) as stream:
            first = await stream.next()
            assert isinstance(first, Snapshot)
            assert (first.node, first.version, first.epoch) == ("bzzz-1", "0.1.0", "epoch-1")
            assert set(first.documents) == {"status", "members", "alerts"}
            assert len(first.documents["members"]) == 3
            agent.events.board.put("alerts", "a", alert("a"))
            second = await stream.next()
            assert isinstance(second, Delta)
            assert second.previous == first.revision
            assert set(second.changed) == {"alerts"}

    on_agent(check)


def test_an_election_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the hurry it would be told with the next look, which is far away here."""
    monkeypatch.setattr(hub, "_SAMPLE_MS", 30_000)

    async def check(agent: EventAgent) -> None:
        async with Following(agent, Follow(beat_ms=30_000)) as stream:
            await stream.next()
            await asyncio.sleep(0.2)
            agent.status = statuses.status(leader=3, term=43)
            agent.events.hurry()
            begin = asyncio.get_running_loop().time()
            told = await stream.next()
            assert asyncio.get_running_loop().time() - begin < 5
            assert isinstance(told, Delta)
            head = msgspec.json.decode(told.changed["status"]["self"], type=Status)
            assert (head.leader, head.term, head.members) == ("bzzz-3", 43, ())

    on_agent(check)


def test_nobody_reading_costs_nothing_and_a_reader_one_look_a_second() -> None:
    async def check(agent: EventAgent) -> None:
        await asyncio.sleep(0.3)
        agent.events.hurry()
        await asyncio.sleep(0.1)
        assert agent.looked == 0
        async with Following(agent, Follow()) as stream:
            await stream.next()
            await asyncio.sleep(1.2)
        assert 1 <= agent.looked <= 4
        looked = agent.looked
        await asyncio.sleep(1.5)
        assert agent.looked <= looked + 1

    on_agent(check)


def test_a_quiet_cluster_is_told_by_beats() -> None:
    async def check(agent: EventAgent) -> None:
        async with Following(agent, Follow(beat_ms=500)) as stream:
            first = await stream.next()
            beats = [await stream.next() for _ in range(2)]
            assert all(isinstance(beat, Beat) for beat in beats)
            assert isinstance(first, Snapshot)
            assert {beat.revision for beat in beats} == {first.revision}  # type: ignore[union-attr]

    on_agent(check)


def test_whoever_reads_with_a_token_that_is_withdrawn_hears_nothing_more() -> None:
    """A stream lasts for days; a token that leaked is withdrawn now."""

    async def check(agent: EventAgent) -> None:
        async with (
            Following(agent, Follow(beat_ms=500)) as stream,
            connect(
                agent.url.replace("http", "ws") + "/v1/events", additional_headers=HEADERS
            ) as socket,
        ):
            await stream.next()
            await socket.recv()
            agent.withdrawn = True
            agent.events.board.put("alerts", "a", alert("a"))
            told = await stream.next()
            assert isinstance(told, Bye)
            assert told.reason == "unauthorized"
            assert msgspec.json.decode(await socket.recv(), type=Bye).reason == "unauthorized"
            with pytest.raises(ConnectionClosed):
                await socket.recv()
            await until(lambda: agent.events.readers == 0)

    on_agent(check)


def test_a_reader_goes_on_where_it_stopped() -> None:
    async def check(agent: EventAgent) -> None:
        position: Position | None = None
        async with Following(agent, Follow()) as stream:
            position = Position.after(position, await stream.next())
        agent.events.board.put("alerts", "a", alert("a"))
        async with Following(agent, Follow(resume=position)) as stream:
            told = await stream.next()
            assert isinstance(told, Delta)
            assert set(told.changed["alerts"]) == {"a"}
            position = Position.after(position, told)
        async with Following(agent, Follow(resume=position)) as stream:
            assert isinstance(await stream.next(), Beat), "nothing new: told at once that it lives"

    on_agent(check)


@pytest.mark.parametrize("resume", [Position("another life", 1), Position("epoch-1", 9_999_999)])
def test_another_life_or_a_revision_that_never_was_gets_everything(resume: Position) -> None:
    async def check(agent: EventAgent) -> None:
        async with Following(agent, Follow(resume=resume)) as stream:
            assert isinstance(await stream.next(), Snapshot)

    on_agent(check)


def test_a_browsers_last_event_id_is_a_place_to_go_on_from() -> None:
    async def check(agent: EventAgent) -> None:
        async with httpx.AsyncClient(base_url=agent.url, headers=HEADERS) as http:
            async with http.stream("GET", "/v1/events") as answer:
                assert answer.headers["content-type"].startswith("text/event-stream")
                lines = answer.aiter_lines()
                place = ""
                async for line in lines:
                    if line.startswith("id:"):
                        place = line[3:].strip()
                    if line.startswith("data:"):
                        break
            headers = {"last-event-id": place}
            async with http.stream("GET", "/v1/events?beat_ms=500", headers=headers) as answer:
                async for line in answer.aiter_lines():
                    if line.startswith("data:"):
                        assert '"type":"beat"' in line
                        break

    on_agent(check)


def test_many_changes_while_a_reader_is_away_are_one_delta() -> None:
    async def check(agent: EventAgent) -> None:
        async with Following(agent, Follow(every_ms=5_000)) as stream:
            await stream.next()
            for number in range(50):
                agent.events.board.put("alerts", "a", alert("a", f"words {number}"))
                await asyncio.sleep(0.005)
            told = await stream.next()
            assert isinstance(told, Delta)
            (raw,) = told.changed["alerts"].values()
            assert b"words 49" in bytes(raw)

    on_agent(check)


def test_lines_of_the_log_come_to_whoever_asked_by_level_and_component() -> None:
    async def check(agent: EventAgent) -> None:
        agent.write("long before")
        asked = Follow(topics=("logs",), level="warning", component="fabric")
        async with Following(agent, asked) as stream:
            first = await stream.next()
            assert isinstance(first, Snapshot)
            assert not first.documents
            agent.write("too low", "info", "fabric")
            agent.write("another part", "error", "fabrication")
            agent.write("this one", "error", "fabric.link")
            told = await stream.next()
            assert isinstance(told, Lines)
            assert [line.text for line in told.lines] == ["this one"]
            number = told.lines[-1].number
        agent.write("meanwhile", "warning", "fabric")
        resumed = Follow(topics=("logs",), level="warning", component="fabric", after_line=number)
        async with Following(agent, resumed) as stream:
            await stream.next()
            told = await stream.next()
            assert isinstance(told, Lines)
            assert [line.text for line in told.lines] == ["meanwhile"]

    on_agent(check)


def test_the_end_of_the_agent_is_told_to_both_kinds_of_readers() -> None:
    byes: list[Message] = []

    async def read(agent: EventAgent) -> None:
        client = ApiClient(agent.url, token=TOKEN)
        async with client, aclosing(client.follow(Follow())) as stream:
            byes.extend([message async for message in stream if isinstance(message, Bye)])

    async def talk(agent: EventAgent) -> None:
        async with sock(agent) as ws:
            with suppress(ConnectionClosed):
                while True:
                    message = msgspec.json.decode(await ws.recv(), type=Message)
                    byes.extend([message] if isinstance(message, Bye) else [])

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            async with serving() as agent:
                group.create_task(read(agent))
                group.create_task(talk(agent))
                await until(lambda: agent.events.readers == 2)
                await asyncio.sleep(0.2)
            begin = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - begin < 2

    asyncio.run(run())
    assert [bye.reason for bye in byes if isinstance(bye, Bye)] == ["stopping", "stopping"]


def sock(agent: EventAgent, query: str = "", **headers: str) -> connect:
    url = f"ws://127.0.0.1:{agent.port}/v1/events{query}"
    return connect(url, additional_headers=HEADERS | headers, max_size=None, proxy=None)


async def to_the_end(ws: ClientConnection) -> None:
    while True:
        await recv(ws)


async def recv(ws: ClientConnection) -> Message:
    async with asyncio.timeout(10):
        message: Message = msgspec.json.decode(await ws.recv(), type=Message)
        return message


def test_a_websocket_says_the_same() -> None:
    async def check(agent: EventAgent) -> None:
        async with sock(agent, "?topics=alerts,members&beat_ms=500") as ws:
            first = await recv(ws)
            assert isinstance(first, Snapshot)
            assert set(first.documents) == {"members"}
            agent.events.board.put("alerts", "a", alert("a"))
            assert isinstance(await recv(ws), Delta)
            assert isinstance(await recv(ws), Beat)

    on_agent(check)


@pytest.mark.parametrize("said", ["hello", "x" * 5_000])
def test_a_websocket_that_says_something_is_closed(said: str) -> None:
    async def check(agent: EventAgent) -> None:
        async with sock(agent) as ws:
            await recv(ws)
            await ws.send(said)
            with pytest.raises(ConnectionClosed) as closed:
                await to_the_end(ws)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code in {1008, 1009}
        await until(lambda: not agent.events.readers)

    on_agent(check)


@pytest.mark.parametrize(
    ("headers", "query", "code"),
    [
        ({"authorization": "Bearer wrong"}, "", 401),
        ({"origin": "https://evil.example"}, "", 403),
        ({}, "?beat_ms=1", 400),
        ({}, "?topics=nothing,known", 400),
        ({}, "?after=-1", 400),
        ({}, "?level=loud", 400),
    ],
)
def test_what_may_not_begin_is_refused_alike(
    headers: dict[str, str], query: str, code: int
) -> None:
    async def check(agent: EventAgent) -> None:
        with pytest.raises(InvalidStatus) as refused:
            async with sock(agent, query, **headers):
                pass
        assert refused.value.response.status_code == code
        if "origin" in headers:
            return
        async with httpx.AsyncClient(base_url=agent.url, headers=HEADERS | headers) as http:
            assert (await http.get(f"/v1/events{query}")).status_code == code
        assert agent.events.readers == 0

    on_agent(check)


def test_the_client_tells_refusals_as_failures() -> None:
    async def check(agent: EventAgent) -> None:
        async with Following(agent, Follow(beat_ms=1)) as stream:
            with pytest.raises(RequestInvalid, match="beat_ms"):
                await stream.next()
        client = ApiClient(agent.url, token=Secret("wrong"))
        async with client, aclosing(client.follow(Follow())) as messages:
            with pytest.raises(PermissionDenied):
                await anext(messages)

    on_agent(check)


def test_readers_are_as_many_as_may_be_and_no_more() -> None:
    async def check(agent: EventAgent) -> None:
        async with httpx.AsyncClient(
            base_url=agent.url, headers=HEADERS, limits=httpx.Limits(max_connections=None)
        ) as http:
            streams = [http.stream("GET", "/v1/events") for _ in range(READERS_OF_ONE_MAX)]
            answers = [await stream.__aenter__() for stream in streams]
            assert {answer.status_code for answer in answers} == {200}
            refused = await http.get("/v1/events")
            assert refused.status_code == 503
            assert refused.json()["error"]["code"] == "capacity_exceeded"
            await streams[0].__aexit__(None, None, None)
            await until(lambda: agent.events.readers < READERS_OF_ONE_MAX)
            async with http.stream("GET", "/v1/events") as answer:
                assert answer.status_code == 200
            for stream in streams[1:]:
                await stream.__aexit__(None, None, None)
        await until(lambda: not agent.events.readers)

    on_agent(check)


@pytest.mark.parametrize("upgrade", [False, True])
def test_a_reader_that_takes_nothing_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, *, upgrade: bool
) -> None:
    monkeypatch.setattr(streaming, "WRITE_S_MAX", 0.3)
    monkeypatch.setattr(streaming, "_BYE_S_MAX", 0.2)

    async def check(agent: EventAgent) -> None:
        members = tuple(statuses.member(number) for number in range(20_000))
        agent.status = statuses.status(members)
        more = (
            "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
            "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            if upgrade
            else ""
        )
        _, writer = await asyncio.open_connection("127.0.0.1", agent.port, limit=1_024)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        head = f"GET /v1/events HTTP/1.1\r\nhost: localhost\r\n{more}"
        writer.write(f"{head}authorization: Bearer {TOKEN.reveal()}\r\n\r\n".encode())
        await until(lambda: agent.events.readers == 1)
        while agent.events.readers:
            agent.events.board.put(
                "alerts", "a", alert("a", str(asyncio.get_running_loop().time()))
            )
            await asyncio.sleep(0.05)
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(0.2)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    on_agent(check)


@pytest.mark.parametrize("tls", [False, True])
def test_a_thin_line_takes_a_large_message_over_a_websocket_in_its_own_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, tls: bool
) -> None:
    """What counts is that it takes something, not how long all of it takes."""
    monkeypatch.setattr(streaming, "WRITE_S_MAX", 0.5)

    async def check(agent: EventAgent) -> None:
        members = tuple(statuses.member(number) for number in range(20_000))
        agent.status = statuses.status(members)
        async with Trickle(agent) as line:
            began_s = asyncio.get_running_loop().time()
            async with asyncio.TaskGroup() as group:
                taking = group.create_task(line.text())
                await until(lambda: line.taken > 100_000)
                # Something more has to be told while the first message is on its way.
                agent.events.board.put("alerts", "a", alert("a"))
            first = msgspec.json.decode(taking.result(), type=Message)
            took_s = asyncio.get_running_loop().time() - began_s
            assert isinstance(first, Snapshot)
            assert len(first.documents["members"]) == 20_000
            assert took_s > 3 * streaming.WRITE_S_MAX, "or this shows nothing"
            second = msgspec.json.decode(await line.text(), type=Message)
            assert isinstance(second, Delta), second
        await until(lambda: not agent.events.readers)

    on_agent(check, secrets=secrets_of(tmp_path) if tls else None)


def test_a_token_withdrawn_within_a_long_message_ends_it_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streaming, "WRITE_S_MAX", 5.0)

    async def check(agent: EventAgent) -> None:
        members = tuple(statuses.member(number) for number in range(20_000))
        agent.status = statuses.status(members)
        async with Trickle(agent) as line:
            async with asyncio.TaskGroup() as group:
                taking = group.create_task(cut_off(line))
                await until(lambda: line.taken > 100_000)
                agent.withdrawn = True
            assert taking.result(), "all of it came"
            assert line.taken < 5_000_000, "of 8 MB"
        await until(lambda: not agent.events.readers)

    on_agent(check)


async def cut_off(line: Trickle) -> bool:
    """Take a message; return whether the line was cut within it."""
    try:
        await line.text()
    except (AssertionError, ConnectionError):
        return True
    return False


def secrets_of(directory: Path) -> SecretsDirectory:
    config = load_agent_config(founded(directory), {})
    return SecretsDirectory(Path(config.security.directory))


class Trickle:
    """A WebSocket that takes so much a second, and leaves little to the kernel."""

    BYTES_A_SECOND = 3_000_000

    def __init__(self, agent: EventAgent) -> None:
        self.taken = 0
        """Bytes, all in all."""
        self._events: deque[Event] = deque()
        self._agent = agent
        place = parse_uri(f"ws://localhost:{agent.port}/v1/events")
        self._protocol = ClientProtocol(place, max_size=None)

    async def __aenter__(self) -> Self:
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        plain.setblocking(False)  # noqa: FBT003
        await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", self._agent.port))
        context = self._agent.pinned
        name = EVERY_NODE if context else None
        self._reader, self._writer = await asyncio.open_connection(
            sock=plain, ssl=context, server_hostname=name, limit=65_536
        )
        request = self._protocol.connect()
        request.headers.update(HEADERS)
        self._protocol.send_request(request)
        self._writer.write(b"".join(self._protocol.data_to_send()))
        return self

    async def __aexit__(self, *_told: object) -> None:
        self._writer.close()

    async def text(self) -> bytes:
        """Return the next message."""
        found = b""
        async with asyncio.timeout(60):
            while True:
                self._events.extend(self._protocol.events_received())
                while self._events:
                    event = self._events.popleft()
                    if isinstance(event, Frame) and event.opcode in {Opcode.TEXT, Opcode.CONT}:
                        found += event.data
                        if event.fin:
                            return found
                data = await self._reader.read(65_536)
                assert data, "the line was cut"
                self.taken += len(data)
                self._protocol.receive_data(data)
                self._writer.write(b"".join(self._protocol.data_to_send()))
                await asyncio.sleep(len(data) / self.BYTES_A_SECOND)


def test_an_agent_that_is_not_there_is_a_failure_of_ours() -> None:
    async def run() -> None:
        client = ApiClient("http://127.0.0.1:9", token=TOKEN)
        async with client, aclosing(client.follow(Follow())) as messages:
            with pytest.raises(BzzzError):
                await anext(messages)

    asyncio.run(run())
