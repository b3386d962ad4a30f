"""A demo's nodes are killed, paused and cut off without root; each is seen, all is undone."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bzzz_core.api.client import ApiClient
from bzzz_core.api.documents import Status
from bzzz_core.clock import SystemClock
from bzzz_core.config.secrets import resolve
from bzzz_core.demo.cluster import DemoCluster
from bzzz_core.demo.damage import Damage
from bzzz_core.demo.faults import Act
from bzzz_core.demo.watcher import newest
from bzzz_core.errors import ConfigError
from bzzz_core.model import MemberState

pytestmark = pytest.mark.integration
SETTLE_S_MAX = 40.0


class Demo:
    """A running demo and what is broken in it."""

    def __init__(self, cluster: DemoCluster) -> None:
        self.cluster = cluster
        self.damage = Damage(cluster)

    async def until(self, what: str, holds: Callable[[dict[str, Status]], bool]) -> None:
        """Ask all nodes until something holds of what they say."""
        statuses: dict[str, Status] = {}
        try:
            async with asyncio.timeout(SETTLE_S_MAX):
                while True:
                    statuses = {each.node: each for each in await self.cluster.statuses()}
                    if statuses and holds(statuses):
                        return
                    await asyncio.sleep(0.2)
        except TimeoutError:
            seen = {name: (s.leader, s.term, s.leader_serving) for name, s in statuses.items()}
            raise AssertionError(f"not within {SETTLE_S_MAX} s: {what}; seen {seen}") from None

    async def settled(self) -> Status:
        """Wait until all nodes are alive and agree, the stream led elsewhere than the cluster."""
        await self.until("all alive, one leader, stream led apart", self._settled)
        view = newest(await self.cluster.statuses())
        assert view is not None
        return view

    def _settled(self, seen: dict[str, Status]) -> bool:
        views = {(s.leader, s.term) for s in seen.values()}
        return (
            len(seen) == len(self.cluster.agents)
            and len(views) == 1
            and all(s.leader_serving for s in seen.values())
            and all(m.state is MemberState.ALIVE for s in seen.values() for m in s.members)
            and all(s.fabric.stream_leader not in {None, s.leader} for s in seen.values())
        )

    async def ask(self, name: str) -> Status:
        files = next(a.files for a in self.cluster.agents if a.files.name == name)
        async with ApiClient(files.api_url, token=resolve(f"file:{files.token}")) as client:
            return await client.status()


def run(scenario: Callable[[Demo], Awaitable[None]], *, agents: int = 3) -> None:
    async def play() -> tuple[list[int], Path]:
        clock = SystemClock()
        async with DemoCluster(agents=agents, state_dir=None, clock=clock, doors=True) as cluster:
            await cluster.elected()
            await scenario(Demo(cluster))
            pids = [agent.process.pid for agent in cluster.agents]
            pids += [agent.broker_pid for agent in cluster.agents if agent.broker_pid]
            assert cluster.doors_pid is not None
            directory = cluster.agents[0].files.directory.parent
        return [*pids, cluster.doors_pid], directory

    pids, directory = asyncio.run(play())
    assert not [pid for pid in pids if _lives(pid)], "a process outlived the demo"
    assert not directory.exists(), "the demo's files were left behind"


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.journey
def test_a_leader_cut_off_steps_down_and_the_others_elect_another() -> None:
    async def scenario(demo: Demo) -> None:
        before = await demo.settled()
        assert before.leader is not None
        old = before.leader
        done = await demo.damage.act(Act.PARTITION, ["leader"], before)
        assert "the old one steps down" in done.watch
        assert demo.damage.conditions() == {old: "partitioned"}

        def replaced(seen: dict[str, Status]) -> bool:
            others = [status for name, status in seen.items() if name != old]
            return len({s.leader for s in others}) == 1 and all(
                s.leader not in {None, old} and s.leader_serving and s.term > before.term
                for s in others
            )

        await demo.until("the others have a leader in a higher term", replaced)
        await demo.until(
            "the one cut off leads no more", lambda seen: old in seen and seen[old].leader != old
        )
        await demo.until(
            "the others hold it for dead",
            lambda seen: all(
                m.state is MemberState.DEAD
                for name, s in seen.items()
                if name != old
                for m in s.members
                if m.name == old
            ),
        )
        await demo.damage.act(Act.HEAL, [], None)
        assert demo.damage.conditions() == {}
        after = await demo.settled()
        assert after.term > before.term

    run(scenario)


@pytest.mark.journey
def test_kill_restart_pause_and_resume() -> None:
    async def scenario(demo: Demo) -> None:
        before = await demo.settled()
        assert before.leader is not None
        old = before.leader
        with pytest.raises(ConfigError, match="kill it first"):
            await demo.damage.act(Act.RESTART, [old], before)
        await demo.damage.act(Act.KILL, [old], before)
        with pytest.raises(ConfigError, match="down already"):
            await demo.damage.act(Act.KILL, [old], before)
        await demo.until(
            "another leads",
            lambda seen: all(
                s.leader not in {None, old} and s.leader_serving for s in seen.values()
            ),
        )
        await demo.damage.act(Act.RESTART, [old], None)
        after = await demo.settled()
        await demo.damage.act(Act.PAUSE, ["follower"], after)
        (paused,) = demo.damage.conditions()
        await demo.until(
            "the paused one is suspect or dead",
            lambda seen: any(
                m.state is not MemberState.ALIVE
                for s in seen.values()
                for m in s.members
                if m.name == paused
            ),
        )
        await demo.damage.act(Act.RESUME, [paused], None)
        await demo.settled()
        await demo.damage.act(Act.PAUSE, [paused], None)  # What is paused ends with the demo, too.

    run(scenario)


def test_a_script_is_played_and_told(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "bzzz_tui.cli", "demo", "--headless", "--json", "--for", "12"]
    script = "partition follower@1, kill bzzz-9@2, heal@3"
    done = subprocess.run(
        [*argv, "--do", script],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["happened"]
    kinds = [each["kind"] for each in told if each["kind"] != "seen"]
    assert kinds == ["done", "refused", "done"]
    assert "has no node 'bzzz-9'" in next(e["words"] for e in told if e["kind"] == "refused")
    assert list(tmp_path.iterdir()) == []
