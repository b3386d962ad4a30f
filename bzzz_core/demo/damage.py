"""Breaks the nodes of a running demo and makes them whole again.

Whatever is broken here is known here: which nodes were killed, which are paused, which island each
is on. So every act can be undone, and `heal` undoes all of them. Processes are ended and paused
agent and broker together, as one machine would be.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from typing import Final

from bzzz_core.api.documents import Status
from bzzz_core.demo.cluster import DemoCluster, RunningAgent
from bzzz_core.demo.faults import Act, Done, Place, watch_for
from bzzz_core.errors import ConfigError
from bzzz_core.telemetry.processes import is_child

_WORDS: Final = {
    Act.KILL: "killed {} (kill -9 of agent and broker)",
    Act.RESTART: "started {} again",
    Act.PAUSE: "paused {} (SIGSTOP of agent and broker)",
    Act.RESUME: "resumed {}",
    Act.PARTITION: "cut {} off from the others, without a word to either side",
    Act.HEAL: "healed {}",
}


class Damage:
    """What is broken in a demo at the moment."""

    def __init__(self, cluster: DemoCluster) -> None:
        """Take a cluster that runs; nothing is broken yet."""
        self._cluster = cluster
        self._paused: set[str] = set()
        self._islands: dict[str, int] = {}
        self._island = 0
        self._acting = asyncio.Lock()

    @property
    def ready(self) -> bool:
        """Return whether nodes can be broken: not before all of them named one leader."""
        return self._cluster.elected_after_ms is not None

    def conditions(self) -> dict[str, str]:
        """Return {node: what is wrong with it} for all that something was done to."""
        killed = self._cluster.killed
        return {
            name: words
            for name in (agent.files.name for agent in self._cluster.agents)
            if (
                words := ", ".join(
                    word
                    for word, holds in (
                        ("killed", name in killed),
                        ("paused", name in self._paused),
                        ("partitioned", self._islands.get(name, 0) != 0),
                    )
                    if holds
                )
            )
        }

    async def act(self, act: Act, targets: Sequence[str], view: Status | None) -> Done:
        """Do something to nodes, and say what to watch for.

        Args:
            act: What is done.
            targets: Names, numbers or roles; none: every node that something was done to.
            view: What a node of the majority says, for whoever names a role.

        Raises:
            ConfigError: There is no such node, or it cannot be done to it now.
            BrokerError: What connects the nodes has ended.
        """
        if not self.ready:
            raise ConfigError("the demo is still starting; wait until somebody leads")
        async with self._acting:
            names = [self._named(target, view) for target in targets]
            if not names:
                names = list(self.conditions())
                if not names:
                    return Done(words="nothing is broken", watch="nothing changes")
            agents = [self._agent(name) for name in dict.fromkeys(names)]
            words = await self._carry_out(act, agents)
            return Done(words=words, watch=watch_for(act, self._place(agents, view)))

    async def _carry_out(self, act: Act, agents: list[RunningAgent]) -> str:
        names = " and ".join(agent.files.name for agent in agents)
        match act:
            case Act.PARTITION:
                await self._partition(agents)
            case Act.HEAL:
                await self._heal(agents)
            case _:
                for agent in agents:
                    await self._one(act, agent)
        if act is Act.RESTART:
            await self._draw()  # Its processes are others now.
        return _WORDS[act].format(names)

    async def _one(self, act: Act, agent: RunningAgent) -> None:
        if act is Act.KILL:
            self._kill(agent)
        elif act is Act.RESTART:
            await self._restart(agent)
        elif act is Act.PAUSE:
            self._signal(agent, signal.SIGSTOP)
            self._paused.add(agent.files.name)
        else:
            self._resume(agent)

    def _kill(self, agent: RunningAgent) -> None:
        name = agent.files.name
        if name in self._cluster.killed:
            raise ConfigError(f"{name} is down already; restart it first")
        self._signal(agent, signal.SIGKILL)
        self._cluster.killed.add(name)
        self._paused.discard(name)

    async def _restart(self, agent: RunningAgent) -> None:
        name = agent.files.name
        if name not in self._cluster.killed:
            raise ConfigError(f"{name} runs; kill it first")
        await self._cluster.restart(agent)
        self._cluster.killed.discard(name)

    def _resume(self, agent: RunningAgent) -> None:
        if agent.files.name not in self._paused:
            raise ConfigError(f"{agent.files.name} is not paused")
        self._signal(agent, signal.SIGCONT)
        self._paused.discard(agent.files.name)

    def _signal(self, agent: RunningAgent, number: signal.Signals) -> None:
        """Send a signal to agent and broker; the broker first, so that nobody restarts it."""
        broker, own = agent.broker_pid, agent.process.pid
        if agent.process.returncode is not None:
            raise ConfigError(f"{agent.files.name} is not running")
        if number is signal.SIGKILL:
            os.kill(own, signal.SIGSTOP)
        if broker is not None and is_child(broker, own):
            os.kill(broker, number)
        os.kill(own, number)

    async def _partition(self, agents: list[RunningAgent]) -> None:
        self._cluster.check_doors()
        self._island += 1
        for agent in agents:
            self._islands[agent.files.name] = self._island
        await self._draw()

    async def _heal(self, agents: list[RunningAgent]) -> None:
        for agent in agents:
            self._islands.pop(agent.files.name, None)
            if agent.files.name in self._cluster.killed:
                await self._restart(agent)
            if agent.files.name in self._paused:
                self._resume(agent)
        await self._draw()

    async def _draw(self) -> None:
        await self._cluster.draw(self._islands)

    def _agent(self, name: str) -> RunningAgent:
        for agent in self._cluster.agents:
            if agent.files.name == name:
                return agent
        raise ConfigError(f"the demo has no node {name!r}")

    def _named(self, target: str, view: Status | None) -> str:
        """Return the node that a target means at this moment."""
        if target.isdigit():
            return f"bzzz-{int(target[:4])}"
        if target not in {"leader", "follower", "edge"}:
            return target
        if view is None or view.leader is None:
            raise ConfigError(f"nobody leads at the moment, so there is no {target}")
        if target == "leader":
            return view.leader
        broken = self.conditions()
        wanted = sorted(
            member.name
            for member in view.members
            if member.voter == (target == "follower")
            and member.name != view.leader
            and member.name not in broken
        )
        if not wanted:
            raise ConfigError(f"there is no {target} that is well")
        return wanted[0]

    def _place(self, agents: list[RunningAgent], view: Status | None) -> Place:
        names = {agent.files.name for agent in agents}
        voters = {agent.files.name for agent in self._cluster.agents if agent.files.voter}
        lost = self._cluster.killed | self._paused
        together: dict[int, int] = {}
        for name in voters - lost:
            island = self._islands.get(name, 0)
            together[island] = together.get(island, 0) + 1
        return Place(
            leads=view is not None and view.leader in names,
            votes=bool(names & voters),
            keeps=view is not None and view.fabric.stream_leader in names,
            majority=max(together.values(), default=0) * 2 > len(voters),
        )
