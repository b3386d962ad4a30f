"""TLS handshakes that nobody ends: they are given up in time, and keep nobody else out."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bzzz_core.api import handshakes
from bzzz_core.api.server import ApiServer
from bzzz_core.config.sources import load_agent_config
from bzzz_core.trust.secrets_directory import SecretsDirectory
from bzzz_core.trust.tls import EVERY_NODE, pinned_context, server_context
from tests.fakes.api_node import founded, free_ports
from tests.fakes.api_talk import APP

pytestmark = pytest.mark.integration
HOST = "127.0.0.1"
QUESTION = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
"""The beginning of a ClientHello of 512 bytes."""


class Listener:
    """An API that speaks TLS, and who connects to it."""

    def __init__(self, server: ApiServer, port: int, root: str) -> None:
        self.server = server
        self.port = port
        self.context = pinned_context(root)

    async def ask(self) -> bytes:
        """Return what a caller is answered who does everything right."""
        reader, writer = await asyncio.open_connection(
            HOST, self.port, ssl=self.context, server_hostname=EVERY_NODE
        )
        try:
            writer.write(QUESTION)
            return await reader.read()
        finally:
            writer.close()

    async def silent(self, begun: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect, perhaps begin a handshake, and say no more."""
        reader, writer = await asyncio.open_connection(HOST, self.port)
        writer.write(begun)
        return reader, writer


@contextlib.asynccontextmanager
async def listening(directory: Path) -> AsyncIterator[Listener]:
    config = load_agent_config(founded(directory), {})
    secrets = SecretsDirectory(Path(config.security.directory))
    port = free_ports(1)[0].api
    server = ApiServer(APP, host=HOST, port=port, context=server_context(secrets))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(server.run())
        try:
            while not server.started:  # noqa: ASYNC110  uvicorn tells by a flag
                await asyncio.sleep(0)
            yield Listener(server, port, secrets.node_ca.read_text())
        finally:
            running.cancel()


def play(directory: Path, scenario: Callable[[Listener], Awaitable[None]]) -> None:
    async def body() -> None:
        async with asyncio.timeout(20), listening(directory) as listener:
            await scenario(listener)

    asyncio.run(body())


async def ended(reader: asyncio.StreamReader) -> None:
    """Return when the server has cut the connection."""
    with contextlib.suppress(ConnectionResetError):
        while await reader.read(1_000):
            pass


@pytest.mark.parametrize("begun", [b"", b"\x16", HELLO, b"GET / HTTP/1.1\r\n"])
def test_a_handshake_that_is_not_ended_is_given_up_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(handshakes, "HANDSHAKE_S_MAX", 0.3)

    async def scenario(listener: Listener) -> None:
        reader, writer = await listener.silent(begun)
        before = time.monotonic()
        await ended(reader)
        assert time.monotonic() - before < 5
        writer.close()
        assert b"200 OK" in await listener.ask()

    play(tmp_path, scenario)


def test_many_that_begin_a_handshake_and_are_silent_keep_nobody_out(tmp_path: Path) -> None:
    async def scenario(listener: Listener) -> None:
        async with AsyncExitStack() as open_:
            readers = []
            for number in range(3 * handshakes.UNDER_WAY_MAX):
                reader, writer = await listener.silent(HELLO if number % 2 else b"")
                open_.callback(writer.close)
                readers.append(reader)
            for _ in range(3):
                assert b"200 OK" in await listener.ask()
            await ended(readers[0])
            assert not readers[-1].at_eof(), "only those that waited longest had to go"

    play(tmp_path, scenario)


def test_who_asks_in_the_last_breath_of_the_handshake_is_answered(tmp_path: Path) -> None:
    """The question may come in one piece with the end of the handshake."""

    async def scenario(listener: Listener) -> None:
        answers = await asyncio.gather(*(listener.ask() for _ in range(50)))
        assert all(b"200 OK" in answer for answer in answers)

    play(tmp_path, scenario)


def test_a_closed_connection_whose_caller_does_not_say_goodbye_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshakes, "SHUTDOWN_S_MAX", 0.3)

    async def scenario(listener: Listener) -> None:
        await asyncio.to_thread(_ask_and_stay, listener)

    play(tmp_path, scenario)


def _ask_and_stay(listener: Listener) -> None:
    """Ask, read the answer and the server's goodbye, say none, and wait for the end."""
    plain = socket.create_connection((HOST, listener.port))
    with (
        plain.dup() as beneath,
        listener.context.wrap_socket(plain, server_hostname=EVERY_NODE) as secure,
    ):
        secure.sendall(QUESTION)
        while secure.recv(1_000):
            pass
        beneath.settimeout(5)
        with contextlib.suppress(ConnectionResetError):
            assert beneath.recv(1_000) == b""


def test_the_listener_ends_while_handshakes_are_under_way(tmp_path: Path) -> None:
    async def body() -> None:
        async with asyncio.timeout(10):
            async with listening(tmp_path) as listener:
                silent = [await listener.silent(HELLO) for _ in range(5)]
                await asyncio.sleep(0.1)
            for reader, writer in silent:
                await ended(reader)
                writer.close()

    before = time.monotonic()
    asyncio.run(body())
    assert time.monotonic() - before < 8
