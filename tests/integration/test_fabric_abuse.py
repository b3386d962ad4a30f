"""What a node with bad intentions can do with the rights it has: nothing to others.

Every test acts with an edge's own certificate and rights, past our adapters.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from bzzz_core.clock import SystemClock
from bzzz_core.errors import PermissionDenied, RevisionConflict
from bzzz_core.fabric.keyvalue import NatsKeyValue
from bzzz_core.fabric.layout import DHT, PROVIDERS, Bucket, direct_api, stream_api
from bzzz_core.fabric.nats import NatsFabric
from bzzz_core.ports import VALUE_BYTES_MAX, Change, Message, Record
from tests.fakes.broker_cluster import BrokerCluster, running
from tests.fakes.dht_worlds import asked_buckets, questions, serving
from tests.fakes.fabric_worlds import STORE_BYTES_MAX, until

pytestmark = pytest.mark.integration
VOTER, EDGE = 0, 3
TIMES = 5


def play(
    cluster: BrokerCluster, scenario: Callable[[NatsFabric, NatsFabric], Awaitable[None]]
) -> None:
    """Let a voter, which has opened the buckets, and an edge act."""

    async def body() -> None:
        voter, edge = cluster.fabric(VOTER), cluster.fabric(EDGE)
        async with running(voter, edge):
            for bucket in (DHT, PROVIDERS):
                await keys_of(voter, bucket=bucket, replicas=3).open()
            await scenario(voter, edge)

    asyncio.run(body())


def keys_of(fabric: NatsFabric, bucket: Bucket = DHT, replicas: int | None = None) -> NatsKeyValue:
    return NatsKeyValue(
        fabric,
        bucket,
        clock=SystemClock(),
        replicas=replicas,
        store_bytes_max=STORE_BYTES_MAX,
    )


async def heard(fabric: NatsFabric, subject: str) -> list[Message]:
    """Hear a subject, and return once messages of others reach us."""
    inbox: list[Message] = []
    await fabric.subscribe(subject, inbox.append)
    await asyncio.sleep(0.2)
    return inbox


def test_a_broker_that_answers_elsewhere_cannot_speak_for_another_node(
    healthy: BrokerCluster,
) -> None:
    """The broker sends answers wherever it is told: stored bytes must not pass as a message.

    Only a voter can still tell it so; it is tried on the subject that proves who asks the leader.
    """

    async def scenario(voter: NatsFabric, edge: NatsFabric) -> None:
        victim = healthy.node(1)
        forged = f"bz.lead.{victim}.revoke"
        questions = await heard(voter, "bz.lead.*.*")
        revision = await keys_of(voter).put("forgery", b"revoke everybody")
        link = voter._link
        assert link is not None
        subject = f"{DHT.prefix}.forgery"
        by_batch = msgspec.json.encode({"seq": revision, "batch": 1, "next_by_subj": subject})
        # A replica that lags says with one message that there is nothing; the others send two.
        for _ in range(TIMES):
            await link._client.publish(direct_api(DHT.stream), by_batch, reply=forged)
            await asyncio.sleep(0.05)
        await until(lambda: voter.counters["stored_messages_refused"] > TIMES)
        await edge.publish(f"bz.lead.{healthy.node(EDGE)}.last", b"in order")
        await until(lambda: len(questions) >= 1)
        assert [question.subject for question in questions] == [
            f"bz.lead.{healthy.node(EDGE)}.last"
        ]

    play(healthy, scenario)


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        (f"{DHT.prefix}.x", b"chosen"),
        (f"{PROVIDERS.prefix}.x.OWN", b"chosen"),
        (direct_api(DHT.stream), b'{"last_by_subj": "$KV.dht.redirect"}'),
        (f"{direct_api(DHT.stream)}.{DHT.prefix}.redirect", b""),
        (stream_api("MSG.GET", DHT.stream), b'{"last_by_subj": "$KV.dht.redirect"}'),
        (stream_api("INFO", DHT.stream), b""),
    ],
)
def test_an_edge_publishes_to_nothing_that_jetstream_answers(
    healthy: BrokerCluster, subject: str, body: bytes
) -> None:
    """An acknowledgement or stored bytes would go where it says, past the rights it has."""
    subject = subject.replace("OWN", healthy.node(EDGE))

    async def scenario(voter: NatsFabric, edge: NatsFabric) -> None:
        await keys_of(voter).put("redirect", b"stored")
        before = await keys_of(voter).keys("x")
        landed = await heard(voter, f"_INBOX.{healthy.node(VOTER)}.landed")
        link = edge._link
        assert link is not None
        await link._client.publish(subject, body, reply=f"_INBOX.{healthy.node(VOTER)}.landed")
        with pytest.raises(PermissionDenied):
            await edge.ask(subject, body, timeout_ms=2_000)
        await asyncio.sleep(0.2)
        assert landed == []
        assert voter.counters["stored_messages_refused"] == 0
        assert await keys_of(voter).keys("x") == before
        assert await keys_of(voter).get("x") is None
        with pytest.raises(PermissionDenied):
            await edge.subscribe(f"{DHT.prefix}.>", lambda _message: None)

    play(healthy, scenario)


def test_an_answer_is_only_ever_sent_to_an_inbox(healthy: BrokerCluster) -> None:
    """Else the edge would make a voter publish under the subject of somebody else's choice."""

    async def scenario(voter: NatsFabric, edge: NatsFabric) -> None:
        questions = await heard(voter, "bz.lead.*.*")
        me = healthy.node(EDGE)
        link = edge._link
        assert link is not None
        for reply in (f"bz.lead.{healthy.node(1)}.revoke", "bz.el.all", "_INBOXES.x"):
            await link._client.publish(f"bz.lead.{me}.x", b"", reply=reply)
        await until(lambda: len(questions) >= 3)
        assert [question.reply for question in questions] == ["", "", ""]

    play(healthy, scenario)


def test_headers_of_a_writer_do_not_mislead_who_follows(healthy: BrokerCluster) -> None:
    """A stored message may carry any header, those of the broker's own words too."""

    async def scenario(voter: NatsFabric, edge: NatsFabric) -> None:
        del edge
        told: list[Change | None] = []
        watch = await keys_of(voter).watch("spoof", told.append)
        await watch.listed()
        for number, headers in enumerate(
            (
                {"Status": "204", "Nats-Num-Pending": "0"},
                {"Status": "503"},
                {"Nats-Sequence": "99999999"},
                {"Nats-Subject": f"{DHT.prefix}.spoof.other"},
                {"Nats-Time-Stamp": "never"},
                {"Nats-Stream": "ELSE"},
                {"X": "\u00e4\U0001f41d"},
            )
        ):
            await voter.ask(
                f"{DHT.prefix}.spoof.{number}", b"%d" % number, headers=headers, timeout_ms=2_000
            )
        await until(lambda: watch.get("spoof.6") is not None)
        assert watch.keys() == tuple(f"spoof.{number}" for number in range(7))
        for number in range(7):
            record = await keys_of(voter).get(f"spoof.{number}")
            assert record is not None
            assert record.value == b"%d" % number

    play(healthy, scenario)


def test_no_header_wipes_a_bucket(healthy: BrokerCluster) -> None:
    """Who may write one key could roll up all of them if the stream allowed it."""

    async def scenario(voter: NatsFabric, edge: NatsFabric) -> None:
        del edge
        await keys_of(voter).put("precious", b"kept")
        for what in ("all", "sub"):
            answer = await voter.ask(
                f"{DHT.prefix}.wipe", b"", headers={"Nats-Rollup": what}, timeout_ms=2_000
            )
            assert b"error" in answer.data
        record = await keys_of(voter).get("precious")
        assert record is not None
        assert record.value == b"kept"

    play(healthy, scenario)


@pytest.mark.parametrize(
    "verb", ["CREATE", "UPDATE", "DELETE", "PURGE", "MSG.DELETE", "LEADER.STEPDOWN", "RESTORE"]
)
def test_an_edge_cannot_change_streams(healthy: BrokerCluster, verb: str) -> None:
    async def scenario(voter: NatsFabric, edge: NatsFabric) -> None:
        del voter
        for stream in (DHT.stream, "BZZZ_CONTROL"):
            with pytest.raises(PermissionDenied):
                await edge.ask(stream_api(verb, stream), b"{}", timeout_ms=2_000)

    play(healthy, scenario)


@pytest.mark.parametrize(
    "subject",
    [
        "$JS.API.CONSUMER.CREATE.KV_dht",
        "$JS.API.CONSUMER.CREATE.KV_dht.mine",
        "$JS.API.CONSUMER.DURABLE.CREATE.KV_dht.mine",
        "$JS.API.STREAM.NAMES",
        "$JS.API.STREAM.MSG.GET.BZZZ_CONTROL",
        "$JS.API.DIRECT.GET.BZZZ_CONTROL",
        "$JS.API.META.LEADER.STEPDOWN",
        "$JS.API.SERVER.REMOVE",
    ],
)
def test_an_edge_reaches_nothing_else_of_jetstream(healthy: BrokerCluster, subject: str) -> None:
    """A consumer delivers stored bytes to any subject that its maker names."""

    async def scenario(voter: NatsFabric, edge: NatsFabric) -> None:
        del voter
        with pytest.raises(PermissionDenied):
            await edge.ask(subject, b"{}", timeout_ms=2_000)

    play(healthy, scenario)


def test_an_edge_uses_the_buckets_by_asking_the_leader(healthy: BrokerCluster) -> None:
    async def scenario(voter: NatsFabric, edge: NatsFabric) -> None:
        own = keys_of(voter), keys_of(voter, PROVIDERS)
        async with serving(healthy.node(VOTER), voter, own):
            values, providers = asked_buckets(questions(healthy.node(EDGE), edge))
            await own[0].put("shared", b"1")
            found = await values.get("shared")
            assert found is not None
            assert found.value == b"1"
            revision = await values.update("shared", b"2", found.revision)
            assert await own[0].get("shared") == Record("shared", b"2", revision)
            with pytest.raises(RevisionConflict):
                await values.update("shared", b"3", found.revision)
            mine = f"key.{healthy.node(EDGE)}"
            await providers.put(mine, b"", ttl_s=5)
            assert await own[1].keys("key") == await providers.keys("key") == (mine,)
            with pytest.raises(PermissionDenied):
                await providers.put(f"key.{healthy.node(VOTER)}", b"", ttl_s=5)
            largest = bytes(VALUE_BYTES_MAX)
            await own[0].put("largest", largest)
            record = await values.get("largest")
            assert record is not None
            assert record.value == largest

    play(healthy, scenario)
