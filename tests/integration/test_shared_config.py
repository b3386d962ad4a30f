"""The cluster-wide configuration on real brokers: three voters and an edge, led as a test says."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest

from bzzz_core.clock import SystemClock
from bzzz_core.errors import BzzzError, Deposed, PermissionDenied, RevisionConflict
from bzzz_core.fabric.nats import NatsFabric
from tests.fakes.broker_cluster import BrokerCluster
from tests.fakes.config_nodes import ConfigNode, Running

pytestmark = pytest.mark.integration
KEY = "resources.log_level"
LEARN_S_MAX = 5.0
"""A voter asks every 2 s, and an answer may take a broker that is busy a moment."""


@pytest.fixture
def brokers(tmp_path: Path) -> Iterator[BrokerCluster]:
    with BrokerCluster(tmp_path / "cluster", nodes=4) as cluster:
        yield cluster


def play(brokers: BrokerCluster, story: Callable[[list[ConfigNode]], Awaitable[None]]) -> None:
    async def whole() -> None:
        fabrics = [brokers.fabric(number) for number in range(4)]
        nodes = [node_of(brokers, number, fabric) for number, fabric in enumerate(fabrics)]
        async with AsyncExitStack() as stack:
            group = await stack.enter_async_context(asyncio.TaskGroup())
            tasks = [group.create_task(fabric.run()) for fabric in fabrics]
            try:
                for fabric in fabrics:
                    await fabric.wait_attached()
                await nodes[0].records.open()
                async with Running(nodes):
                    await until(lambda: nodes[0].log is not None)
                    await nodes[0].lead()
                    await story(nodes)
            finally:
                for task in tasks:
                    task.cancel()

    asyncio.run(whole())


def node_of(brokers: BrokerCluster, number: int, fabric: NatsFabric) -> ConfigNode:
    path = Path(brokers.configs[number].security.directory).parent / "agent.yaml"
    return ConfigNode(path, fabric=fabric, records=brokers.records(fabric), clock=SystemClock())


async def until(condition: Callable[[], bool]) -> float:
    """Return the seconds until something holds."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < LEARN_S_MAX, "it never came true"
        await asyncio.sleep(0.01)
    return time.monotonic() - start


def put(changes: dict[str, str | None], **more: object) -> bytes:
    return msgspec.json.encode({"changes": changes, "scope": "cluster", "by": "root", **more})


def test_a_value_set_on_one_voter_reaches_voters_and_edges(brokers: BrokerCluster) -> None:
    async def story(nodes: list[ConfigNode]) -> None:
        leader, voter, other, edge = nodes
        answer = await voter.call("PUT", "/v1/config", put({KEY: "debug"}))
        assert (answer.revision, voter.log_level) == (1, "debug")
        leader.tell([edge])
        for node in (leader, other, edge):
            await until(lambda node=node: node.log_level == "debug")  # type: ignore[misc]
        with pytest.raises(PermissionDenied, match="only a voter"):
            await edge.call("PUT", "/v1/config", put({KEY: "error"}))
        with pytest.raises(RevisionConflict):
            await other.call("PUT", "/v1/config", put({KEY: "error"}, revision=0))
        await other.call("PUT", "/v1/config", put({KEY: None}, revision=1))
        history = await edge.call("GET", "/v1/config/history", key=KEY)
        assert [(one.number, one.after, one.node) for one in history] == [
            (2, None, other.me),
            (1, "debug", voter.me),
        ]

    play(brokers, story)


def test_of_many_who_compare_and_set_at_once_one_wins(brokers: BrokerCluster) -> None:
    """Lost updates would show as more winners than revisions."""

    async def wish(node: ConfigNode, value: int, revision: int) -> bool:
        body = put({"validation.watch_ms": str(value)}, revision=revision)
        try:
            await node.call("PUT", "/v1/config", body)
        except RevisionConflict:
            return False
        return True

    async def story(nodes: list[ConfigNode]) -> None:
        leader = nodes[0]
        for revision in range(5):
            won = await asyncio.gather(
                *(
                    wish(node, 1_000 + 100 * revision + number, revision)
                    for number, node in enumerate((*nodes[:3], *nodes[:3]), start=1)
                )
            )
            assert won.count(True) == 1
        history = await leader.call("GET", "/v1/config/history")
        assert [one.number for one in history] == [5, 4, 3, 2, 1]

    play(brokers, story)


def test_leadership_moves_and_nothing_acknowledged_is_lost(brokers: BrokerCluster) -> None:
    async def story(nodes: list[ConfigNode]) -> None:
        first, second, third, _ = nodes
        await third.call("PUT", "/v1/config", put({KEY: "debug"}))
        await second.lead()
        with pytest.raises((Deposed, BzzzError)):  # the fence: it still believes that it leads
            await first.call("PUT", "/v1/config", put({KEY: "error"}))
        first.token = None
        answer = await third.call("PUT", "/v1/config", put({"validation.watch_ms": "500"}))
        assert answer.revision == 2
        values = {one.key: one.after for one in await first.call("GET", "/v1/config/history")}
        assert values == {KEY: "debug", "validation.watch_ms": 500}

    play(brokers, story)
