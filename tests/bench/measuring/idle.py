"""What the nodes of a real cluster of three cost while nothing happens, told by the kernel.

Nobody is asked anything while it is measured: a question to an agent is work. Leadership that moved
in between makes the figures those of nobody, so that is an error.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bzzz_core.api.client import ApiClient
from bzzz_core.api.documents import Status
from bzzz_core.clock import SystemClock
from bzzz_core.config.secrets import resolve
from bzzz_core.demo.cluster import DemoCluster
from bzzz_core.demo.layout import AgentFiles, lay_out
from bzzz_core.errors import BzzzError
from bzzz_core.process import die_with_parent
from tests.fakes import processes
from tests.fakes.broker_cluster import BrokerCluster

NODES: Final = 3
CALM_S: Final = 15.0
SPAN_S: Final = 30.0
_ELECT_S_MAX: Final = 60.0
_STOP_S_MAX: Final = 20.0


@dataclass(frozen=True, slots=True)
class Used:
    """What one process costs."""

    cpu_percent: float
    """Of a core."""
    resident_mb: float


@dataclass(frozen=True, slots=True)
class Node:
    """What the processes of one node cost."""

    leads: bool
    agent: Used
    broker: Used
    unit: Used | None = None
    """What looks after the broker, where that is a process of its own."""


async def in_a_demo() -> list[Node]:
    """Measure a demo, where each agent looks after its broker itself."""
    async with DemoCluster(agents=NODES, state_dir=None, clock=SystemClock()) as cluster:
        await cluster.elected()
        files = [agent.files for agent in cluster.agents]
        return await _measured(files, [agent.process.pid for agent in cluster.agents])


async def as_on_hosts() -> list[Node]:
    """Measure what hosts run: an agent, and a unit of its own for its broker."""
    with tempfile.TemporaryDirectory(prefix="bzzz-bench-") as directory:
        files = lay_out(Path(directory) / "cluster", agents=NODES, broker="unit", quiet=True).agents
        with _running(files, "fabric", "run") as units, _running(files, "run") as agents:
            return await _measured(files, [a.pid for a in agents], [u.pid for u in units])


def bare_brokers() -> list[Used]:
    """Measure three brokers of one cluster that nobody is connected to."""
    with (
        tempfile.TemporaryDirectory(prefix="bzzz-bench-") as directory,
        BrokerCluster(Path(directory), nodes=NODES) as cluster,
    ):
        pids = [process.pid for process in cluster.processes.values()]
        return asyncio.run(_used(pids))


async def _measured(
    files: Sequence[AgentFiles], agents: Sequence[int], units: Sequence[int] = ()
) -> list[Node]:
    before = await _agreed(files)
    brokers = [int(each.broker_pid_file.read_text()) for each in files]
    used = await _used([*agents, *brokers, *units])
    after = await _agreed(files)
    assert (before.leader, before.term) == (after.leader, after.term), "leadership moved"
    count = len(files)
    return [
        Node(
            leads=each.name == before.leader,
            agent=used[number],
            broker=used[count + number],
            unit=used[2 * count + number] if units else None,
        )
        for number, each in enumerate(files)
    ]


async def _used(pids: Sequence[int]) -> list[Used]:
    """Return what processes use in `SPAN_S`, once they have been left alone for `CALM_S`."""
    clock = SystemClock()
    await clock.sleep_ms(round(CALM_S * 1_000))
    before, began_ms = [processes.cpu_ms(pid) for pid in pids], clock.now_ms()
    await clock.sleep_ms(round(SPAN_S * 1_000))
    after, took_ms = [processes.cpu_ms(pid) for pid in pids], clock.now_ms() - began_ms
    return [
        Used(100 * (late - early) / took_ms, processes.resident_mb(pid))
        for pid, early, late in zip(pids, before, after, strict=True)
    ]


async def _agreed(files: Sequence[AgentFiles]) -> Status:
    """Wait until all agents name one leader that serves."""
    async with asyncio.timeout(_ELECT_S_MAX):
        while True:
            answers = [answer for answer in [await _ask(each) for each in files] if answer]
            views = {(answer.leader, answer.term, answer.leader_serving) for answer in answers}
            if len(answers) == len(files) and len(views) == 1 and answers[0].leader_serving:
                return answers[0]
            await asyncio.sleep(0.2)


async def _ask(files: AgentFiles) -> Status | None:
    try:
        async with ApiClient(files.api_url, token=resolve(f"file:{files.token}")) as client:
            return await client.status()
    except BzzzError:
        return None


@contextmanager
def _running(files: Sequence[AgentFiles], *command: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run a command of `bzzz-agent` on every node until the block ends."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BZZZ_")}
    started: list[subprocess.Popen[bytes]] = []
    try:
        for each in files:
            with (each.directory / "logs" / f"{command[0]}.err").open("ab") as output:
                started.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "bzzz_core.cli", *command, "--config", each.config],
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=output,
                        env=environment,
                        preexec_fn=die_with_parent(),  # noqa: PLW1509  no threads here
                    )
                )
        yield started
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(timeout=_STOP_S_MAX)
