"""Which packet filter decides about incoming connections, and whether it lets SSH in.

ufw and firewalld are managers: where one is active, it owns the rules and is named. Without one the
rules themselves are read, from `nft` or, on kernels without it, from `iptables`. Careful by rule:
"allowed" and "refused" are said only where the rules leave no doubt; everything else is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final

import msgspec

from bzzz_core.deploy.facts.sections import parts, short_lines

NONE: Final = "none"
LINES_MAX: Final = 2_000
"""Lines of rules that the probe prints; what comes after them is not known."""
_BLOCKING: Final = frozenset({"drop", "reject", "DROP", "REJECT"})
_NARROW: Final = re.compile(r"\b(saddr|iif|iifname|daddr)\b|(^| )-[sid] |--(src|dst)-")


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


class _Chain(msgspec.Struct):
    """A list of rules; a root is one that the kernel itself enters for incoming packets."""

    root: bool = False
    policy: str = "accept"
    rules: list[str] = []
    leads_to: list[str] = []
    """The chains that its rules jump to."""


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
    if "nft" in said:
        return _of_chains(_nft(said["nft"]), "nftables", ssh_ports, said["nft"])
    if "iptables" in said:
        return _of_chains(_iptables(said["iptables"]), "iptables", ssh_ports, said["iptables"])
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


def _nft(text: str) -> dict[str, _Chain]:
    chains: dict[str, _Chain] = {}
    table = ""
    chain: _Chain | None = None
    for raw in short_lines(text):
        line = raw.strip()
        if opened := re.match(r"table (\S+ \S+) \{", line):
            table = opened[1]
        elif opened := re.match(r"chain (\S+) \{", line):
            chain = chains.setdefault(f"{table} {opened[1]}", _Chain())
        elif line == "}":
            chain = None
        elif chain is None:
            continue  # a set, a counter ...
        elif hook := re.match(r"type \S+ hook (\S+) .*?(?:policy (\w+))?;?$", line):
            chain.root = hook[1] == "input"
            chain.policy = hook[2] or "accept"
        else:
            chain.rules.append(line)
            jumps = re.findall(r"\b(?:jump|goto) (\S+)", line)
            chain.leads_to.extend(f"{table} {target}" for target in jumps)
    return chains


def _iptables(text: str) -> dict[str, _Chain]:
    chains: dict[str, _Chain] = {}
    for line in short_lines(text):
        first, name, *rest = line.split()
        chain = chains.setdefault(name, _Chain())
        if first == "-P":
            chain.root, chain.policy = name == "INPUT", rest[0].lower()
        elif first == "-A":
            chain.rules.append(line)
            chain.leads_to.extend(re.findall(r" -[jg] (\S+)", line))
    return chains


def _of_chains(
    chains: dict[str, _Chain], backend: str, ports: Collection[int], text: str
) -> Firewall:
    reached = _reached(chains)
    roots = {name for name in reached if chains[name].root}
    rules = [(name, rule) for name in reached for rule in chains[name].rules]
    blocking = {name for name in roots if chains[name].policy == "drop"}
    blocking |= {name for name, rule in rules if _BLOCKING & set(rule.split())}
    if not blocking:
        known = len(text.splitlines()) < LINES_MAX
        return Firewall(
            backend=NONE if known else backend,
            active=False if known else None,
            ssh_allowed=True if known else None,
        )
    if blocking <= {name for name in reached if name.startswith(("ip ", "ip6 "))} and any(
        name.endswith(" INPUT") for name in roots
    ):
        backend = "iptables"  # its rules, shown by nft
    opened = any(_opens(rule, port) for _, rule in rules for port in ports)
    return Firewall(backend=backend, active=True, ssh_allowed=True if opened else None)


def _reached(chains: dict[str, _Chain]) -> list[str]:
    """Return the chains through which an incoming packet may come, each once."""
    waiting = [name for name, chain in chains.items() if chain.root]
    reached: dict[str, None] = {}
    while waiting:
        name = waiting.pop(0)
        if name in reached:
            continue
        reached[name] = None
        waiting.extend(target for target in chains[name].leads_to if target in chains)
    return list(reached)


def _opens(rule: str, port: int) -> bool:
    """Return whether a rule accepts connections from everywhere to a port."""
    if not re.search(r"\baccept\b|-j ACCEPT\b", rule) or _NARROW.search(rule):
        return False
    named = re.search(r"tcp dport (?:\{ ?([^}]*)\}|(\S+))|--dports? (\S+)", rule)
    if named is None:
        return False
    ports = re.split(r"[,\s]+", next(group for group in named.groups() if group is not None))
    return str(port) in ports or (port == 22 and "ssh" in ports)  # noqa: PLR2004
