"""A voter comes back without its data directory: real agents, real brokers."""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bzzz_core.clock import SystemClock
from bzzz_core.demo.cluster import DemoCluster, RunningAgent
from bzzz_core.trust.secrets_directory import SecretsDirectory

pytestmark = pytest.mark.integration
SOON_S = 45.0
ABSTAINS = "vote file lost: abstaining"


async def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SOON_S
    while not holds():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.1)


def said(agent: RunningAgent) -> str:
    return (agent.files.directory / "logs" / "agent.log").read_text()


def mark(agent: RunningAgent) -> Path:
    return SecretsDirectory(agent.files.directory / "secrets").voted


@pytest.mark.journey
def test_a_voter_without_its_data_abstains_until_leadership_moves(tmp_path: Path) -> None:
    """Its mark lies beside its key. A resignation is enough for it to vote again."""

    async def story() -> None:
        async with DemoCluster(
            agents=3, state_dir=tmp_path / "state", clock=SystemClock()
        ) as cluster:
            before = await cluster.elected()
            leader = next(a for a in cluster.agents if a.files.name == before.leader)
            # Somebody voted for it, perhaps not everybody.
            victim = next(a for a in cluster.agents if a is not leader and mark(a).exists())
            data = victim.files.directory / "data"
            victim.process.send_signal(signal.SIGKILL)
            await victim.process.wait()
            shutil.rmtree(data)
            data.mkdir(mode=0o700)
            assert ABSTAINS not in said(victim)
            await cluster.restart(victim)
            await until(lambda: ABSTAINS in said(victim), "it began afresh")
            assert not (data / "votes" / "vote").exists()
            leader.process.terminate()
            await cluster.restart(leader)
            await until((data / "votes" / "vote").exists, "it abstains for ever")

    asyncio.run(story())
