"""Doors copy bytes; once islands are drawn they fall silent without closing anything."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import pytest

from bzzz_core.demo.doors import Door, Switch

pytestmark = pytest.mark.integration
QUIET_S = 0.2


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Peers:
    """Says who opened a connection, as the kernel's tables would."""

    def __init__(self) -> None:
        self.owners: dict[int, str] = {}
        self.asked = 0

    async def locate(self, ports: frozenset[int]) -> Mapping[int, str]:
        assert ports
        self.asked += 1
        return dict(self.owners)


class Caller:
    """A connection of one node through a door."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def echoed(self, word: bytes) -> bytes:
        self.writer.write(word)
        return await self.reader.readexactly(len(word))

    async def silent(self, word: bytes) -> bool:
        """Return whether nothing comes back and nothing is closed."""
        self.writer.write(word)
        try:
            async with asyncio.timeout(QUIET_S):
                await self.reader.read(1)
        except TimeoutError:
            return True
        return False


class World:
    """One node "b" behind a door, and callers who are other nodes."""

    def __init__(self, switch: Switch, peers: Peers, door: Door) -> None:
        self.switch = switch
        self.peers = peers
        self.door = door
        self.writers: list[asyncio.StreamWriter] = []

    async def call(self, node: str) -> Caller:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.door.port)
        self.peers.owners[writer.get_extra_info("sockname")[1]] = node
        self.writers.append(writer)
        return Caller(reader, writer)


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    peers = Peers()
    door = Door(node="b", port=_free_port(), leads_to=server.sockets[0].getsockname()[1])
    switch = Switch((door,), locate=peers.locate)
    opened = asyncio.Event()
    place = World(switch, peers, door)
    async with server, asyncio.TaskGroup() as group:
        serving = group.create_task(switch.run(ready=opened.set))
        await opened.wait()
        await _until_open(door.port)
        try:
            yield place
        finally:
            for writer in place.writers:
                writer.transport.abort()
            serving.cancel()


def _run(scenario: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(30), world() as place:
            await scenario(place)

    asyncio.run(run())


def test_without_islands_bytes_pass_and_nobody_is_traced() -> None:
    async def scenario(place: World) -> None:
        caller = await place.call("a")
        assert await caller.echoed(b"x" * 1_000_000) == b"x" * 1_000_000
        assert place.peers.asked == 0

    _run(scenario)


def test_what_crosses_islands_falls_silent_and_goes_on_when_healed() -> None:
    async def scenario(place: World) -> None:
        apart, beside = await place.call("a"), await place.call("c")
        assert await apart.echoed(b"before") == b"before"
        assert await beside.echoed(b"before") == b"before"
        await place.switch.draw({"a": 1})
        assert await apart.silent(b"lost?")
        assert await beside.echoed(b"on") == b"on"
        await place.switch.draw({})
        assert await apart.reader.readexactly(5) == b"lost?"

    _run(scenario)


def test_a_cut_works_in_both_directions() -> None:
    """The node behind the door is the one apart: whoever calls it hears nothing."""

    async def scenario(place: World) -> None:
        caller = await place.call("a")
        assert await caller.echoed(b"before") == b"before"
        await place.switch.draw({"b": 1})
        assert await caller.silent(b"x")
        await place.switch.draw({"b": 1, "a": 1})
        assert await caller.reader.readexactly(1) == b"x", "both are on one island now"

    _run(scenario)


def test_new_connections_hang_and_are_let_through_when_healed() -> None:
    async def scenario(place: World) -> None:
        await place.switch.draw({"a": 1})
        caller = await place.call("a")
        assert await caller.silent(b"hello")
        await place.switch.draw({})
        assert await caller.reader.readexactly(5) == b"hello"

    _run(scenario)


def test_who_gives_up_while_held_is_forgotten() -> None:
    """A node that tries again every second must not fill the table of open files."""

    async def scenario(place: World) -> None:
        await place.switch.draw({"a": 1})
        for _ in range(20):
            caller = await place.call("a")
            caller.writer.write(b"hello")
            caller.writer.close()
            await caller.writer.wait_closed()
        async with asyncio.timeout(5):
            while place.switch.connections:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    _run(scenario)


def test_an_unknown_caller_is_held_while_islands_are_drawn() -> None:
    async def scenario(place: World) -> None:
        await place.switch.draw({"a": 1})
        reader, writer = await asyncio.open_connection("127.0.0.1", place.door.port)
        place.writers.append(writer)
        assert await Caller(reader, writer).silent(b"?")

    _run(scenario)


def test_a_door_is_open_only_while_somebody_is_behind_it() -> None:
    async def scenario(place: World) -> None:
        port = _free_port()
        door = Door(node="d", port=_free_port(), leads_to=port)
        switch = Switch((door,), locate=place.peers.locate)
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(switch.run(ready=lambda: None))
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", door.port)
            behind = await asyncio.start_server(lambda _, w: w.close(), "127.0.0.1", port)
            await _until_open(door.port)
            behind.close()
            await behind.wait_closed()
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            assert await _ended(reader)
            writer.transport.abort()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", door.port)
            serving.cancel()

    _run(scenario)


async def _until_open(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)
        else:
            writer.transport.abort()
            return


async def _ended(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read(1) == b""
    except ConnectionResetError:
        return True
