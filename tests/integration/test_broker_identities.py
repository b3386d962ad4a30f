"""Who may do what at a broker, tried against real brokers (ADR-0003).

The brokers are this file's own: their users and certificates change here.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import ssl
import time
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bzzz_core.config.secrets import Secret
from bzzz_core.errors import PermissionDenied, TransportError
from bzzz_core.fabric.broker import render
from bzzz_core.fabric.link import BrokerAddress, BrokerLink
from bzzz_core.fabric.nats import NatsFabric
from bzzz_core.model import NodeId, Revision
from bzzz_core.ports import Guard
from bzzz_core.trust.ca import Authority
from bzzz_core.trust.enrol import init_node
from bzzz_core.trust.names import Purpose
from bzzz_core.trust.secrets_directory import SecretsDirectory
from bzzz_core.trust.tls import client_context
from tests.fakes.broker_cluster import BrokerCluster

pytestmark = pytest.mark.integration
EDGE = 3
AT_ONCE_S = 1.5
"""Below the two seconds after which an unanswered request ends by itself."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerCluster]:
    with BrokerCluster(tmp_path_factory.mktemp("identities"), nodes=4) as running:
        yield running


def secrets_of(cluster: BrokerCluster, number: int) -> SecretsDirectory:
    return SecretsDirectory(Path(cluster.configs[number].security.directory))


def address_of(cluster: BrokerCluster, number: int) -> BrokerAddress:
    me = cluster.configs[number].me
    return BrokerAddress(NodeId(me.id), me.address, me.fabric_client)


async def link(
    cluster: BrokerCluster, number: int, *, to: int = 0, context: ssl.SSLContext | None = None
) -> BrokerLink:
    return await BrokerLink.open(
        address_of(cluster, to),
        node=cluster.node(number),
        context=context or client_context(secrets_of(cluster, number)),
        counters=Counter(),
    )


def refused(
    cluster: BrokerCluster, number: int, context: ssl.SSLContext | None = None
) -> TransportError:
    async def attempt() -> None:
        opened = await link(cluster, number, context=context)
        await opened.close()

    with pytest.raises(TransportError) as error:
        asyncio.run(attempt())
    return error.value


def with_fabric(fabric: NatsFabric, scenario: Callable[[NatsFabric], Awaitable[None]]) -> None:
    async def play() -> None:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(fabric.run())
            await fabric.wait_attached()
            await scenario(fabric)
            running.cancel()

    asyncio.run(play())


def test_a_client_without_a_certificate_is_refused(cluster: BrokerCluster) -> None:
    context = ssl.create_default_context(cafile=str(secrets_of(cluster, 0).node_ca))
    refused(cluster, 0, context)


def test_a_certificate_of_a_foreign_authority_is_refused(
    cluster: BrokerCluster, tmp_path: Path
) -> None:
    """Same names, same node id, even the same name of the authority: only the signature differs."""
    foreign = Authority.create(
        Purpose.NODE, common_name="demo node", days=1, passphrase=Secret("x" * 20)
    )
    secrets = SecretsDirectory(tmp_path / "secrets")
    request = init_node(secrets.path).node_csr
    pem = foreign.delegate().issue_node(
        request, node_id=cluster.node(0), addresses=["127.0.0.1"], lifetime_s=86_400
    )
    secrets.node_certificate.write_text(pem)
    shutil.copy(secrets_of(cluster, 0).node_ca, secrets.node_ca)
    refused(cluster, 0, client_context(secrets))


def test_a_route_certificate_opens_no_client_connection(
    cluster: BrokerCluster, tmp_path: Path
) -> None:
    voter = secrets_of(cluster, 0)
    mixed = SecretsDirectory(tmp_path)
    shutil.copy(voter.route_certificate, mixed.node_certificate)
    shutil.copy(voter.route_key, mixed.node_key)
    shutil.copy(voter.node_ca, mixed.node_ca)
    refused(cluster, 0, client_context(mixed))


def test_a_broker_that_is_another_node_is_not_believed(cluster: BrokerCluster) -> None:
    """Any node's certificate is good for loopback; only its name says which node it is."""
    impostor = replace(address_of(cluster, 0), node=cluster.node(1))

    async def attempt() -> None:
        await BrokerLink.open(
            impostor,
            node=cluster.node(0),
            context=client_context(secrets_of(cluster, 0)),
            counters=Counter(),
        )

    with pytest.raises(TransportError, match="mismatch"):
        asyncio.run(attempt())


def test_a_broker_that_offers_no_tls_gets_nothing(cluster: BrokerCluster) -> None:
    """A man in the middle that strips TLS must not hear one byte of ours."""
    heard = bytearray()

    async def attempt() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b'INFO {"server_id":"x","version":"2.15.1","max_payload":1048576}\r\n')
            heard.extend(await reader.read(10_000))
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            await BrokerLink.open(
                replace(address_of(cluster, 0), port=port),
                node=cluster.node(0),
                context=client_context(secrets_of(cluster, 0)),
                counters=Counter(),
            )

    with pytest.raises(TransportError):
        asyncio.run(attempt())
    assert b"CONNECT" not in heard
    assert heard[:1] == b"\x16", "a TLS handshake and nothing else"


def test_a_refused_request_ends_at_once(cluster: BrokerCluster) -> None:
    """Without the broker's word, it would look like a lost answer after two seconds."""

    async def scenario(fabric: NatsFabric) -> None:
        began = time.monotonic()
        with pytest.raises(PermissionDenied):
            await cluster.records(fabric).write("_term", b"mine", Guard("_term", Revision(0)))
        with pytest.raises(PermissionDenied):
            await cluster.records(fabric).open()
        assert time.monotonic() - began < AT_ONCE_S

    with_fabric(cluster.fabric(EDGE), scenario)


def test_an_edge_hears_no_election_and_no_foreign_answers(cluster: BrokerCluster) -> None:
    async def scenario(fabric: NatsFabric) -> None:
        for subject in ("bz.el.all", "bz.control.>", f"_INBOX.{cluster.node(0)}.>", ">"):
            with pytest.raises(PermissionDenied):
                await fabric.subscribe(subject, lambda _: None)
        await fabric.subscribe("bz.digest.*", lambda _: None)

    with_fabric(cluster.fabric(EDGE), scenario)


def test_a_node_beats_for_itself_only(cluster: BrokerCluster) -> None:
    """What it publishes under another node's name reaches nobody, and it is told so."""

    async def scenario(fabric: NatsFabric) -> None:
        listener = cluster.fabric(0)
        heard: list[str] = []
        async with asyncio.TaskGroup() as group:
            running = group.create_task(listener.run())
            await listener.wait_attached()
            await listener.subscribe("bz.beat.*", lambda message: heard.append(message.subject))
            own, forged = (f"bz.beat.{cluster.node(number)}" for number in (EDGE, 0))
            async with asyncio.timeout(5):
                while not heard:
                    await fabric.publish(forged, b"I am node 0")
                    await fabric.publish(own, b"I am myself")
                    await asyncio.sleep(0.01)
            assert set(heard) == {own}
            assert fabric.counters["permission_violations"] >= 1
            running.cancel()

    with_fabric(cluster.fabric(EDGE), scenario)


def test_a_voter_cannot_delete_the_stream_or_touch_the_system(cluster: BrokerCluster) -> None:
    """Not at the brokers of others; what it may at its own, `fabric.rights` says."""

    async def scenario(fabric: NatsFabric) -> None:
        await cluster.records(fabric).open()
        for subject in (
            "$JS.API.STREAM.DELETE.BZZZ_CONTROL",
            "$JS.API.STREAM.PURGE.BZZZ_CONTROL",
            "$JS.API.META.LEADER.STEPDOWN",
            "$SYS.REQ.SERVER.PING",
        ):
            with pytest.raises(PermissionDenied):
                await fabric.ask(subject, b"", timeout_ms=2_000)

    with_fabric(cluster.fabric(0, only=1), scenario)


def reload_users(cluster: BrokerCluster, *, without: int | None) -> None:
    for number, broker in enumerate(cluster.brokers):
        gone = None if without is None else cluster.node(without)
        users = tuple(user for user in broker.users if user[0] != gone)
        cluster.write_conf(number, render(replace(broker, users=users)))
        cluster.signal(number, signal.SIGHUP)


def test_removing_a_node_closes_its_live_connection_and_no_other(cluster: BrokerCluster) -> None:
    """Revocation must not wait for a restart, and must not disturb the others."""

    async def scenario() -> None:
        edge, voter = await link(cluster, EDGE), await link(cluster, 0)
        began = time.monotonic()
        reload_users(cluster, without=EDGE)
        async with asyncio.timeout(2):
            await edge.closed.wait()
        assert time.monotonic() - began < 2
        with pytest.raises(TransportError):
            await link(cluster, EDGE)
        assert not voter.closed.is_set()
        reload_users(cluster, without=None)
        async with asyncio.timeout(2):
            while True:
                try:
                    back = await link(cluster, EDGE)
                except TransportError:
                    await asyncio.sleep(0.02)
                else:
                    break
        assert not voter.closed.is_set()
        for each in (edge, voter, back):
            await each.close()

    asyncio.run(scenario())


def routes_of(cluster: BrokerCluster, number: int) -> set[str]:
    url = f"http://{cluster.brokers[number].monitor}/routez"
    with urllib.request.urlopen(url, timeout=2) as answer:
        return {route["remote_name"] for route in json.load(answer)["routes"]}


def test_a_node_certificate_opens_no_route(cluster: BrokerCluster) -> None:
    """Whoever holds a route may overwrite everything: an edge's certificate must not do."""
    rogue = 2
    victim = cluster.brokers[0]
    cluster.kill(rogue)
    own = cluster.brokers[rogue]
    text = render(own)
    for kind in ("pem", "key"):
        text = text.replace(f"/route.{kind}", f"/node.{kind}")
    assert "route.pem" not in text
    cluster.start(rogue, text)
    deadline = time.monotonic() + 30
    while "TLS route handshake error" not in cluster.log(0) + cluster.log(1):
        assert time.monotonic() < deadline, "the rogue never knocked"
        time.sleep(0.05)
    assert own.server_name not in routes_of(cluster, 0) | routes_of(cluster, 1)
    assert "certificate signed by unknown authority" in cluster.log(0) + cluster.log(1)
    assert victim.server_name in routes_of(cluster, 1), "the honest route stays"
    cluster.kill(rogue)
    cluster.start(rogue)
    cluster.wait_ready()
    deadline = time.monotonic() + 30
    while own.server_name not in routes_of(cluster, 0):  # Ready for clients comes before routes.
        assert time.monotonic() < deadline, "its own certificate opens no route"
        time.sleep(0.05)
