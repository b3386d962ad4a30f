"""What a node's nats-server is told: one frozen value in, one configuration text out.

Decisions written down here (measurements: docs/adr/0003-broker-identities.md):

- A client is who its certificate says (`verify_and_map`), one user per node with its own subjects.
  There is no user without a certificate and no default user, so nobody is anonymous.
- TLS comes before the first byte of the protocol (`handshake_first`): otherwise a man in the middle
  announces a broker without TLS and the client library goes on in clear text.
- Routes trust the fabric authority alone, and client listeners the node authority alone.
- Pings every 2 s, at most two unanswered: a black-holed peer is found in 6 s instead of minutes.
- Every acknowledged write is on disk (`sync_interval: always`).
- A cluster of one voter runs a broker without a cluster section. Such a store must not be started
  clustered later (JetStream deletes streams it then calls orphaned); `fabric.store` refuses that.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from bzzz_core.config.schema import AgentConfig
from bzzz_core.errors import ConfigError
from bzzz_core.fabric.layout import Permissions, permissions
from bzzz_core.model import NodeId
from bzzz_core.trust.ca import node_name
from bzzz_core.trust.secrets_directory import SecretsDirectory

VOTER_COUNTS: Final = (1, 3, 5)
PAYLOAD_BYTES_MAX: Final = 1_048_576
_MEMORY_STORE_BYTES_MAX: Final = 64_000_000
_LOG_BYTES_MAX: Final = 10_000_000
_ACCOUNT: Final = "BZZZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where something listens."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return `host:port`, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerConfig:
    """Everything that one broker's configuration depends on."""

    cluster_id: str
    server_name: str
    """Unique in the cluster and never reused after a removal (`fabric.store`)."""
    client: Endpoint
    """Where agents are taken."""
    route: Endpoint
    """Where other brokers are taken."""
    advertised_route: Endpoint
    """Where other brokers are told to find this one."""
    monitor: Endpoint
    """The broker's status page; loopback."""
    seeds: tuple[Endpoint, ...]
    """Routes of the other voters; empty means a broker alone."""
    users: tuple[tuple[NodeId, Permissions], ...]
    """One per enrolled node."""
    secrets: SecretsDirectory
    store: Path
    store_bytes_max: int
    log: Path
    pid: Path

    @property
    def clustered(self) -> bool:
        """Return whether the broker replicates with others."""
        return bool(self.seeds)

    @classmethod
    def from_agent_config(cls, config: AgentConfig, *, server_name: str) -> Self:
        """Return the broker that a voter's agent configuration asks for.

        Raises:
            ConfigError: This node is no voter, or the number of voters is not 1, 3 or 5.
        """
        me = config.me
        voters = [node for node in config.cluster.nodes if node.voter]
        if len(voters) not in VOTER_COUNTS:
            raise ConfigError(
                f"the fabric needs 1, 3 or 5 voters, not {len(voters)}: with an even number one"
                " more machine can fail it"
            )
        if not me.voter:
            raise ConfigError(f"{me.name} is an edge: it runs no broker")
        data = Path(config.resources.paths.data)
        host = listening_host(me.address)
        return cls(
            cluster_id=config.cluster.id,
            server_name=server_name,
            client=Endpoint(host=host, port=me.fabric_client),
            route=Endpoint(host=host, port=me.fabric_cluster),
            advertised_route=Endpoint(host=me.address, port=me.fabric_cluster),
            monitor=Endpoint(host="127.0.0.1", port=config.network.ports.fabric_monitor),
            seeds=tuple(
                Endpoint(host=node.address, port=node.fabric_cluster)
                for node in voters
                if node.id != me.id
            ),
            users=tuple(
                (NodeId(node.id), permissions(NodeId(node.id), voter=node.voter))
                for node in config.cluster.nodes
            ),
            secrets=SecretsDirectory(Path(config.security.directory)),
            store=data / "broker",
            store_bytes_max=config.resources.store_bytes_max,
            log=Path(config.resources.paths.logs) / "nats.log",
            pid=data / "nats.pid",
        )


def listening_host(address: str) -> str:
    """Return where a node at `address` listens: that loopback address, or every interface.

    An address that others use may not be the machine's own (NAT, a name), so a broker binds to all
    and leaves the decision to mutual TLS.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "127.0.0.1" if address == "localhost" else "0.0.0.0"  # noqa: S104
    if parsed.is_loopback:
        return address
    return "::" if parsed.version == 6 else "0.0.0.0"  # noqa: PLR2004, S104


def loopback_of(address: str) -> str:
    """Return where a node at `address` reaches its own broker without leaving the machine."""
    wildcards = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
    host = listening_host(address)
    return wildcards.get(host, host)


def render(config: BrokerConfig) -> str:
    """Return the configuration text for nats-server; the same value always gives the same text."""
    return "\n".join([*_server(config), *_jetstream(config), *_cluster(config), *_accounts(config)])


def _server(config: BrokerConfig) -> list[str]:
    secrets = config.secrets
    return [
        f"server_name: {_quoted(config.server_name)}",
        f"listen: {_quoted(str(config.client))}",
        f"http: {_quoted(str(config.monitor))}",
        f"pid_file: {_quoted(str(config.pid))}",
        f"log_file: {_quoted(str(config.log))}",
        f"logfile_size_limit: {_LOG_BYTES_MAX}",
        "logfile_max_num: 3",
        "logtime_utc: true",
        f"max_payload: {PAYLOAD_BYTES_MAX}",
        "ping_interval: 2s",
        "ping_max: 2",
        "tls {",
        f"  cert_file: {_quoted(str(secrets.node_certificate))}",
        f"  key_file: {_quoted(str(secrets.node_key))}",
        f"  ca_file: {_quoted(str(secrets.node_ca))}",
        '  min_version: "1.3"',
        "  handshake_first: true",
        "  verify_and_map: true",
        "  timeout: 5",
        "}",
    ]


def _jetstream(config: BrokerConfig) -> list[str]:
    return [
        "jetstream {",
        f"  store_dir: {_quoted(str(config.store))}",
        f"  max_file_store: {config.store_bytes_max}",
        f"  max_memory_store: {_MEMORY_STORE_BYTES_MAX}",
        "  sync_interval: always",
        "}",
    ]


def _cluster(config: BrokerConfig) -> list[str]:
    if not config.clustered:
        return []
    secrets = config.secrets
    return [
        "cluster {",
        f"  name: {_quoted(config.cluster_id)}",
        f"  listen: {_quoted(str(config.route))}",
        f"  advertise: {_quoted(str(config.advertised_route))}",
        # Agents know the voters from their configuration; gossiped addresses may be unreachable.
        "  no_advertise: true",
        "  ping_interval: 2s",
        "  ping_max: 2",
        "  tls {",
        f"    cert_file: {_quoted(str(secrets.route_certificate))}",
        f"    key_file: {_quoted(str(secrets.route_key))}",
        f"    ca_file: {_quoted(str(secrets.fabric_ca))}",
        '    min_version: "1.3"',
        "    verify: true",
        "    timeout: 5",
        "  }",
        f"  routes: {_list(f'nats-route://{seed}' for seed in config.seeds)}",
        "}",
    ]


def _accounts(config: BrokerConfig) -> list[str]:
    lines = [
        "accounts {",
        # Without users nobody is the system account over the network.
        "  SYS {}",
        f"  {_ACCOUNT} {{",
        "    jetstream: enabled",
        "    users: [",
    ]
    for node, allowed in config.users:
        lines += [
            "      {",
            f"        user: {_quoted(node_name(node))}",
            "        permissions {",
            f"          publish {{ allow: {_list(allowed.publish)} }}",
            f"          subscribe {{ allow: {_list(allowed.subscribe)} }}",
            "        }",
            "      }",
        ]
    return [*lines, "    ]", "  }", "}", "system_account: SYS", ""]


def _list(values: Iterable[str]) -> str:
    return "[" + ", ".join(_quoted(value) for value in values) + "]"


def _quoted(value: str) -> str:
    """Return a string literal that nats-server reads back as `value`."""
    if any(ord(character) < ord(" ") for character in value):
        raise ConfigError(f"{value!r} holds a control character; no path or name may")
    # Its escapes within double quotes are a subset of JSON's once control characters are out.
    return json.dumps(value, ensure_ascii=False)
