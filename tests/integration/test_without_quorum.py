"""A majority is lost: what the agents that are left answer, as their operator chose."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from bzzz_core.clock import SystemClock
from bzzz_core.demo.cluster import DemoCluster, RunningAgent

pytestmark = pytest.mark.integration
SOON_S = 45.0
VALUE = "/v1/dht/value?key=k"
HISTORY = "/v1/leader/history"


async def get(agent: RunningAgent, path: str) -> tuple[int, Any]:
    token = agent.files.token.read_text().strip()
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(trust_env=False, timeout=10, headers=headers) as client:
        try:
            answer = await client.get(agent.files.api_url + path)
        except httpx.TransportError:
            return 0, None
    return answer.status_code, answer.json()


async def put_value(agent: RunningAgent) -> int:
    token = agent.files.token.read_text().strip()
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(trust_env=False, timeout=30, headers=headers) as client:
        body = {"key": "k", "value": "dmFsdWU="}
        answer = await client.put(agent.files.api_url + "/v1/dht/value", json=body)
    return answer.status_code


async def until(agent: RunningAgent, path: str, holds: Callable[[int, Any], bool]) -> None:
    deadline = time.monotonic() + SOON_S
    while not holds(*(answer := await get(agent, path))):
        assert time.monotonic() < deadline, f"{path} still answers {answer}"
        await asyncio.sleep(0.25)


async def choose_stop(cluster: DemoCluster, agent: RunningAgent) -> None:
    path = agent.files.config
    before = path.read_text()
    assert "\ncluster:\n" in before
    path.write_text(before.replace("\ncluster:\n", "\ncluster:\n  without_quorum: stop\n"))
    agent.process.terminate()
    await cluster.restart(agent)
    await until(agent, "/v1/leader", lambda _, told: bool(told and told["serving"]))


@pytest.mark.journey
def test_agents_refuse_or_answer_as_chosen_until_a_leader_is_back(tmp_path: Path) -> None:
    """Three voters and an edge; one voter says stop, the edge says read-only."""

    async def story() -> None:
        async with DemoCluster(
            agents=4, state_dir=tmp_path / "state", clock=SystemClock()
        ) as cluster:
            await cluster.elected()
            strict, *others, edge = cluster.agents
            await choose_stop(cluster, strict)
            assert await put_value(strict) == 200
            for agent in others:
                agent.process.kill()
            await until(strict, HISTORY, lambda code, _: code == 503)
            code, told = await get(strict, VALUE)
            assert (code, "cluster.without_quorum is stop" in str(told)) == (503, True), told
            assert await put_value(strict) == 503
            code, told = await get(strict, "/v1/leader")
            assert (code, told["leader"], told["stale"]) == (200, None, True)
            for path in ("/v1/dht", "/v1/status", "/v1/nodes"):
                assert (await get(strict, path))[0] == 200, path
            await until(edge, HISTORY, lambda code, told: code == 200 and told["stale"])
            for agent in others:
                await cluster.restart(agent)
            await until(strict, HISTORY, lambda code, told: code == 200 and not told["stale"])
            await until(strict, VALUE, lambda code, _: code == 200)
            await until(edge, HISTORY, lambda code, told: code == 200 and not told["stale"])

    asyncio.run(story())
