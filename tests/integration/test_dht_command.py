"""`bzzz-agent dht` against a running node: configuration, table, API and command line together."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bzzz_core.api.auth import Doorkeeper
from bzzz_core.api.http import build_app
from bzzz_core.api.server import ApiServer
from bzzz_core.asked_buckets import ASKED_VALUE_BYTES_MAX, QUESTION
from bzzz_core.cli import main
from bzzz_core.clock import SystemClock
from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.secrets import resolve
from bzzz_core.config.sources import dump_own, load_agent_config
from bzzz_core.errors import KeyNotFound, QuorumUnavailable, RequestTimeout
from bzzz_core.hash_table import HashTable
from tests.fakes import dht_worlds
from tests.fakes.broker_cluster import BrokerCluster

pytestmark = pytest.mark.integration


class Node:
    """One node as far as the hash table needs it, its API open."""

    def __init__(
        self,
        cluster: BrokerCluster,
        number: int,
        place: Path,
        *,
        as_edge: bool = False,
        **environment: str,
    ) -> None:
        self.path = place / f"agent-{number}.yaml"
        self.path.write_text(dump_own(cluster.configs[number]), encoding="utf-8")
        self.path.chmod(0o600)
        self.config: AgentConfig = load_agent_config(self.path, environment)
        if as_edge:
            self.config = without_vote(self.config)
        self.audited: list[tuple[str, dict[str, object]]] = []
        self.fabric = cluster.fabric(number)
        self.asks = dht_worlds.questions(cluster.node(number), self.fabric, leads=number == 0)
        self.table = HashTable(
            self.config,
            fabric=self.fabric,
            clock=SystemClock(),
            ask=lambda operation, body: self.asks.ask(operation, body, timeout_ms=10_000),
            audit=self._audit,
        )
        self.asks.serve(QUESTION, self.table.answer)

    def _audit(self, what: str, *, actor: str, **fields: object) -> None:
        assert actor == self.config.me.id
        self.audited.append((what, fields))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        app = build_app(
            doorkeeper=Doorkeeper.of_one(resolve(self.config.security.api_token)),
            status=lambda: pytest.fail("nobody asks for it"),
            not_ready=lambda: (),
            operations=[*self.table.operations(), *self.table.content_operations()],
        )
        network = self.config.network
        api = ApiServer(app, host=network.api_host, port=network.ports.api)
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(work) for work in (self.fabric.run(), self.table.run(), api.run())
            ]
            if self.config.me.voter:
                running.append(tasks.create_task(self.asks.run()))
            await until(lambda: api.started)
            yield
            for task in running:
                task.cancel()

    async def command(self, *arguments: str, stdin: bytes = b"") -> Result:
        """Run a command line, in a thread: it has a loop of its own."""
        words = ["dht", arguments[0], "--config", str(self.path), *arguments[1:]]
        return await asyncio.to_thread(CliRunner().invoke, main, words, input=stdin)


def test_values_and_providers_travel_by_command(brokers: BrokerCluster, tmp_path: Path) -> None:
    async def scenario() -> None:
        voter = Node(brokers, 0, tmp_path, BZZZ_DHT_BACKEND="real")
        edge = Node(brokers, 3, tmp_path, BZZZ_DHT_BACKEND="real")
        key = f"ucxl://cli:any@dht:{tmp_path.name}/a b/*^"
        value = bytes(range(256)) * 100
        async with voter.running(), edge.running():
            await until_it_works(voter, key, value)
            await until_providers_are_kept(voter)
            got = await edge.command("get", key)
            assert (got.exit_code, got.stdout_bytes) == (0, value)
            assert (await voter.command("provide", key, "node one")).exit_code == 0
            assert (await edge.command("provide", key, "node four")).exit_code == 0
            found = await edge.command("providers", key, "--json")
            assert json.loads(found.stdout)["providers"] == ["node four", "node one"]
            assert (await edge.command("withdraw", key, "node four")).exit_code == 0
            assert (await edge.command("providers", key)).stdout == "node one\n"

            missing = await edge.command("get", key + "x")
            assert missing.exit_code == 1
            assert "nothing is stored under" in missing.stderr
            large = await voter.command("put", key, stdin=bytes(1_000_001))
            assert large.exit_code == 2
            assert "1000000 bytes" in large.stderr
            large = await edge.command("put", key, stdin=bytes(ASKED_VALUE_BYTES_MAX + 1))
            assert large.exit_code == 2
            assert f"{ASKED_VALUE_BYTES_MAX} bytes" in large.stderr
            assert (await edge.command("get", "\udcff")).exit_code == 2

    asyncio.run(scenario())


def test_backend_is_switched_by_command_and_by_configuration(
    brokers: BrokerCluster, tmp_path: Path
) -> None:
    async def scenario() -> None:
        node = Node(brokers, 0, tmp_path, BZZZ_DHT_BACKEND="hybrid", BZZZ_FALLBACK_ON_ERROR="true")
        key = f"switch {tmp_path.name}"
        async with node.running():
            await until_it_works(node, key, b"cluster")
            shown = await node.command("status")
            assert "hybrid, falls back to this node" in shown.stdout
            assert "healthy, served by cluster" in shown.stdout

            assert (await node.command("use", "mock")).exit_code == 0
            assert (await node.command("get", key)).exit_code == 1
            await node.table.dht.put_value(key, b"memory")
            status = json.loads((await node.command("status", "--json")).stdout)
            assert (status["backend"], status["serving"]) == ("mock", "memory")

            changed = load_agent_config(node.path, {"BZZZ_DHT_BACKEND": "real"})
            node.table.reconfigure(changed)
            assert (await node.command("get", key)).stdout == "cluster"
            assert ("dht.switched", {"backend": "mock"}) in node.audited
            assert ("dht.switched", {"backend": "real"}) in node.audited
            with pytest.raises(KeyNotFound):
                await node.table.dht.get_value("nothing " + key)

    asyncio.run(scenario())


def test_copies_are_counted_and_not_only_wished_for(healthy: BrokerCluster, tmp_path: Path) -> None:
    async def scenario() -> None:
        leader = Node(healthy, 0, tmp_path, BZZZ_DHT_BACKEND="real")
        edge = Node(healthy, 3, tmp_path, BZZZ_DHT_BACKEND="real")
        async with leader.running(), edge.running():
            await until_it_works(leader, f"counted {tmp_path.name}", b"value")

            async def shown(text: str) -> None:
                """Wait until both say so; a stream's leader takes 10 to 20 s to miss its quorum."""
                for node in (leader, edge):
                    said = ""
                    try:
                        async with asyncio.timeout(60):
                            while text not in said:
                                said = (await node.command("status")).stdout
                                await asyncio.sleep(0.1)
                    except TimeoutError:
                        pytest.fail(f"{node.path.name} says {said!r}, not {text!r}")

            await shown("copies    3 present, 3 wanted\n")
            healthy.kill(2)
            await shown("copies    2 present, 3 wanted\n")
            healthy.kill(1)
            status = await edge.command("status")
            assert status.exit_code == 0, "no quorum is no reason to say nothing"
            await shown("copies    number not known now, 3 wanted\n")

    asyncio.run(scenario())


def test_an_edge_asks_until_it_is_a_voter_and_watches_then(
    brokers: BrokerCluster, tmp_path: Path
) -> None:
    async def scenario() -> None:
        leader = Node(brokers, 0, tmp_path, BZZZ_DHT_BACKEND="real")
        node = Node(brokers, 1, tmp_path, as_edge=True, BZZZ_DHT_BACKEND="real")
        as_voter = load_agent_config(node.path, {"BZZZ_DHT_BACKEND": "real"})
        key = f"promoted {tmp_path.name}"
        async with leader.running(), node.running():
            await until_it_works(leader, key, b"before")
            await until_providers_are_kept(leader)
            assert await node.table.dht.get_value(key) == b"before"
            await node.table.dht.put_value(key, b"asked")
            await node.table.dht.provide(key, "node two")
            assert await leader.table.dht.find_providers(key) == ["node two"]
            assert not node.table.status().watched
            asked = leader.asks.counters["answered"]
            assert asked >= 3
            node.table.reconfigure(as_voter)
            await until(lambda: node.table.status().watched)
            await node.table.dht.put_value(key, b"own")
            assert await node.table.dht.get_value(key) == b"own"
            assert await node.table.dht.find_providers(key) == ["node two"]
            assert leader.asks.counters["answered"] == asked
            await node.table.dht.withdraw(key, "node two")

    asyncio.run(scenario())


def test_a_node_that_was_made_a_voter_makes_the_buckets_that_nobody_made(tmp_path: Path) -> None:
    async def scenario(cluster: BrokerCluster) -> None:
        node = Node(cluster, 1, tmp_path, as_edge=True, BZZZ_DHT_BACKEND="real")
        as_voter = load_agent_config(node.path, {"BZZZ_DHT_BACKEND": "real"})
        async with node.running():
            node.table.reconfigure(as_voter)
            await until(lambda: node.table.status().watched)
            await node.table.dht.put_value("key", b"own")
            assert await node.table.dht.get_value("key") == b"own"

    with BrokerCluster(tmp_path / "cluster", nodes=3) as cluster:
        asyncio.run(scenario(cluster))


def without_vote(config: AgentConfig) -> AgentConfig:
    nodes = tuple(
        entry.model_copy(update={"voter": entry.voter and entry.id != config.me.id})
        for entry in config.cluster.nodes
    )
    return config.model_copy(update={"cluster": config.cluster.model_copy(update={"nodes": nodes})})


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  other processes set no event of ours
            await asyncio.sleep(0.02)


async def until_it_works(node: Node, key: str, value: bytes) -> None:
    """Store a value once the node has found the cluster; it may have begun without it."""
    for _ in range(50):
        if (await node.command("put", key, stdin=value)).exit_code == 0:
            break
    await until(lambda: node.table.status().state == "healthy")


async def until_providers_are_kept(node: Node) -> None:
    """Wait for the leader of their bucket; tests before this one have killed brokers."""
    async with asyncio.timeout(60):
        while True:
            try:
                await node.table.dht.provide("until they are kept", "nobody")
            except (QuorumUnavailable, RequestTimeout):
                await asyncio.sleep(0.1)
            else:
                return
