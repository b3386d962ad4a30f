"""Talks with the real server byte by byte, as no client would."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from bzzz_core.api.auth import Doorkeeper
from bzzz_core.api.http import build_app
from bzzz_core.api.limits import Hosts
from bzzz_core.api.operations import Call, Operation
from bzzz_core.config.secrets import Secret
from tests.fakes import statuses
from tests.fakes.api_node import serving

HEAD = b"Host: localhost\r\nAuthorization: Bearer sesame\r\n"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def length(call: Call) -> int:
    return len(call.body)


APP = build_app(
    doorkeeper=Doorkeeper.of_one(Secret("sesame")),
    status=statuses.status,
    not_ready=tuple,
    operations=[Operation("POST", "/v1/length", length, "status:read", "Count")],
    hosts=Hosts(),
)


def talking(talk: Talk, host: str = "127.0.0.1") -> None:
    async def run() -> None:
        async with serving(APP, host) as port:
            reader, writer = await asyncio.open_connection(host, port)
            try:
                async with asyncio.timeout(60):
                    await talk(reader, writer)
            finally:
                writer.close()

    asyncio.run(run())
