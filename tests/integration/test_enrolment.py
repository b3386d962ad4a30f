"""Joining, renewal, revocation and rotation on real brokers, with real TLS and real files."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import urllib.request
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from bzzz_core.api.client import JoinClient, send_join
from bzzz_core.api.rotation import rotate
from bzzz_core.config.secrets import Secret
from bzzz_core.enrolment import messages
from bzzz_core.enrolment.home import Home
from bzzz_core.enrolment.joiner import Newcomer, join
from bzzz_core.enrolment.messages import JoinAnswer, JoinRequest, Named, Nothing
from bzzz_core.enrolment.registry import NodeState
from bzzz_core.enrolment.token import JoinToken
from bzzz_core.errors import (
    BrokerRefused,
    BzzzError,
    ConfigError,
    NotEnrolled,
    PermissionDenied,
    QuorumUnavailable,
    RequestInvalid,
    SignatureInvalid,
    TokenRefused,
    TransportError,
    TrustError,
)
from bzzz_core.fabric.link import BrokerAddress, BrokerLink
from bzzz_core.model import NodeId
from bzzz_core.trust.ca import Authority
from bzzz_core.trust.certificate import describe
from bzzz_core.trust.chain import der_of
from bzzz_core.trust.names import Purpose
from bzzz_core.trust.tls import client_context, pinned_context
from tests.fakes.enrolled_cluster import CLOCK, EnrolledCluster, EnrolledNode, until, until_async

pytestmark = pytest.mark.integration
PASSPHRASE = Secret("correct horse battery")
REVOKED_S_MAX = TOLD_S_MAX = 2.0
"""What is promised; the digest of these nodes alone may take a second of it."""
SLACK_S = 0.0 if os.environ.get("BZZZ_TEST_FULL") else 4.0
"""What a loaded machine may add. In a full run the promise itself has to hold."""
SOON_S = 30.0
STREAM_S_MAX = 20.0


def members(node: EnrolledNode) -> set[str]:
    return {entry.name for entry in node.config.cluster.nodes}


async def link(node: EnrolledNode, to: EnrolledNode) -> BrokerLink:
    address = BrokerAddress(to.id, to.config.me.address, to.config.me.fabric_client)
    return await BrokerLink.open(
        address,
        node=node.id,
        context=client_context(node.enrolment.secrets),
        counters=Counter(),
    )


async def link_soon(node: EnrolledNode, to: EnrolledNode) -> BrokerLink:
    """Return a link once the broker was told of the node, which takes two seconds at most."""
    deadline = asyncio.get_running_loop().time() + TOLD_S_MAX + SLACK_S
    while True:
        try:
            return await link(node, to)
        except TransportError:
            if asyncio.get_running_loop().time() > deadline:
                raise
        await asyncio.sleep(0.05)


def test_a_machine_joins_by_token_once_and_is_revoked_in_two_seconds(tmp_path: Path) -> None:
    """From a token to an edge that is attached and known to all, and out again."""

    async def journey() -> None:
        async with EnrolledCluster(tmp_path, nodes=3).running() as cluster:
            token = await cluster.token()
            edge = await cluster.join("late", token)
            await until(lambda: edge.fabric.state == "connected", "attached", s_max=SOON_S)
            await until(
                lambda: all("late" in members(node) for node in cluster.nodes),
                "known",
                s_max=SOON_S,
            )
            with pytest.raises(TokenRefused, match="used"):
                await cluster.join_only("thief", token)
            with pytest.raises(PermissionDenied, match="for voters"):
                await edge.ask(messages.TOKEN_CREATE, messages.TokenWish(600))
            with pytest.raises(PermissionDenied, match="for voters"):
                await edge.ask(messages.REVOKE, Named(cluster.nodes[1].name))
            await _revoke(cluster, edge)

    asyncio.run(journey())


async def _revoke(cluster: EnrolledCluster, edge: EnrolledNode) -> None:
    """Withdraw the trust in an edge that has a connection to each broker."""
    voters = cluster.nodes[:3]
    links = [await link_soon(edge, to) for to in voters]
    begun = asyncio.get_running_loop().time()
    await cluster.leader.ask(messages.REVOKE, Named("late"))
    await until(lambda: all(one.closed.is_set() for one in links), "cut off", s_max=SOON_S)
    took = asyncio.get_running_loop().time() - begun
    assert took < REVOKED_S_MAX + SLACK_S, f"live connections were cut after {took:.2f} s"
    for to in voters:
        with pytest.raises(BrokerRefused):
            await link(edge, to)
    await until(lambda: edge.fabric.alarms != (), "alarmed", s_max=25)
    assert "refuse this node" in edge.fabric.alarms[0]
    renew = cluster.leader.enrolment.handlers()[messages.RENEW]
    with pytest.raises(NotEnrolled):
        await renew(edge.id, b"")
    # Its identity stays out, with a new token too.
    shutil.rmtree(cluster.directory / "again", ignore_errors=True)
    home = Home.below(cluster.directory / "again")
    shutil.copytree(edge.enrolment.secrets.path, home.secrets.path)
    with pytest.raises(TrustError, match="revoked"):
        await _join(cluster, home, await cluster.token(), name="again")


def test_a_revoked_node_is_refused_and_told_although_the_brokers_lag(tmp_path: Path) -> None:
    """Nothing but the leader's own registry stands between it and what only a leader does."""

    async def journey() -> None:
        async with EnrolledCluster(tmp_path, nodes=3).running() as cluster:
            edge = await cluster.join("late", await cluster.token())
            await until(lambda: edge.fabric.state == "connected", "attached", s_max=SOON_S)
            await edge.ask(messages.REGISTRY, Nothing())
            for node in cluster.nodes[:3]:
                node.cache.store = lambda _registry: None  # type: ignore[method-assign]
            await cluster.leader.ask(messages.REVOKE, Named("late"))
            for question in (messages.REGISTRY, messages.RENEW, "bucket", "nonsense"):
                with pytest.raises(NotEnrolled, match="no member"):
                    await edge.ask(question, Nothing())
            assert edge.fabric.state == "connected", "its connection is as good as before"
            refused = {"actor": edge.id, "asked": "bucket", "reason": "no member"}
            assert ("refused", refused) in cluster.leader.audited
            assert cluster.leader.enrolment.counters["refused_no_member"] >= 4
            edge.follower.doubt()
            await until(lambda: edge.ended is not None, "told", s_max=20)
            assert edge.ended is not None
            assert "no member of this cluster; to bring this machine back" in edge.ended

    asyncio.run(journey())


async def _join(
    cluster: EnrolledCluster,
    home: Home,
    token: JoinToken,
    *,
    name: str,
    address: str = "127.0.0.1",
) -> None:
    ports = cluster.leader.config.network.ports
    await join(
        Newcomer(name=name, address=address, ports=ports),
        token,
        home=home,
        now_s=int(datetime.now(UTC).timestamp()),
        send=send_join,
    )


def test_misused_tokens_are_refused_counted_and_audited(tmp_path: Path) -> None:
    """Expired, withdrawn, foreign, wrong pin, forged proof, an address of nobody: each is told."""

    async def journey() -> None:
        running = EnrolledCluster(tmp_path, nodes=1).running()
        async with running as cluster:
            leader = cluster.leader
            good = await cluster.token()
            expired = msgspec.structs.replace(good, expires_s=1)
            with pytest.raises(TokenRefused, match="expired"):
                await cluster.join_only("a", expired)
            wrong_pin = msgspec.structs.replace(good, root=der_of(_stranger()))
            with pytest.raises(TrustError, match="not the cluster that the join token is for"):
                await cluster.join_only("b", wrong_pin)
            assert leader.listener.counters["join_requests"] == 0, "nothing was sent to a stranger"
            unknown = msgspec.structs.replace(good, id="0" * 16)
            with pytest.raises(TokenRefused, match="does not know"):
                await cluster.join_only("c", unknown)
            forged = msgspec.structs.replace(good, secret=b"x" * 32)
            with pytest.raises(SignatureInvalid):
                await cluster.join_only("d", forged)
            withdrawn = await cluster.token()
            await leader.ask(messages.TOKEN_REVOKE, Named(withdrawn.id))
            with pytest.raises(TokenRefused, match="withdrawn"):
                await cluster.join_only("e", withdrawn)
            with pytest.raises(ConfigError, match="lives here already"):
                await _join(
                    cluster, Home.below(Path(leader.file.security.directory).parent), good, name="f"
                )
            nowhere = Home.below(tmp_path / "nowhere")
            with pytest.raises(RequestInvalid, match="no address at which"):
                await _join(cluster, nowhere, good, name="g", address="255.255.255.255")
            refused = [fields["code"] for what, fields in leader.audited if what == "join refused"]
            assert refused == [
                *("token_refused", "signature_invalid", "token_refused", "request_invalid")
            ]
            assert leader.enrolment.counters["join_refused_token_refused"] == 2
            assert leader.enrolment.counters["join_refused_signature_invalid"] == 1
            assert members(leader) == {leader.name}

    asyncio.run(journey())


def test_a_replayed_request_gives_nobody_anything_new(tmp_path: Path) -> None:
    """Whoever copied it on the way has no key for the certificate; a node that left is not back."""

    async def journey() -> None:
        async with EnrolledCluster(tmp_path, nodes=1).running() as cluster:
            token = await cluster.token()
            sent: list[tuple[str, str, JoinRequest]] = []

            async def overheard(place: str, root: str, request: JoinRequest) -> JoinAnswer:
                sent.append((place, root, request))
                return await send_join(place, root, request)

            home = Home.below(tmp_path / "late")
            await join(
                Newcomer(name="late", address="127.0.0.1", ports=cluster.leader.file.network.ports),
                token,
                home=home,
                now_s=0,
                send=overheard,
            )
            version = cluster.leader.follower.version
            answer = await send_join(*sent[0])
            assert cluster.leader.follower.version == version
            assert cluster.leader.enrolment.counters["join_repeated"] == 1
            joined = describe(answer.bundle.node_certificate)
            own = describe(home.secrets.node_certificate.read_text())
            assert joined.key_sha256 == own.key_sha256
            leave = cluster.leader.enrolment.handlers()[messages.LEAVE]
            late = next(e for e in cluster.leader.config.cluster.nodes if e.name == "late")
            await leave(NodeId(late.id), messages.pack(Nothing()))
            with pytest.raises(TokenRefused, match="used"):
                await send_join(*sent[0])
            known = cluster.leader.enrolment.known().find(NodeId(late.id))
            assert known is not None
            assert known.state is NodeState.LEFT

    asyncio.run(journey())


def test_hostile_callers_of_the_join_port_are_bounded(tmp_path: Path) -> None:
    """Large, malformed, foreign, many: each ends with one answer and costs the leader nothing."""

    async def journey() -> None:
        async with EnrolledCluster(tmp_path, nodes=1).running() as cluster:
            leader = cluster.leader
            place = f"127.0.0.1:{leader.file.me.join}"
            (root,) = leader.enrolment.known().node_roots
            client = JoinClient(place, context=pinned_context(root))
            with pytest.raises(RequestInvalid, match="at most"):
                await client.ask("POST", JoinAnswer, "x" * 70_000)
            with pytest.raises(RequestInvalid, match="malformed"):
                await client.ask("POST", JoinAnswer, {"statement": 1})
            with pytest.raises(TransportError):
                await client.ask("PUT", JoinAnswer, {})
            foreign = JoinClient(place, context=pinned_context(_stranger()))
            with pytest.raises(TrustError, match="not the cluster"):
                await foreign.ask("POST", JoinAnswer, {})
            refused = [await _code(client) for _ in range(20)]
            assert refused.count("rate_limited") >= 10
            limited = leader.listener.counters["join_refused_rate_limited"]
            assert limited == refused.count("rate_limited")
            assert leader.enrolment.counters.total() == 0

    asyncio.run(journey())


def _stranger() -> str:
    root = Authority.create(Purpose.NODE, common_name="demo node", days=1, passphrase=PASSPHRASE)
    return root.certificate_pem


async def _code(client: JoinClient) -> str:
    try:
        await client.ask("POST", JoinAnswer, {})
    except BzzzError as exc:
        return exc.code
    return "taken"


def test_a_node_made_voter_gets_what_voters_have(tmp_path: Path) -> None:
    """Route and operations certificates and the issuers come by renewal; then its broker starts."""

    async def journey() -> None:
        async with EnrolledCluster(tmp_path, nodes=3).running() as cluster:
            edge = await cluster.join("late", await cluster.token())
            await until(lambda: edge.fabric.state == "connected", "attached", s_max=SOON_S)
            voters = frozenset(node.id for node in cluster.nodes)
            await cluster.leader.enrolment.registrar.change(lambda r: r.with_voters(voters))
            secrets = edge.enrolment.secrets
            await until(secrets.fabric_issuer.exists, "issuers", s_max=SOON_S)
            for path in (secrets.route_certificate, secrets.system_certificate):
                await until(path.exists, path.name, s_max=SOON_S)
                assert path.stat().st_mode & 0o777 == 0o600
            await until(lambda: str(edge.unit.state) == "running", "a broker", s_max=SOON_S)
            handed = [
                fields for what, fields in cluster.leader.audited if what == "issuers handed out"
            ]
            assert [fields["name"] for fields in handed] == ["late"]

    asyncio.run(journey())


@pytest.mark.journey
@pytest.mark.parametrize(
    "seconds",
    [90, pytest.param(600, marks=[pytest.mark.full, pytest.mark.timeout(720)])],
)
def test_a_cluster_with_short_certificates_keeps_itself(tmp_path: Path, seconds: int) -> None:
    """Unattended on leaves of sixty seconds: all were renewed, and new connections prove it."""

    async def journey() -> None:
        cluster = EnrolledCluster(tmp_path, nodes=4, leaf_s=60)
        async with cluster.running():
            first = {n.name: _leaf(n) for n in cluster.nodes}
            await asyncio.sleep(seconds)
            for node in cluster.nodes:
                assert node.enrolment.alarms == ()
                assert node.enrolment.counters["failed"] == 0
                assert node.enrolment.renewal.counters["renewed"] >= seconds // 45
                assert _leaf(node) != first[node.name]
            # What was issued at first has ended: these connections stand on renewed ones, on both
            # sides, and so does a broker that starts now and has to find its peers.
            for node in cluster.nodes:
                for to in cluster.nodes[:3]:
                    opened = await link(node, to)
                    await opened.close()
            last = cluster.nodes[2]
            await cluster.stop(last)
            again = EnrolledNode(Path(last.file.security.directory).parent / "agent.yaml")
            cluster.nodes[2] = again
            cluster.start(again)
            await until(lambda: again.fabric.state == "connected", "back", s_max=20)

    asyncio.run(journey())


def _leaf(node: EnrolledNode) -> str:
    return describe(node.enrolment.secrets.node_certificate.read_text()).sha256


@pytest.mark.journey
def test_the_node_authority_is_replaced_under_live_agents(tmp_path: Path) -> None:
    """Both roots are trusted, then the new one is used, then the old one is worth nothing."""

    async def journey() -> None:
        cluster = EnrolledCluster(tmp_path / "c", nodes=4)
        ca = tmp_path / "ca"
        await asyncio.to_thread(_old_root_of_operator, ca)
        async with cluster.running():
            old = cluster.leader.enrolment.known().node_roots
            said: list[str] = []
            await rotate(
                cluster.leader.file,
                ca_directory=ca,
                passphrase=PASSPHRASE,
                issuers_only=False,
                wait_ms=60_000,
                clock=CLOCK,
                say=said.append,
            )
            (new,) = cluster.leader.enrolment.known().node_roots
            assert (new,) != old
            assert said[-1] == "the old root is trusted by nobody any more"
            for node in cluster.nodes:
                files = node.enrolment.secrets
                await until(lambda f=files: f.node_ca.read_text() == new, "one root", s_max=SOON_S)  # type: ignore[misc]
                leaf = describe(files.node_certificate.read_text())
                assert leaf.root_key_id == describe(new).key_id
            await until(
                lambda: all(node.fabric.state == "connected" for node in cluster.nodes),
                "attached",
                s_max=SOON_S,
            )
            edge = cluster.nodes[3]
            for to in cluster.nodes[:3]:
                await (await link_soon(edge, to)).close()
            # A machine joins under the new root with a new token.
            late = await cluster.join("late", await cluster.token())
            await until(lambda: late.fabric.state == "connected", "attached", s_max=SOON_S)
        assert min(path.name for path in ca.iterdir() if path.is_dir()).startswith("old-")
        assert (ca / "node-ca.pem").read_text() == new

    asyncio.run(journey())


def _old_root_of_operator(directory: Path) -> None:
    """Write roots of the operator; of a laid-out cluster they are not kept, so others stand in.

    A rotation only needs to unlock the directory: what is signed is signed by the new root.
    """
    for purpose in (Purpose.NODE, Purpose.FABRIC):
        Authority.create(purpose, common_name="x", days=1, passphrase=PASSPHRASE).save(directory)


def test_a_revoked_voter_loses_its_routes_although_its_certificate_is_good(tmp_path: Path) -> None:
    """Whoever holds a route may overwrite everything, so the routes must go, and stay away."""

    async def journey() -> None:
        async with EnrolledCluster(tmp_path, nodes=3).running() as cluster:
            *_, gone = cluster.nodes
            others = cluster.nodes[:2]
            await until_async(lambda: _routed(cluster.leader, gone), "routed", s_max=SOON_S)
            # It does not obey: it never learns that it is gone, and its broker goes on knocking.
            gone.follower.heard = lambda _version: None  # type: ignore[method-assign]
            begun = asyncio.get_running_loop().time()
            await cluster.leader.ask(messages.REVOKE, Named(gone.name))

            async def cut_off() -> bool:
                return not any([await _routed(node, gone) for node in others])

            await until_async(cut_off, "cut off", s_max=SOON_S)
            took = asyncio.get_running_loop().time() - begun
            assert took < REVOKED_S_MAX + SLACK_S, f"its routes were cut after {took:.2f} s"
            await asyncio.sleep(2)
            assert await cut_off()
            assert str(gone.unit.state) == "running"
            # The stream's leader may have been the broker that is cut off now: they elect another.
            await until_async(lambda: _readable(cluster.leader), "readable", s_max=STREAM_S_MAX)

    asyncio.run(journey())


async def _readable(node: EnrolledNode) -> bool:
    try:
        return await node.records.read("_nodes") is not None
    except QuorumUnavailable:
        return False


async def _routed(node: EnrolledNode, to: EnrolledNode) -> bool:
    """Return whether a node's broker has routes to another's, as the broker itself says."""
    url = f"http://127.0.0.1:{node.file.network.ports.fabric_monitor}/routez"

    def look() -> bytes:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bytes(response.read())

    routes = json.loads(await asyncio.to_thread(look)).get("routes") or []
    return any(str(route["remote_name"]).startswith(to.id) for route in routes)
