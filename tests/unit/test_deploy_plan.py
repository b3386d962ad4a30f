"""Facts in, changes out: no host, no clock, no network."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bzzz_core.config.schema import ClusterSpec
from bzzz_core.deploy.change import Change, Plan, make_plan
from bzzz_core.deploy.facts.firewall import Firewall
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.facts.openings import OwnRules
from bzzz_core.deploy.goal import choose_python, choose_voters
from bzzz_core.deploy.phases.write_config import LATER
from bzzz_core.deploy.plan import build_plan
from tests.fakes.deploy_goals import KNOWN, converged, fresh, goals, spec

CASES = sorted((Path(__file__).parent / "deploy_plans").glob("*.json"))


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_facts_become_changes(case: Path) -> None:
    """Each file says why; `facts` is laid over the first of three hosts."""
    told = json.loads(case.read_text())
    answers = spec(3)
    facts = (
        converged(answers)
        if told["start"] == "converged"
        else {host.name: fresh(number) for number, host in enumerate(answers.hosts, 1)}
    )
    facts["bzzz-1"] = laid_over(facts["bzzz-1"], told["facts"])
    plan = build_plan(goals(answers, facts), operator=())
    lines = [f"{c.phase} {c.action} {c.target}" for c in plan.hosts["bzzz-1"]]
    assert lines == told["plan"], told["why"]
    if told["start"] == "converged":
        assert not plan.hosts["bzzz-2"], "only the host that differs is touched"


def test_the_same_facts_give_the_same_hash() -> None:
    answers = spec(3)
    first, second = (build_plan(goals(answers, converged(answers)), ()) for _ in range(2))
    assert first == second


def test_what_would_be_done_decides_the_hash_and_the_reason_does_not() -> None:
    """A service in a crash loop looks different each time; what is agreed to is the same."""
    answers = spec(3)

    def planned(active: str) -> str:
        facts = converged(answers)
        inputs = {"units": {"bzzz-agent": {"active": active, "release": "old"}}}
        facts["bzzz-1"] = laid_over(facts["bzzz-1"], inputs)
        return build_plan(goals(answers, facts), ()).hash

    calm = build_plan(goals(answers, converged(answers)), ()).hash
    assert planned("active") == planned("activating") != calm


def test_a_plan_of_which_something_was_done_meanwhile_is_within_what_was_agreed_to() -> None:
    """An agent that a killed run had started became ready between the two looks."""
    answers = spec(3)

    def planned(agent: str, other: str = "active") -> Plan:
        facts = converged(answers)
        for name, active in (("bzzz-1", agent), ("bzzz-2", other)):
            facts[name] = laid_over(facts[name], {"units": {"bzzz-agent": {"active": active}}})
        return build_plan(goals(answers, facts), ())

    agreed = planned("activating")
    assert agreed.change_count == 1
    assert planned("activating").within(agreed)
    assert planned("active").within(agreed)
    assert not planned("active", "failed").within(agreed), "as much, but to another host"
    assert not planned("activating", "failed").within(agreed), "more"


def test_what_a_host_does_not_tell_at_the_second_look_is_not_left_out() -> None:
    """Without its filter's rules nothing is planned for it, and its ports would stay open."""
    answers = spec(3, network={"firewall": {"mode": "restrict"}})
    facts = converged(answers)
    seen = msgspec.structs.replace(
        facts["bzzz-1"],
        firewall=Firewall(backend="none", active=False, ssh_allowed=True),
        own_rules=OwnRules(tools=("nft",)),
    )
    agreed = build_plan(goals(answers, facts | {"bzzz-1": seen}), ())
    assert any(change.phase == "open_firewall" for change in agreed.hosts["bzzz-1"])
    unseen = msgspec.structs.replace(seen, own_rules=None)
    later = build_plan(goals(answers, facts | {"bzzz-1": unseen}), ())
    assert later.change_count < agreed.change_count
    assert not later.within(agreed)


def test_a_plan_of_other_things_is_not_within_what_was_agreed_to() -> None:
    def plan(*, release: str = "1", after: str = "y", hosts: Sequence[str] = ("a", "b")) -> Plan:
        change = Change(
            phase="write_config", action="update", target="/x", before="", after=after, sentence=""
        )
        return make_plan(
            cluster="c",
            release=release,
            operator=(change,),
            hosts=dict.fromkeys(hosts, (change,)),
        )

    assert plan().within(plan())
    for other in (plan(release="2"), plan(after="z"), plan(hosts="a"), plan(hosts="abc")):
        assert not other.within(plan())


def test_contents_that_depend_on_keys_are_known_later() -> None:
    answers = spec(3)
    facts = {host.name: fresh(number) for number, host in enumerate(answers.hosts, 1)}
    plan = build_plan(goals(answers, facts), ())
    config = next(c for c in plan.hosts["bzzz-2"] if c.phase == "write_config")
    assert config.after == LATER


def test_no_change_holds_a_secret() -> None:
    """The plan is shown, logged and journalled."""
    answers = spec(3)
    facts = {host.name: fresh(number) for number, host in enumerate(answers.hosts, 1)}
    for known in (KNOWN,):
        text = msgspec.json.encode(build_plan(goals(answers, facts, known), ())).decode()
        assert "c" * 64 not in text


@pytest.mark.parametrize(
    ("hosts", "voters"), [(1, 1), (2, 1), (3, 3), (4, 3), (5, 5), (6, 5), (12, 5)]
)
def test_so_many_hosts_so_many_voters(hosts: int, voters: int) -> None:
    """ARCHITECTURE 10: never an even number, never more than five."""
    answers = spec(hosts)
    facts = {host.name: fresh(number) for number, host in enumerate(answers.hosts, 1)}
    assert len(choose_voters(answers, facts)) == voters
    edges = [goal for goal in goals(answers, facts).values() if not goal.voter]
    for goal in edges:
        plan = build_plan({goal.host.name: goal}, ())
        targets = {change.target for change in plan.hosts[goal.host.name]}
        assert "/etc/systemd/system/bzzz-fabric.service" in targets, "it may become a voter"
        assert not {
            t for t in targets if t.startswith("/etc/bzzz/") and ("fabric" in t or "route" in t)
        }


def test_voters_stay_whatever_the_order_of_the_answers() -> None:
    answers = spec(4)
    facts = converged(answers)
    turned = answers.model_copy(update={"hosts": tuple(reversed(answers.hosts))})
    assert choose_voters(turned, facts) == {"bzzz-1", "bzzz-2", "bzzz-3"}


def test_the_systems_own_python_comes_first() -> None:
    found = [
        {"path": "/usr/local/bin/python3.13", "version": [3, 13, 1], "implementation": "CPython"},
        {"path": "/usr/bin/python3", "version": [3, 11, 2], "implementation": "CPython"},
    ]
    assert _chosen(found) == "/usr/bin/python3"
    found[1]["missing"] = ["ssl"]
    assert _chosen(found) == "/usr/local/bin/python3.13"
    found[0]["implementation"] = "PyPy"
    assert _chosen(found) is None


def test_an_api_key_of_the_operator_is_a_file_on_the_host() -> None:
    """`env:` in the answers means the operator's environment, which no host has."""
    endpoint = {"provider": "openai", "api_key": "env:OPENAI_API_KEY"}
    answers = spec(1, ai={"endpoint": endpoint})
    plan = build_plan(goals(answers, {"bzzz-1": _with_keys(answers)}), ())
    config = next(c for c in plan.hosts["bzzz-1"] if c.phase == "write_config")
    assert "file:/etc/bzzz/secrets/ai-api-key" in config.after
    assert "OPENAI_API_KEY" not in config.after


def laid_over(facts: HostFacts, patch: dict[str, Any]) -> HostFacts:
    """Return facts with a JSON merge patch (RFC 7396) applied."""
    merged = _merge(msgspec.to_builtins(facts), patch)
    return msgspec.convert(merged, type=HostFacts)


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict) or not isinstance(target, dict):
        return patch
    return {**target, **{key: _merge(target.get(key), value) for key, value in patch.items()}}


def _chosen(pythons: list[dict[str, Any]]) -> str | None:
    python = choose_python(laid_over(fresh(), {"pythons": pythons}))
    return python.path if python else None


def _with_keys(answers: ClusterSpec) -> HostFacts:
    make: Callable[[ClusterSpec], dict[str, HostFacts]] = converged
    return msgspec.structs.replace(
        fresh(), enrolled=make(answers.model_copy(update={"ai": spec(1).ai}))["bzzz-1"].enrolled
    )
