"""The broker's own process on deployed hosts: `bzzz-agent fabric run`.

It reads the node's configuration once, when it starts. Nothing of that can be given to a running
nats-server (ports, directories, limits), so a change waits until this process is started anew, as
the agent says; and neither a value that waits nor a file that cannot be read keeps the registry
from the broker.
"""

from __future__ import annotations

import asyncio
import signal
from functools import partial
from pathlib import Path

from bzzz_core.clock import SystemClock
from bzzz_core.config.schema import AgentConfig
from bzzz_core.enrolled import registry_cache, with_registry
from bzzz_core.fabric.unit import BrokerUnit
from bzzz_core.foreground import run_until_signal
from bzzz_core.ports import Clock
from bzzz_core.shared_config.node_sources import NodeSources
from bzzz_core.shutdown import remains
from bzzz_core.shutdown.request import StopRequest
from bzzz_core.telemetry import logs
from bzzz_core.telemetry.notify import notify


def run_fabric(sources: NodeSources) -> None:
    """Run only this node's broker until SIGTERM or SIGINT; SIGHUP has it look at once."""
    config = sources.start().loaded.config
    logs.set_up(level=config.resources.log_level, node=config.system.node_name)
    try:
        run_until_signal(partial(_run_broker, broker_unit(config, clock=SystemClock())))
    finally:
        remains.remove((), brokers=broker_notes(config))


def broker_unit(config: AgentConfig, *, clock: Clock) -> BrokerUnit:
    """Return what runs this node's broker, following its copy of the registry."""
    return BrokerUnit(
        with_registry(lambda: config), followed=(registry_cache(config).path,), clock=clock
    )


def broker_notes(config: AgentConfig) -> tuple[Path, ...]:
    """Return the directories in which this node's brokers leave their process ids and ports."""
    data = Path(config.resources.paths.data)
    return (data, data / "broker", data / "broker" / "companion", data / "broker" / "witness")


async def _run_broker(unit: BrokerUnit, stop: StopRequest) -> None:
    """Run the broker's unit until told to stop."""
    async with asyncio.TaskGroup() as services:
        task = services.create_task(unit.run(), name="broker-unit")
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, unit.refresh)
        notify("READY=1")
        await stop.wait()
        notify("STOPPING=1")
        task.cancel()
