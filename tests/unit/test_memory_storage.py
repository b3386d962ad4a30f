"""Trouble on demand for what the fabric in memory stores; the rest is the conformance suite's."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bzzz_core.errors import (
    IntegrityError,
    QuorumUnavailable,
    RequestTimeout,
    RevisionConflict,
    StreamBusy,
)
from bzzz_core.fabric.layout import DHT, BlobStore, LogStream
from bzzz_core.fabric.memory import MemoryFabric, MemoryHub
from bzzz_core.fabric.memory_keyvalue import MemoryKeyValue
from bzzz_core.fabric.memory_log import MemoryBlobs, MemoryLog
from bzzz_core.model import FabricState, NodeId, Revision
from bzzz_core.ports import Change, LogEntry
from tests.fakes.scripted_records import JumpingClock

LOG = LogStream(name="test", share=0.1)
BLOBS = BlobStore(name="test", share=0.1)


def play(scenario: Callable[[MemoryHub, MemoryFabric], Awaitable[None]], seed: int = 0) -> None:
    async def body() -> None:
        hub = MemoryHub(clock=JumpingClock(), seed=seed)
        await scenario(hub, hub.attach(NodeId("a")))

    asyncio.run(body())


@pytest.mark.parametrize("state", [FabricState.CONNECTING, FabricState.LOST])
def test_a_node_that_is_not_attached_reaches_nothing(state: FabricState) -> None:
    async def scenario(hub: MemoryHub, fabric: MemoryFabric) -> None:
        keys, log = MemoryKeyValue(hub, fabric, DHT), MemoryLog(hub, fabric, LOG)
        blobs = MemoryBlobs(hub, fabric, BLOBS)
        fabric.state = state
        for attempt in (
            keys.get("k"),
            keys.put("k", b""),
            keys.create("k", b""),
            keys.delete("k"),
            keys.keys(),
            log.append(b""),
            log.end(),
            blobs.get("b"),
            blobs.put("b", b""),
        ):
            with pytest.raises(QuorumUnavailable, match="not attached"):
                await attempt
        fabric.state = FabricState.DEGRADED
        await keys.put("k", b"")

    play(scenario)


def test_a_watch_hears_what_it_missed_when_its_node_is_attached_again() -> None:
    async def scenario(hub: MemoryHub, fabric: MemoryFabric) -> None:
        mine, theirs = (MemoryKeyValue(hub, f, DHT) for f in (fabric, hub.attach(NodeId("b"))))
        told: list[Change | None] = []
        await theirs.put("p.gone", b"1")
        await theirs.put("p.kept", b"1")
        watch = await mine.watch("p", told.append)
        await watch.listed()
        fabric.state = FabricState.LOST
        assert not watch.current
        await theirs.delete("p.gone")
        await theirs.put("p.new", b"2")
        assert watch.keys() == ("p.gone", "p.kept")
        fabric.state = FabricState.CONNECTED
        await asyncio.sleep(0)
        assert watch.current
        assert watch.keys() == ("p.kept", "p.new")
        assert [(c.key, c.value) for c in told[3:] if c] == [("p.new", b"2"), ("p.gone", None)]
        assert told.count(None) == 1

    play(scenario)


def test_a_log_reader_goes_on_where_it_was() -> None:
    async def scenario(hub: MemoryHub, fabric: MemoryFabric) -> None:
        theirs = MemoryLog(hub, hub.attach(NodeId("b")), LOG)
        told: list[LogEntry] = []
        await MemoryLog(hub, fabric, LOG).subscribe(Revision(0), told.append)
        await theirs.append(b"1")
        fabric.state = FabricState.LOST
        await theirs.append(b"2")
        await asyncio.sleep(0)
        assert [entry.data for entry in told] == [b"1"]
        fabric.state = FabricState.CONNECTED
        await asyncio.sleep(0)
        assert [entry.data for entry in told] == [b"1", b"2"]

    play(scenario)


def test_a_failed_write_happened_in_about_half_of_the_cases() -> None:
    """As with a real store: who asks has to read back."""

    async def scenario(hub: MemoryHub, fabric: MemoryFabric) -> None:
        keys = MemoryKeyValue(hub, fabric, DHT)
        hub.failure_rate = 1.0
        for number in range(200):
            with pytest.raises(RequestTimeout):
                await keys.put(f"k.{number}", b"")
        with pytest.raises(QuorumUnavailable):
            await keys.get("k.0")
        hub.failure_rate = 0.0
        assert 60 < len(await keys.keys("k")) < 140

    play(scenario)


def test_one_seed_is_one_history() -> None:
    histories = []
    for _ in range(2):
        history: list[str] = []

        async def scenario(hub: MemoryHub, fabric: MemoryFabric, into: list[str] = history) -> None:
            keys = MemoryKeyValue(hub, fabric, DHT)
            hub.failure_rate, hub.latency_ms = 0.4, (0, 1_000)
            for number in range(100):
                try:
                    into.append(f"{await keys.put('k', b'%d' % number)}")
                except RequestTimeout as exc:
                    into.append(str(exc))
            into.append(str(hub.clock.now_ms()))

        play(scenario, seed=7)
        histories.append(history)
    assert histories[0] == histories[1]
    assert any("lost on its way" in line for line in histories[0])
    assert any("answer was lost" in line for line in histories[0])


def test_a_lifetime_goes_by_the_hubs_clock() -> None:
    async def scenario(hub: MemoryHub, fabric: MemoryFabric) -> None:
        clock = hub.clock
        assert isinstance(clock, JumpingClock)
        keys = MemoryKeyValue(hub, fabric, DHT)
        told: list[Change | None] = []
        await keys.watch("p", told.append)
        first = await keys.put("p.k", b"1", ttl_s=10)
        clock.ms += 9_999
        assert await keys.get("p.k") is not None
        clock.ms += 1
        assert await keys.get("p.k") is None
        with pytest.raises(RevisionConflict):
            await keys.update("p.k", b"2", first)
        await keys.create("p.k", b"2")
        await asyncio.sleep(0)
        assert [change.value for change in told if change] == [b"1", None, b"2"]

    play(scenario)


def test_guarded_writes_of_one_key_at_once_are_busy() -> None:
    async def scenario(hub: MemoryHub, fabric: MemoryFabric) -> None:
        keys = MemoryKeyValue(hub, fabric, DHT)
        hub.latency_ms = (1, 1)
        outcomes = await asyncio.gather(
            keys.create("k", b"1"),
            keys.create("k", b"2"),
            keys.create("other", b"3"),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [int, StreamBusy, int]

    play(scenario)


def test_a_blob_that_changed_in_the_store_is_not_returned() -> None:
    async def scenario(hub: MemoryHub, fabric: MemoryFabric) -> None:
        blobs = MemoryBlobs(hub, fabric, BLOBS)
        info = await blobs.put("b", b"data")
        blobs._blobs["b"] = (info, b"dat4")
        with pytest.raises(IntegrityError):
            await blobs.get("b")

    play(scenario)
