"""Configuration as an operator lives with it: real agents, real brokers, the real command line."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bzzz_core.clock import SystemClock
from bzzz_core.demo.cluster import DemoCluster, RunningAgent
from bzzz_core.demo.layout import free_ports
from tests.fakes.audits import acts

pytestmark = pytest.mark.integration
SOON_S = 60.0
COMMAND_S = 30.0
LEVEL, FIXED, SHARED = "resources.log_level", "cluster.timings.rank_delay_ms", "validation.watch_ms"


async def command(agent: RunningAgent, *words: str) -> tuple[int, str]:
    """Run `bzzz-agent` on a node's file and return its exit status and all it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bzzz_core.cli", *words, "--config", str(agent.files.config)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(COMMAND_S):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def config(agent: RunningAgent, what: str, *words: str) -> tuple[int, str]:
    """Run `bzzz-agent config` for one node."""
    return await command(agent, "config", what, *words)


async def running(agent: RunningAgent, key: str) -> Any:
    """Return a value as the running agent has it."""
    code, said = await config(agent, "show", "--running", "--json", key)
    return json.loads(said)["settings"][0]["value"] if code == 0 else said


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + SOON_S
    while not await condition():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.1)


def audit(agent: RunningAgent) -> list[dict[str, Any]]:
    return acts(agent.files.config.parent / "logs")


def rewrite(agent: RunningAgent, old: str, new: str) -> None:
    path: Path = agent.files.config
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


async def one_node(agent: RunningAgent, restart: Callable[[], Awaitable[None]]) -> None:
    code, said = await config(agent, "set", LEVEL, "debug", FIXED, "160")
    assert code == 0, said
    assert f"applied: {LEVEL}: info -> debug" in said
    assert f"restart needed: {FIXED}: 150 -> 160" in said
    assert (await running(agent, LEVEL), await running(agent, FIXED)) == ("debug", 150)

    rewrite(agent, "log_level: debug", "log_level: warning")
    await until(lambda: is_so(agent, LEVEL, "warning"))
    assert {"actor": "file change", "old": "debug", "new": "warning"}.items() <= audit(agent)[
        -1
    ].items()

    rewrite(agent, "rank_delay_ms: 160", "rank_delay_ms: soon")
    agent.process.send_signal(signal.SIGHUP)

    async def refused() -> bool:
        return audit(agent)[-1]["what"] == "config refused"

    await until(refused)
    assert f"{FIXED}: Input should be a valid integer" in audit(agent)[-1]["reason"]
    rewrite(agent, "rank_delay_ms: soon", "rank_delay_ms: 160")
    assert await running(agent, LEVEL) == "warning"

    agent.process.terminate()
    await restart()
    await until(lambda: is_so(agent, FIXED, 160))
    assert (await config(agent, "diff", "--running"))[1] == "no difference\n"


async def is_so(agent: RunningAgent, key: str, value: object) -> bool:
    return bool(await running(agent, key) == value)


async def all_nodes(agents: tuple[RunningAgent, ...]) -> None:
    code, said = await config(agents[1], "set", "--cluster", SHARED, "700")
    assert code == 0, said
    for agent in agents:
        await until(lambda agent=agent: is_so(agent, SHARED, 700))  # type: ignore[misc]
    code, said = await config(agents[0], "set", "--cluster", "--revision", "0", SHARED, "800")
    assert (code, "at revision 1, not at 0" in said) == (1, True), said
    code, said = await config(agents[3], "set", "--cluster", SHARED, "900")
    assert (code, "only a voter" in said) == (1, True), said
    _, said = await config(agents[3], "history", SHARED)
    assert f"{SHARED}: - -> 700" in said
    assert (await config(agents[2], "unset", "--cluster", SHARED))[0] == 0
    for agent in agents:
        await until(lambda agent=agent: is_so(agent, SHARED, 1_000))  # type: ignore[misc]


@pytest.mark.journey
def test_what_waits_for_a_restart_holds_up_no_revocation(tmp_path: Path) -> None:
    """The agent says "restart needed"; its broker goes on taking who belongs to the cluster."""
    (ports,) = free_ports(1)
    new = tmp_path / "new"

    async def story() -> None:
        async with DemoCluster(
            agents=2, state_dir=tmp_path / "state", clock=SystemClock()
        ) as cluster:
            await cluster.elected()
            voter, edge = cluster.agents
            home = voter.files.config.parent
            for key, value in (
                ("network.ports.fabric_monitor", ports.fabric_monitor),
                ("resources.store_bytes_max", 300_000_000),
                ("resources.paths.data", new),
            ):
                code, said = await config(voter, "set", key, str(value))
                assert (code, "restart needed" in said) == (0, True), said
            log = home / "logs" / "nats.log"
            before = log.read_text().count("Reloaded server configuration")
            code, said = await command(voter, "node", "revoke", "--yes", edge.files.name)
            assert code == 0, said

            async def taken() -> bool:
                return log.read_text().count("Reloaded server configuration") > before

            await until(taken)
            text = log.read_text()
            assert "Failed to reload" not in text
            name = (home / "data" / "broker" / "server-name").read_text()
            broker = int((home / "data" / "nats.pid").read_text())
            os.kill(broker, signal.SIGKILL)

            async def back() -> bool:
                return another(home / "data" / "nats.pid", broker)

            await until(back)
            assert (home / "data" / "broker" / "server-name").read_text() == name
            assert not new.exists()

    asyncio.run(story())


def another(pid: Path, before: int) -> bool:
    """Return whether another broker has written its process id."""
    text = pid.read_text().strip() if pid.exists() else ""
    return text.isdigit() and int(text) != before


@pytest.mark.journey
def test_a_second_agent_on_a_nodes_data_is_refused(tmp_path: Path) -> None:
    """With other ports it would not be in the way, but it would be the same voter."""
    (ports,) = free_ports(1)

    async def story() -> None:
        async with DemoCluster(
            agents=1, state_dir=tmp_path / "state", clock=SystemClock()
        ) as cluster:
            await cluster.elected()
            (agent,) = cluster.agents
            counter = agent.files.config.parent / "data" / "incarnation"
            counted = counter.read_text()
            code, said = await command(agent, "run", "--set", f"network.ports.api={ports.api}")
            assert (code, "another agent runs on" in said) == (3, True), said
            assert counter.read_text() == counted, "it did nothing"
            os.kill(agent.process.pid, signal.SIGKILL)
            await cluster.restart(agent)
            await cluster.elected()

    asyncio.run(story())


@pytest.mark.journey
def test_an_operator_changes_one_node_and_then_all(tmp_path: Path) -> None:
    """Four agents are three voters and an edge."""

    async def story() -> None:
        async with DemoCluster(
            agents=4, state_dir=tmp_path / "state", clock=SystemClock()
        ) as cluster:
            await cluster.elected()
            agents = cluster.agents
            await all_nodes(agents)
            await one_node(agents[0], lambda: cluster.restart(agents[0]))

    asyncio.run(story())
