"""Every stop ends within its bound while the broker is frozen, with full sockets too.

A frozen broker (SIGSTOP) keeps its sockets open and reads nothing: the kernel goes on taking
connections for it, then the buffers fill, and whoever waits for room waits for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Iterator

import pytest

from bzzz_core.agent import Agent
from bzzz_core.api.client import call
from bzzz_core.config.schema import AgentConfig
from bzzz_core.errors import BzzzError, TransportError
from bzzz_core.fabric import link, nats
from bzzz_core.fabric.keyvalue import NatsKeyValue
from bzzz_core.fabric.layout import DHT, lead_subject
from bzzz_core.fabric.link import CLOSE_MS_MAX, CONNECT_MS_MAX, FLUSH_MS_MAX
from bzzz_core.fabric.nats import NatsFabric
from bzzz_core.fabric.operations import system_account
from bzzz_core.fabric.streams import stream_keeper
from bzzz_core.model import NodeId
from bzzz_core.shared_config.node_sources import NodeSources
from bzzz_core.shutdown.request import StopRequest
from tests.fakes.broker_cluster import BrokerCluster
from tests.fakes.enrolled_cluster import CLOCK, until

pytestmark = pytest.mark.integration
SLACK_S = 10.0
"""What a loaded machine may add."""
CLOSE_S_MAX = CLOSE_MS_MAX / 1000 + SLACK_S
FLUSH_S_MAX = FLUSH_MS_MAX / 1000 + SLACK_S
AGENT_S_MAX = 5.5 + SLACK_S
"""A second to resign, one to say good-bye, three for callers of the API, half a second to close."""
_FILLERS = 8
_PIECE = b"x" * 262_144
_FILL_S = 0.5
CONNECT_S_MAX = CONNECT_MS_MAX / 1000 + CLOSE_S_MAX
LOST_S_MAX = 3 + FLUSH_S_MAX


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerCluster]:
    with BrokerCluster(tmp_path_factory.mktemp("frozen"), nodes=1) as one:
        yield one


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a silent broker beyond every bound: else its loss would free whoever has none."""
    monkeypatch.setattr(nats, "_LOOK_MS", 120_000)
    monkeypatch.setattr(link, "_PING_S", 120)


@contextlib.contextmanager
def frozen(cluster: BrokerCluster) -> Iterator[None]:
    cluster.signal(0, signal.SIGSTOP)
    try:
        yield
    finally:
        cluster.signal(0, signal.SIGCONT)


async def ends(work: Awaitable[object], seconds: float, what: str) -> None:
    """Cancel it and demand that it ends in time."""
    task = asyncio.ensure_future(work)
    task.cancel()
    await finishes(task, seconds, what)


async def finishes(work: Awaitable[object], seconds: float, what: str) -> None:
    """Demand that it ends in time, with a failure that is one of ours or none."""
    task = asyncio.ensure_future(work)
    _, late = await asyncio.wait({task}, timeout=seconds)
    assert not late, f"{what} did not end in {seconds} s"
    if not task.cancelled() and (exc := task.exception()):
        assert isinstance(exc, BzzzError), exc


async def _publish_without_end(fabric: NatsFabric, node: NodeId) -> None:
    """Do as a service does; what cannot be sent is tried again."""
    while True:
        with contextlib.suppress(TransportError):
            await fabric.publish(lead_subject(node, "filler"), _PIECE)
        await asyncio.sleep(0)


async def filled(fabric: NatsFabric, node: NodeId) -> list[asyncio.Task[None]]:
    """Return tasks that wait for room in the socket to a frozen broker."""
    tasks = [asyncio.create_task(_publish_without_end(fabric, node)) for _ in range(_FILLERS)]
    await asyncio.sleep(_FILL_S)
    return tasks


@pytest.mark.usefixtures("kept")
def test_a_fabric_ends_in_time_and_with_it_whoever_uses_it(cluster: BrokerCluster) -> None:
    async def scenario() -> None:
        fabric = cluster.fabric(0)
        fabric_run = asyncio.create_task(fabric.run())
        await cluster.records(fabric).open()
        copy = NatsKeyValue(fabric, DHT, clock=CLOCK, replicas=1)
        await copy.open()
        interest = await fabric.subscribe("bz.digest.*", lambda _: None)
        watch = await copy.watch("")
        with frozen(cluster):
            asked = fabric.request(lead_subject(cluster.node(0), "nothing"), b"", timeout_ms=500)
            await finishes(asked, 0.5 + SLACK_S, "a question")
            await finishes(interest.stop(), SLACK_S, "the end of an interest")
            await finishes(watch.stop(), SLACK_S, "the end of a watch")
            await ends(fabric_run, CONNECT_S_MAX, "the fabric")

    asyncio.run(scenario())


@pytest.mark.journey
@pytest.mark.usefixtures("kept")
def test_a_full_socket_holds_nobody(cluster: BrokerCluster) -> None:
    """Limits of time and cancellations are kept where the library waits for room without an end."""

    async def scenario() -> None:
        fabric = cluster.fabric(0)
        fabric_run = asyncio.create_task(fabric.run())
        await fabric.wait_attached()
        interest = await fabric.subscribe("bz.digest.*", lambda _: None)
        with frozen(cluster):
            fillers = await filled(fabric, cluster.node(0))
            asked = fabric.request(lead_subject(cluster.node(0), "nothing"), b"", timeout_ms=500)
            await finishes(asked, 0.5 + SLACK_S, "a question")
            for filler in fillers:
                await ends(filler, SLACK_S, "a publisher")
            await finishes(interest.stop(), FLUSH_S_MAX, "the end of an interest")
            await ends(fabric_run, CONNECT_S_MAX, "the fabric")

    asyncio.run(scenario())


@pytest.mark.journey
def test_publishers_go_on_elsewhere_once_the_frozen_broker_is_given_up(
    cluster: BrokerCluster,
) -> None:
    """Nobody cancels them: the wait for room has an end of its own."""

    async def scenario() -> None:
        fabric = cluster.fabric(0)
        fabric_run = asyncio.create_task(fabric.run())
        await fabric.wait_attached()
        with frozen(cluster):
            one = asyncio.create_task(_until_refused(fabric, cluster.node(0)))
            await finishes(one, LOST_S_MAX, "publishing")
            await ends(fabric_run, CLOSE_S_MAX + CONNECT_S_MAX, "the fabric")

    asyncio.run(scenario())


async def _until_refused(fabric: NatsFabric, node: NodeId) -> None:
    while True:
        await fabric.publish(lead_subject(node, "filler"), _PIECE)
        await asyncio.sleep(0)


def test_connecting_to_a_frozen_broker_can_be_called_off(cluster: BrokerCluster) -> None:
    async def scenario() -> None:
        with frozen(cluster):
            fabric_run = asyncio.create_task(cluster.fabric(0).run())
            await asyncio.sleep(_FILL_S)
            await ends(fabric_run, CLOSE_S_MAX, "a fabric that connects")
            await finishes(_look(cluster.configs[0]), CONNECT_S_MAX, "connecting")

    asyncio.run(scenario())


async def _look(config: AgentConfig) -> None:
    async with system_account(config, clock=CLOCK):
        pass


@pytest.mark.usefixtures("kept")
def test_the_steward_s_connections_end_in_time(cluster: BrokerCluster) -> None:
    async def scenario() -> None:
        config, begun = cluster.configs[0], 0.0
        async with (
            system_account(config, clock=CLOCK) as system,
            stream_keeper(config, clock=CLOCK) as keeper,
        ):
            cluster.signal(0, signal.SIGSTOP)
            try:
                for question in (system.peers, keeper.states):
                    asked = asyncio.create_task(question())
                    await asyncio.sleep(0.05)
                    await ends(asked, SLACK_S, "a question")
                begun = time.monotonic()
            except BaseException:
                cluster.signal(0, signal.SIGCONT)
                raise
        cluster.signal(0, signal.SIGCONT)
        assert time.monotonic() - begun < 2 * CLOSE_S_MAX

    asyncio.run(scenario())


def test_an_agent_stops_in_time_while_its_broker_is_frozen(cluster: BrokerCluster) -> None:
    """With a caller of the API in between, whose question the frozen broker does not answer."""

    async def scenario() -> None:
        stop = StopRequest()
        flags = ("services.broker=unit",)
        sources = NodeSources.at(cluster.files[0], flags=flags, environment={})
        agent = Agent(sources, clock=CLOCK)
        running = asyncio.create_task(agent.run(stop))
        await until(lambda: agent.status().leader_serving, "a leader", s_max=30)
        with frozen(cluster):
            config = cluster.configs[0]
            asking = asyncio.create_task(asyncio.to_thread(_ask, config))
            await asyncio.sleep(_FILL_S)
            stop.ask("the test")
            await finishes(running, AGENT_S_MAX, "the agent")
            await asking

    asyncio.run(scenario())


def _ask(config: AgentConfig) -> None:
    with contextlib.suppress(BzzzError):
        call(config, "GET", "/v1/fabric")
