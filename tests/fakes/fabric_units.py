"""Real broker units of several nodes in one process, with a membership that a test changes.

Each node's unit follows a file as it follows the registry's cache on a host; `vote` rewrites what
they read and touches that file. Nothing of the product is replaced but where the answer to "who is
a member, who votes" comes from.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from bzzz_core.clock import SystemClock
from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.sources import load_agent_config
from bzzz_core.demo.layout import lay_out
from bzzz_core.errors import BzzzError, NotEnrolled
from bzzz_core.fabric.link import BrokerAddress
from bzzz_core.fabric.nats import NatsFabric
from bzzz_core.fabric.operations import SystemAccount, system_account
from bzzz_core.fabric.records import NatsRecords
from bzzz_core.fabric.streams import StreamKeeper, stream_keeper
from bzzz_core.fabric.unit import BrokerUnit
from bzzz_core.model import NodeId
from bzzz_core.trust.secrets_directory import SecretsDirectory

READY_MS = 60_000
WAIT_S_MAX = 60.0


class FabricUnits:
    """`nodes` laid-out nodes; the units of those that were started run in tasks of `group`."""

    def __init__(self, directory: Path, *, nodes: int, voters: int) -> None:
        """Lay out the files; the first `voters` nodes vote."""
        files = lay_out(directory, agents=nodes)
        self.clock = SystemClock()
        self.configs: list[AgentConfig] = [load_agent_config(a.config, {}) for a in files.agents]
        self.voters = set(range(voters))
        self.members = set(range(nodes))
        self.units: dict[int, BrokerUnit] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._registry = directory / "registry"
        self._version = 0
        self._touch()

    def config(self, number: int) -> AgentConfig:
        """Return a node's configuration under the present membership."""
        if number not in self.members:
            raise NotEnrolled(f"node {number} was removed")
        mine = self.configs[number]
        nodes = tuple(
            mine.cluster.nodes[other].model_copy(update={"voter": other in self.voters})
            for other in sorted(self.members)
        )
        cluster = mine.cluster.model_copy(update={"nodes": nodes})
        return mine.model_copy(update={"cluster": cluster})

    def vote(self, voters: Iterable[int]) -> None:
        """Let exactly these nodes vote, and let all units notice."""
        self.voters = set(voters)
        self._touch()

    def expel(self, number: int) -> None:
        """Let a node be no member any more."""
        self.members.discard(number)
        self.voters.discard(number)
        self._touch()

    def start(self, number: int, group: asyncio.TaskGroup) -> None:
        """Start a node's unit, as systemd does at boot."""
        unit = BrokerUnit(lambda: self.config(number), followed=(self._registry,), clock=self.clock)
        self.units[number] = unit
        self._tasks[number] = group.create_task(unit.run())

    async def stop(self, number: int) -> None:
        """End a node's unit in order."""
        self.units.pop(number)
        task = self._tasks.pop(number)
        task.cancel()
        await asyncio.wait([task])

    async def cut_power(self, numbers: Iterable[int]) -> None:
        """Kill brokers and units without a word."""
        numbers = list(numbers)
        for number in numbers:
            self.signal(number, signal.SIGKILL)
        for number in numbers:
            await self.stop(number)

    def signal(self, number: int, what: signal.Signals) -> None:
        """Send a signal to a node's broker."""
        os.kill(self.pid(number), what)

    def pid(self, number: int) -> int:
        """Return the process of a node's broker."""
        server = self.units[number].server
        assert server is not None
        assert server.pid is not None
        return server.pid

    def name(self, number: int) -> str:
        """Return the name of a node's broker."""
        server = self.units[number].server
        assert server is not None
        assert server.server_name is not None
        return server.server_name

    def name_or_none(self, number: int) -> str | None:
        """Return the name of a node's broker while it runs."""
        unit = self.units.get(number)
        return unit.server.server_name if unit and unit.server and unit.server.pid else None

    def store(self, number: int) -> Path:
        """Return the directory of a node's broker."""
        return Path(self.configs[number].resources.paths.data) / "broker"

    async def ready(self, *numbers: int) -> None:
        """Return once these brokers serve and are peers."""
        for number in numbers:
            await self.until(lambda number=number: self.units[number].server is not None)  # type: ignore[misc]
            server = self.units[number].server
            assert server is not None
            await server.wait_ready(READY_MS)

    async def until(self, condition: Callable[[], bool], timeout_s: float = WAIT_S_MAX) -> None:
        """Return once a condition holds."""
        async with asyncio.timeout(timeout_s):
            while not condition():  # noqa: ASYNC110  nobody sets an event of ours
                await asyncio.sleep(0.02)

    async def eventually(
        self, condition: Callable[[], Awaitable[Any]], timeout_s: float = WAIT_S_MAX
    ) -> Any:
        """Return what a question answers, once it answers something true."""
        why: BzzzError | None = None
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    try:
                        if answer := await condition():
                            return answer
                    except BzzzError as exc:
                        why = exc
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"it did not come about in {timeout_s} s: {why}") from why

    @asynccontextmanager
    async def system(self, number: int) -> AsyncIterator[SystemAccount]:
        """Be the system account at a node's broker."""
        async with self.system_of(self.config(number)) as system:
            yield system

    @asynccontextmanager
    async def system_of(self, config: AgentConfig) -> AsyncIterator[SystemAccount]:
        """Be the system account as a configuration says."""
        async with system_account(config, clock=self.clock) as system:
            yield system

    @asynccontextmanager
    async def keeper(self, number: int) -> AsyncIterator[StreamKeeper]:
        """Keep the streams at a node's broker."""
        async with stream_keeper(self.config(number), clock=self.clock) as keeper:
            yield keeper

    async def peers(self, number: int) -> dict[str, bool]:
        """Return the cluster's peers as asked at one broker: name -> online."""
        async with self.system(number) as system:
            return {peer.name: peer.online for peer in await system.peers()}

    async def settled(self, number: int, replicas: int) -> bool:
        """Return whether every stream has this many replicas, all current."""
        async with self.keeper(number) as keeper:
            states = await keeper.states()
        return bool(states) and all(s.settled and s.replicas == replicas for s in states)

    @asynccontextmanager
    async def records(
        self, number: int, *, replicas: int = 1, only: int | None = None
    ) -> AsyncIterator[NatsRecords]:
        """Open the control records as a node, through one broker or any."""
        config = self.config(number)
        fabric = NatsFabric.from_agent_config(config, clock=self.clock)
        if only is not None:
            entry = self.config(only).me
            fabric = NatsFabric(
                node=NodeId(config.me.id),
                brokers=[BrokerAddress(NodeId(entry.id), entry.address, entry.fabric_client)],
                secrets=SecretsDirectory(Path(config.security.directory)),
                clock=self.clock,
            )
        records = NatsRecords(fabric, replicas=replicas, clock=self.clock)
        async with AsyncExitStack() as stack:
            group = await stack.enter_async_context(asyncio.TaskGroup())
            running = group.create_task(fabric.run())
            stack.callback(running.cancel)
            await records.open()
            yield records

    def _touch(self) -> None:
        self._version += 1
        self._registry.write_text(str(self._version))


def play(units: FabricUnits, scenario: Callable[[asyncio.TaskGroup], Awaitable[None]]) -> None:
    """Run a scenario, then end every unit it left running."""

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            await scenario(group)
            for number in list(units.units):
                await units.stop(number)

    asyncio.run(run())
