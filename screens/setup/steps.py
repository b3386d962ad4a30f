"""The eight steps: names, order, which answers each asks for, and what it does not ask for yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Fields that stand together under a title."""

    title: str
    keys: tuple[str, ...]
    """Keys of leaves, or of sections (all their leaves)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSpec:
    """One step of the wizard."""

    number: int
    key: str
    title: str
    intro: str
    groups: tuple[Group, ...] = ()
    later: tuple[str, ...] = ()
    """What this step will ask for and cannot yet; shown, so that nobody looks for it."""


STEPS: Final = (
    StepSpec(
        number=1,
        key="detect",
        title="System Detection",
        intro="Which machines become the cluster, and how setup logs in to them.",
        groups=(
            Group(
                title="Login",
                keys=(
                    "security.ssh.user",
                    "security.ssh.port",
                    "security.ssh.key",
                    "security.ssh.password",
                ),
            ),
            Group(title="Fitness", keys=("system",)),
        ),
        later=(
            "hosts by CIDR or inventory file",
            "GPU memory, MIG and topology; Docker, Ollama and Parallama",
            "repair, upgrade or refuse an existing installation",
        ),
    ),
    StepSpec(
        number=2,
        key="network",
        title="Network",
        intro="Where each node listens. Hosts reach each other at the addresses of step 1.",
        groups=(Group(title="Ports, the same on every host", keys=("network",)),),
        later=(
            "subnet, DNS, VLAN, VPN, proxy and NAT detection",
            "discovery by mDNS or DNS",
            "network interface picker",
            "firewall rules with a dead-man revert",
            "pairwise reachability matrix",
            "MCP and WebSocket ports",
        ),
    ),
    StepSpec(
        number=3,
        key="security",
        title="Security",
        intro="Whom setup trusts, and how nodes prove who they are.",
        groups=(
            Group(
                title="Privileges and trust",
                keys=(
                    "security.ssh.sudo_password",
                    "security.ssh.known_hosts",
                    "security.ssh.accept_new_host_keys",
                ),
            ),
            Group(title="Certificates (two authorities, made here)", keys=("security.tls",)),
        ),
        later=(
            "generate and distribute an SSH key",
            "upload a CA, Let's Encrypt",
            "API users: local, LDAP, OIDC",
        ),
    ),
    StepSpec(
        number=4,
        key="ai",
        title="AI Integration",
        intro="One endpoint that answers the agents' questions. It can be left out.",
        groups=(Group(title="Endpoint", keys=("ai",)),),
        later=(
            "several endpoints, fallback chain, model-to-task map",
            "install or upgrade Ollama and Parallama",
            "GPU assignment and model distribution",
            "cost limits",
        ),
    ),
    StepSpec(
        number=5,
        key="resources",
        title="Resource Allocation",
        intro="What a node may use, and where it keeps things.",
        groups=(Group(title="Paths and limits", keys=("resources",)),),
        later=(
            "CPU affinity, governor and NUMA; node weight",
            "memory per service, swap, GPU limits",
            "monitoring: log destinations, retention, alerts, channels",
        ),
    ),
    StepSpec(
        number=6,
        key="services",
        title="Service Deployment",
        intro="First the plan, then your word, then the work.",
        groups=(Group(title="Release", keys=("services",)),),
        later=(
            "Compose, Swarm and Kubernetes targets",
            "release channels and automatic updates",
        ),
    ),
    StepSpec(
        number=7,
        key="cluster",
        title="Cluster Formation",
        intro="The first election, as each node sees it.",
        groups=(Group(title="Name and timings (part of the plan)", keys=("cluster",)),),
        later=(
            "join an existing cluster; node roles, preferred coordinators",
            "behaviour without quorum, replication, backup",
        ),
    ),
    StepSpec(
        number=8,
        key="validate",
        title="Testing & Validation",
        intro="Does it hold? Each check can be run again.",
        groups=(Group(title="Limits", keys=("validation",)),),
        later=(
            "storage write, read and integrity",
            "task round trip",
            "failover on request, benchmark",
        ),
    ),
)
