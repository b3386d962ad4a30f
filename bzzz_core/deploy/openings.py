"""Who shall reach which port of a node through which packet filter; pure.

A filter that is active belongs to somebody, so all that is done to it is to let the nodes through:
with `ufw` or `firewall-cmd` where these are at work, with a chain of our own where iptables is. The
rules of others, their order and what happens to everything else stay as they are.

A foreign nftables ruleset that refuses is left alone: what one table lets pass another still drops,
so no table of ours could open anything, and rules in others' chains are nobody's but theirs. There,
and whenever the answers say so, the rules that are needed are told instead.

Where nothing filters, nothing is done, unless `network.firewall.mode` is `restrict`: then a table
of our own keeps everybody but the nodes out of the nodes' ports, and touches no other traffic.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Final

from bzzz_core.config.schema import ClusterSpec, HostSpec
from bzzz_core.deploy.events import Finding
from bzzz_core.deploy.facts.firewall import NONE, Firewall
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.facts.network import InterfaceKind
from bzzz_core.deploy.facts.openings import CLOSED, Opening, OwnRules, source_of
from bzzz_core.deploy.goal import Goal, node_address
from bzzz_core.deploy.membership import membership

UFW: Final = "ufw"
FIREWALLD: Final = "firewalld"
NFTABLES: Final = "nftables"
IPTABLES: Final = "iptables"
BACKENDS: Final = (UFW, FIREWALLD, NFTABLES, IPTABLES)
_TRY_YOURSELF: Final = "`bzzz-agent fabric status` on a node shows whether the brokers have met"
WHAT: Final = "firewall-"
"""Begins the names of our dead-man timers; the filter follows."""
_MANAGED: Final = frozenset({UFW, FIREWALLD, IPTABLES})
_OURS: Final = frozenset({"auto", "restrict"})
"""The modes in which rules of ours are made."""
_INNER: Final = frozenset({InterfaceKind.LOOPBACK, InterfaceKind.DOCKER, InterfaceKind.VETH})


def backend_of(spec: ClusterSpec, facts: HostFacts) -> str | None:
    """Return the filter that rules of ours belong into; None: into none."""
    mode, found = spec.network.firewall.mode, facts.firewall
    if mode not in _OURS or found is None or found.active is None:
        return None
    if found.active:
        return found.backend if found.backend in _MANAGED else None
    able = facts.own_rules is not None and "nft" in facts.own_rules.tools
    return NFTABLES if mode == "restrict" and able else None


def wanted(goal: Goal) -> dict[str, tuple[Opening, ...]]:
    """Return for each filter the rules that should be ours, sorted; none where none should be.

    What is not known of a filter is no reason to remove from it what an earlier run has proved.
    """
    if _unknown(goal.facts) and goal.spec.network.firewall.mode in _OURS:
        return present(goal.facts)
    found: dict[str, tuple[Opening, ...]] = dict.fromkeys(BACKENDS, ())
    backend = backend_of(goal.spec, goal.facts)
    if backend is not None:
        rules = set(_for_nodes(goal.spec, goal.peers))
        if backend == NFTABLES:
            rules |= {Opening(CLOSED, port, "") for _, port in _ports(goal.spec)}
        else:
            rules |= set(_for_operator(goal.facts))
            given = {(one.port, one.source) for one in _others(goal.facts, backend)}
            rules = {rule for rule in rules if (rule.port, rule.source) not in given}
        found[backend] = tuple(sorted(rules))
    return found


def present(facts: HostFacts) -> dict[str, tuple[Opening, ...]]:
    """Return for each filter the rules that are ours now and will stay, sorted.

    What an earlier run changed and nobody proved is about to be undone by the host itself, so it
    counts as not being there.
    """
    found = facts.own_rules or OwnRules()
    return {
        backend: ()
        if f"{WHAT}{backend}" in found.armed
        else tuple(sorted(found.own.get(backend, ())))
        for backend in BACKENDS
    }


def unfinished(goal: Goal) -> dict[str, tuple[Opening, ...]]:
    """Return for each filter rules that are ours by half and that nobody wants, sorted.

    A removal was cut off between what is there now and what will be after a restart. What is about
    to be undone, or of a filter of which nothing is known, is no such rule.
    """
    found: dict[str, tuple[Opening, ...]] = dict.fromkeys(BACKENDS, ())
    rules = goal.facts.own_rules
    if rules is None or (_unknown(goal.facts) and goal.spec.network.firewall.mode in _OURS):
        return found
    after = wanted(goal)
    for backend in BACKENDS:
        if f"{WHAT}{backend}" not in rules.armed:
            kept = {(one.port, one.source) for one in after[backend]}
            half = rules.half.get(backend, ())
            found[backend] = tuple(one for one in half if (one.port, one.source) not in kept)
    return found


def peers_of(spec: ClusterSpec, facts: Mapping[str, HostFacts], of: HostSpec) -> tuple[str, ...]:
    """Return the addresses from which the other nodes come to a host, sorted.

    A node that is named by its address comes from there; one that is named otherwise, from any of
    its addresses that others could see. Members of the cluster that the answers do not name count
    until they have left.
    """
    cluster = membership(facts)
    named, own = {host.name for host in spec.hosts}, node_address(of)
    outside = [m for m in cluster.members if m.name not in named] if cluster else []
    found = {address for member in outside for address in _literal(member.address)} - {own}
    for host in spec.hosts:
        if host.name == of.name:
            continue
        try:
            found.add(str(ipaddress.ip_address(node_address(host))))
        except ValueError:
            found.update(_seen_addresses(facts.get(host.name)))
    return tuple(sorted(found))


def findings(spec: ClusterSpec, facts: Mapping[str, HostFacts]) -> Iterator[Finding]:
    """Yield for each host that needs rules which setup does not make what they are."""
    for host in spec.hosts:
        one = facts.get(host.name)
        if one is None or one.uid != 0 or spec.network.firewall.mode == "off":
            continue
        unproved = _unproved(spec, facts, host)
        if unproved:
            yield Finding("warning", "firewall", host.name, unproved, _TRY_YOURSELF)
        reason = _why_not(spec, one)
        sources = ", ".join((*peers_of(spec, facts, host), *spec.network.firewall.peers))
        if reason and sources:
            ports = ", ".join(str(port) for _, port in _ports(spec))
            yield Finding(
                "warning",
                "firewall",
                host.name,
                f"{reason}; {sources} must reach its TCP ports {ports}",
                _advice(one.firewall, spec, sources.split(", ")),
            )


def _unknown(facts: HostFacts) -> bool:
    return facts.firewall is None or facts.firewall.active is None


def _why_not(spec: ClusterSpec, facts: HostFacts) -> str:
    """Return why setup makes no rules though some are needed; "": it makes them, or none are."""
    found, mode = facts.firewall, spec.network.firewall.mode
    if found is None or _unknown(facts):
        return ""  # that it is not known is a finding of its own
    if found.active and mode == "instructions":
        return f"{found.backend} is active, and setup shall only say what it needs"
    if found.active and found.backend not in _MANAGED:
        return f"{found.backend} filters here by rules that only their owner can add to"
    if not found.active and mode == "restrict" and backend_of(spec, facts) is None:
        return "nobody can be kept out of its ports, for `nft` is missing"
    return ""


def _unproved(spec: ClusterSpec, facts: Mapping[str, HostFacts], of: HostSpec) -> str:
    """Return why nobody can prove the rules that setup makes on a host; "": somebody can."""
    if backend_of(spec, facts[of.name]) is None or not peers_of(spec, facts, of):
        return ""
    if not facts[of.name].pythons:
        return "it has no interpreter yet, so nothing can prove that the other nodes get through"
    others = [host.name for host in spec.hosts if host.name != of.name and host.name in facts]
    if not any(facts[name].pythons for name in others):
        return "no other host of the answers can try its ports, so its rules stay without a proof"
    return ""


def _advice(found: Firewall | None, spec: ClusterSpec, sources: list[str]) -> str:
    backend = found.backend if found is not None else NONE
    ports = [str(port) for _, port in _ports(spec)]
    if backend == UFW:
        return f"ufw allow proto tcp from {sources[0]} to any port {','.join(ports)}  (and so on)"
    if backend == FIREWALLD:
        return "firewall-cmd --add-rich-rule for each, also with --permanent"
    both = [
        f"{family} saddr {{ {', '.join(of)} }} tcp dport {{ {', '.join(ports)} }} accept"
        for family, of in (
            ("ip", [source for source in sources if ":" not in source]),
            ("ip6", [source for source in sources if ":" in source]),
        )
        if of
    ]
    return f"before the rule that refuses: {'; '.join(both)}"


def _ports(spec: ClusterSpec) -> tuple[tuple[str, int], ...]:
    """Return what nodes reach of each other. The API and the broker's page are the loopback's."""
    ports = spec.network.ports
    return (
        ("fabric-client", ports.fabric_client),
        ("fabric-cluster", ports.fabric_cluster),
        ("join", ports.join),
    )


def _for_nodes(spec: ClusterSpec, peers: tuple[str, ...]) -> Iterator[Opening]:
    """Yield them with sources as filters say them: what they were told otherwise is never found."""
    for role, port in _ports(spec):
        for source in (*peers, *spec.network.firewall.peers):
            yield Opening(role, port, source_of(source))


def _for_operator(facts: HostFacts) -> Iterator[Opening]:
    """Yield the rule without which this connection would be our last one."""
    allowed = facts.firewall.ssh_allowed if facts.firewall else None
    if allowed is not True and facts.ssh_port and facts.ssh_peer:
        yield Opening("ssh", facts.ssh_port, facts.ssh_peer)


def _others(facts: HostFacts, backend: str) -> tuple[Opening, ...]:
    return facts.own_rules.others.get(backend, ()) if facts.own_rules is not None else ()


def _literal(address: str) -> Iterator[str]:
    """Yield an address in its normal form; nothing for a name, which a filter does not take."""
    with suppress(ValueError):
        yield str(ipaddress.ip_address(address))


def _seen_addresses(facts: HostFacts | None) -> Iterator[str]:
    if facts is None:
        return
    inner = {
        word.partition("/")[0]
        for interface in facts.interfaces or ()
        if interface.kind in _INNER
        for word in interface.addresses or ()
    }
    for text in facts.addresses or ():
        address = ipaddress.ip_address(text)
        if not (address.is_loopback or address.is_link_local or text in inner):
            yield str(address)
