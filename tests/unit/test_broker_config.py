"""What a broker is told: the real nats-server reads it, and every rule of ADR-0003 is in it."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.sources import load_agent_config
from bzzz_core.demo.layout import lay_out
from bzzz_core.errors import BrokerError, ConfigError
from bzzz_core.fabric.binary import check_config, check_version, find_binary
from bzzz_core.fabric.broker import (
    BrokerConfig,
    Endpoint,
    check_genesis,
    listening_host,
    loopback_of,
    render,
)
from bzzz_core.fabric.layout import permissions
from bzzz_core.fabric.store import node_of, server_name
from bzzz_core.fabric.subjects import matches
from bzzz_core.model import NodeId
from bzzz_core.trust import private_files

NAME = "a" * 26 + "-00000000"


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> list[AgentConfig]:
    """Three voters and one edge."""
    files = lay_out(tmp_path_factory.mktemp("cluster"), agents=4)
    return [load_agent_config(agent.config, {}) for agent in files.agents]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> AgentConfig:
    files = lay_out(tmp_path_factory.mktemp("alone"), agents=1)
    return load_agent_config(files.agents[0].config, {})


def broker_of(config: AgentConfig) -> BrokerConfig:
    return BrokerConfig.from_agent_config(config, server_name=NAME)


def test_nats_server_accepts_a_clustered_and_a_lone_broker(
    configs: list[AgentConfig], alone: AgentConfig, tmp_path: Path
) -> None:
    for number, config in enumerate((configs[0], alone)):
        path = tmp_path / f"{number}.conf"
        private_files.create(path, render(broker_of(config)).encode())
        asyncio.run(check_config(find_binary(), path))


def test_a_refused_configuration_names_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "nats.conf"
    private_files.create(path, b"no_such_setting: 1\n")
    with pytest.raises(BrokerError, match="no_such_setting"):
        asyncio.run(check_config(find_binary(), path))


def test_every_write_is_on_disk_and_a_silent_peer_is_found_in_seconds(
    configs: list[AgentConfig],
) -> None:
    """The defaults are a flush every two minutes and a ping every two minutes."""
    text = render(broker_of(configs[0]))
    assert "sync_interval: always" in text
    assert text.count("ping_interval: 2s") == 2, "for clients and for routes"
    assert text.count("ping_max: 2") == 2


def test_routes_and_clients_trust_different_authorities(configs: list[AgentConfig]) -> None:
    text = render(broker_of(configs[0]))
    clients, routes = text.split("cluster {")
    assert "node-ca.pem" in clients
    assert "fabric-ca.pem" not in clients
    assert "fabric-ca.pem" in routes
    assert "node-ca.pem" not in routes


def test_there_is_one_user_per_node_and_nobody_else(configs: list[AgentConfig]) -> None:
    text = render(broker_of(configs[0]))
    assert text.count("user: ") == 5, "four nodes, and this node as the system account"
    assert "verify_and_map: true" in text
    assert "handshake_first: true" in text
    assert "password" not in text
    assert "no_auth_user" not in text


def test_the_status_page_is_loopback_only(configs: list[AgentConfig]) -> None:
    assert broker_of(configs[0]).monitor.host == "127.0.0.1"


def test_seeds_are_all_voters_and_the_broker_itself_last(configs: list[AgentConfig]) -> None:
    """A fresh broker takes the number of its routes for the number of voters."""
    broker = broker_of(configs[0])
    places = [configs[1].me, configs[2].me, configs[0].me]
    assert broker.seeds == tuple(Endpoint(host=p.address, port=p.fabric_cluster) for p in places)


def test_one_voter_is_a_cluster_of_one_without_seeds(alone: AgentConfig) -> None:
    """It starts beside a companion; a store that was never clustered could not grow."""
    broker = broker_of(alone)
    assert broker.seeds == ()
    assert "cluster {" in render(broker)


def test_the_system_account_has_one_user_and_only_where_it_was_issued(
    configs: list[AgentConfig], alone: AgentConfig, tmp_path: Path
) -> None:
    broker = broker_of(configs[0])
    assert broker.system_users == (f"{configs[0].me.id}.system.bzzz",)
    assert render(broker).count(".system.bzzz") == 1
    nowhere = alone.security.model_copy(update={"directory": str(tmp_path)})
    without = broker_of(alone.model_copy(update={"security": nowhere}))
    assert without.system_users == ()
    assert ".system.bzzz" not in render(without)


def test_only_at_its_own_broker_a_voter_keeps_the_streams(configs: list[AgentConfig]) -> None:
    for here, config in enumerate(configs[:3]):
        for node, rights in broker_of(config).users:
            own = node == configs[here].me.id
            for verb in ("DELETE", "RESTORE", "SNAPSHOT", "PEER.REMOVE"):
                assert (f"$JS.API.STREAM.{verb}.*" in rights.publish) is own


def test_an_edge_runs_no_broker(configs: list[AgentConfig]) -> None:
    with pytest.raises(ConfigError, match="edge"):
        broker_of(configs[3])


def test_no_cluster_is_founded_with_two_voters(configs: list[AgentConfig]) -> None:
    """Losing either one would stop both; while it grows, a cluster passes through that."""
    cluster = configs[0].cluster
    two = cluster.model_copy(update={"nodes": cluster.nodes[:2]})
    config = configs[0].model_copy(update={"cluster": two})
    with pytest.raises(ConfigError, match="1, 3 or 5"):
        check_genesis(config)
    check_genesis(configs[0])
    assert len(broker_of(config).seeds) == 2


def test_paths_are_quoted(configs: list[AgentConfig], tmp_path: Path) -> None:
    """A path is data: it must not become configuration."""
    config = configs[0]
    odd = tmp_path / 'a "quoted" \\ {path} $HOME #'
    odd.mkdir()
    paths = config.resources.paths.model_copy(update={"data": str(odd)})
    resources = config.resources.model_copy(update={"paths": paths})
    broker = broker_of(config.model_copy(update={"resources": resources}))
    private_files.create(tmp_path / "nats.conf", render(broker).encode())
    asyncio.run(check_config(find_binary(), tmp_path / "nats.conf"))
    newline = config.resources.paths.model_copy(update={"data": "/x\n}"})
    bad = config.resources.model_copy(update={"paths": newline})
    with pytest.raises(ConfigError, match="control character"):
        render(broker_of(config.model_copy(update={"resources": bad})))


@pytest.mark.parametrize(
    ("address", "listens", "own"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("127.0.0.2", "127.0.0.2", "127.0.0.2"),
        ("localhost", "127.0.0.1", "127.0.0.1"),
        ("192.0.2.1", "0.0.0.0", "127.0.0.1"),  # noqa: S104
        ("host.example.net", "0.0.0.0", "127.0.0.1"),  # noqa: S104
        ("::1", "::1", "::1"),
        ("2001:db8::1", "::", "::1"),
    ],
)
def test_a_broker_listens_where_its_address_reaches(address: str, listens: str, own: str) -> None:
    assert listening_host(address) == listens
    assert loopback_of(address) == own


def test_an_ipv6_endpoint_is_bracketed() -> None:
    assert str(Endpoint(host="::1", port=4222)) == "[::1]:4222"


ME, PEER = NodeId("m" * 26), NodeId("p" * 26)


@pytest.mark.parametrize(
    ("subject", "voter", "edge"),
    [
        ("bz.el.all", True, False),
        (f"bz.el.to.{PEER}", True, False),
        (f"bz.beat.{ME}", True, True),
        (f"bz.beat.{PEER}", False, False),
        (f"bz.digest.{ME}", True, False),
        (f"bz.digest.{PEER}", False, False),
        ("bz.control._term", True, False),
        ("$JS.API.STREAM.MSG.GET.BZZZ_CONTROL", True, False),
        ("$JS.API.STREAM.DELETE.BZZZ_CONTROL", False, False),
        ("$JS.API.STREAM.PURGE.BZZZ_CONTROL", False, False),
        ("$JS.API.STREAM.CREATE.OTHER", False, False),
        ("$JS.API.META.LEADER.STEPDOWN", False, False),
        ("$JS.API.CONSUMER.CREATE.BZZZ_CONTROL", False, False),
        ("$SYS.REQ.SERVER.PING", False, False),
        (f"_INBOX.{ME}.probe", True, True),
        (f"_INBOX.{PEER}.answer", True, False),
        ("_INBOX.anywhere", False, False),
        (f"bz.lead.{ME}.registry", True, True),
        (f"bz.lead.{PEER}.registry", False, False),
        ("$KV.dht.x", True, False),
        (f"$KV.prov.x.{ME}", True, False),
        (f"$KV.prov.x.{PEER}", True, False),  # Whoever leads writes for edges.
        ("$KV.prov.x", False, False),
        ("$JS.API.DIRECT.GET.KV_dht", True, False),
        ("$JS.API.STREAM.INFO.KV_dht", True, False),
        ("$JS.API.STREAM.MSG.GET.KV_prov", True, False),
    ],
)
def test_what_a_node_may_publish(subject: str, *, voter: bool, edge: bool) -> None:
    for is_voter, allowed in ((True, voter), (False, edge)):
        rights = permissions(ME, voter=is_voter)
        assert any(matches(pattern, subject) for pattern in rights.publish) is allowed


@pytest.mark.parametrize(
    ("subject", "voter", "edge"),
    [
        ("bz.el.all", True, False),
        (f"bz.el.to.{ME}", True, False),
        (f"bz.el.to.{PEER}", False, False),
        (f"bz.beat.{PEER}", True, False),
        ("bz.digest.*", True, True),
        (f"_INBOX.{ME}.1", True, True),
        (f"_INBOX.{PEER}.1", False, False),
        (f"bz.lead.{PEER}.registry", True, False),
        ("bz.control.log", False, False),
        ("$KV.dht.x", True, False),
        (f"$KV.prov.x.{ME}", True, False),
    ],
)
def test_what_a_node_may_hear(subject: str, *, voter: bool, edge: bool) -> None:
    for is_voter, allowed in ((True, voter), (False, edge)):
        rights = permissions(ME, voter=is_voter)
        assert any(matches(pattern, subject) for pattern in rights.subscribe) is allowed


def test_an_edge_publishes_to_nothing_that_jetstream_answers() -> None:
    """It names the subject of the answer, and the broker does not look at rights there."""
    rights = permissions(ME, voter=False)
    assert all(subject.startswith(("bz.", "_INBOX.")) for subject in rights.publish)
    streams = ("bz.control.x", "bz.control._nodes", "$KV.dht.x", "$KV.prov.x.y", "$JS.API.INFO")
    for subject in streams:
        assert not any(matches(pattern, subject) for pattern in rights.publish)


def test_a_broker_keeps_its_name_and_its_node(tmp_path: Path) -> None:
    """A removed broker never votes again under its old name, so the name goes with the store."""
    store = tmp_path / "broker"
    name = server_name(store, ME)
    assert server_name(store, ME) == name
    assert node_of(name) == ME
    assert server_name(tmp_path / "anew", ME) != name
    with pytest.raises(BrokerError, match="store of node"):
        server_name(store, PEER)
    assert node_of("someone") is None


def program(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_an_old_or_foreign_program_is_refused(tmp_path: Path) -> None:
    old = program(tmp_path / "old", "echo nats-server: v2.14.9")
    with pytest.raises(BrokerError, match="or newer is needed"):
        asyncio.run(check_version(old))
    with pytest.raises(BrokerError, match="not a nats-server"):
        asyncio.run(check_version(program(tmp_path / "other", "echo hello")))
    assert asyncio.run(check_version(find_binary())).startswith("2.")


def test_the_variable_names_the_program(tmp_path: Path) -> None:
    chosen = program(tmp_path / "nats", "true")
    assert find_binary({"BZZZ_NATS_SERVER": str(chosen)}) == chosen
    with pytest.raises(BrokerError, match="no program there"):
        find_binary({"BZZZ_NATS_SERVER": str(tmp_path / "absent")})


def test_a_release_tree_brings_its_own_program(tmp_path: Path) -> None:
    """On a host the interpreter is the system's and the program lies in the release's site tree."""
    site = tmp_path / "site"
    (site / "bin").mkdir(parents=True)
    brought = program(site / "bin" / "nats-server", "true")
    source = Path(__file__).resolve().parents[2] / "bzzz_core"
    (site / "bzzz_core").mkdir()
    for module in ("__init__.py", "errors.py"):
        (site / "bzzz_core" / module).symlink_to(source / module)
    (site / "bzzz_core" / "fabric").mkdir()
    for module in ("__init__.py", "binary.py"):
        (site / "bzzz_core" / "fabric" / module).write_bytes(
            (source / "fabric" / module).read_bytes()
        )
    (site / "bzzz_core" / "__init__.py").unlink()
    (site / "bzzz_core" / "__init__.py").write_bytes((source / "__init__.py").read_bytes())
    code = "from bzzz_core.fabric.binary import find_binary; print(find_binary({}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(brought)
