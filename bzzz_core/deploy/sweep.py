"""Looks for machines in a network: who takes a TCP connection at the port of sshd.

Polite on purpose: one connection an address, nothing is sent, few at once, not too many a second,
never more than a /22 (1,022 machines). It is what an operator may do to a network of their own; it
tells nothing about a machine but that something listens there.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Awaitable, Callable
from typing import Final

from bzzz_core.errors import ConfigError
from bzzz_core.ports import Clock

ADDRESSES_MAX: Final = 1_022
AT_ONCE: Final = 32
EVERY_MS: Final = 5
"""Between the beginnings of two tries: 200 a second at most, 6 s for a /22."""
ANSWER_S: Final = 1.5
Connects = Callable[[str, int], Awaitable[bool]]
"""Whether something takes a connection at an address and port."""


def addresses(network: str) -> tuple[str, ...]:
    """Return the addresses of a network that machines can have.

    Raises:
        ConfigError: It is no network, or too large a one.
    """
    try:
        wanted = ipaddress.ip_network(network, strict=False)
    except ValueError:
        raise ConfigError(f"{network}: write a network such as 10.0.0.0/24") from None
    most = wanted.num_addresses - (2 if wanted.version == 4 and wanted.prefixlen < 31 else 0)  # noqa: PLR2004
    if most > ADDRESSES_MAX:
        raise ConfigError(
            f"{wanted} has {most} addresses; at most {ADDRESSES_MAX} are looked at"
            " (a /22): name a smaller network, or list the hosts"
        )
    return tuple(str(address) for address in wanted.hosts())


async def sweep(
    wanted: tuple[str, ...], port: int, *, clock: Clock, connects: Connects
) -> tuple[str, ...]:
    """Return those of the addresses at which something takes a connection, in their order."""
    found: set[str] = set()
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(address: str) -> None:
        try:
            if await connects(address, port):
                found.add(address)
        finally:
            limit.release()

    async with asyncio.TaskGroup() as tries:
        for address in wanted:
            await limit.acquire()
            tries.create_task(one(address))
            await clock.sleep_ms(EVERY_MS)
    return tuple(address for address in wanted if address in found)


async def takes_connections(address: str, port: int) -> bool:
    """Return whether something takes a connection there within `ANSWER_S`; nothing is sent."""
    try:
        async with asyncio.timeout(ANSWER_S):
            _, writer = await asyncio.open_connection(address, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
