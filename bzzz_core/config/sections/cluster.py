"""7 Cluster Formation."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import StringConstraints, model_validator

from bzzz_core.config.secret_reference import SecretRef
from bzzz_core.config.sections.patterns import HOST_PORT, NAME
from bzzz_core.config.setting import Section, setting

BootstrapNode = Annotated[str, StringConstraints(pattern=HOST_PORT)]
"""`host:port`; an IPv6 address stands in brackets."""
NodeName = Annotated[str, StringConstraints(pattern=NAME)]


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


class ClusterCommon(Section):
    """7 Cluster Formation: what the operator decides and every node knows."""

    name: str = setting(
        "bzzz",
        of_node=True,
        pattern=NAME,
        label="Cluster name",
        help="What you call the cluster.",
    )
    timings: Timings = setting(
        Timings(), label="Election", help="How soon a lost leader is replaced."
    )
    roster: RosterTimings = setting(
        RosterTimings(), label="Roster", help="How soon a silent node is noticed."
    )
    failover: Literal["automatic", "manual"] = setting(
        "automatic",
        label="Failover",
        help="automatic: a leader that falls silent is replaced within a second or two; manual: "
        "only when you run `bzzz-agent leader elect`, and until then nothing is changed.",
    )
    without_quorum: Literal["read-only", "stop"] = setting(
        "read-only",
        label="Without quorum",
        help="After 10 s in which too few voters reach each other; read-only: hash table and "
        "leadership history answer with what this node knows, marked as stale; stop: they refuse "
        "to, until there is a leader. Status, members and configuration always answer.",
    )


class BackupAnswers(Section):
    """Copies of what the cluster keeps."""

    every_h: int = setting(
        24, ge=1, le=720, unit="h", label="Backup every", help="How often a copy is made."
    )
    kept: int = setting(7, ge=1, le=1_000, label="Backups kept", help="How many copies stay.")


class ClusterAnswers(ClusterCommon):
    """7 Cluster Formation, as setup asks for it."""

    mode: Literal["create", "join"] = setting(
        "create",
        label="Create or join",
        help="create: a new cluster, or more hosts for the one that was set up from here; join: "
        "these hosts join a cluster that exists elsewhere.",
    )
    join_tokens: SecretRef | None = setting(
        None,
        label="Join tokens",
        help="To join: reference to the tokens that the cluster's operator made, one a line, in "
        "the order of the hosts. Each is good for one host, once.",
    )
    seeds: tuple[BootstrapNode, ...] = setting(
        (),
        max_length=64,
        label="Seeds",
        help="To join: voters to ask besides those that the tokens name, as host:port.",
    )
    coordinators: tuple[NodeName, ...] = setting(
        (),
        max_length=64,
        active=False,
        label="Coordinators",
        help="Hosts that should lead if they can, by name; empty: the fittest.",
    )
    rejoin: Literal["automatic", "by-operator"] = setting(
        "automatic",
        active=False,
        label="Rejoin",
        help="automatic: a node that was away takes part again by itself; by-operator: only when "
        "you say so.",
    )
    replication: Literal["all-voters", "3", "1"] = setting(
        "all-voters",
        active=False,
        label="Replication",
        help="Copies of what is stored; as many may be lost at once as are less than half of it.",
    )
    consistency: Literal["quorum", "nearest"] = setting(
        "quorum",
        active=False,
        label="Consistency",
        help="quorum: reads see every write that was acknowledged; nearest: faster, maybe stale.",
    )
    backup: BackupAnswers = setting(
        BackupAnswers(), active=False, label="Backup", help="Copies of what the cluster keeps."
    )


class DhtConfig(Section):
    """How this node finds the distributed hash table."""

    bootstrap_nodes: tuple[BootstrapNode, ...] = setting(
        (),
        max_length=64,
        aliases=("BZZZ_DHT_BOOTSTRAP_NODES",),
        label="DHT bootstrap",
        help="Brokers to try first, as host:port; empty: the voters of the cluster.",
    )
    provider_ttl_s: int = setting(
        60,
        ge=2,
        le=3_600,
        unit="s",
        label="Provider lifetime",
        help="How long others believe that this node has something after it fell silent; lower "
        "forgets the dead sooner and costs two messages per lifetime and key.",
    )


class NodeEntry(Section):
    """One enrolled node, as every node knows it from setup."""

    id: str = setting(label="Node id", help="Derived from the public key.")
    name: str = setting(pattern=NAME, label="Name", help="What operators call it.")
    public_key: str = setting(label="Public key", help="Ed25519, base64.")
    address: str = setting(label="Address", help="Where the other nodes reach it.")
    fabric_client: int = setting(4222, label="Fabric port", help="Where its broker takes agents.")
    fabric_cluster: int = setting(6222, label="Route port", help="Where its broker takes brokers.")
    join: int = setting(8443, label="Join port", help="Where it takes new nodes while it votes.")
    route_pin: str = setting(
        "",
        pattern="^([0-9a-f]{64})?$",
        label="Route key",
        help="SHA-256 of the public key with which its broker meets other brokers.",
    )
    voter: bool = setting(
        default=True, label="Voter", help="Whether it holds a vote and a replica."
    )


class ClusterConfig(ClusterCommon):
    """7 Cluster Formation, resolved: who belongs to the cluster."""

    dht: DhtConfig = setting(DhtConfig(), label="DHT", help="How the hash table is reached.")
    id: str = setting(
        of_node=True,
        label="Cluster id",
        help="Random, made once when the cluster was created.",
    )
    nodes: tuple[NodeEntry, ...] = setting(
        of_node=True,
        min_length=1,
        label="Nodes",
        help="All nodes enrolled at setup, this one included.",
    )
