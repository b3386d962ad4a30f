"""Starts a laid-out cluster, waits until it serves, and ends every process it started.

Each agent is the program that runs on a real host, with its own broker as a child. The chain holds
downwards without help: if the demo dies, the kernel ends the agents; if an agent dies, its broker.
With `doors` the nodes reach each other through forwarders that can fall silent (`doors`), which are
open before the first agent asks for another and end with the demo.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from bzzz_core.api.client import ApiClient
from bzzz_core.api.documents import Status
from bzzz_core.config.profile import ClusterProfile, ProfileHost
from bzzz_core.config.secrets import resolve
from bzzz_core.demo.layout import AgentFiles, ClusterFiles, lay_out
from bzzz_core.demo.switchboard import Switchboard
from bzzz_core.demo.switching import NodeProcesses
from bzzz_core.errors import BrokerError, BzzzError, ConfigError, QuorumUnavailable
from bzzz_core.ports import Clock
from bzzz_core.process import die_with_parent
from bzzz_core.trust import private_files

ELECT_MS_MAX = 60_000
_POLL_MS = 50
_STOP_MS = 10_000
_LOG_TAIL_BYTES = 2_000


@dataclass(slots=True)
class RunningAgent:
    """One agent of the demo and the process it runs in."""

    files: AgentFiles
    process: Process

    @property
    def broker_pid(self) -> int | None:
        """Return the process id of the agent's broker, or None if it has none."""
        try:
            return int(self.files.broker_pid_file.read_text())
        except (OSError, ValueError):
            return None


class DemoCluster:
    """A local cluster as an async context manager: laid out and started inside, gone after."""

    def __init__(
        self, *, agents: int, state_dir: Path | None, clock: Clock, doors: bool = False
    ) -> None:
        """Start nothing yet.

        Args:
            agents: How many nodes.
            state_dir: Keeps their files; without one a temporary directory is used and removed.
            clock: For time limits.
            doors: Whether nodes can be cut off from each other.
        """
        self._count = agents
        self._with_doors = doors and agents > 1
        self._board: Switchboard | None = None
        self._clock = clock
        self._temporary = None if state_dir else tempfile.TemporaryDirectory(prefix="bzzz-demo-")
        self._directory = state_dir.absolute() if state_dir else Path(self._temporary.name)  # type: ignore[union-attr]
        self._files: ClusterFiles | None = None
        self._agents: list[RunningAgent] = []
        self.elected_after_ms: int | None = None
        """From the start of the first process until all agents named one serving leader."""
        self.killed: set[str] = set()
        """Names of nodes that were ended on purpose: that they are gone is no failure."""

    @property
    def agents(self) -> tuple[RunningAgent, ...]:
        """Return the started agents."""
        return tuple(self._agents)

    @property
    def doors_pid(self) -> int | None:
        """Return the process that connects the nodes; None: they reach each other directly."""
        return self._board.pid if self._board is not None else None

    @property
    def profile(self) -> ClusterProfile:
        """Return what a monitor needs to watch this cluster."""
        files = self._laid_out()
        return ClusterProfile(
            name=files.name,
            cluster_id=files.cluster_id,
            ca_sha256=files.ca_sha256,
            api_token=f"file:{files.agents[0].token}",
            hosts=tuple(
                ProfileHost(
                    name=agent.name,
                    address="127.0.0.1",
                    api_port=agent.api_port,
                    api_url=agent.api_url,
                )
                for agent in files.agents
            ),
        )

    async def __aenter__(self) -> Self:
        """Lay out and start all agents; does not wait for the election."""
        self._files = await asyncio.to_thread(
            lay_out, self._directory, agents=self._count, doors=self._with_doors, quiet=True
        )
        self._started_ms = self._clock.now_ms()
        try:
            if self._with_doors:
                doors = tuple(door for files in self._files.agents for door in files.doors)
                self._board = await Switchboard.start(doors)
            for files in self._files.agents:
                self._agents.append(RunningAgent(files, await _start(files)))
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End every process that was started."""
        await self.stop()

    async def elected(self) -> Status:
        """Wait until all living agents name one serving leader and write `cluster.json`.

        Raises:
            QuorumUnavailable: That did not happen within `ELECT_MS_MAX`.
            BrokerError: An agent ended; its last words are in the message.
        """
        deadline_ms = self._started_ms + ELECT_MS_MAX
        while self._clock.now_ms() < deadline_ms:
            self._check_alive()
            statuses = await self.statuses()
            if _agreed(statuses) and len(statuses) == self._count - len(self.killed):
                self.elected_after_ms = self._clock.now_ms() - self._started_ms
                self._write_cluster_json()
                return statuses[0]
            await self._clock.sleep_ms(_POLL_MS)
        raise QuorumUnavailable(f"no leader within {ELECT_MS_MAX} ms; see {self._directory}/*/logs")

    async def statuses(self) -> list[Status]:
        """Return what the answering agents say, in the order of their names."""
        answers = await asyncio.gather(*(_ask(agent.files) for agent in self._agents))
        return [answer for answer in answers if answer is not None]

    async def restart(self, agent: RunningAgent) -> None:
        """Start an agent that has ended again, on the files it had."""
        await agent.process.wait()
        agent.process = await _start(agent.files)

    def check_doors(self) -> None:
        """Refuse what needs doors where there are none.

        Raises:
            ConfigError: This demo has none.
        """
        if self._board is None:
            raise ConfigError("a demo of one node has nobody to be cut off from")

    async def draw(self, islands: Mapping[str, int]) -> None:
        """Let nodes hear only those of their own island; who is not named is on island 0.

        Raises:
            BrokerError: What connects the nodes has ended.
        """
        if self._board is None:
            return
        nodes = {
            agent.files.name: NodeProcesses(
                agent=agent.process.pid, broker_pid_file=str(agent.files.broker_pid_file)
            )
            for agent in self._agents
        }
        await self._board.draw(islands, nodes=nodes)

    async def stop(self) -> None:
        """Ask every agent to end, then insist; brokers end with their agents."""
        try:
            await self._stop_agents()
        finally:
            if self._board is not None:
                await self._board.stop()
            if self._temporary:
                await asyncio.to_thread(self._temporary.cleanup)

    async def _stop_agents(self) -> None:
        living = [agent for agent in self._agents if agent.process.returncode is None]
        for agent in living:
            agent.process.send_signal(signal.SIGTERM)
            agent.process.send_signal(signal.SIGCONT)  # a paused agent could not hear it
        try:
            async with asyncio.timeout(_STOP_MS / 1000):
                await asyncio.gather(*(agent.process.wait() for agent in living))
        except TimeoutError:
            for agent in living:
                if agent.process.returncode is None:
                    agent.process.kill()
            await asyncio.gather(*(agent.process.wait() for agent in living))

    def _laid_out(self) -> ClusterFiles:
        assert self._files is not None, "enter the DemoCluster first"
        return self._files

    def _check_alive(self) -> None:
        if self._board is not None and not self._board.running:
            raise BrokerError("what connects the demo's nodes has ended")
        for agent in self._agents:
            if agent.process.returncode is not None and agent.files.name not in self.killed:
                tail = _tail(_output_path(agent.files))
                raise BrokerError(
                    f"{agent.files.name} ended with status {agent.process.returncode}:\n{tail}"
                )

    def _write_cluster_json(self) -> None:
        files = self._laid_out()
        document = {
            "name": files.name,
            "cluster_id": files.cluster_id,
            "agents": [
                {
                    "name": agent.files.name,
                    "pid": agent.process.pid,
                    "nats_pid": agent.broker_pid,
                    "api_url": agent.files.api_url,
                    "config": str(agent.files.config),
                    "token_file": str(agent.files.token),
                }
                for agent in self._agents
            ],
        }
        content = msgspec.json.format(msgspec.json.encode(document)) + b"\n"
        private_files.replace(self._directory / "cluster.json", content)


async def _start(files: AgentFiles) -> Process:
    # The parent's BZZZ_* must not override what was laid out; Ctrl+C is for the demo alone.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BZZZ_")}
    with private_files.append(_output_path(files)) as output:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "bzzz_core.cli", "run", "--config", str(files.config)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
            preexec_fn=die_with_parent(),
        )


def _output_path(files: AgentFiles) -> Path:
    """Return where an agent's last words go, should it fail; its log is `agent.log` beside it."""
    return files.directory / "logs" / "agent.err"


def _tail(path: Path) -> str:
    content = path.read_bytes() if path.exists() else b""
    return content[-_LOG_TAIL_BYTES:].decode("utf-8", "replace")


async def _ask(files: AgentFiles) -> Status | None:
    try:
        async with ApiClient(files.api_url, token=resolve(f"file:{files.token}")) as client:
            return await client.status()
    except BzzzError:
        return None


def _agreed(statuses: list[Status]) -> bool:
    views = {(status.leader, status.term, status.leader_serving) for status in statuses}
    return len(views) == 1 and all(leader and serving for leader, _, serving in views)
