"""A cluster that exists and answers with more hosts, or fewer: what setup does to whom."""

from __future__ import annotations

import msgspec

from bzzz_core.deploy import layout, preflight
from bzzz_core.deploy.facts.host import Certificate, HostFacts
from bzzz_core.deploy.membership import Membership, membership, must_join
from bzzz_core.deploy.phases.write_config import ADMITTED
from bzzz_core.deploy.plan import build_plan
from tests.fakes.deploy_goals import KNOWN, converged, enrolled, fresh, goals, member_of, spec


def grown(facts: HostFacts, *, version: int, voters: set[str]) -> HostFacts:
    """Return a host whose copy of the registry has another version and other voters."""
    members = tuple(
        msgspec.structs.replace(one, voter=one.name in voters) for one in facts.members or ()
    )
    return msgspec.structs.replace(facts, members=members, registry_version=version)


def test_whoever_is_new_joins_and_nobody_else_is_touched() -> None:
    facts = {**converged(spec(3)), "bzzz-4": fresh(4)}
    plan = build_plan(goals(spec(4), facts), ())
    assert {name: len(changes) for name, changes in plan.hosts.items()} | {"bzzz-4": 0} == (
        dict.fromkeys(plan.hosts, 0)
    )
    phases = [change.phase for change in plan.hosts["bzzz-4"]]
    assert "join_cluster" in phases
    assert "issue_certificates" not in phases, "the cluster's answer brings them"
    (config,) = [c for c in plan.hosts["bzzz-4"] if c.phase == "write_config"]
    assert config.after == ADMITTED


def test_once_it_was_taken_in_its_file_lists_who_the_cluster_knows() -> None:
    facts = converged(spec(3))
    four = goals(spec(4), converged(spec(4)))["bzzz-4"]
    assert four.nodes is not None
    newcomer = msgspec.structs.replace(
        fresh(4),
        enrolled=(enrolled(4),),
        cluster_id=KNOWN.cluster_id,
        members=tuple(member_of(node) for node in four.nodes),
        registry_version=2,
    )
    goal = goals(spec(4), {**facts, "bzzz-4": newcomer})["bzzz-4"]
    assert not goal.joins
    assert [node.name for node in goal.nodes or ()] == ["bzzz-1", "bzzz-2", "bzzz-3", "bzzz-4"]


def test_a_node_keeps_the_list_that_it_was_set_up_with() -> None:
    """Else each host that joins would cost all others a restart."""
    one = converged(spec(1))["bzzz-1"]
    five = converged(spec(5))["bzzz-5"]
    learned = msgspec.structs.replace(one, members=five.members, registry_version=9)
    facts = {**converged(spec(5)), "bzzz-1": learned}
    goal = goals(spec(5), facts)["bzzz-1"]
    assert [node.name for node in goal.nodes or ()] == ["bzzz-1"]
    assert build_plan({"bzzz-1": goal}, ()).hosts["bzzz-1"] == ()


def test_the_newest_registry_says_who_votes() -> None:
    facts = converged(spec(3))
    one = {"bzzz-1"}
    facts = {name: grown(each, version=3, voters=one) for name, each in facts.items()}
    facts["bzzz-2"] = grown(facts["bzzz-2"], version=7, voters={"bzzz-1", "bzzz-2", "bzzz-3"})
    found = goals(spec(3), facts)
    assert all(goal.voter for goal in found.values())
    assert [sponsor.name for sponsor in found["bzzz-1"].sponsors] == ["bzzz-1", "bzzz-2", "bzzz-3"]
    assert [f for f in preflight.check(spec(3), facts, {}, KNOWN) if f.severity == "error"] == []


def test_without_a_cluster_nobody_joins() -> None:
    facts = {f"bzzz-{n}": fresh(n) for n in range(1, 4)}
    assert membership(facts) is None
    assert not any(goal.joins for goal in goals(spec(3), facts).values())


def test_who_has_left_or_was_revoked_has_to_join_again() -> None:
    facts = converged(spec(2))
    cluster = membership(facts)
    assert cluster is not None
    assert not must_join(facts["bzzz-2"], cluster)
    gone = tuple(
        msgspec.structs.replace(one, state="left") if one.name == "bzzz-2" else one
        for one in cluster.nodes
    )
    assert must_join(facts["bzzz-2"], Membership(2, gone))


def test_a_node_that_left_and_kept_its_files_is_named() -> None:
    """To join again over the files of its former life would mix two lives."""
    facts = converged(spec(3))
    gone = tuple(
        msgspec.structs.replace(one, state="left", voter=False) if one.name == "bzzz-3" else one
        for one in facts["bzzz-3"].members or ()
    )
    facts = {
        name: msgspec.structs.replace(one, members=gone, registry_version=5)
        for name, one in facts.items()
    }
    (error,) = [
        finding
        for finding in preflight.check(spec(3), facts, {}, KNOWN)
        if finding.severity == "error"
    ]
    assert (error.host, "was a node of this cluster (left)" in error.message) == ("bzzz-3", True)


def test_a_member_at_another_address_is_refused() -> None:
    facts = {
        name: grown(one, version=4, voters={"bzzz-1"}) for name, one in converged(spec(1)).items()
    }
    moved = spec(1).model_copy(
        update={"hosts": (spec(1).hosts[0].model_copy(update={"address": "10.0.0.77"}),)}
    )
    found = preflight.check(moved, facts, {}, KNOWN)
    assert any("the cluster knows it at 10.0.0.1" in finding.message for finding in found)


def test_a_certificate_that_came_with_the_joining_is_not_issued_again() -> None:
    facts = converged(spec(4))["bzzz-4"]
    assert isinstance((facts.certificates or {})[layout.NODE_CERTIFICATE], Certificate)
    goal = goals(spec(4), {**converged(spec(3)), "bzzz-4": facts})["bzzz-4"]
    assert not [c for c in build_plan({"bzzz-4": goal}, ()).hosts["bzzz-4"] if "cert" in c.phase]


def test_what_a_promoted_voter_needs_comes_from_the_leader() -> None:
    facts = converged(spec(4))
    everybody = {"bzzz-1", "bzzz-2", "bzzz-3", "bzzz-4"}
    promoted = grown(facts["bzzz-4"], version=8, voters=everybody)
    plan = build_plan(goals(spec(4), {**facts, "bzzz-4": promoted}), ())
    assert plan.hosts["bzzz-4"] == ()
