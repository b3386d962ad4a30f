"""The two documents: what setup is told (`ClusterSpec`) and what one agent reads (`AgentConfig`).

Both have the same eight sections in wizard order. `resolve` turns the first into one of the second
per host: a pure function, so that a plan can be computed and compared without touching anything.
"""

from __future__ import annotations

from typing import Any, Final, Literal, Self, cast

from pydantic import model_validator

from bzzz_core.config.leaf import section_of
from bzzz_core.config.sections import (
    ADDRESS,
    LOGIN,
    NAME,
    AiAnswers,
    AiConfig,
    ClusterAnswers,
    ClusterConfig,
    NetworkAnswers,
    NetworkConfig,
    NodeEntry,
    NodeRole,
    Ports,
    ResourcesAnswers,
    ResourcesConfig,
    SecurityAnswers,
    SecurityConfig,
    ServicesAnswers,
    ServicesConfig,
    SystemAnswers,
    SystemConfig,
    ValidationAnswers,
    ValidationConfig,
)
from bzzz_core.config.setting import Section, setting

SCHEMA_VERSION = 2
"""Of the node's file; `bzzz_core.config.migrations` says what became of the ones before."""


SectionName = Literal[
    "system",
    "network",
    "security",
    "ai",
    "resources",
    "services",
    "cluster",
    "validation",
    "*",
]


class HostSpec(Section):
    """One machine to install."""

    name: str = setting(pattern=NAME, label="Name", help="What you call this machine.")
    address: str = setting(
        pattern=ADDRESS,
        max_length=253,
        label="Address",
        help="IP address or name, as SSH and the other hosts reach it.",
    )
    port: int | None = setting(
        None, ge=1, le=65_535, label="SSH port", help="If it differs from the common one."
    )
    user: str | None = setting(
        None, pattern=LOGIN, label="Login", help="If it differs from the common one."
    )
    host_key_sha256: str | None = setting(
        None,
        pattern=r"^SHA256:[A-Za-z0-9+/]{43}$",
        label="Host key",
        help="Fingerprint of the only key to trust, as `ssh-keygen -l` prints it.",
    )
    roles: tuple[NodeRole, ...] = setting(
        ("worker",),
        min_length=1,
        max_length=3,
        label="Roles",
        help="What this machine is for: coordinator, worker, storage. The others are told.",
    )


HOSTS_MAX: Final = 500
"""Most machines in one answers file: so many at once setup is tested with."""


class ClusterSpec(Section):
    """The answers file: common answers and the hosts."""

    version: Literal[1] = setting(1, label="Schema", help="Version of this file's schema.")
    hosts: tuple[HostSpec, ...] = setting(
        min_length=1,
        max_length=HOSTS_MAX,
        label="Hosts",
        help="The machines that become the cluster.",
    )
    interactive_sections: tuple[SectionName, ...] = setting(
        (),
        max_length=9,
        label="Ask",
        help="Sections that the wizard asks for, with these answers as defaults; the rest is taken "
        "as it stands. * is every section.",
    )
    system: SystemAnswers = setting(SystemAnswers(), label="System Detection", help="Step 1")
    network: NetworkAnswers = setting(NetworkAnswers(), label="Network", help="Step 2")
    security: SecurityAnswers = setting(SecurityAnswers(), label="Security", help="Step 3")
    ai: AiAnswers = setting(AiAnswers(), label="AI Integration", help="Step 4")
    resources: ResourcesAnswers = setting(
        ResourcesAnswers(), label="Resource Allocation", help="Step 5"
    )
    services: ServicesAnswers = setting(
        ServicesAnswers(), label="Service Deployment", help="Step 6"
    )
    cluster: ClusterAnswers = setting(ClusterAnswers(), label="Cluster Formation", help="Step 7")
    validation: ValidationAnswers = setting(
        ValidationAnswers(), label="Testing & Validation", help="Step 8"
    )

    @model_validator(mode="after")
    def _distinct_hosts(self) -> Self:
        for what in ("name", "address"):
            values = [(getattr(host, what), host.port) for host in self.hosts]
            if what == "name":
                values = [(host.name, None) for host in self.hosts]
            if len(set(values)) != len(values):
                raise ValueError(f"hosts must differ in {what}")
        return self

    @model_validator(mode="after")
    def _model_servers_are_on_hosts(self) -> Self:
        unknown = sorted(self.ai.servers.host_names - {host.name for host in self.hosts})
        if unknown:
            raise ValueError(f"ai.servers names {unknown[0]}, which is no host of these answers")
        return self


class AgentConfig(Section):
    """What one agent reads from its file and environment."""

    version: Literal[2] = setting(
        2, of_node=True, label="Schema", help="Version of this file's schema."
    )
    system: SystemConfig = setting(of_node=True, label="System", help="Who this node is.")
    network: NetworkConfig = setting(of_node=True, label="Network", help="Where this node is.")
    security: SecurityConfig = setting(
        SecurityConfig(), of_node=True, label="Security", help="Where its keys are."
    )
    ai: AiConfig = setting(AiConfig(), label="AI Integration", help="What answers its questions.")
    resources: ResourcesConfig = setting(
        ResourcesConfig(), label="Resources", help="What it may use."
    )
    services: ServicesConfig = setting(ServicesConfig(), label="Services", help="How it is run.")
    cluster: ClusterConfig = setting(label="Cluster", help="Who belongs to the cluster.")
    validation: ValidationConfig = setting(
        ValidationConfig(), label="Validation", help="How a new configuration is checked."
    )

    @model_validator(mode="after")
    def _is_enrolled(self) -> Self:
        if self.system.node_name not in {node.name for node in self.cluster.nodes}:
            raise ValueError(f"cluster.nodes has no node named {self.system.node_name}")
        return self

    @property
    def me(self) -> NodeEntry:
        """Return this node's own entry."""
        return next(n for n in self.cluster.nodes if n.name == self.system.node_name)

    def with_nodes(self, nodes: tuple[NodeEntry, ...]) -> Self:
        """Return this configuration with other nodes in the cluster, this one among them."""
        cluster = self.cluster.model_copy(update={"nodes": nodes})
        return self.model_copy(update={"cluster": cluster})


def resolve(
    spec: ClusterSpec, host: HostSpec, *, cluster_id: str, nodes: tuple[NodeEntry, ...]
) -> AgentConfig:
    """Return the configuration of one host; the same arguments always give the same result."""
    me = next(node for node in nodes if node.name == host.name)
    network = spec.network
    return AgentConfig(
        system=SystemConfig(node_name=host.name, node_roles=host.roles),
        network=NetworkConfig(
            address=me.address,
            ports=Ports(**narrowed(network.ports, Ports)),
            discovery=network.discovery.of_node,
        ),
        security=SecurityConfig(leaf_s=spec.security.tls.leaf_days * 86_400),
        ai=spec.ai.for_node(),
        resources=ResourcesConfig(**narrowed(spec.resources, ResourcesConfig)),
        services=ServicesConfig(broker="unit", profile=spec.services.profile),
        cluster=ClusterConfig(**narrowed(spec.cluster, ClusterConfig), id=cluster_id, nodes=nodes),
    )


def narrowed(answers: Section, kind: type[Section]) -> dict[str, Any]:
    """Return what a node's section is told of the answers: the fields that both have.

    What only the answers have is setup's business, or kept for later; a node never sees it.
    """
    told: dict[str, Any] = {}
    for name, info in kind.model_fields.items():
        if name not in type(answers).model_fields:
            continue
        value, inner = getattr(answers, name), section_of(info.annotation)
        if inner is not None and type(value) is not inner:
            value = inner(**narrowed(value, cast("type[Section]", inner)))
        told[name] = value
    return told
