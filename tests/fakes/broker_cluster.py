"""A real cluster for tests: enrolled nodes on loopback and one nats-server process per voter.

Nodes are laid out as the demo lays them out (keys, two authorities, certificates), so brokers run
with the very configuration that hosts get. Everything is synchronous but the questions to brokers:
a test runs its own event loop while the processes live as long as the fixture.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from bzzz_core.clock import SystemClock
from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.sources import load_agent_config
from bzzz_core.demo.layout import lay_out
from bzzz_core.errors import TransportError
from bzzz_core.fabric.binary import find_binary
from bzzz_core.fabric.broker import BrokerConfig, render
from bzzz_core.fabric.link import BrokerAddress
from bzzz_core.fabric.monitor import ask_health
from bzzz_core.fabric.nats import NatsFabric
from bzzz_core.fabric.records import NatsRecords
from bzzz_core.fabric.store import server_name
from bzzz_core.model import NodeId
from bzzz_core.process import die_with_parent
from bzzz_core.trust import private_files
from bzzz_core.trust.secrets_directory import SecretsDirectory

READY_S_MAX = 60.0
KEPT = 1_000_000


class BrokerCluster:
    """`nodes` enrolled nodes, of which the first 1, 3 or 5 run a broker."""

    def __init__(self, directory: Path, *, nodes: int) -> None:
        """Lay out the files; brokers start on entering the context."""
        files = lay_out(directory, agents=nodes)
        self.files = [agent.config for agent in files.agents]
        self.configs: list[AgentConfig] = [load_agent_config(file, {}) for file in self.files]
        self.brokers: list[BrokerConfig] = []
        for config in self.configs:
            if config.me.voter:
                store = Path(config.resources.paths.data) / "broker"
                name = server_name(store, NodeId(config.me.id))
                self.brokers.append(BrokerConfig.from_agent_config(config, server_name=name))
        if len(self.brokers) == 1:
            # One broker that never grows needs no witness; real ones are `FabricUnits`.
            self.brokers = [replace(self.brokers[0], clustered=False)]
        self.processes: dict[int, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        """Start all brokers and wait until they serve."""
        try:
            for number in range(len(self.brokers)):
                self.start(number)
            self.wait_ready()
        except BaseException:
            self.stop_all()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End all brokers."""
        self.stop_all()

    def conf(self, number: int) -> Path:
        """Return the configuration file of a broker."""
        return self.brokers[number].store / "nats.conf"

    def write_conf(self, number: int, text: str | None = None) -> None:
        """Write a broker's configuration: its own, or another to try."""
        content = render(self.brokers[number]) if text is None else text
        private_files.replace(self.conf(number), content.encode())

    def start(self, number: int, text: str | None = None) -> None:
        """Start a broker without waiting for it."""
        self.write_conf(number, text)
        self.processes[number] = subprocess.Popen(
            [find_binary(), "-c", self.conf(number)],
            stdin=subprocess.DEVNULL,
            preexec_fn=die_with_parent(),  # noqa: PLW1509  no threads here
        )

    def wait_ready(self, numbers: Sequence[int] | None = None) -> None:
        """Return once the brokers serve and know the leader of their metadata."""
        asyncio.run(self._until_ready(list(self.processes if numbers is None else numbers)))

    def signal(self, number: int, what: signal.Signals) -> None:
        """Send a signal to a broker: SIGHUP reloads, SIGSTOP pauses."""
        self.processes[number].send_signal(what)

    def kill(self, number: int) -> None:
        """End a broker without warning."""
        self.processes[number].kill()
        self.processes.pop(number).wait()

    def stop_all(self) -> None:
        """Ask all brokers to end, paused ones too, and wait."""
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self.processes.values():
            process.wait(timeout=10)
        self.processes.clear()

    def node(self, number: int) -> NodeId:
        """Return the id of a node."""
        return NodeId(self.configs[number].me.id)

    def number_of(self, broker_name: str) -> int:
        """Return which broker has this name."""
        return next(n for n, b in enumerate(self.brokers) if b.server_name == broker_name)

    def fabric(self, number: int, *, only: int | None = None) -> NatsFabric:
        """Return a node's fabric, not running; `only` names the one broker it may use."""
        config = self.configs[number]
        if only is None:
            return NatsFabric.from_agent_config(config, clock=SystemClock())
        entry = self.configs[only].me
        return NatsFabric(
            node=NodeId(config.me.id),
            brokers=[BrokerAddress(NodeId(entry.id), entry.address, entry.fabric_client)],
            secrets=SecretsDirectory(Path(config.security.directory)),
            clock=SystemClock(),
        )

    def records(self, fabric: NatsFabric, bytes_max: int | None = None) -> NatsRecords:
        """Return the control records through a fabric, not opened.

        Their stream drops nothing, for tests that read what was written.
        """
        return NatsRecords(
            fabric,
            replicas=len(self.brokers),
            clock=SystemClock(),
            kept=KEPT,
            bytes_max=bytes_max,
        )

    def log(self, number: int) -> str:
        """Return what a broker has logged."""
        path = self.brokers[number].log
        return path.read_text(errors="replace") if path.exists() else ""

    async def _until_ready(self, numbers: list[int]) -> None:
        deadline = time.monotonic() + READY_S_MAX
        for number in numbers:
            while not await self._is_ready(number):
                if time.monotonic() > deadline or self.processes[number].poll() is not None:
                    raise AssertionError(f"broker {number} is not ready\n{self.log(number)}")
                await asyncio.sleep(0.02)

    async def _is_ready(self, number: int) -> bool:
        broker = self.brokers[number]
        try:
            health = await ask_health(broker.monitor)
        except TransportError:
            return False
        return health.ready or (health.healthy and not broker.clustered)


@asynccontextmanager
async def running(*fabrics: NatsFabric) -> AsyncIterator[None]:
    """Run fabrics, attached, until the block ends."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(fabric.run()) for fabric in fabrics]
        for fabric in fabrics:
            await fabric.wait_attached()
        yield
        for task in tasks:
            task.cancel()
