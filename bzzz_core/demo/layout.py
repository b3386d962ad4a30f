"""Lays out the files of a local cluster: keys, certificates, tokens and configuration.

The same enrolment as on real hosts (keys made per node, two authorities, one certificate each),
with one difference: the two roots exist only while the files are written, so a demo's issuers,
which its voters hold as voters do, are the last it will ever have.
"""

from __future__ import annotations

import base64
import secrets
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.secrets import Secret
from bzzz_core.config.sections import (
    BehindForwarding,
    ClusterConfig,
    LogsConfig,
    MonitoringConfig,
    NetworkConfig,
    NodeEntry,
    Paths,
    Ports,
    ResourcesConfig,
    SecurityConfig,
    ServicesConfig,
    SystemConfig,
)
from bzzz_core.config.sources import dump_own
from bzzz_core.demo.doors import Door
from bzzz_core.errors import ConfigError
from bzzz_core.model import voter_count
from bzzz_core.trust import private_files
from bzzz_core.trust.ca import Authority
from bzzz_core.trust.certificate import requested_key_sha256
from bzzz_core.trust.certify import Applicant, Issuers, certify
from bzzz_core.trust.enrol import Enrolment, init_node, install
from bzzz_core.trust.names import Purpose
from bzzz_core.trust.secrets_directory import SecretsDirectory

AGENTS_MAX = 32
_LOOPBACK = "127.0.0.1"
_DAYS = 2
_PORTS_PER_AGENT = 5


@dataclass(frozen=True, slots=True)
class AgentFiles:
    """Where one agent of a demo lives."""

    name: str
    directory: Path
    config: Path
    token: Path
    api_port: int
    voter: bool
    doors: tuple[Door, ...] = ()
    """Through which other nodes reach its broker, if there are any in between."""

    @property
    def broker_pid_file(self) -> Path:
        """Return where the agent's broker writes its process id, if it has one."""
        return self.directory / "data" / "nats.pid"

    @property
    def api_url(self) -> str:
        """Return where the agent's API answers."""
        return f"http://{_LOOPBACK}:{self.api_port}"


@dataclass(frozen=True, slots=True)
class ClusterFiles:
    """A laid-out cluster, not started."""

    name: str
    cluster_id: str
    ca_sha256: str
    agents: tuple[AgentFiles, ...]


def lay_out(
    directory: Path,
    *,
    agents: int,
    name: str = "demo",
    addresses: Sequence[str] = (),
    broker: Literal["child", "unit"] = "child",
    leaf_s: int = _DAYS * 86_400,
    doors: bool = False,
    quiet: bool = False,
) -> ClusterFiles:
    """Write everything that `agents` agents need below `directory`, which must be empty or new.

    Args:
        directory: Gets one directory per agent.
        agents: How many.
        name: What the cluster is called.
        addresses: Where each agent is reached; empty: all on loopback.
        broker: Whether a voter's agent starts the broker itself, as in a demo, or somebody else
            does, as on hosts.
        leaf_s: How long certificates live, those made here and those that the leader signs later.
        doors: Whether the nodes reach each other's brokers through forwarders, which somebody has
            to open before the agents start.
        quiet: Whether agents write their log into its file alone, not to standard error as well.

    Raises:
        ConfigError: The directory is in use, or the number of agents cannot be.
    """
    if not 1 <= agents <= AGENTS_MAX:
        raise ConfigError(f"a demo has 1 to {AGENTS_MAX} agents, not {agents}")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise ConfigError(f"{directory} is not empty; name a new directory for the demo")
    places = list(addresses) or [_LOOPBACK] * agents
    homes = [directory / f"bzzz-{number}" for number in range(1, agents + 1)]
    enrolments = [_enrol(home) for home in homes]
    ports, behind = _choose_ports(agents, doors=doors)
    nodes = tuple(
        NodeEntry(
            id=enrolment.node_id,
            name=home.name,
            public_key=base64.b64encode(enrolment.public_key).decode(),
            address=places[number],
            fabric_client=port.fabric_client,
            fabric_cluster=port.fabric_cluster,
            join=port.join,
            route_pin=requested_key_sha256(enrolment.route_csr),
            voter=number < voter_count(agents),
        )
        for number, (home, enrolment, port) in enumerate(zip(homes, enrolments, ports, strict=True))
    )
    node_ca, fabric_ca = _authorities(name)
    cluster = ClusterConfig(id=secrets.token_hex(8), name=name, nodes=nodes)
    token = secrets.token_urlsafe(32)
    files: list[AgentFiles] = []
    issuers = Issuers.below(node_ca, fabric_ca)
    for home, enrolment, port, me in zip(homes, enrolments, ports, nodes, strict=True):
        _certify(home, enrolment, me, issuers, leaf_s)
        own = behind[len(files)] if doors else None
        files.append(
            _configure(
                home, port, cluster, token, broker=broker, leaf_s=leaf_s, own=own, quiet=quiet
            )
        )
    return ClusterFiles(name, cluster.id, node_ca.sha256, tuple(files))


def _authorities(name: str) -> tuple[Authority, Authority]:
    """Return new authorities for nodes and for brokers, whose passphrases nobody knows."""
    node, fabric = (
        Authority.create(
            purpose,
            common_name=f"{name} {purpose}",
            days=_DAYS,
            passphrase=Secret(secrets.token_urlsafe(32)),
        )
        for purpose in (Purpose.NODE, Purpose.FABRIC)
    )
    return node, fabric


def _enrol(home: Path) -> Enrolment:
    home.mkdir(mode=0o700)
    for folder in ("data", "logs"):
        (home / folder).mkdir(mode=0o700)
    return init_node(home / "secrets")


def _certify(
    home: Path, enrolment: Enrolment, me: NodeEntry, issuers: Issuers, leaf_s: int
) -> None:
    applicant = Applicant(
        node_id=enrolment.node_id,
        addresses=[me.address],
        voter=me.voter,
        node_csr=enrolment.node_csr,
        route_csr=enrolment.route_csr,
        system_csr=enrolment.system_csr,
        sealing_key=enrolment.sealing_key,
    )
    install(home / "secrets", certify(applicant, issuers=issuers, lifetime_s=leaf_s))


def _configure(
    home: Path,
    ports: Ports,
    cluster: ClusterConfig,
    token: str,
    *,
    broker: Literal["child", "unit"],
    leaf_s: int,
    own: BehindForwarding | None,
    quiet: bool,
) -> AgentFiles:
    secrets_directory = SecretsDirectory(home / "secrets")
    me = next(node for node in cluster.nodes if node.name == home.name)
    config = AgentConfig(
        system=SystemConfig(node_name=home.name),
        network=NetworkConfig(address=me.address, ports=ports, behind=own or BehindForwarding()),
        security=SecurityConfig(
            directory=str(home / "secrets"),
            leaf_s=leaf_s,
            api_token=f"file:{secrets_directory.api_token}",
        ),
        resources=ResourcesConfig(
            paths=Paths(data=str(home / "data"), logs=str(home / "logs")),
            store_bytes_max=256_000_000,
            monitoring=MonitoringConfig(
                logs=LogsConfig(standard_error="without-file" if quiet else "always")
            ),
        ),
        services=ServicesConfig(broker=broker),
        cluster=cluster,
    )
    private_files.create(secrets_directory.api_token, token.encode())
    path = home / "agent.yaml"
    private_files.create(path, dump_own(config).encode())
    return AgentFiles(
        home.name,
        home,
        path,
        secrets_directory.api_token,
        ports.api,
        me.voter,
        _doors(me, own) if own and me.voter else (),
    )


def _doors(me: NodeEntry, own: BehindForwarding) -> tuple[Door, ...]:
    return (
        Door(node=me.name, port=me.fabric_client, leads_to=own.fabric_client),
        Door(node=me.name, port=me.fabric_cluster, leads_to=own.fabric_cluster),
    )


def _choose_ports(agents: int, *, doors: bool) -> tuple[list[Ports], list[BehindForwarding]]:
    """Return what others know of each node, and where its broker listens behind doors."""
    # All chosen together, so that none comes twice.
    chosen = free_ports(2 * agents if doors else agents)
    behind = [
        BehindForwarding(fabric_client=own.fabric_client, fabric_cluster=own.fabric_cluster)
        for own in chosen[agents:]
    ]
    return chosen[:agents], behind


def free_ports(agents: int) -> list[Ports]:
    """Return ports that nobody listens on now; all are held together so that none comes twice."""
    with ExitStack() as held:
        numbers = []
        for _ in range(agents * _PORTS_PER_AGENT):
            listener = held.enter_context(socket.create_server((_LOOPBACK, 0)))
            numbers.append(int(listener.getsockname()[1]))
    groups = zip(*[iter(numbers)] * _PORTS_PER_AGENT, strict=True)
    return [
        Ports(
            api=api, fabric_client=client, fabric_cluster=route, fabric_monitor=monitor, join=join
        )
        for api, client, route, monitor, join in groups
    ]
