"""Which packet filter decides about incoming connections, and whether it lets SSH in.

ufw and firewalld are managers: where one is active, it owns the rules and is named. Without one the
rules themselves are read, from `nft` and, where there are such, from the older `iptables`. Every
chain counts that the kernel enters with a packet for the host, not that called "input" alone.
Careful by rule: "allowed" and "refused" are said only where the rules leave no doubt; everything
else is unknown.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterable
from typing import Final

import msgspec

from bzzz_core.deploy.facts.packet_rules import Chain, Fate, fates_of, read_rule
from bzzz_core.deploy.facts.sections import parts, short_lines

NONE: Final = "none"
LINES_MAX: Final = 2_000
"""Lines of rules that the probe prints; what comes after them is not known."""
OWN_TABLE: Final = "inet bzzz"
_ENTERING: Final = frozenset({"ingress", "prerouting", "input"})
"""Where the kernel asks about a packet for the host itself."""
_LEAVING: Final = frozenset({"output", "postrouting", "egress"})
"""Where it asks about the answers."""


class Firewall(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The packet filter for incoming connections."""

    backend: str
    """ufw, firewalld, nftables, iptables, or "none": nothing filters."""
    active: bool | None = None
    """Whether anything is refused at all."""
    ssh_allowed: bool | None = None
    """Whether anybody may open a connection to sshd's port."""
    conflicts: tuple[str, ...] = ()
    """Other managers that are active too: each may close what the other opened."""


def read_firewall(text: str, ssh_ports: Collection[int]) -> Firewall:
    """Return the filter.

    Args:
        text: What the section printed.
        ssh_ports: Where sshd listens; empty if that is not known.

    Raises:
        ValueError: A tool failed, so that nothing can be said.
    """
    said = dict(parts(text))
    active = [
        name
        for name, works in (("ufw", _ufw_active), ("firewalld", _firewalld_active))
        if name in said and works(said[name])
    ]
    if active:
        judge = {"ufw": _ufw_allows, "firewalld": _firewalld_allows}[active[0]]
        allowed = judge(said[active[0]], ssh_ports) if ssh_ports else None
        return Firewall(
            backend=active[0], active=True, ssh_allowed=allowed, conflicts=tuple(active[1:])
        )
    if "failed" in said:
        raise ValueError("the rules could not be read")
    listed = [said[name] for name in ("nft", "iptables") if name in said]
    if listed:
        chains = {**_nft(said.get("nft", "")), **_iptables(said.get("iptables", ""))}
        whole = all(len(text.splitlines()) < LINES_MAX for text in listed)
        return _of_chains(
            chains, "nftables" if "nft" in said else "iptables", ssh_ports, whole=whole
        )
    return Firewall(backend=NONE, active=False, ssh_allowed=True)


def _ufw_active(text: str) -> bool:
    return re.search(r"^Status: active\b", text, re.MULTILINE) is not None


def _ufw_allows(text: str, ports: Collection[int]) -> bool | None:
    if re.search(r"^Default: allow \(incoming\)", text, re.MULTILINE):
        return True
    names = {str(port) for port in ports} | {f"{port}/tcp" for port in ports}
    names |= {"OpenSSH", "SSH"} if 22 in ports else set()  # noqa: PLR2004
    doubtful = False
    for line in short_lines(text):
        rule = re.match(r"(.+?)(?: \(v6\))?\s+(ALLOW|LIMIT|DENY|REJECT)(?: IN)?\s+(\S+)", line)
        if rule is None:
            continue
        to = rule[1].partition(" (")[0]  # "22/tcp (OpenSSH)"
        if to in names and rule[3] == "Anywhere":
            return rule[2] in {"ALLOW", "LIMIT"}  # the first rule that fits decides
        # A range, a list, a network or an application that we do not know may mean the port too.
        doubtful = doubtful or to in names or not re.fullmatch(r"\d+(/(tcp|udp))?", to)
    return None if doubtful else False


def _firewalld_active(text: str) -> bool:
    return re.search(r"^running$", text, re.MULTILINE) is not None


def _firewalld_allows(text: str, ports: Collection[int]) -> bool | None:
    said = {key.strip(): value.split() for key, _, value in _colons(text)}
    if "ACCEPT" in said.get("target", ()):
        return True
    if "ssh" in said.get("services", ()) and 22 in ports:  # noqa: PLR2004
        return True
    if any(f"{port}/tcp" in said.get("ports", ()) for port in ports):
        return True
    return None  # another zone, a source or a rich rule may still allow it


def _colons(text: str) -> Iterable[tuple[str, str, str]]:
    return (line.partition(":") for line in text.splitlines())


def _nft(text: str) -> dict[str, Chain]:
    chains: dict[str, Chain] = {}
    table = ""
    chain: Chain | None = None
    for raw in short_lines(text):
        line = raw.strip()
        if opened := re.match(r"table (\S+ \S+) \{", line):
            # Our own table keeps others out of our ports and says nothing of the rest.
            table = "" if opened[1] == OWN_TABLE else opened[1]
        elif table and (opened := re.match(r"chain (\S+) \{", line)):
            chain = chains.setdefault(f"{table} {opened[1]}", Chain())
        elif line == "}":
            chain = None
        elif chain is None or not table:
            continue  # a set, a counter ...
        elif hook := re.match(r"type \S+ hook (\S+) .*?(?:policy (\w+))?;?$", line):
            chain.hook = "" if table.startswith("arp ") else hook[1]
            chain.policy = hook[2] or "accept"
        else:
            chain.rules.append(read_rule(raw, "nft", table))
    return chains


def _iptables(text: str) -> dict[str, Chain]:
    chains: dict[str, Chain] = {}
    table = "iptables filter"
    for line in short_lines(text):
        if line.startswith("*"):
            table = f"iptables {line[1:]}"
            continue
        first, name, *rest = line.split()
        chain = chains.setdefault(f"{table} {name}", Chain())
        if first == "-P":
            chain.hook, chain.policy = name.lower(), rest[0].lower()
        elif first == "-A":
            chain.rules.append(read_rule(line, "iptables", table, skip=2))
    return chains


def _of_chains(
    chains: dict[str, Chain], backend: str, ports: Collection[int], *, whole: bool
) -> Firewall:
    entering = [name for name, chain in chains.items() if chain.hook in _ENTERING]
    leaving = [name for name, chain in chains.items() if chain.hook in _LEAVING]
    blocking = _blocking(chains, [*entering, *leaving])
    if not blocking:
        reached = _reached(chains, [*entering, *leaving])
        clear = whole and not any(rule.unclear for name in reached for rule in chains[name].rules)
        return Firewall(
            backend=NONE if clear else backend,
            active=False if clear else None,
            ssh_allowed=True if clear else None,
        )
    if all(name.startswith(("ip ", "ip6 ", "iptables ")) for name in blocking) and any(
        name.endswith(" INPUT") for name in entering
    ):
        backend = "iptables"  # its rules, perhaps shown by nft
    opened = (
        whole
        and not _blocking(chains, leaving)
        and any(
            all(fates_of(chains, name, port) == {Fate.ACCEPTED} for name in entering)
            for port in ports
        )
    )
    return Firewall(backend=backend, active=True, ssh_allowed=True if opened else None)


def _blocking(chains: dict[str, Chain], roots: Iterable[str]) -> set[str]:
    """Return the chains on the way of a packet that may refuse anything."""
    return {
        name
        for name in _reached(chains, roots)
        if (chains[name].hook and chains[name].policy == "drop")
        or any(rule.blocks for rule in chains[name].rules)
    }


def _reached(chains: dict[str, Chain], roots: Iterable[str]) -> list[str]:
    """Return the chains through which a packet may come, each once."""
    waiting = deque(roots)
    reached: dict[str, None] = {}
    while waiting:
        name = waiting.popleft()
        if name in reached:
            continue
        reached[name] = None
        targets = (target for rule in chains[name].rules for target in rule.leads_to)
        waiting.extend(target for target in targets if target in chains)
    return list(reached)
