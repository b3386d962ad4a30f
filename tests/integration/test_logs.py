"""The log as an operator lives with it: one request on three agents, levels live, files rotated."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from bzzz_core.clock import SystemClock
from bzzz_core.demo.cluster import DemoCluster, RunningAgent

pytestmark = pytest.mark.integration
SOON_S = 20.0
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


async def command(agent: RunningAgent, *words: str) -> tuple[int, str]:
    """Run `bzzz-agent` on a node's file and return its exit status and what it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bzzz_core.cli", *words, "--config", str(agent.files.config)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    async with asyncio.timeout(30):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def lines(agent: RunningAgent, *words: str) -> list[dict[str, Any]]:
    code, said = await command(agent, "logs", "show", "--json", *words)
    assert code == 0, said
    return [json.loads(row) for row in said.splitlines()]


async def until(what: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + SOON_S
    while not await what():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.2)


async def put(agent: RunningAgent, changes: dict[str, str], **headers: str) -> None:
    body = {"changes": changes, "scope": "cluster", "by": "a test"}
    token = agent.files.token.read_text()
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        answer = await client.put(
            f"{agent.files.api_url}/v1/config",
            json=body,
            headers={"authorization": f"Bearer {token}", **headers},
        )
    assert answer.status_code == 200, answer.text


def test_logs_of_three_agents(tmp_path: Path) -> None:
    async def story() -> None:
        async with DemoCluster(
            agents=3, state_dir=tmp_path / "state", clock=SystemClock()
        ) as cluster:
            leading = (await cluster.elected()).leader
            follower = next(a for a in cluster.agents if a.files.name != leading)
            leader = next(a for a in cluster.agents if a.files.name == leading)
            await one_request_is_found_on_all_nodes(cluster.agents, follower, leader)
            await levels_change_live(follower)
            await the_log_is_rotated_and_searched(follower)
            living = await lines(follower, "--component", "log")
        # All agents have ended; the files tell the same.
        for agent in cluster.agents:
            assert [line["trace"] for line in await lines(agent, "--trace", TRACE)]
            ends = await lines(agent, "--component", "agent", "--lines", "1")
            assert ends[0]["text"] == "agent stopped"
            assert (agent.files.directory / "logs" / "agent.err").read_text() == ""
        assert living[-1]["text"] == "level wished"

    asyncio.run(story())


async def one_request_is_found_on_all_nodes(
    agents: tuple[RunningAgent, ...], follower: RunningAgent, leader: RunningAgent
) -> None:
    """The caller brings the trace; the leader logs its answer, and every node what it applied."""
    code, said = await command(leader, "logs", "level", "leadership", "debug")
    assert code == 0, said
    await put(follower, {"resources.monitoring.logs.file_bytes_max": "100000"}, traceparent=PARENT)
    for agent in agents:

        async def found(agent: RunningAgent = agent) -> bool:
            texts = [line["text"] for line in await lines(agent, "--trace", TRACE)]
            return "configuration changed" in texts

        await until(found)
    answered = [
        line["fields"]["operation"]
        for line in await lines(leader, "--trace", TRACE, "--component", "leadership")
    ]
    assert "config-set" in answered
    # Without a header the node gives the request a number of its own.
    await put(follower, {"resources.log_level": "info"})
    (line,) = await lines(follower, "--text", "configuration changed", "--lines", "1")
    assert len(line["trace"]) == 32
    assert line["fields"]["key"] != "resources.log_level" or line["trace"] != TRACE


async def levels_change_live(agent: RunningAgent) -> None:
    code, said = await command(agent, "logs", "level", "roster", "error", "--for", "2s")
    assert (code, "wished for 2 s yet" in said) == (0, True), said

    async def over() -> bool:
        return "wished" not in (await command(agent, "logs", "level", "roster"))[1]

    await until(over)
    code, _ = await command(agent, "logs", "level", "nobody", "debug")
    assert code == 2
    code, said = await command(agent, "logs", "level", "agent", "debug")
    assert (code, said.split()[:2]) == (0, ["agent", "debug"]), said


async def the_log_is_rotated_and_searched(agent: RunningAgent) -> None:
    """The file is at most 100 KB by now; the words of commands fill it."""
    logs = agent.files.directory / "logs"
    padding = "x" * 60_000
    path = logs / "agent.log"
    with path.open("a") as file:  # As if the agent had written much.
        file.write(f'{{"foreign": "{padding}"}}\n{{"foreign": "{padding}"}}\n')

    async def rotated() -> bool:
        await command(agent, "logs", "level", "dht", "debug")
        return bool(list(logs.glob("agent-000001-*.log.gz")))

    await until(rotated)
    assert await lines(agent, "--text", "agent started"), "found in the compressed file"
