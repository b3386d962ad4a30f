"""Leaders are killed one after another; an operator reads what happened."""

from __future__ import annotations

import asyncio
import os
import re
import sys

import pytest

from bzzz_core.clock import SystemClock
from bzzz_core.demo.cluster import DemoCluster, RunningAgent
from tests.bench.failover import one_round, settled

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
KILLS = 5 if "BZZZ_TEST_FULL" in os.environ else 2
_HEAD = re.compile(
    r"Term (?P<term>\d+) +(?P<leader>bzzz-\d), "
    r"(since [^(]*\d\d:\d\d|[^(]*\d\d:\d\d to [^(]*\d\d:\d\d) \(\d+ \w+.*\)"
)


async def history(agent: RunningAgent) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bzzz_core.cli", "leader", "history"),
        *("--config", str(agent.files.config)),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    return said.decode()


@pytest.mark.journey
def test_history_names_every_leader_that_was_killed() -> None:
    async def play() -> None:
        clock = SystemClock()
        killed: list[tuple[int, str]] = []
        async with DemoCluster(agents=3, state_dir=None, clock=clock) as cluster:
            await cluster.elected()
            for _ in range(KILLS):
                before = await settled(cluster, clock)
                _, victim = await one_round(cluster, clock)
                killed.append((before.term, victim.files.name))
                await cluster.restart(victim)
            last = await settled(cluster, clock)
            for agent in cluster.agents:
                said = await history(agent)
                check(said, killed, (last.term, str(last.leader)))

    asyncio.run(play())


def check(said: str, killed: list[tuple[int, str]], last: tuple[int, str]) -> None:
    """What each leadership's paragraph has to say; wherever it is read, it is the same story."""
    assert all(len(line) <= 80 for line in said.splitlines())
    stories = re.split(r"^(?=Term )", said, flags=re.MULTILINE)[1:]
    told = {}
    for story in stories:
        head = _HEAD.match(story)
        assert head, story
        told[int(head["term"])] = (head["leader"], story)
    for place, (term, leader) in enumerate(killed):
        name, story = told[term]
        assert name == leader
        assert re.search(r"^ +end +.*fell silent", story, re.MULTILINE), story
        assert re.search(r"^ +why +.*elected in", story, re.MULTILINE), story
        if place:
            assert f"the leader fell silent ({killed[place - 1][1]})" in " ".join(story.split())
        assert re.search(r"^ +stood +bzzz-\d \(score \d+\)", story, re.MULTILINE), story
        votes = re.search(r"^ +votes +(.*)$", story, re.MULTILINE)
        assert votes, story
        assert len(set(votes[1].split(", "))) >= 2, "a majority of three"
    assert told[last[0]][0] == last[1]
    assert "since" in told[last[0]][1].splitlines()[0]
