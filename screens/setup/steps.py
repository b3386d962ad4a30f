"""The eight steps: names, order, which answers each asks for, and what it does not ask for yet.

A group names leaves of the schema or whole sections. A leaf stands in the group that names it most
closely, so that a step's last group can name the section itself: a new field of the schema appears
there by itself, and moves only when somebody finds it a better place.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Fields that stand together under a title."""

    title: str
    keys: tuple[str, ...]
    """Keys of leaves, or of sections (all their leaves)."""
    express: bool = False
    """Asked on the short way too: it has no default that is safe for everybody."""


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
                express=True,
            ),
            Group(title="Way in", keys=("security.ssh.jump", "security.ssh.config")),
            Group(title="Fitness", keys=("system",)),
        ),
    ),
    StepSpec(
        number=2,
        key="network",
        title="Network",
        intro="Where each node listens. Hosts reach each other at the addresses of step 1.",
        groups=(
            Group(title="Subnet and interface", keys=("network.subnet", "network.interface")),
            Group(title="Ports, the same on every host", keys=("network.ports",)),
            Group(title="Discovery", keys=("network.discovery",)),
            Group(title="Surroundings", keys=("network",)),
        ),
    ),
    StepSpec(
        number=3,
        key="security",
        title="Security",
        intro="Whom setup trusts, and how nodes prove who they are.",
        groups=(
            Group(title="Privileges", keys=("security.ssh.sudo_password",), express=True),
            Group(title="Trust and keys", keys=("security.ssh",)),
            Group(title="Certificates (two authorities, made here)", keys=("security.tls",)),
            Group(title="API certificate for the world", keys=("security.tls.public",)),
            Group(title="Authentication (API tokens are active)", keys=("security.login",)),
            Group(title="More", keys=("security",)),
        ),
        later=("a live test of each way to log in",),
    ),
    StepSpec(
        number=4,
        key="ai",
        title="AI Integration",
        intro="What answers the agents' questions. It can be left out.",
        groups=(
            Group(title="Endpoint", keys=("ai.endpoint",), express=True),
            Group(title="More endpoints", keys=("ai.endpoints", "ai.asking")),
            Group(title="Model servers on the hosts", keys=("ai.servers",)),
            Group(
                title="Models and their places",
                keys=(
                    "ai.servers.models",
                    "ai.servers.spread",
                    "ai.servers.sharding",
                    "ai.servers.on_cpu",
                    "ai.servers.gpu_memory_ratio",
                    "ai.servers.gpu_bytes_max",
                    "ai.servers.working_ratio",
                    "ai.servers.pulls_max",
                    "ai.servers.pull_stall_s",
                    "ai.servers.on_failure",
                    "ai.servers.update",
                ),
            ),
            Group(title="Costs", keys=("ai.costs",)),
            Group(title="More", keys=("ai",)),
        ),
        later=("what the provider says was spent",),
    ),
    StepSpec(
        number=5,
        key="resources",
        title="Resource Allocation",
        intro="What a node may use, and where it keeps things.",
        groups=(
            Group(title="Paths", keys=("resources.paths",)),
            Group(title="Use of the hosts", keys=("resources",)),
            Group(title="Log", keys=("resources.log_level", "resources.monitoring.logs")),
            Group(title="Monitoring", keys=("resources.monitoring",)),
        ),
        later=(
            "logs to syslog or a collector, a metrics endpoint",
            "alert channels, escalation, suppression, a test alert",
            "which work gets which GPU",
        ),
    ),
    StepSpec(
        number=6,
        key="services",
        title="Service Deployment",
        intro="First the plan, then your word, then the work.",
        groups=(
            Group(title="Release", keys=("services",)),
            Group(title="Manifests (not for systemd)", keys=("services.image",)),
            Group(title="Updates", keys=("services.updates",)),
        ),
        later=(
            "Compose on the hosts, Swarm and Kubernetes through a context: only manifests",
            "login to a private registry from here",
        ),
    ),
    StepSpec(
        number=7,
        key="cluster",
        title="Cluster Formation",
        intro="The first election, as each node sees it.",
        groups=(
            Group(title="Name and behaviour (part of the plan)", keys=("cluster",)),
            Group(title="Election", keys=("cluster.timings",)),
            Group(title="Roster", keys=("cluster.roster",)),
        ),
    ),
    StepSpec(
        number=8,
        key="validate",
        title="Testing & Validation",
        intro="Does it hold? Each check can be run again.",
        groups=(Group(title="Limits", keys=("validation",)),),
        later=(
            "the security check; storage write, read and integrity",
            "task round trip",
            "failover on request, benchmark",
        ),
    ),
)


EXPRESS: Final = (1, 3, 4, 6, 7, 8)
"""The steps of the short way: hosts and login, trust, AI; then the plan and what follows."""
DEPENDENTS: Final[dict[int, tuple[int, ...]]] = {1: (2, 3, 4, 5), 2: (4,)}
"""Step -> those whose answers may no longer fit when its own change."""


EVERY: Final = tuple(range(1, len(STEPS) + 1))
_SECTIONS: Final = (
    "system",
    "network",
    "security",
    "ai",
    "resources",
    "services",
    "cluster",
    "validation",
)


def route_of(sections: Iterable[str]) -> tuple[int, ...]:
    """Return the steps that are visited if only these sections are asked for; none: every step."""
    wanted = set(sections)
    if not wanted or "*" in wanted:
        return EVERY
    asked = {number for number, name in enumerate(_SECTIONS, 1) if name in wanted}
    return tuple(sorted(asked | {6, 7, 8}))


def next_of(number: int, route: tuple[int, ...] = EVERY) -> int:
    """Return the step after a step on a route; the last one has none and stays."""
    return next((one for one in route if one > number), number)


def home_of(key: str) -> tuple[StepSpec, Group] | None:
    """Return the step and the group that show a leaf: those that name it most closely."""
    found: tuple[StepSpec, Group] | None = None
    closest = -1
    for step in STEPS:
        for group in step.groups:
            for wanted in group.keys:
                if (key == wanted or key.startswith(f"{wanted}.")) and len(wanted) > closest:
                    found, closest = (step, group), len(wanted)
    return found
