"""The audit as an operator meets an intruder: real agents, real brokers, files changed by hand."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bzzz_core.clock import SystemClock
from bzzz_core.config.sources import AgentSources
from bzzz_core.demo.cluster import DemoCluster, RunningAgent
from bzzz_core.model import ClusterId
from bzzz_core.trust.audit_chain import Act, Author, parse, seal, tip_of
from bzzz_core.trust.keys import IdentityKey
from tests.fakes.audits import acts

pytestmark = pytest.mark.integration
SOON_S = 120.0
"""Who was not told at first is told a minute later."""
LAST_WORDS_MAX = 3
LEVEL = "resources.log_level"
Lines = list[bytes]


async def command(agent: RunningAgent, *words: str) -> tuple[int, str]:
    """Run `bzzz-agent audit` for one node and return its exit code and all it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bzzz_core.cli", *words, "--config", str(agent.files.config)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def until(what: Callable[[], Any]) -> None:
    deadline = time.monotonic() + SOON_S
    while not await what():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.2)


def logs_of(agent: RunningAgent) -> Path:
    return agent.files.directory / "logs"


def rewritten(agent: RunningAgent) -> Callable[[Lines], Lines]:
    """Return what writes the end of a node's chain anew, with the node's own key."""
    config = AgentSources(path=agent.files.config, environment={}).load().config
    key = IdentityKey.load(Path(config.security.directory) / "identity.key")
    author = Author(ClusterId(config.cluster.id), key)

    def rewrite(lines: Lines) -> Lines:
        kept = lines[:2]
        tip = tip_of(parse(kept[-1][:-1]))
        for _ in lines[2:]:
            new = Act(at="2026-01-01T00:00:00.000Z", actor="x", what="nothing happened")
            (line,), ((tip, _),) = seal([new], tip, author=author, node=agent.files.name)
            kept.append(line + b"\n")
        return kept

    return rewrite


def test_five_ways_to_tamper_are_each_found_by_the_node_or_by_its_peers(tmp_path: Path) -> None:
    async def story() -> None:
        async with DemoCluster(
            agents=3, state_dir=tmp_path / "state", clock=SystemClock()
        ) as cluster:
            await cluster.elected()
            node, peer, _ = cluster.agents
            await end_with_a_last_word(cluster, node, peer)
            await tamper_in_every_way(node, peer)
            await restart_on_a_shorter_chain(cluster, node, peer)

    asyncio.run(story())


async def end_with_a_last_word(
    cluster: DemoCluster, node: RunningAgent, peer: RunningAgent
) -> None:
    """End a node that has something new to tell: with its last word the others learn its head.

    It gives them a second for that, which may be too short on a loaded machine, so it may try
    again.
    """

    async def complete() -> bool:
        return len(await cluster.statuses()) == len(cluster.agents)

    for left in reversed(range(LAST_WORDS_MAX)):
        for level in ("debug", "info", "debug", "info"):
            code, said = await command(node, "config", "set", LEVEL, level)
            assert code == 0, said
        node.process.terminate()
        await node.process.wait()
        if await has_told_all(node, peer):
            return
        assert left, "the others never heard a last word"
        await cluster.restart(node)
        await until(complete)


async def has_told_all(node: RunningAgent, peer: RunningAgent) -> bool:
    """Return whether both others hold the whole audit of a node that has ended."""
    path = chain_of(node)
    copy = ("audit", "verify", "--file", str(path.parent), "--node", node.files.name)
    _, said = await command(peer, *copy)
    return said.count(f"confirms entry {len(path.read_bytes().splitlines())}") == 2


def chain_of(node: RunningAgent) -> Path:
    (path,) = (logs_of(node) / "audit").glob("0*.jsonl")
    return path


async def tamper_in_every_way(node: RunningAgent, peer: RunningAgent) -> None:
    path = chain_of(node)
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    assert len(lines) >= 5
    copy = ("audit", "verify", "--file", str(path.parent), "--node", node.files.name)
    code, said = await command(node, "audit", "verify")
    assert (code, "no voter was asked" in said) == (0, True), said
    code, said = await command(peer, *copy)
    assert (code, said.count(f"confirms entry {len(lines)}")) == (0, 2), said
    for name, how, alone, by_peers in (
        ("edit", lambda ls: [*ls[:2], ls[2].replace(b"info", b"warn"), *ls[3:]], 8, "EDITED"),
        ("delete", lambda ls: [*ls[:2], *ls[3:]], 8, "ENTRIES MISSING"),
        ("reorder", lambda ls: [*ls[:2], ls[3], ls[2], *ls[4:]], 8, "REORDERED"),
        ("truncate", lambda ls: ls[:-2], 0, "CUT OFF"),
        ("fork", rewritten(node), 0, "FORKED"),
    ):
        path.write_bytes(b"".join(how(lines)))
        code, said = await command(node, "audit", "verify")
        assert code == alone, (name, said)
        code, said = await command(peer, *copy)
        assert (code, by_peers in said) == (8, True), (name, said)
    path.write_bytes(whole)
    assert (await command(peer, *copy))[0] == 0


async def restart_on_a_shorter_chain(
    cluster: DemoCluster, node: RunningAgent, peer: RunningAgent
) -> None:
    path = chain_of(node)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))
    await cluster.restart(node)

    async def alarmed() -> bool:
        statuses = {status.node: status for status in await cluster.statuses()}
        return len(statuses) == 3 and all(
            any("audit" in alarm for alarm in status.alarms) for status in statuses.values()
        )

    await until(alarmed)
    for agent in (node, peer):
        code, said = await command(agent, "audit", "verify", "--node", node.files.name)
        assert code == 8, said
        assert "HOLDS A CONTRADICTION" in said
    noted = [one for one in acts(logs_of(peer)) if one["what"] == "audit contradiction"]
    assert (noted[0]["actor"], len(noted)) == (node.files.name, 1)
    for agent in cluster.agents[1:]:
        code, said = await command(agent, "audit", "accept", node.files.name)
        assert code == 0, said
    code, said = await command(peer, "audit", "verify", "--node", node.files.name)
    assert code == 0, said


@pytest.mark.journey
def test_query_export_and_proof_on_a_running_node(tmp_path: Path) -> None:
    async def story() -> None:
        async with DemoCluster(
            agents=1, state_dir=tmp_path / "state", clock=SystemClock()
        ) as cluster:
            await cluster.elected()
            (node,) = cluster.agents
            assert (await command(node, "config", "set", LEVEL, "debug"))[0] == 0
            code, said = await command(node, "audit", "query", "--what", "config*", "--json")
            (entry,) = json.loads(said)
            assert (code, entry["fields"]["new"]) == (0, "debug")
            assert len(entry["trace"]) == 32
            proof, export = tmp_path / "proof", tmp_path / "export"
            code, said = await command(node, "audit", "prove", str(entry["seq"]))
            proof.write_text(said)
            authority = str(node.files.directory / "secrets" / "node-ca.pem")
            check = ("audit", "prove", "--check", str(proof))
            assert (await command(node, *check, "--ca", authority))[0] == 0
            code, said = await command(node, *check, "--public-key", "ab" * 32)
            assert (code, "not by" in said) == (1, True), said
            code, said = await command(node, "audit", "export", "--output", str(export))
            assert code == 0, said
            code, said = await command(node, "audit", "verify", "--file", str(export))
            assert (code, "no voter confirms it" in said) == (0, True), said
            assert (await command(node, "audit", "denials"))[0] == 0
            assert (await command(node, "audit", "checkpoints"))[0] == 0
            assert (await command(node, "audit", "query", "--since", "soon"))[0] == 2

    asyncio.run(story())
