"""Trouble on demand in the fabric of one process; the rest is the conformance suite's."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bzzz_core.errors import QuorumUnavailable, RequestTimeout, StreamBusy, TransportError
from bzzz_core.fabric.memory import MemoryFabric, MemoryHub, MemoryRecords
from bzzz_core.model import FabricState, NodeId, Revision
from bzzz_core.ports import Guard, Message
from tests.fakes.scripted_records import JumpingClock

A, B = NodeId("a"), NodeId("b")
FRESH = Guard("key", Revision(0))


def play(scenario: Callable[[], Awaitable[None]]) -> None:
    async def body() -> None:
        await scenario()

    asyncio.run(body())


async def turn() -> None:
    """Let what is due now happen."""
    for _ in range(3):
        await asyncio.sleep(0)


async def two(hub: MemoryHub) -> tuple[MemoryFabric, MemoryFabric, list[Message]]:
    sender, receiver = hub.attach(A), hub.attach(B)
    heard: list[Message] = []
    await receiver.subscribe("news", heard.append)
    return sender, receiver, heard


@pytest.mark.parametrize("state", [FabricState.CONNECTING, FabricState.LOST])
def test_a_node_that_is_not_attached_sends_and_hears_nothing(state: FabricState) -> None:
    async def scenario() -> None:
        hub = MemoryHub(clock=JumpingClock())
        sender, receiver, heard = await two(hub)
        receiver.state = state
        await sender.publish("news", b"unheard")
        with pytest.raises(TransportError):
            await receiver.publish("news", b"unsent")
        records = MemoryRecords(hub, receiver)
        with pytest.raises(QuorumUnavailable):
            await records.open()
        await turn()
        assert heard == []
        receiver.state = FabricState.DEGRADED
        await sender.publish("news", b"heard")
        await turn()
        assert [message.data for message in heard] == [b"heard"]

    play(scenario)


def test_a_message_under_way_to_a_lost_node_is_lost() -> None:
    async def scenario() -> None:
        sender, receiver, heard = await two(MemoryHub(clock=JumpingClock()))
        await sender.publish("news", b"late")
        receiver.state = FabricState.LOST
        await turn()
        assert heard == []

    play(scenario)


def test_peers_appear_and_leave() -> None:
    async def scenario() -> None:
        hub = MemoryHub(clock=JumpingClock())
        sender, receiver, heard = await two(hub)
        hub.detach(B)
        assert receiver.state is FabricState.LOST
        await sender.publish("news", b"gone")
        again = hub.attach(B)
        await again.subscribe("news", heard.append)
        await sender.publish("news", b"back")
        await turn()
        assert [message.data for message in heard] == [b"back"]

    play(scenario)


def test_the_failure_rate_loses_messages_and_the_seed_repeats_the_loss() -> None:
    def run(seed: int) -> list[bytes]:
        kept: list[bytes] = []

        async def scenario() -> None:
            hub = MemoryHub(clock=JumpingClock(), seed=seed, failure_rate=0.3)
            sender, receiver, heard = await two(hub)
            for number in range(200):
                await sender.publish("news", b"%d" % number)
            await turn()
            kept.extend(message.data for message in heard)
            assert receiver.counters["dropped_messages"] == 200 - len(heard)

        play(scenario)
        return kept

    assert run(1) == run(1) != run(2)
    assert 100 < len(run(1)) < 180


def test_everything_fails_at_a_rate_of_one_and_may_have_been_written() -> None:
    """A lost answer and a lost request look alike; half of them are each."""

    async def scenario() -> None:
        hub = MemoryHub(clock=JumpingClock(), seed=3)
        records = MemoryRecords(hub, hub.attach(A))
        await records.open()
        written = 0
        for number in range(100):
            key = f"key{number}"
            hub.failure_rate = 1.0
            with pytest.raises(RequestTimeout):
                await records.write(key, b"", Guard(key, Revision(0)))
            with pytest.raises(QuorumUnavailable):
                await records.read(key)
            hub.failure_rate = 0.0
            written += await records.read(key) is not None
        assert 30 < written < 70

    play(scenario)


def test_latency_passes_on_the_clock() -> None:
    async def scenario() -> None:
        clock = JumpingClock()
        hub = MemoryHub(clock=clock, latency_ms=(1_000, 1_000))
        records = MemoryRecords(hub, hub.attach(A))
        await records.open()
        await records.write("key", b"", FRESH)
        await records.read("key")
        assert clock.now_ms() == 3_000

    play(scenario)


def test_a_second_guarded_write_at_the_same_time_is_busy() -> None:
    """As on the real store, so that nobody builds on more than one in flight."""

    async def scenario() -> None:
        hub = MemoryHub(clock=JumpingClock(), latency_ms=(5, 5))
        records = MemoryRecords(hub, hub.attach(A))
        await records.open()
        outcomes = await asyncio.gather(
            *(records.write("key", b"", FRESH) for _ in range(3)), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [int, StreamBusy, StreamBusy]

    play(scenario)


def test_a_stream_that_is_made_anew_has_another_identity() -> None:
    """Its sequences start over, so a token of the old one must not fit."""

    async def scenario() -> None:
        hub = MemoryHub(clock=JumpingClock())
        before, after = (MemoryRecords(hub, hub.attach(A)) for _ in range(2))
        await before.open()
        hub.forget_stream("control")
        await after.open()
        assert before.stream != after.stream

    play(scenario)
