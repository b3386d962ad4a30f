"""Callers that are slow on purpose: nobody holds a connection of the API for good."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import pytest

from bzzz_core.api import limits, server
from tests.fakes.api_talk import HEAD, talking

pytestmark = pytest.mark.integration
SILENT = 400
"""More than the server takes at all."""


def test_a_body_that_trickles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BODY_S_MAX", 0.3)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"POST /v1/length HTTP/1.1\r\n" + HEAD + b"Content-Length: 1000\r\n\r\n")
        begun = time.monotonic()
        trickle = asyncio.create_task(_trickle(writer))
        answer = await reader.readuntil(b"}}")
        trickle.cancel()
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"body_too_slow" in answer
        assert time.monotonic() - begun < 5, "each byte would have bought more time"

    talking(talk)


@pytest.mark.parametrize("begun", [b"", b"GET /v1/status HTTP/1.1\r\nHost: "], ids=["mute", "slow"])
def test_a_head_that_does_not_come_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(server, "HEAD_S_MAX", 0.3)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(begun)
        trickle = asyncio.create_task(_trickle(writer) if begun else asyncio.sleep(60))
        try:
            assert await reader.read() == b""
        except ConnectionResetError:
            pass  # That is how a connection is cut whose caller still writes.
        finally:
            trickle.cancel()

    talking(talk)


def test_the_next_head_on_a_kept_connection_has_its_own_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "HEAD_S_MAX", 3.0)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(4):
            writer.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(len(b'{"status":"ok","reasons":[]}'))
            await asyncio.sleep(1.2)  # The last request comes later than one head may.

    talking(talk)


@pytest.mark.parametrize("begun", [b"", b"G"], ids=["mute", "one byte"])
def test_many_that_are_silent_keep_nobody_out(begun: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = writer.get_extra_info("peername")[:2]
        async with AsyncExitStack() as open_:
            for _ in range(SILENT):
                _, silent = await asyncio.open_connection(host, port)
                open_.callback(silent.close)
                silent.write(begun)
            for _ in range(3):
                fresh, asking = await asyncio.open_connection(host, port)
                open_.callback(asking.close)
                asking.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert b"200 OK" in await fresh.readuntil(b"\r\n\r\n")
        assert await reader.read() == b"", "the one that waited longest had to go"

    talking(talk)


async def _trickle(writer: asyncio.StreamWriter) -> None:
    while True:
        await asyncio.sleep(0.05)
        writer.write(b"x")
