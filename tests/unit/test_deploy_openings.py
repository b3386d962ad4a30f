"""Whose rules go into which packet filter: decided from facts, never by a look at a host."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bzzz_core.deploy import firewall_scripts, openings
from bzzz_core.deploy.facts.firewall import Firewall, read_firewall
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.facts.openings import Opening, OwnRules, read_openings
from bzzz_core.deploy.plan import build_plan
from tests.fakes.deploy_goals import converged, fresh, goals, spec

UFW = Firewall(backend="ufw", active=True, ssh_allowed=True)
FOREIGN = Firewall(backend="nftables", active=True)
NOTHING = Firewall(backend="none", active=False, ssh_allowed=True)
TOOLS = OwnRules(tools=("nft", "iptables"))


def planned(of_first: dict[str, Any], **firewall: Any) -> list[str]:
    """Return the sentences of the first of three hosts' plan that are about its filter."""
    answers = spec(3, network={"firewall": firewall})
    facts = converged(answers)
    facts["bzzz-1"] = msgspec.structs.replace(facts["bzzz-1"], **of_first)
    plan = build_plan(goals(answers, facts), ())
    return [c.sentence for c in plan.hosts["bzzz-1"] if c.phase == "open_firewall"]


def test_the_nodes_alone_get_through_an_active_filter() -> None:
    assert planned({"firewall": UFW, "own_rules": TOOLS}) == [
        f"ufw: let 10.0.0.2, 10.0.0.3 reach port {port}" for port in (4222, 6222, 8443)
    ]


def test_rules_that_are_there_are_not_planned_and_old_ones_go() -> None:
    own = tuple(
        Opening(role, port, source)
        for role, port in (("fabric-client", 4222), ("fabric-cluster", 6222), ("join", 8443))
        for source in ("10.0.0.2", "10.0.0.3")
    )
    there = {"firewall": UFW, "own_rules": OwnRules(own={"ufw": own})}
    assert planned(there) == []
    left = (*own, Opening("join", 9443, "10.0.0.9"))
    assert planned({"firewall": UFW, "own_rules": OwnRules(own={"ufw": left})}) == [
        "ufw: remove our rules for port 9443 (10.0.0.9)"
    ]


def test_a_network_of_one_address_is_that_address() -> None:
    """As filters say it; else each run plans it again, and nothing takes it back."""
    peers = {"peers": ["10.9.0.5/32", "fd00::9/128"]}
    lines = planned({"firewall": UFW, "own_rules": TOOLS}, **peers)
    assert lines[0] == "ufw: let 10.0.0.2, 10.0.0.3, 10.9.0.5, fd00::9 reach port 4222"
    own = tuple(
        Opening(role, port, source)
        for role, port in (("fabric-client", 4222), ("fabric-cluster", 6222), ("join", 8443))
        for source in ("10.0.0.2", "10.0.0.3", "10.9.0.5", "fd00::9")
    )
    assert planned({"firewall": UFW, "own_rules": OwnRules(own={"ufw": own})}, **peers) == []


def test_what_nobody_proved_counts_as_not_being_there() -> None:
    """Else a run right after one that died would rest on rules that go within the minute."""
    own = (Opening("join", 8443, "10.0.0.2"), Opening("join", 8443, "10.0.0.3"))
    there = OwnRules(own={"ufw": own}, armed=("firewall-ufw",))
    assert len(planned({"firewall": UFW, "own_rules": there})) == 3
    assert len(planned({"firewall": UFW, "own_rules": OwnRules(own={"ufw": own})})) == 2


@pytest.mark.parametrize("found", [None, Firewall(backend="ufw", active=None)])
def test_a_filter_of_which_nothing_is_known_loses_no_rule(found: Firewall | None) -> None:
    """Else a probe that ran out of time would shut the nodes out, without a proof."""
    own = OwnRules(own={"ufw": (Opening("join", 8443, "10.0.0.2"),)})
    assert planned({"firewall": found, "own_rules": own}) == []
    assert planned({"firewall": found, "own_rules": own}, mode="off") == [
        "ufw: remove our rules for port 8443 (10.0.0.2)"
    ]


def test_members_that_the_answers_do_not_name_are_let_in_until_they_have_left() -> None:
    answers = spec(3)
    facts = converged(answers)
    fewer = answers.model_copy(update={"hosts": answers.hosts[:2]})
    assert openings.peers_of(fewer, facts, answers.hosts[0]) == ("10.0.0.2", "10.0.0.3")
    members = tuple(
        msgspec.structs.replace(m, state="left") if m.name == "bzzz-3" else m
        for m in facts["bzzz-1"].members or ()
    )
    left = {"bzzz-1": msgspec.structs.replace(facts["bzzz-1"], members=members)}
    assert openings.peers_of(fewer, left, answers.hosts[0]) == ("10.0.0.2",)


def test_rules_that_nobody_can_prove_are_a_warning() -> None:
    answers = spec(2)
    facts = {h.name: msgspec.structs.replace(fresh(1), firewall=UFW) for h in answers.hosts}
    assert list(openings.findings(answers, facts)) == []
    facts["bzzz-2"] = msgspec.structs.replace(facts["bzzz-2"], pythons=())
    said = [(one.severity, one.host, one.message) for one in openings.findings(answers, facts)]
    assert [(severity, host) for severity, host, _ in said] == [
        ("warning", "bzzz-1"),
        ("warning", "bzzz-2"),
    ]
    assert "no other host" in said[0][2]
    assert "no interpreter" in said[1][2]


def test_a_rule_of_others_that_opens_the_same_is_not_made_ours() -> None:
    """Ufw would put our mark on it, and removing BZZZ would remove it."""
    theirs = OwnRules(
        others={"ufw": (Opening("", 4222, "10.0.0.2"), Opening("", 4222, "10.0.0.3"))}
    )
    lines = planned({"firewall": UFW, "own_rules": theirs})
    assert lines == [f"ufw: let 10.0.0.2, 10.0.0.3 reach port {port}" for port in (6222, 8443)]


def test_where_nothing_filters_nothing_is_done_unless_it_is_asked_for() -> None:
    bare = {"firewall": NOTHING, "own_rules": TOOLS}
    assert planned(bare) == []
    closing = planned(bare, mode="restrict")
    assert closing[1] == "nftables: let 10.0.0.2, 10.0.0.3, nobody else reach port 6222"
    assert planned({"firewall": NOTHING, "own_rules": OwnRules()}, mode="restrict") == []


@pytest.mark.parametrize("mode", ["instructions", "off"])
def test_who_wants_no_rules_gets_none(mode: str) -> None:
    assert planned({"firewall": UFW, "own_rules": TOOLS}, mode=mode) == []


def test_the_operators_own_way_in_comes_first_where_it_is_in_doubt() -> None:
    shut = {
        "firewall": Firewall(backend="ufw", active=True, ssh_allowed=False),
        "own_rules": TOOLS,
        "ssh_port": 2222,
        "ssh_peer": "192.0.2.7",
    }
    assert planned(shut)[0] == "ufw: let 192.0.2.7 reach port 2222"


def test_a_ruleset_that_only_its_owner_can_add_to_is_told_what_it_lacks() -> None:
    """What one table lets pass another still drops: a table of ours could open nothing."""
    assert planned({"firewall": FOREIGN, "own_rules": TOOLS}, mode="restrict") == []
    answers = spec(2)
    facts = {h.name: msgspec.structs.replace(fresh(1), firewall=FOREIGN) for h in answers.hosts}
    (first, _) = openings.findings(answers, facts)
    assert first.message.endswith("10.0.0.2 must reach its TCP ports 4222, 6222, 8443")
    assert "ip saddr { 10.0.0.2 } tcp dport { 4222, 6222, 8443 } accept" in first.fix


def test_a_host_that_is_named_comes_from_any_address_that_others_see() -> None:
    answers = spec(2)
    hosts = (answers.hosts[0], answers.hosts[1].model_copy(update={"address": "two.test"}))
    named = answers.model_copy(update={"hosts": hosts})
    seen = HostFacts(addresses=("127.0.0.1", "fe80::1", "10.0.0.2", "fd00::2"))
    assert openings.peers_of(named, {"bzzz-2": seen}, hosts[0]) == ("10.0.0.2", "fd00::2")


SAID = """\
== tools
nft
== ufw
### tuple ### allow tcp 6222 0.0.0.0/0 any 10.0.0.2 in comment=627a7a7a3a6a6f696e
### tuple ### allow tcp 4222 0.0.0.0/0 any 10.99.0.0/16 in
### tuple ### deny tcp 9999 0.0.0.0/0 any 0.0.0.0/0 in
### tuple ### allow tcp 22 ::/0 any ::/0 in comment=7373
== firewalld
rule priority="-16222" family="ipv4" source address="10.0.0.2" MORE
rule priority="-16222" family="ipv6" source address="fd00::2" MORE
== firewalld permanent
rule priority="-16222" family="ipv4" source address="10.0.0.2" MORE
== nft
\t\tip saddr 10.0.0.2 tcp dport 6222 accept comment "bzzz:join"
\t\ttcp dport 6222 drop comment "bzzz:closed"
== unit
enabled
== file
\t\tip saddr 10.0.0.2 tcp dport 6222 accept comment "bzzz:join"
""".replace("MORE", 'port port="6222" protocol="tcp" accept')


def test_a_rule_counts_if_it_is_there_now_and_after_a_restart() -> None:
    found = read_openings(SAID)
    assert found.own == {
        "ufw": (Opening("join", 6222, "10.0.0.2"),),
        "firewalld": (Opening("", 6222, "10.0.0.2"),),
        "nftables": (Opening("join", 6222, "10.0.0.2"),),
    }
    assert [rule.source for rule in found.others["ufw"]] == ["10.99.0.0/16", "::/0"]
    assert read_openings(SAID.replace("enabled", "disabled")).own.get("nftables") is None


def test_half_a_rule_is_known_as_such() -> None:
    """A removal was cut off after what is there now; what a restart loads was left for good."""
    found = read_openings(SAID)
    assert found.half == {
        "firewalld": (Opening("", 6222, "fd00::2"),),
        "nftables": (Opening("closed", 6222, ""),),
    }


HALF: dict[str, Any] = {
    "firewall": Firewall(backend="firewalld", active=True, ssh_allowed=True),
    "own_rules": OwnRules(half={"firewalld": (Opening("", 9443, "10.0.0.9"),)}),
}


def test_a_removal_that_was_cut_off_is_planned_to_its_end() -> None:
    assert planned(HALF)[-1] == "firewalld: remove our rules for port 9443 (10.0.0.9)"
    assert planned({**HALF, "firewall": NOTHING}) == [
        "firewalld: remove our rules for port 9443 (10.0.0.9)"
    ]


def test_half_a_rule_that_is_wanted_is_made_again() -> None:
    half = OwnRules(half={"firewalld": (Opening("", 4222, "10.0.0.2"),)})
    assert planned({**HALF, "own_rules": half}) == [
        f"firewalld: let 10.0.0.2, 10.0.0.3 reach port {port}" for port in (4222, 6222, 8443)
    ]


def test_half_a_rule_is_left_alone_where_it_says_nothing() -> None:
    """It is about to be undone, or nothing is known of the filter."""
    armed = msgspec.structs.replace(HALF["own_rules"], armed=("firewall-firewalld",))
    assert not any("9443" in line for line in planned({**HALF, "own_rules": armed}))
    assert planned({**HALF, "firewall": None}) == []


def test_our_own_table_is_not_taken_for_the_hosts_filter() -> None:
    """Else a host that filters nothing would look like one with rules of a stranger."""
    rules = [Opening("join", 8443, "10.0.0.2"), Opening("closed", 8443, "")]
    listed = firewall_scripts.table_text(rules).split("delete table inet bzzz\n")[1]
    assert read_firewall(f"== nft\n{listed}", {22}).backend == "none"


def test_what_undoes_a_change_is_the_change_the_other_way_round() -> None:
    one, two = Opening("join", 8443, "10.0.0.2"), Opening("join", 8443, "10.0.0.3")
    there = firewall_scripts.data_of("ufw", [one], [two], own="10.0.0.1").decode()
    back = firewall_scripts.data_of("ufw", [two], [one], own="10.0.0.1").decode()
    assert there.splitlines()[1:] == ["del join 8443 10.0.0.2", "add join 8443 10.0.0.3"]
    assert back.splitlines()[1:] == ["del join 8443 10.0.0.3", "add join 8443 10.0.0.2"]
