"""Hosts that the cluster has and the answers leave out: asked about, never guessed.

A line that was lost in an editor must not cost a voter. So whoever leaves out a host says what is
meant: `--remove NAME` lets it leave and takes BZZZ off it, `--keep NAME` leaves it alone this time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bzzz_core.config.schema import ClusterSpec
from bzzz_core.deploy.events import Finding
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.goal import Known, enrolled_voters


def missing_hosts(
    spec: ClusterSpec,
    facts: Mapping[str, HostFacts],
    known: Known,
    answered: frozenset[str] = frozenset(),
) -> Iterator[Finding]:
    """Return an error for each host of the cluster that is neither in the answers nor answered for.

    Args:
        spec: The answers.
        facts: By host.
        known: With the hosts of the cluster's profile.
        answered: Names of which the operator said what becomes of them.
    """
    voters = enrolled_voters(facts)
    # Of another operator's cluster only those hosts count that were set up from here.
    expected = {*known.hosts, *(voters if spec.cluster.mode == "create" else ())}
    for name in sorted(expected - {host.name for host in spec.hosts} - answered):
        what = "votes in this cluster" if name in voters else "belongs to this cluster"
        yield Finding(
            "error",
            "missing",
            name,
            f"it {what}, but the answers leave it out",
            f"put it back; or say --remove {name} (with --dead if it is gone for good), or"
            f" --keep {name} to leave it alone",
        )
