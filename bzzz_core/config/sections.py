"""The eight sections in wizard order, as far as they are in use.

Fields arrive with the feature that reads them. A `...Answers` class is the operator's side (what
setup asks), a `...Config` class the node's side (what an agent reads); what both need is one class.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from bzzz_core.config.secret_reference import SecretRef
from bzzz_core.config.setting import Section, setting

NAME = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
"""A label of a host name (RFC 1123), lower case: usable in DNS, certificates and file names."""

ADDRESS = r"^[A-Za-z0-9:][A-Za-z0-9.:%_-]*$"
"""An IP address or a host name. It never starts with a dash, so it never reads as an option."""

LOGIN = r"^[A-Za-z0-9_][A-Za-z0-9._-]*\$?$"
"""A user's name as systems make them."""


class SystemAnswers(Section):
    """1 System Detection: which machines, and how fit they must be."""

    clock_skew_ms_max: int = setting(
        5_000,
        ge=100,
        le=60_000,
        unit="ms",
        label="Clock skew",
        help="Refuse a host whose clock differs from this machine's by more than this.",
    )
    disk_free_bytes_min: int = setting(
        1_000_000_000,
        ge=100_000_000,
        unit="bytes",
        label="Free disk",
        help="Refuse a host with less free space than this where BZZZ puts its files.",
    )


class SystemConfig(Section):
    """Who this node is to people."""

    node_name: str = setting(
        pattern=NAME,
        label="Node name",
        help="The name operators see; identity comes from the node's key, not from this.",
    )


class Ports(Section):
    """Where a node listens. One number each, the same on every host of a cluster."""

    api: int = setting(
        8080, ge=1, le=65_535, label="API port", help="The agent's HTTP API; loopback by default."
    )
    fabric_client: int = setting(
        4222,
        ge=1,
        le=65_535,
        label="Fabric port",
        help="Where agents reach a node's message broker.",
    )
    fabric_cluster: int = setting(
        6222, ge=1, le=65_535, label="Route port", help="Where the brokers reach each other."
    )
    fabric_monitor: int = setting(
        8222,
        ge=1,
        le=65_535,
        label="Broker monitor port",
        help="The broker's own status page; loopback only.",
    )

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.model_dump().values())) != len(type(self).model_fields):
            raise ValueError("ports must differ from each other")
        return self


class NetworkAnswers(Section):
    """2 Network: what every host listens on."""

    ports: Ports = setting(Ports(), label="Ports", help="Where each node listens.")


class NetworkConfig(Section):
    """Where this node listens and is reached."""

    address: str = setting(
        label="Address", help="The IP address or name at which the other nodes reach this one."
    )
    api_host: str = setting(
        "127.0.0.1",
        label="API address",
        help="Address the API listens on; loopback unless changed.",
    )
    ports: Ports = setting(Ports(), label="Ports", help="Where this node listens.")


class SshAnswers(Section):
    """How setup logs in to the hosts."""

    user: str = setting(
        "root", pattern=LOGIN, label="Login", help="User to log in as on each host."
    )
    port: int = setting(22, ge=1, le=65_535, label="SSH port", help="Port of the hosts' sshd.")
    key: str | None = setting(
        None, label="Private key", help="File of the private key to log in with; empty: SSH agent."
    )
    password: SecretRef | None = setting(
        None, label="Password", help="Reference to the login password, if no key is used."
    )
    sudo_password: SecretRef | None = setting(
        None,
        label="sudo password",
        help="Reference to the sudo password; empty: sudo asks for none.",
    )
    known_hosts: str | None = setting(
        None, label="Known hosts", help="File with the hosts' keys; empty: BZZZ's own, then yours."
    )
    accept_new_host_keys: bool = setting(
        default=False,
        label="Trust on first use",
        help="Record the key of a host never seen before; a changed key is always refused.",
    )


class TlsAnswers(Section):
    """The cluster's two certificate authorities."""

    root_days: int = setting(
        3_650,
        ge=1,
        le=7_300,
        unit="days",
        label="Root lifetime",
        help="How long the roots are valid.",
    )
    leaf_days: int = setting(
        30,
        ge=1,
        le=397,
        unit="days",
        label="Certificate lifetime",
        help="How long a node's certificate is valid; run setup again to renew it.",
    )
    passphrase: SecretRef | None = setting(
        None,
        label="CA passphrase",
        help="Reference to the passphrase of the authorities' keys; empty: one is made, kept 0600.",
    )


class SecurityAnswers(Section):
    """3 Security: logins and trust."""

    ssh: SshAnswers = setting(SshAnswers(), label="SSH", help="How setup logs in.")
    tls: TlsAnswers = setting(TlsAnswers(), label="TLS", help="How nodes prove who they are.")


class SecurityConfig(Section):
    """Where this node's keys and certificates are, all below one directory."""

    directory: str = setting(
        "/etc/bzzz/secrets",
        label="Secrets directory",
        help="Holds identity.key, node.{key,pem}, node-ca.pem, and for voters route.{key,pem}, "
        "fabric-ca.pem; mode 0700.",
    )
    api_token: SecretRef = setting(
        "file:/etc/bzzz/secrets/api-token",
        label="API token",
        help="Reference to the token that callers of the API present.",
    )


class AiEndpoint(Section):
    """4 AI Integration: one endpoint for now."""

    provider: Literal["none", "ollama", "openai"] = setting(
        "none", label="Provider", help="Which service answers the agents' questions."
    )
    base_url: str | None = setting(
        None, pattern=r"^https?://", label="URL", help="Where the service is, without the path."
    )
    model: str | None = setting(None, label="Model", help="Name of the model to ask by default.")
    api_key: SecretRef | None = setting(
        None, label="API key", help="Reference to the key, if the service wants one."
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.provider == "ollama" and not self.base_url:
            raise ValueError("provider ollama needs base_url, such as http://127.0.0.1:11434")
        if self.provider == "openai" and not self.api_key:
            raise ValueError("provider openai needs api_key, such as env:OPENAI_API_KEY")
        return self


class AiConfig(Section):
    """4 AI Integration."""

    endpoint: AiEndpoint = setting(AiEndpoint(), label="Endpoint", help="The first AI endpoint.")


class Paths(Section):
    """Where a node keeps things."""

    data: str = setting(
        "/var/lib/bzzz", pattern="^/", label="Data", help="Directory for the node's data and votes."
    )
    logs: str = setting(
        "/var/log/bzzz", pattern="^/", label="Logs", help="Directory for the node's log files."
    )


class ResourcesConfig(Section):
    """5 Resource Allocation."""

    paths: Paths = setting(Paths(), label="Paths", help="Where a node keeps things.")
    store_bytes_max: int = setting(
        1_000_000_000,
        ge=64_000_000,
        unit="bytes",
        label="Broker store limit",
        help="Most disk the broker may fill; keep it below the free space.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "info", reloadable=True, label="Log level", help="How much the agent writes down."
    )


class ServicesAnswers(Section):
    """6 Service Deployment."""

    target: Literal["systemd"] = setting(
        "systemd", label="Target", help="How services run on the hosts."
    )
    releases_kept: int = setting(
        3, ge=2, le=10, label="Releases kept", help="How many releases stay on a host for rollback."
    )
    ready_ms_max: int = setting(
        90_000,
        ge=5_000,
        le=600_000,
        unit="ms",
        label="Start limit",
        help="How long a started service may take until it says it is ready.",
    )


class ServicesConfig(Section):
    """How this node's services are run."""

    broker: Literal["unit", "child", "none"] = setting(
        "unit",
        label="Broker",
        help="unit: a service of its own; child: started by the agent; none: an edge without one.",
    )


class Timings(Section):
    """The election's clockwork. Every bound is a formula; ARCHITECTURE 6 derives them."""

    heartbeat_ms: int = setting(
        200,
        ge=20,
        le=5_000,
        unit="ms",
        label="Heartbeat",
        help="How often the leader says it is there; lower finds a loss sooner and costs traffic.",
    )
    detect_ms: int = setting(
        800,
        ge=100,
        le=60_000,
        unit="ms",
        label="Detection",
        help="Silence after which a voter may elect another leader; at least 4 heartbeats.",
    )
    check_quorum_ms: int = setting(
        600,
        ge=60,
        le=60_000,
        unit="ms",
        label="Check quorum",
        help="A leader unheard by a majority for this long stops leading; below detection.",
    )
    rank_delay_ms: int = setting(
        150,
        ge=10,
        le=5_000,
        unit="ms",
        label="Rank delay",
        help="Head start of a better candidate over the next; more than one message round trip.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.detect_ms < 4 * self.heartbeat_ms:
            raise ValueError("detect_ms must be at least 4 x heartbeat_ms")
        if not 2 * self.heartbeat_ms <= self.check_quorum_ms <= 0.8 * self.detect_ms:
            raise ValueError(
                "check_quorum_ms must lie between 2 x heartbeat_ms and 0.8 x detect_ms"
            )
        return self


class RosterTimings(Section):
    """When silence turns a member suspect and then dead."""

    beat_ms: int = setting(
        1_000, ge=100, le=60_000, unit="ms", label="Beat", help="How often a node reports itself."
    )
    suspect_ms: int = setting(
        3_000,
        ge=200,
        le=600_000,
        unit="ms",
        label="Suspect after",
        help="Silence after which a member is suspect; at least 2 beats.",
    )
    dead_ms: int = setting(
        8_000,
        ge=300,
        le=3_600_000,
        unit="ms",
        label="Dead after",
        help="Silence after which a member is held to be dead; more than suspect.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not 2 * self.beat_ms <= self.suspect_ms < self.dead_ms:
            raise ValueError("need 2 x beat_ms <= suspect_ms < dead_ms")
        return self


class ClusterAnswers(Section):
    """7 Cluster Formation."""

    name: str = setting(
        "bzzz", pattern=NAME, label="Cluster name", help="What you call the cluster."
    )
    timings: Timings = setting(
        Timings(), label="Election", help="How soon a lost leader is replaced."
    )
    roster: RosterTimings = setting(
        RosterTimings(), label="Roster", help="How soon a silent node is noticed."
    )


class NodeEntry(Section):
    """One enrolled node, as every node knows it from setup."""

    id: str = setting(label="Node id", help="Derived from the public key.")
    name: str = setting(pattern=NAME, label="Name", help="What operators call it.")
    public_key: str = setting(label="Public key", help="Ed25519, base64.")
    address: str = setting(label="Address", help="Where the other nodes reach it.")
    fabric_client: int = setting(4222, label="Fabric port", help="Where its broker takes agents.")
    fabric_cluster: int = setting(6222, label="Route port", help="Where its broker takes brokers.")
    voter: bool = setting(
        default=True, label="Voter", help="Whether it holds a vote and a replica."
    )


class ClusterConfig(ClusterAnswers):
    """7 Cluster Formation, resolved: who belongs to the cluster."""

    id: str = setting(label="Cluster id", help="Random, made once when the cluster was created.")
    nodes: tuple[NodeEntry, ...] = setting(
        min_length=1, label="Nodes", help="All nodes enrolled at setup, this one included."
    )


class ValidationAnswers(Section):
    """8 Testing & Validation."""

    elect_ms_max: int = setting(
        30_000,
        ge=1_000,
        le=600_000,
        unit="ms",
        label="Election limit",
        help="How long the first election may take before validation calls it failed.",
    )
