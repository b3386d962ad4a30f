"""Leaving and revocation as an operator does them: the real command line, TLS, files and brokers.

There is no steward here, so a voter's leave waits for ever; what it waits for is what we say.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from bzzz_core.enrolment.registry import NodeState
from tests.fakes.enrolled_cluster import EnrolledCluster, EnrolledNode, until

pytestmark = pytest.mark.integration
WAITS = "the broker of somebody is starting"


async def command(node: EnrolledNode, *words: str) -> tuple[int, str]:
    """Run `bzzz-agent` for one node and return its exit status and all it says."""
    config = Path(node.file.security.directory).parent / "agent.yaml"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bzzz_core.cli", *words, "--config", str(config)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


def test_a_leave_says_what_it_waits_for_and_is_called_off(tmp_path: Path) -> None:
    async def journey() -> None:
        async with EnrolledCluster(tmp_path, nodes=3).running() as cluster:
            leader, voter = cluster.nodes[:2]
            leader.enrolment.growth = lambda: WAITS
            code, said = await command(voter, "leave", "--wait-s", "4")
            assert code != 0
            assert f"waiting: {WAITS}" in said
            assert "leave --cancel" in said
            assert any(WAITS in alarm for alarm in voter.enrolment.alarms)
            async with asyncio.timeout(60):
                code, said = await command(voter, "leave", "--wait-s", "3600", "--still-s", "2")
            assert code != 0
            assert f"It waits: {WAITS}" in said, "nothing moves, so it need not wait for an hour"
            code, said = await command(voter, "leave", "--cancel")
            assert (code, said) == (0, f"{voter.name} stays\n")
            me = voter.enrolment.myself()
            assert me is not None
            assert (me.member, me.voter, me.leaving) == (True, True, False)
            await until(lambda: not voter.enrolment.alarms, "no alarm", s_max=5)

    asyncio.run(journey())


def test_a_revocation_that_costs_the_quorum_has_to_say_so(tmp_path: Path) -> None:
    async def journey() -> None:
        async with EnrolledCluster(tmp_path, nodes=3).running() as cluster:
            leader, living, dead = cluster.nodes
            leader.dead = {dead.id}
            code, said = await command(leader, "node", "revoke", "--yes", living.name)
            assert code != 0
            assert f"({dead.name}: dead or not heard)" in said
            price = "--at-the-cost-of-the-quorum"
            assert price in said
            code, said = await command(leader, "node", "revoke", "--yes", living.name, price)
            assert code == 0, said
            found = leader.enrolment.known().find(living.id)
            assert found is not None
            assert found.state is NodeState.REVOKED

    asyncio.run(journey())
