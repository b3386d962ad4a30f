"""What a node's nats-server is told: one frozen value in, one configuration text out.

Decisions written down here (measurements: docs/adr/0003-broker-identities.md):

- A client is who its certificate says (`verify_and_map`), one user per node with its own subjects.
  There is no user without a certificate and no default user, so nobody is anonymous.
- TLS comes before the first byte of the protocol (`handshake_first`): otherwise a man in the middle
  announces a broker without TLS and the client library goes on in clear text.
- Routes trust the fabric authority alone, and client listeners the node authority alone.
- Pings every 2 s, at most two unanswered: a black-holed peer is found in 6 s instead of minutes.
- Every acknowledged write is on disk (`sync_interval: always`).
- Every broker is clustered from its first start, a lone one too: JetStream deletes what a broker
  without a cluster section wrote as soon as it is given one (ADR 0018). A lone broker needs
  somebody to route to while it starts; that is what `fabric.companion` is for.
- The system account has one user, this node's own system identity, which may ask for and remove
  peers; where it was not issued there is no user, and nobody can.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.sections import NodeEntry
from bzzz_core.errors import ConfigError
from bzzz_core.fabric.broker_log import log_of
from bzzz_core.fabric.layout import Permissions, permissions
from bzzz_core.fabric.rights import MAINTENANCE, system_permissions
from bzzz_core.model import NodeId
from bzzz_core.trust.names import node_name, system_name
from bzzz_core.trust.secrets_directory import SecretsDirectory

VOTERS_MAX: Final = 5
LAME_DUCK_S: Final = 30
"""Time in which a leaving broker sends its clients away; nats-server takes no less."""
PAYLOAD_BYTES_MAX: Final = 1_048_576
_MEMORY_STORE_BYTES_MAX: Final = 64_000_000
_LOG_BYTES_MAX: Final = 10_000_000
ACCOUNT: Final = "BZZZ"
SYSTEM_ACCOUNT: Final = "SYS"


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
    advertised_route: Endpoint | None
    """Where other brokers are told to find this one; None for one that nobody shall look for."""
    monitor: Endpoint
    """The broker's status page; loopback."""
    seeds: tuple[Endpoint, ...]
    """Routes of all voters, or of a companion; a broker without any cannot start."""
    users: tuple[tuple[NodeId, Permissions], ...]
    """One per enrolled node."""
    route_pins: tuple[str, ...] = ()
    """Public keys (SHA-256) that may open a route; empty: whatever the fabric authority signed."""
    system_users: tuple[str, ...] = ()
    """Names in certificates that are the system account here."""
    secrets: SecretsDirectory
    directory: Path
    """Where its configuration, name, log position and store are."""
    store_bytes_max: int
    """Most it may write; 0 makes a broker without JetStream."""
    log: Path
    pid: Path
    ports: Path | None = None
    """Directory to which it writes the ports it got; for brokers that let the kernel choose."""
    clustered: bool = True
    """False only to read a store that was written that way."""

    @property
    def store(self) -> Path:
        """Return the directory that is JetStream's store."""
        return self.directory

    @property
    def node(self) -> NodeId:
        """Return whose broker it is."""
        return NodeId(self.server_name.partition("-")[0])

    @classmethod
    def from_agent_config(cls, config: AgentConfig, *, server_name: str) -> Self:
        """Return the broker that a voter's agent configuration asks for.

        Raises:
            ConfigError: This node is no voter, or there are too many.
        """
        me = config.me
        voters = [node for node in config.cluster.nodes if node.voter]
        # An even number is what a cluster passes through while it grows; `check_genesis` refuses
        # to found one that way.
        if len(voters) > VOTERS_MAX:
            raise ConfigError(f"the fabric has at most {VOTERS_MAX} voters, not {len(voters)}")
        if not me.voter:
            raise ConfigError(f"{me.name} is an edge: it runs no broker")
        data = Path(config.resources.paths.data)
        host = listening_host(me.address)
        return cls(
            cluster_id=config.cluster.id,
            server_name=server_name,
            client=Endpoint(host=host, port=own_client_port(config)),
            route=Endpoint(host=host, port=_own_route_port(config)),
            advertised_route=Endpoint(host=me.address, port=me.fabric_cluster),
            monitor=Endpoint(host="127.0.0.1", port=config.network.ports.fabric_monitor),
            seeds=_seeds(voters, me, own=_own_route_port(config)),
            users=tuple(
                (NodeId(node.id), _rights(NodeId(node.id), voter=node.voter, own=node.id == me.id))
                for node in config.cluster.nodes
            ),
            route_pins=_route_pins(config),
            system_users=_system_users(config),
            secrets=SecretsDirectory(Path(config.security.directory)),
            directory=data / "broker",
            store_bytes_max=config.resources.store_bytes_max,
            log=log_of(config),
            pid=data / "nats.pid",
        )


def own_client_port(config: AgentConfig) -> int:
    """Return where a voter's broker takes its own agent; others may come through a forwarding."""
    return config.network.behind.fabric_client or config.me.fabric_client


def _own_route_port(config: AgentConfig) -> int:
    return config.network.behind.fabric_cluster or config.me.fabric_cluster


def _seeds(voters: Sequence[NodeEntry], me: NodeEntry, *, own: int) -> tuple[Endpoint, ...]:
    """Return the routes to the other voters and, if there are any, to ourselves.

    A fresh broker takes the number of its routes for the number of voters. Without its own among
    them, two brokers of three that came back with empty disks elected each other, and the third,
    which still had everything, followed (ADR 0018). The broker drops the connection to itself.
    """
    others = tuple(
        Endpoint(host=node.address, port=node.fabric_cluster) for node in voters if node.id != me.id
    )
    myself = Endpoint(host=loopback_of(me.address), port=own)
    return (*others, myself) if others else ()


def check_genesis(config: AgentConfig) -> None:
    """Refuse to found a cluster with a number of voters that is no better than one less.

    Raises:
        ConfigError: The number of voters is not 1, 3 or 5.
    """
    voters = sum(node.voter for node in config.cluster.nodes)
    if voters not in (1, 3, 5):
        raise ConfigError(
            f"the fabric needs 1, 3 or 5 voters, not {voters}: with an even number one more"
            " machine can fail it"
        )


def _rights(node: NodeId, *, voter: bool, own: bool) -> Permissions:
    """Return what a node may do here: at its own broker a voter also keeps the streams."""
    allowed = permissions(node, voter=voter)
    if not (voter and own):
        return allowed
    return replace(allowed, publish=allowed.publish + MAINTENANCE)


def _route_pins(config: AgentConfig) -> tuple[str, ...]:
    """Return the route keys of all voters, or none while one of them is not known.

    A reload with a smaller list cuts the routes of those who are gone, and refuses them from then
    on (measured: below half a second), however long their certificates are valid.
    """
    pins = [node.route_pin for node in config.cluster.nodes if node.voter]
    return tuple(sorted(pins)) if all(pins) else ()


def _system_users(config: AgentConfig) -> tuple[str, ...]:
    secrets = SecretsDirectory(Path(config.security.directory))
    issued = secrets.system_certificate.exists()
    return (system_name(NodeId(config.me.id)),) if issued else ()


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
        *([f"ports_file_dir: {_quoted(str(config.ports))}"] if config.ports else []),
        f"log_file: {_quoted(str(config.log))}",
        f"logfile_size_limit: {_LOG_BYTES_MAX}",
        "logfile_max_num: 3",
        "logtime_utc: true",
        f"max_payload: {PAYLOAD_BYTES_MAX}",
        "ping_interval: 2s",
        "ping_max: 2",
        f"lame_duck_duration: {LAME_DUCK_S}s",
        "lame_duck_grace_period: 1s",
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
    if not config.store_bytes_max:
        return []
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
        *(
            [f"  advertise: {_quoted(str(config.advertised_route))}"]
            if config.advertised_route
            else []
        ),
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
        *([f"    pinned_certs: {_list(config.route_pins)}"] if config.route_pins else []),
        "    timeout: 5",
        "  }",
        f"  routes: {_list(f'nats-route://{seed}' for seed in config.seeds)}",
        "}",
    ]


def _accounts(config: BrokerConfig) -> list[str]:
    lines = [
        "accounts {",
        # Without users nobody is the system account over the network.
        f"  {SYSTEM_ACCOUNT} {{",
        "    users: [",
        *(
            line
            for name in config.system_users
            for line in _user(name, system_permissions(config.node))
        ),
        "    ]",
        "  }",
        f"  {ACCOUNT} {{",
        *(["    jetstream: enabled"] if config.store_bytes_max else []),
        "    users: [",
    ]
    for node, allowed in config.users:
        lines += _user(node_name(node), allowed)
    return [*lines, "    ]", "  }", "}", f"system_account: {SYSTEM_ACCOUNT}", ""]


def _user(name: str, allowed: Permissions) -> list[str]:
    return [
        "      {",
        f"        user: {_quoted(name)}",
        "        permissions {",
        f"          publish {{ allow: {_list(allowed.publish)} }}",
        f"          subscribe {{ allow: {_list(allowed.subscribe)} }}",
        "        }",
        "      }",
    ]


def _list(values: Iterable[str]) -> str:
    return "[" + ", ".join(_quoted(value) for value in values) + "]"


def _quoted(value: str) -> str:
    """Return a string literal that nats-server reads back as `value`."""
    if any(ord(character) < ord(" ") for character in value):
        raise ConfigError(f"{value!r} holds a control character; no path or name may")
    # Its escapes within double quotes are a subset of JSON's once control characters are out.
    return json.dumps(value, ensure_ascii=False)
