"""Lays out the files of a local cluster: keys, certificates, tokens and configuration.

The same enrolment as on real hosts (keys made per node, two authorities, one certificate each),
with one difference: the authorities exist only while the files are written, so nothing on disk can
sign another node into a demo.
"""

from __future__ import annotations

import base64
import secrets
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bzzz_core.config.schema import AgentConfig, voter_count
from bzzz_core.config.secrets import Secret
from bzzz_core.config.sections import (
    ClusterConfig,
    NetworkConfig,
    NodeEntry,
    Paths,
    Ports,
    ResourcesConfig,
    SecurityConfig,
    ServicesConfig,
    SystemConfig,
)
from bzzz_core.config.sources import dump
from bzzz_core.errors import ConfigError
from bzzz_core.trust import private_files
from bzzz_core.trust.ca import Authority, Purpose
from bzzz_core.trust.enrol import Enrolment, init_node, install_certificates
from bzzz_core.trust.secrets_directory import SecretsDirectory

AGENTS_MAX = 32
_LOOPBACK = "127.0.0.1"
_DAYS = 2
_PORTS_PER_AGENT = 4


@dataclass(frozen=True, slots=True)
class AgentFiles:
    """Where one agent of a demo lives."""

    name: str
    directory: Path
    config: Path
    token: Path
    api_port: int

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


def lay_out(directory: Path, *, agents: int, name: str = "demo") -> ClusterFiles:
    """Write everything that `agents` agents need below `directory`, which must be empty or new.

    Raises:
        ConfigError: The directory is in use, or the number of agents cannot be.
    """
    if not 1 <= agents <= AGENTS_MAX:
        raise ConfigError(f"a demo has 1 to {AGENTS_MAX} agents, not {agents}")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise ConfigError(f"{directory} is not empty; name a new directory for the demo")
    homes = [directory / f"bzzz-{number}" for number in range(1, agents + 1)]
    enrolments = [_enrol(home) for home in homes]
    ports = _free_ports(agents)
    nodes = tuple(
        NodeEntry(
            id=enrolment.node_id,
            name=home.name,
            public_key=base64.b64encode(enrolment.public_key).decode(),
            address=_LOOPBACK,
            fabric_client=port.fabric_client,
            fabric_cluster=port.fabric_cluster,
            voter=number < voter_count(agents),
        )
        for number, (home, enrolment, port) in enumerate(zip(homes, enrolments, ports, strict=True))
    )
    node_ca, fabric_ca = (
        Authority.create(
            purpose,
            common_name=f"{name} {purpose}",
            days=_DAYS,
            passphrase=Secret(secrets.token_urlsafe(32)),
        )
        for purpose in (Purpose.NODE, Purpose.FABRIC)
    )
    cluster = ClusterConfig(id=secrets.token_hex(8), name=name, nodes=nodes)
    token = secrets.token_urlsafe(32)
    files = []
    for home, enrolment, port in zip(homes, enrolments, ports, strict=True):
        _certify(home, enrolment, node_ca, fabric_ca)
        files.append(_configure(home, port, cluster, token))
    return ClusterFiles(name, cluster.id, node_ca.sha256, tuple(files))


def _enrol(home: Path) -> Enrolment:
    home.mkdir(mode=0o700)
    for folder in ("data", "logs"):
        (home / folder).mkdir(mode=0o700)
    return init_node(home / "secrets")


def _certify(home: Path, enrolment: Enrolment, node_ca: Authority, fabric_ca: Authority) -> None:
    node, where = enrolment.node_id, [_LOOPBACK]
    install_certificates(
        home / "secrets",
        node_certificate=node_ca.issue_node(
            enrolment.node_csr, node_id=node, addresses=where, days=_DAYS
        ),
        node_ca=node_ca.certificate_pem,
        route_certificate=fabric_ca.issue_route(
            enrolment.route_csr, node_id=node, addresses=where, days=_DAYS
        ),
        fabric_ca=fabric_ca.certificate_pem,
    )


def _configure(home: Path, ports: Ports, cluster: ClusterConfig, token: str) -> AgentFiles:
    secrets_directory = SecretsDirectory(home / "secrets")
    me = next(node for node in cluster.nodes if node.name == home.name)
    config = AgentConfig(
        system=SystemConfig(node_name=home.name),
        network=NetworkConfig(address=_LOOPBACK, ports=ports),
        security=SecurityConfig(
            directory=str(home / "secrets"), api_token=f"file:{secrets_directory.api_token}"
        ),
        resources=ResourcesConfig(
            paths=Paths(data=str(home / "data"), logs=str(home / "logs")),
            store_bytes_max=256_000_000,
        ),
        services=ServicesConfig(broker="child" if me.voter else "none"),
        cluster=cluster,
    )
    private_files.create(secrets_directory.api_token, token.encode())
    path = home / "agent.yaml"
    private_files.create(path, dump(config).encode())
    return AgentFiles(home.name, home, path, secrets_directory.api_token, ports.api)


def _free_ports(agents: int) -> list[Ports]:
    """Return ports that nobody listens on now; all are held together so that none comes twice."""
    with ExitStack() as held:
        numbers = []
        for _ in range(agents * _PORTS_PER_AGENT):
            listener = held.enter_context(socket.create_server((_LOOPBACK, 0)))
            numbers.append(int(listener.getsockname()[1]))
    groups = zip(*[iter(numbers)] * _PORTS_PER_AGENT, strict=True)
    return [
        Ports(api=api, fabric_client=client, fabric_cluster=route, fabric_monitor=monitor)
        for api, client, route, monitor in groups
    ]
