"""From answers and facts to a plan: pure, so that planning twice gives the same and costs nothing.

Every phase looks at the same goal; the runner later asks the same phases again, one by one, with
what it has learned by then.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from bzzz_core.config.schema import ClusterSpec
from bzzz_core.config.sections import NodeEntry
from bzzz_core.deploy import phases
from bzzz_core.deploy.change import Change, Plan, make_plan
from bzzz_core.deploy.facts.host import Enrolled, HostFacts
from bzzz_core.deploy.goal import (
    ANY,
    Goal,
    Known,
    ReleaseRef,
    Sponsor,
    Supply,
    choose_python,
    choose_voters,
    node_entries,
)
from bzzz_core.deploy.membership import Membership, entries, membership, must_join
from bzzz_core.deploy.model_places import place_wanted
from bzzz_core.deploy.openings import peers_of


def build_goals(
    spec: ClusterSpec,
    *,
    facts: Mapping[str, HostFacts],
    releases: Mapping[str, ReleaseRef],
    known: Known,
    now_s: int,
    supply: Supply = ANY,
) -> dict[str, Goal]:
    """Return the goal of each host of the answers; preflight has passed.

    Args:
        spec: The answers.
        facts: By host.
        releases: By host: the release made for its Python and machine type.
        known: What this operator knows of the cluster.
        now_s: Seconds since 1970.
        supply: Where the releases come from, which decides on which Python they run.
    """
    voters = choose_voters(spec, facts)
    enrolled: dict[str, Enrolled] = {
        name: one.enrolled[0] for name, one in facts.items() if one.enrolled
    }
    joining = spec.cluster.mode == "join"
    founders = None if joining else node_entries(spec, voters, enrolled)
    cluster = membership(facts)
    sponsors = sponsors_of(cluster, facts)
    placement = place_wanted(spec.ai.servers, facts)
    goals = {}
    for host in spec.hosts:
        python = choose_python(facts[host.name], supply)
        assert python is not None, "preflight has checked"
        goals[host.name] = Goal(
            spec=spec,
            host=host,
            voter=host.name in voters,
            facts=facts[host.name],
            python=python,
            release=releases[host.name],
            known=known,
            nodes=_nodes(facts[host.name], cluster) if cluster else founders,
            now_s=now_s,
            peers=peers_of(spec, facts, host),
            joins=must_join(facts[host.name], cluster, spec.cluster.mode),
            sponsors=sponsors,
            models=placement.models_on(host.name),
        )
    return goals


def _nodes(facts: HostFacts, cluster: Membership) -> tuple[NodeEntry, ...] | None:
    """Return what a host of an existing cluster lists: what it has, else what the cluster knows."""
    if must_join(facts, cluster):
        return None
    return entries(facts.genesis or cluster.members)


def sponsors_of(
    cluster: Membership | None, facts: Mapping[str, HostFacts], *, edges: bool = False
) -> tuple[Sponsor, ...]:
    """Return the voters whose hosts are at hand, with what runs our program there.

    Args:
        cluster: Who belongs to it; None: there is none.
        facts: The hosts'.
        edges: Members that do not vote, too: one of them may by the time it is asked.
    """
    pythons = {name: choose_python(one) for name, one in facts.items() if one.cluster_id}
    members = () if cluster is None else cluster.members if edges else cluster.voters
    found = ((member.name, pythons.get(member.name)) for member in members)
    return tuple(Sponsor(name, python.path) for name, python in found if python is not None)


def build_plan(
    goals: Mapping[str, Goal],
    operator: tuple[Change, ...],
    *,
    left_out: Collection[str] = (),
) -> Plan:
    """Return everything that would change; nothing does on hosts that are left out."""
    spec = next(iter(goals.values())).spec
    versions = sorted({goal.release.version for goal in goals.values()})
    changes = {
        name: ()
        if name in left_out
        else tuple(change for phase in phases.ALL for change in phase.plan(goal))
        for name, goal in goals.items()
    }
    return make_plan(
        cluster=spec.cluster.name,
        release=", ".join(versions),
        operator=operator,
        hosts=changes,
    )
