"""What the loss of a broker costs: nothing, unless it led the stream."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from bzzz_core.clock import SystemClock
from bzzz_core.errors import QuorumUnavailable, TransportError
from bzzz_core.fabric.batch import decode_batch
from bzzz_core.fabric.lane import FencedLane
from bzzz_core.fabric.nats import NatsFabric
from bzzz_core.fabric.records import NatsRecords
from bzzz_core.model import FabricState, FencingToken, Revision
from bzzz_core.ports import Guard, Message
from tests.fakes.broker_cluster import BrokerCluster

pytestmark = pytest.mark.integration
ENTRIES = 600
GAP_S_MAX = 2.0
"""Longest pause between two writes; a stream that elects a leader pauses for 4 s and more."""
HOME_S_MAX = 60.0
PAUSE_S_MAX = 8.0
"""Twice what is measured."""
LOOKS_S = 2.5
"""Two looks of a fabric at its broker, and what they take."""


def with_node(
    cluster: BrokerCluster,
    number: int,
    scenario: Callable[[NatsFabric, NatsRecords], Awaitable[None]],
) -> None:
    async def play() -> None:
        fabric = cluster.fabric(number)
        records = cluster.records(fabric)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(fabric.run())
            await records.open()
            await scenario(fabric, records)
            running.cancel()

    asyncio.run(play())


async def lead(records: NatsRecords) -> FencingToken:
    before = await records.read("_term")
    at = before.revision if before else Revision(0)
    return FencingToken(records.stream, await records.write("_term", b"test", Guard("_term", at)))


async def settled(records: NatsRecords) -> None:
    """Wait until every replica has everything, so that losing one leaves a quorum."""
    async with asyncio.timeout(HOME_S_MAX):
        while True:
            try:
                replicas = await records.replicas()
            except QuorumUnavailable:
                replicas = ()
            if len(replicas) == 3 and all(replica.current for replica in replicas):
                return
            await asyncio.sleep(0.05)


async def write_all(lane: FencedLane, at_third: Callable[[], None]) -> float:
    """Append all entries one after another and return the longest pause in seconds."""
    longest, last = 0.0, time.monotonic()
    for number in range(ENTRIES):
        if number == ENTRIES // 3:
            at_third()
        await lane.append(b"%d" % number)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    return longest


@pytest.mark.parametrize("own", [True, False], ids=["own broker", "another broker"])
def test_killing_a_broker_that_does_not_lead_the_stream_fails_no_write(
    healthy: BrokerCluster, *, own: bool
) -> None:
    """The fabric leader's machine may die, and with the stream led elsewhere nothing waits."""

    async def scenario(_: NatsFabric, records: NatsRecords) -> None:
        victim, keeper = (0, 1) if own else (2, 1)
        await settled(records)
        await records.move_stream_leader(healthy.brokers[keeper].server_name)
        await settled(records)
        lane = FencedLane(records, token=await lead(records), clock=SystemClock())
        async with asyncio.TaskGroup() as group:
            running = group.create_task(lane.run())
            longest = await write_all(lane, lambda: healthy.kill(victim))
            running.cancel()
        assert longest < GAP_S_MAX
        last = await records.read("log")
        assert last is not None
        assert decode_batch(last.value).entries == (b"%d" % (ENTRIES - 1),)

    with_node(healthy, 0, scenario)


def test_a_node_without_its_own_broker_uses_another_and_comes_home(healthy: BrokerCluster) -> None:
    """Interest moves along both times, and what arrives arrives once."""

    async def scenario(fabric: NatsFabric, records: NatsRecords) -> None:
        other = healthy.fabric(1)
        heard: list[Message] = []
        async with asyncio.TaskGroup() as group:
            running = group.create_task(other.run())
            await other.wait_attached()
            await fabric.subscribe("bz.el.all", heard.append)
            await settled(records)
            assert fabric.state is FabricState.CONNECTED
            healthy.kill(0)
            await until_state(fabric, FabricState.DEGRADED)
            await publish_until_heard(other, heard, b"away")
            healthy.start(0)
            await until_state(fabric, FabricState.CONNECTED)
            assert fabric.server_name == healthy.brokers[0].server_name
            await publish_until_heard(other, heard, b"home")
            data = [message.data for message in heard]
            assert len(set(data)) == len(data), "nothing arrives twice"
            running.cancel()

    with_node(healthy, 0, scenario)


def test_a_paused_broker_is_left_in_seconds(healthy: BrokerCluster) -> None:
    """Its sockets stay open, so only silence tells; the wait must not outlast an election."""

    async def scenario(fabric: NatsFabric, records: NatsRecords) -> None:
        await settled(records)
        await records.move_stream_leader(healthy.brokers[1].server_name)
        try:
            healthy.signal(0, signal.SIGSTOP)
            async with asyncio.timeout(PAUSE_S_MAX):
                await until_state(fabric, FabricState.DEGRADED)
            assert await records.read("absent") is None
        finally:
            healthy.signal(0, signal.SIGCONT)
        await until_state(fabric, FabricState.CONNECTED)

    with_node(healthy, 0, scenario)


def test_a_broker_that_the_others_shut_out_is_left_and_comes_back(
    healthy: BrokerCluster,
) -> None:
    """It takes its node as before and is silent; only what does not come by it tells."""

    async def scenario(fabric: NatsFabric, records: NatsRecords) -> None:
        await settled(records)
        await records.move_stream_leader(healthy.brokers[1].server_name)
        fabric.doubt()
        await asyncio.sleep(LOOKS_S)
        assert fabric.state is FabricState.CONNECTED, "a doubt alone is no reason"
        shut_out(healthy, 0)
        try:
            async with asyncio.timeout(HOME_S_MAX):
                while fabric.state is not FabricState.DEGRADED:
                    fabric.doubt()  # As often as its node misses something.
                    await asyncio.sleep(0.05)
            assert await records.read("absent") is None
            await asyncio.sleep(LOOKS_S)
            assert fabric.state is FabricState.DEGRADED, "it answers still, and stands alone"
        finally:
            shut_out(healthy, None)
        await until_state(fabric, FabricState.CONNECTED)
        assert fabric.counters["lone_brokers_left"] == 1

    with_node(healthy, 0, scenario)


def shut_out(cluster: BrokerCluster, outcast: int | None) -> None:
    """Let the other brokers take no routes of one any more, or those of all again."""
    pins = {number: config.me.route_pin for number, config in enumerate(cluster.configs)}
    taken = tuple(pins[number] for number in range(len(cluster.brokers)) if number != outcast)
    for number, broker in enumerate(cluster.brokers):
        if number != outcast:
            cluster.brokers[number] = replace(broker, route_pins=taken)
            cluster.write_conf(number)
            cluster.signal(number, signal.SIGHUP)


def test_without_any_broker_publishing_is_refused_and_writing_has_no_quorum(
    healthy: BrokerCluster,
) -> None:
    """Nothing is buffered: a heartbeat of the past would only mislead."""

    async def scenario() -> None:
        fabric = healthy.fabric(0, only=2)
        records = healthy.records(fabric)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(fabric.run())
            await records.open()
            healthy.kill(2)
            await until_state(fabric, FabricState.LOST)
            with pytest.raises(TransportError):
                await fabric.publish("bz.el.all", b"")
            with pytest.raises(QuorumUnavailable):
                await records.read("_term")
            with pytest.raises(QuorumUnavailable):
                await records.write("_term", b"", Guard("_term", Revision(1)))
            healthy.start(2)
            await until_state(fabric, FabricState.CONNECTED)
            running.cancel()

    asyncio.run(scenario())


async def publish_until_heard(fabric: NatsFabric, heard: list[Message], word: bytes) -> None:
    """Publish numbered messages until one arrives: interest needs a moment to spread."""
    number = 0
    async with asyncio.timeout(HOME_S_MAX):
        while not any(message.data.startswith(word) for message in heard):
            number += 1
            await fabric.publish("bz.el.all", b"%s %d" % (word, number))
            await asyncio.sleep(0.02)


async def until_state(fabric: NatsFabric, state: FabricState) -> None:
    await until(lambda: fabric.state is state)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(HOME_S_MAX):
        while not condition():  # noqa: ASYNC110  other processes set no event of ours
            await asyncio.sleep(0.01)
