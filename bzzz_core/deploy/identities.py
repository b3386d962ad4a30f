"""Whether each host is still who the cluster knows by its name; pure.

A voter is its key. A host that was installed anew under its old name is somebody else, and the
election's record knows only the old one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from bzzz_core.config.schema import ClusterSpec, HostSpec
from bzzz_core.deploy import layout
from bzzz_core.deploy.events import Finding
from bzzz_core.deploy.facts.host import EnrolledVoter, HostFacts, Kind
from bzzz_core.deploy.goal import node_address
from bzzz_core.deploy.membership import Membership, membership

_NO_REPLACEMENT: Final = (
    "restore its /etc/bzzz and /var/lib/bzzz; or let it join as a new node: leave it out of the"
    " answers and --remove NAME (--dead where nothing of the old node runs), uninstall what is"
    " left there (--uninstall --hosts NAME), then add it again"
)


def identities(spec: ClusterSpec, facts: Mapping[str, HostFacts]) -> Iterator[Finding]:
    """Refuse what would give the cluster other voters: none of its agents would start again.

    A voter is its key. A host that was installed anew under its old name is somebody else, and the
    election's record knows only the old one.
    """
    cluster = membership(facts)
    if cluster is None:
        return
    newest = {
        name: frozenset(one.voters or ())
        for name, one in facts.items()
        if one.members and (one.registry_version or 0) == cluster.version
    }
    if len(set(newest.values())) > 1:
        said = "; ".join(
            f"{name}: {', '.join(f'{v.name} {v.node_id[:8]}' for v in sorted(voters, key=_name))}"
            for name, voters in newest.items()
        )
        yield _error("voters", "", f"the hosts name different voters ({said})", _NO_REPLACEMENT)
    for host in spec.hosts:
        text = _identity_fault(cluster, host, facts.get(host.name))
        if text is not None:
            yield _error("voters", host.name, text, _NO_REPLACEMENT)


def kept_data(spec: ClusterSpec, host: HostSpec, facts: HostFacts) -> Iterator[Finding]:
    """Refuse to install over data of a node whose keys are gone: nobody can go on with them.

    An uninstall with `--keep-data` left them. The new node would find a registry in which it is not
    enrolled, and a broker's store that belongs to somebody else.
    """
    data = spec.resources.paths.data
    no_node = facts.cluster_id == "" and facts.path(layout.IDENTITY_KEY).kind is Kind.ABSENT
    if no_node and facts.path(f"{data}/registry").kind is Kind.FILE:
        yield _error(
            "kept-data",
            host.name,
            f"{data} holds the data of a former node, kept when it was uninstalled; its keys went,"
            " so no new node can go on with them",
            f"move {data} away, or have it removed: --uninstall --hosts {host.name}",
        )


def _identity_fault(cluster: Membership, host: HostSpec, facts: HostFacts | None) -> str | None:
    """Return why a host is not who the cluster knows by its name, or None."""
    if facts is None or facts.enrolled is None:
        return None  # a finding of its own says that it could not be looked at
    member = cluster.named(host.name)
    if member is None:
        return _former(cluster, facts)
    does = "votes in" if member.voter else "belongs to"
    if not facts.enrolled or facts.path(layout.IDENTITY_KEY).kind is Kind.ABSENT:
        return f"it {does} this cluster, but has lost its identity ({layout.IDENTITY_KEY})"
    me = facts.enrolled[0]
    if (me.node_id, me.public_key) != (member.node_id, member.public_key):
        return f"it {does} this cluster as {member.node_id}, but is {me.node_id} now"
    if cluster.version and member.address not in {node_address(host), ""}:
        return (
            f"the cluster knows it at {member.address}, the answers say {node_address(host)}; an"
            " address is part of who a node is"
        )
    return None


def _former(cluster: Membership, facts: HostFacts) -> str | None:
    known = cluster.find(facts.enrolled[0].node_id) if facts.enrolled else None
    if known is None or not facts.cluster_id:
        return None
    return f"it was a node of this cluster ({known.state}), and its files are still there"


def _name(voter: EnrolledVoter) -> str:
    return voter.name


def _error(check_name: str, host: str, message: str, fix: str) -> Finding:
    return Finding("error", check_name, host, message, fix)
