"""Reads a store that a lone, unclustered broker wrote: the only way on for such a store.

Starting it clustered would delete it, so it is started as it was, on loopback, with this node as
its only user and for as long as a snapshot takes. Nothing is converted in place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from bzzz_core.config.schema import AgentConfig
from bzzz_core.errors import RequestInvalid, TransportError
from bzzz_core.fabric import binary, child, companion, store
from bzzz_core.fabric.broker import BrokerConfig, Endpoint, render
from bzzz_core.fabric.link import BrokerAddress, BrokerLink
from bzzz_core.fabric.store import Shape
from bzzz_core.fabric.streams import StreamKeeper
from bzzz_core.model import NodeId
from bzzz_core.ports import Clock
from bzzz_core.trust import private_files
from bzzz_core.trust.tls import client_context

_ANY_PORT: Final = -1
_READY_MS_MAX: Final = 30_000
_POLL_MS: Final = 100


@asynccontextmanager
async def unclustered(config: AgentConfig, *, clock: Clock) -> AsyncIterator[StreamKeeper]:
    """Keep the streams of an unclustered store while the block lasts.

    Raises:
        RequestInvalid: The store is clustered, or there is none: the running broker is to be asked.
        BrokerError: Another process uses the store, or the broker does not start.
    """
    directory = Path(config.resources.paths.data) / "broker"
    if not directory.is_dir() or store.shape_of(directory) is not Shape.ALONE:
        raise RequestInvalid(
            f"{directory} was not written by an unclustered broker; take the snapshot of the"
            " running one, without --offline"
        )
    program = binary.find_binary()
    await binary.check_version(program)
    with store.held(directory):
        alone = _alone(config, directory)
        conf = directory / "offline.conf"
        private_files.replace(conf, render(alone).encode())
        process = await child.start(program, conf)
        try:
            ports = await child.ports_of(process, directory, clock, routed=False)
            link = await BrokerLink.open(
                BrokerAddress(alone.node, ports.client.host, ports.client.port),
                node=alone.node,
                context=client_context(alone.secrets),
                counters=Counter(),
            )
            try:
                keeper = StreamKeeper(link, clock=clock)
                await _ready(keeper, clock)
                yield keeper
            finally:
                await link.close()
        finally:
            await child.end(process)
            conf.unlink()


def _alone(config: AgentConfig, directory: Path) -> BrokerConfig:
    name = store.server_name(directory, NodeId(config.me.id))
    broker = BrokerConfig.from_agent_config(config, server_name=name)
    here = Endpoint(host=companion.on_loopback(broker), port=_ANY_PORT)
    return replace(
        broker,
        client=here,
        monitor=here,
        seeds=(),
        users=tuple(user for user in broker.users if user[0] == broker.node),
        system_users=(),
        clustered=False,
        ports=directory,
    )


async def _ready(keeper: StreamKeeper, clock: Clock) -> None:
    deadline_ms = clock.now_ms() + _READY_MS_MAX
    while True:
        try:
            await keeper.states()
        except TransportError:
            if clock.now_ms() >= deadline_ms:
                raise
            await clock.sleep_ms(_POLL_MS)
        else:
            return
