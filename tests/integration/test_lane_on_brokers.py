"""The lane against three real brokers: what was acknowledged is in the stream, once, in order."""

from __future__ import annotations

import asyncio
import signal

import pytest

from bzzz_core.clock import SystemClock
from bzzz_core.errors import Deposed, QuorumUnavailable, RequestTimeout, StreamBusy
from bzzz_core.fabric.batch import decode_batch
from bzzz_core.fabric.jetstream import (
    NO_MESSAGE,
    GotMessage,
    JetStreamRefusal,
    decode,
    encode,
)
from bzzz_core.fabric.lane import FencedLane
from bzzz_core.fabric.layout import CONTROL_STREAM, stream_api
from bzzz_core.fabric.nats import NatsFabric
from bzzz_core.fabric.records import NatsRecords
from bzzz_core.model import FencingToken, Revision
from bzzz_core.ports import Guard
from tests.fakes.broker_cluster import BrokerCluster

pytestmark = pytest.mark.integration
SETTLE_S_MAX = 60.0
PREFIX = "bz.control."


async def win(records: NatsRecords) -> FencingToken:
    """Take the term; another leader's writes keep the stream busy, so it may take some attempts."""
    async with asyncio.timeout(SETTLE_S_MAX):
        while True:
            try:
                before = await records.read("_term")
                at = before.revision if before else Revision(0)
                written = await records.write("_term", b"test", Guard("_term", at))
            except (StreamBusy, QuorumUnavailable, RequestTimeout):
                await asyncio.sleep(0.005)
            else:
                return FencingToken(records.stream, written)


async def settled(records: NatsRecords) -> None:
    async with asyncio.timeout(SETTLE_S_MAX):
        while True:
            try:
                if all(replica.current for replica in await records.replicas()):
                    return
            except QuorumUnavailable:
                pass
            await asyncio.sleep(0.05)


async def history(fabric: NatsFabric, after: Revision, up_to: Revision) -> list[tuple[str, bytes]]:
    """Return (key, value) of all that was written after a revision, at least up to another.

    A broker that was paused while it led the stream answers from the past for a moment: what it
    does not know yet is asked for again.
    """
    found: list[tuple[str, bytes]] = []
    subject = stream_api("MSG.GET", CONTROL_STREAM)
    async with asyncio.timeout(SETTLE_S_MAX):
        while True:
            sequence = after + 1 + len(found)
            try:
                reply = await fabric.ask(subject, encode({"seq": sequence}), timeout_ms=2_000)
                message = decode(reply.data, GotMessage).message
            except JetStreamRefusal as exc:
                if exc.number == NO_MESSAGE and sequence > up_to:
                    return found
                await asyncio.sleep(0.1)
            except RequestTimeout:
                pass
            else:
                found.append((message.subject.removeprefix(PREFIX), message.payload))


def last_of(told: dict[bytes, object]) -> Revision:
    return max(Revision(each) for each in told.values() if isinstance(each, int))


def entries_of(messages: list[tuple[str, bytes]]) -> list[bytes]:
    return [
        entry for key, value in messages if key == "log" for entry in decode_batch(value).entries
    ]


async def write(lane: FencedLane, count: int) -> dict[bytes, object]:
    """Append entries, every fifth as a record; return what became of each."""
    told: dict[bytes, object] = {}

    async def one(number: int) -> None:
        content = b"%06d" % number
        try:
            if number % 5:
                told[content] = await lane.append(content)
            else:
                told[content] = await lane.put("_lane_test", content)
        except (Deposed, RequestTimeout, QuorumUnavailable) as exc:
            told[content] = exc

    async with asyncio.TaskGroup() as writers:
        for number in range(count):
            writers.create_task(one(number))
            if number % 20 == 0:
                await asyncio.sleep(0.005)
    return told


@pytest.mark.journey
@pytest.mark.parametrize("what", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "paused"])
def test_losing_the_streams_leader_loses_and_doubles_nothing(
    healthy: BrokerCluster, what: signal.Signals
) -> None:
    """Answers are lost with the broker; the lane finds out what became of its writes."""

    async def play() -> None:
        fabric = healthy.fabric(0)
        records = healthy.records(fabric)
        async with asyncio.TaskGroup() as group:
            nodes = [group.create_task(fabric.run())]
            await records.open()
            await settled(records)
            await records.move_stream_leader(healthy.brokers[1].server_name)
            await settled(records)
            token = await win(records)
            lane = FencedLane(records, token=token, clock=SystemClock())
            nodes.append(group.create_task(lane.run()))
            writing = group.create_task(write(lane, 4_000))
            await asyncio.sleep(0.3)
            if what is signal.SIGKILL:
                healthy.kill(1)
            else:
                healthy.signal(1, what)
            try:
                told = await writing
            finally:
                if what is signal.SIGSTOP:
                    healthy.signal(1, signal.SIGCONT)
            messages = await history(fabric, token.sequence, last_of(told))
            for task in nodes:
                task.cancel()
        written = [value for key, value in messages if key == "_lane_test"] + entries_of(messages)
        assert len(written) == len(set(written)), "written twice"
        failed = {content: exc for content, exc in told.items() if isinstance(exc, Exception)}
        assert not failed, "one loss of a broker is within the lane's patience"
        assert set(written) == set(told)
        assert entries_of(messages) == sorted(entries_of(messages))
        assert [v for k, v in messages if k == "_lane_test"] == sorted(
            v for k, v in messages if k == "_lane_test"
        )

    asyncio.run(play())


def test_of_two_leaders_the_deposed_one_writes_nothing_more(healthy: BrokerCluster) -> None:
    """The store alone decides: the old leader is told by the first write that it tries."""

    async def play() -> None:
        fabrics = [healthy.fabric(number) for number in (0, 2)]
        old, new = (healthy.records(fabric) for fabric in fabrics)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(fabric.run()) for fabric in fabrics]
            await asyncio.gather(old.open(), new.open())
            await settled(old)
            first = await win(old)
            before = FencedLane(old, token=first, clock=SystemClock())
            tasks.append(group.create_task(before.run()))
            writing = group.create_task(write(before, 3_000))
            async with asyncio.timeout(SETTLE_S_MAX):
                while before.counters["entries"] < 50:  # noqa: ASYNC110  the lane has no event for it
                    await asyncio.sleep(0.005)
            second = await win(new)
            after = FencedLane(new, token=second, clock=SystemClock())
            tasks.append(group.create_task(after.run()))
            end = await after.append(b"of the new leader")
            told = await writing
            assert before.ended.is_set()
            assert isinstance(before.ended_by, Deposed)
            messages = await history(fabrics[0], second.sequence, end)
            earlier = await history(fabrics[0], first.sequence, end)
            for task in tasks:
                task.cancel()
        assert entries_of(messages) == [b"of the new leader"]
        there = {value for key, value in earlier if key == "_lane_test"} | set(entries_of(earlier))
        for content, outcome in told.items():
            if isinstance(outcome, Deposed):
                assert content not in there
            elif isinstance(outcome, int):
                assert content in there
        assert any(isinstance(outcome, Deposed) for outcome in told.values())
        assert any(isinstance(outcome, int) for outcome in told.values())

    asyncio.run(play())


def test_a_record_written_through_the_lane_is_found_by_its_request(healthy: BrokerCluster) -> None:
    """Reading back rests on it: the store keeps the id under which a value was written."""

    async def play() -> None:
        fabric = healthy.fabric(0)
        records = healthy.records(fabric)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(fabric.run())]
            await records.open()
            lane = FencedLane(records, token=await win(records), clock=SystemClock())
            tasks.append(group.create_task(lane.run()))
            revision = await lane.put("_lane_test", b"value")
            found = await records.read("_lane_test")
            assert found is not None
            assert (found.value, found.revision) == (b"value", revision)
            assert found.request_id is not None
            assert found.request_id.startswith(f"{lane._guard.revision}-")
            for task in tasks:
                task.cancel()

    asyncio.run(play())
