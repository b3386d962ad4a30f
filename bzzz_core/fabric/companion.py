"""A second nats-server without JetStream, for as long as a lone broker needs one to start.

A clustered broker restores its streams only once it is routed to somebody ("Waiting for routing to
be established"), so a cluster of one would wait for ever after a restart. The companion is that
somebody: on loopback, on ports the kernel chooses, with the node's own route certificate, nobody's
user. It holds no data and votes for nothing. Once the broker is ready its route is taken out of the
configuration again and the companion ends: nobody else ever hears of it.
"""

from __future__ import annotations

from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from bzzz_core.fabric import child
from bzzz_core.fabric.broker import BrokerConfig, Endpoint, loopback_of, render
from bzzz_core.ports import Clock
from bzzz_core.trust import private_files

_ANY_PORT: Final = -1


def on_loopback(config: BrokerConfig) -> str:
    """Return the loopback address that the broker's route listener answers on."""
    return loopback_of(config.route.host)


def aside(config: BrokerConfig, *, called: str, seeds: tuple[Endpoint, ...]) -> BrokerConfig:
    """Return a broker beside `config`: loopback only, ports of the kernel's choice, no users."""
    home = config.directory / called
    here = Endpoint(host=on_loopback(config), port=_ANY_PORT)
    return replace(
        config,
        server_name=f"{config.server_name}-{called}",
        client=here,
        route=here,
        advertised_route=None,
        monitor=here,
        seeds=seeds,
        users=(),
        system_users=(),
        directory=home,
        log=home / "nats.log",
        pid=home / "nats.pid",
        ports=home,
    )


async def begin(
    binary: Path, config: BrokerConfig, *, called: str, clock: Clock, store_bytes_max: int = 0
) -> tuple[Process, Endpoint]:
    """Start a broker beside `config` that routes to it; return it and where it takes routes.

    Raises:
        BrokerError: It did not start.
    """
    home = Endpoint(host=on_loopback(config), port=config.route.port)
    beside = replace(aside(config, called=called, seeds=(home,)), store_bytes_max=store_bytes_max)
    private_files.private_directory(beside.directory)
    for stale in beside.directory.glob("*.ports"):
        stale.unlink()  # Of one that was killed; numbers of processes come again.
    conf = beside.directory / "nats.conf"
    private_files.replace(conf, render(beside).encode())
    process = await child.start(binary, conf)
    try:
        route = (await child.ports_of(process, beside.directory, clock)).route
        assert route is not None, "a clustered broker takes routes"
    except BaseException:
        await child.end(process)
        raise
    return process, route


@asynccontextmanager
async def companion(binary: Path, config: BrokerConfig, *, clock: Clock) -> AsyncIterator[Endpoint]:
    """Run a companion and give where it takes routes; it ends with the block."""
    process, endpoint = await begin(binary, config, called="companion", clock=clock)
    try:
        yield endpoint
    finally:
        await child.end(process)
