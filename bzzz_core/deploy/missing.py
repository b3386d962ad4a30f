"""Hosts that the cluster has and the answers leave out: asked about, never guessed.

A line that was lost in an editor must not cost a voter. So whoever leaves out a host says what is
meant: `--remove NAME` lets it leave and takes BZZZ off it, `--keep NAME` leaves it alone this time.

Whatever was said of them, the cluster needs one of its members among the answers: where none was
looked at, nobody knows that it exists, and setup would found a second one under its name. And new
hosts need a voter among them, for only voters let anybody in. Where all of these are to go, it
takes two runs: the new hosts join, then the old ones go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bzzz_core.config.schema import ClusterSpec
from bzzz_core.deploy.events import Finding
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.goal import Known, enrolled_voters
from bzzz_core.deploy.membership import membership, must_join


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


def second_cluster(
    spec: ClusterSpec, facts: Mapping[str, HostFacts], known: Known
) -> Iterator[Finding]:
    """Return an error if a cluster would be founded beside one that was only not looked at.

    A first installation that broke off has hosts in the profile too, and no member: it goes on, for
    all its hosts were looked at.
    """
    mine = {host.name for host in spec.hosts}  # one that failed has a finding of its own
    unseen = [name for name in known.hosts if name not in mine]
    if spec.cluster.mode != "create" or not unseen or membership(facts) is not None:
        return
    yield Finding(
        "error",
        "founding",
        "",
        f"none of these hosts is a member of cluster {spec.cluster.name}, which has"
        f" {', '.join(unseen)}: a second cluster would be founded under its name",
        f"{_two_runs(unseen)}; if nothing is left of {', '.join(unseen)}, choose another"
        " cluster.name",
    )


def nobody_lets_in(spec: ClusterSpec, facts: Mapping[str, HostFacts]) -> Iterator[Finding]:
    """Return an error if hosts are to join and the answers have nobody who could let them in."""
    cluster = membership(facts)
    if spec.cluster.mode != "create" or cluster is None:
        return
    mine = {host.name for host in spec.hosts}
    voters = sorted(voter.name for voter in cluster.voters)
    new = sorted(name for name, one in facts.items() if must_join(one, cluster))
    if not new or not voters or mine.intersection(voters):
        return
    yield Finding(
        "error",
        "sponsor",
        "",
        f"{', '.join(new)} cannot join: only a voter lets hosts in, and those of the cluster"
        f" ({', '.join(voters)}) are not among these hosts",
        _two_runs(voters),
    )


def _two_runs(names: Sequence[str]) -> str:
    removed = " ".join(f"--remove {name}" for name in names)
    return (
        f"it takes two runs: put {', '.join(names)} back into the answers, beside the new hosts,"
        f" and --apply; then take {'them' if len(names) > 1 else 'it'} out again and --apply"
        f" {removed}"
    )
