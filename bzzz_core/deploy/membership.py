"""Who belongs to the cluster already, by what its hosts know; pure.

A cluster that exists decides for itself who its nodes are: the leader's registry does, and every
node keeps a copy. Setup looks at the newest copy. From it follows what is asked of each host of the
answers:

    no copy anywhere        the cluster is founded; all hosts know each other from the beginning
    listed as a member      the node stays as it is: its file keeps the list it was set up with
    not listed              it has to join: with a token, which a voter makes

A file's own list (`cluster.nodes`) is that of the day the node was set up. It is never brought up
to date, because agents and brokers would have to be started anew for nothing: they follow the
registry.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from bzzz_core.config.sections import NodeEntry
from bzzz_core.deploy.facts.host import HostFacts, Member

REVOKED: Final = "revoked"


@dataclass(frozen=True, slots=True)
class Membership:
    """The newest list of the cluster's nodes that any host has."""

    version: int
    """The registry's; 0 for the list that the cluster was founded with."""
    nodes: tuple[Member, ...]
    """Former ones too."""

    @property
    def members(self) -> tuple[Member, ...]:
        """Return the nodes that belong to the cluster now."""
        return tuple(node for node in self.nodes if node.belongs)

    @property
    def voters(self) -> tuple[Member, ...]:
        """Return the members that vote."""
        return tuple(node for node in self.members if node.voter)

    def find(self, node_id: str) -> Member | None:
        """Return the node with this id, whatever its state."""
        return next((node for node in self.nodes if node.node_id == node_id), None)

    def named(self, name: str) -> Member | None:
        """Return the member with this name."""
        return next((node for node in self.members if node.name == name), None)


def membership(facts: Mapping[str, HostFacts]) -> Membership | None:
    """Return the newest list of nodes, or None if no host belongs to a cluster yet."""
    known = [
        Membership(one.registry_version or 0, one.members)
        for one in facts.values()
        if one.cluster_id and one.members
    ]
    return max(known, key=lambda one: one.version, default=None)


def must_join(
    facts: HostFacts, cluster: Membership | None, mode: Literal["create", "join"] = "create"
) -> bool:
    """Return whether a host has to ask an existing cluster to take it in."""
    if cluster is None:
        return mode == "join"
    if not facts.enrolled:
        return True
    known = cluster.find(facts.enrolled[0].node_id)
    return known is None or not known.belongs


def leavers(
    chosen: Collection[str], facts: Mapping[str, HostFacts], cluster: Membership | None
) -> dict[str, str]:
    """Return host -> node id of the chosen whose trust is to end, if anybody else is a member.

    Besides members these are nodes that left: their run was cut off before it revoked them, or they
    left by hand. A host that lost its keys, or got others, is still trusted under its old id: the
    cluster knows it by its name.
    """
    if cluster is None or all(one.name in chosen for one in cluster.members):
        return {}
    found = {}
    for name in chosen:
        if name not in facts:
            continue
        enrolled = facts[name].enrolled
        own = cluster.find(enrolled[0].node_id) if enrolled else None
        # A former node is what it is, whoever goes by its name by now.
        member = own or cluster.named(name)
        if member is not None and member.state != REVOKED:
            found[name] = member.node_id
    return found


def doubt(facts: HostFacts, ours: str | None) -> str | None:
    """Return why nothing may be taken off a host that is not known to be ours, or None.

    Args:
        facts: The host's.
        ours: The cluster that is operated from here; None: none is.
    """
    if facts.cluster_id is None or (facts.cluster_id and facts.enrolled is None):
        return (
            "its configuration is there but cannot be read, so nobody knows whether it is a member"
            " of a cluster, and of which; mend it, or let the others withdraw their trust without"
            " asking it: --remove NAME --dead"
        )
    if facts.cluster_id and facts.cluster_id != ours:
        return (
            f"it belongs to another cluster ({facts.cluster_id}); uninstall it with the answers and"
            " from the directory of that one"
        )
    return None


def entries(nodes: tuple[Member, ...]) -> tuple[NodeEntry, ...]:
    """Return nodes as a configuration lists them."""
    return tuple(
        NodeEntry(
            id=node.node_id,
            name=node.name,
            public_key=node.public_key,
            address=node.address,
            fabric_client=node.fabric_client,
            fabric_cluster=node.fabric_cluster,
            join=node.join,
            route_pin=node.route_pin,
            voter=node.voter,
        )
        for node in nodes
    )
