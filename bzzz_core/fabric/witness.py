"""Founds a cluster of one: a broker alone, but clustered from its first start.

JetStream deletes the streams of a broker that ran without a cluster section as soon as it is given
one, so a lone broker that shall ever grow must be clustered before it holds anything; and a
clustered broker without peers finds no leader. The way through (measured: 0.9 s): start it beside a
second broker with a store, the *witness*; let the two elect a leader; remove the witness from the
peers; end it. What is left is a cluster whose quorum is one.

All of it happens on loopback before the broker takes its first client: the listener for clients is
on a port of the kernel's choice and knows one user, the node itself, as the system account. So a
founding that was cut short has written nothing of anybody, and is begun again from nothing.
"""

from __future__ import annotations

import shutil
from asyncio.subprocess import Process
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Final

from bzzz_core.errors import BrokerHindered, QuorumUnavailable, TransportError
from bzzz_core.fabric import child, companion
from bzzz_core.fabric.broker import BrokerConfig, Endpoint, render
from bzzz_core.fabric.link import BrokerAddress, BrokerLink
from bzzz_core.fabric.operations import SystemAccount
from bzzz_core.ports import Clock
from bzzz_core.trust import private_files
from bzzz_core.trust.names import node_name
from bzzz_core.trust.tls import client_context

FOUND_MS_MAX: Final = 30_000
_POLL_MS: Final = 20
_WITNESS: Final = "witness"
_WITNESS_BYTES_MAX: Final = 32_000_000
_ANY_PORT: Final = -1


async def found(binary: Path, config: BrokerConfig, *, clock: Clock) -> None:
    """Make a fresh store the store of a cluster of one.

    Raises:
        BrokerError: It did not come about; the store is to be emptied before a new try.
        BrokerHindered: Not in time; likewise.
    """
    witness, endpoint = await companion.begin(
        binary, config, called=_WITNESS, clock=clock, store_bytes_max=_WITNESS_BYTES_MAX
    )
    try:
        broker = await _start(binary, config, endpoint)
        try:
            await _become_one(broker, witness, config, clock)
        finally:
            await child.end(broker)
    finally:
        await child.end(witness)
    shutil.rmtree(config.directory / _WITNESS)
    _founding_directory(config).joinpath("nats.conf").unlink()


async def _start(binary: Path, config: BrokerConfig, witness: Endpoint) -> Process:
    home = _founding_directory(config)
    private_files.private_directory(home)
    for stale in home.glob("*.ports"):
        stale.unlink()
    here = Endpoint(host=companion.on_loopback(config), port=_ANY_PORT)
    alone = replace(
        config,
        client=here,
        route=replace(here, port=config.route.port),
        advertised_route=None,
        monitor=here,
        seeds=(witness,),
        users=(),
        system_users=(node_name(config.node),),
        ports=home,
    )
    conf = home / "nats.conf"
    private_files.replace(conf, render(alone).encode())
    return await child.start(binary, conf)


async def _become_one(
    broker: Process, witness: Process, config: BrokerConfig, clock: Clock
) -> None:
    """Take the witness out of the peers, and return once the broker leads alone."""
    ports = await child.ports_of(broker, _founding_directory(config), clock)
    link = await BrokerLink.open(
        BrokerAddress(config.node, ports.client.host, ports.client.port),
        node=config.node,
        context=client_context(config.secrets),
        counters=Counter(),
    )
    try:
        system = SystemAccount(link, clock=clock)
        deadline_ms = clock.now_ms() + FOUND_MS_MAX
        while clock.now_ms() < deadline_ms:
            names = await _peers(system)
            if names == [config.server_name]:
                return
            if len(names) > 1:
                others = [name for name in names if name != config.server_name]
                await system.remove_peer(others[0])
                await child.end(witness)
            await clock.sleep_ms(_POLL_MS)
    finally:
        await link.close()
    raise BrokerHindered(f"a cluster of one could not be founded in {FOUND_MS_MAX} ms")


async def _peers(system: SystemAccount) -> list[str]:
    try:
        return [peer.name for peer in await system.peers()]
    except (QuorumUnavailable, TransportError):
        return []  # They are electing a leader.


def _founding_directory(config: BrokerConfig) -> Path:
    return config.directory / "founding"
