"""What the rules of a packet filter do to a new TCP connection from anywhere to one port.

A rule is read into whether it fits such a connection (always, never, perhaps) and what it then
does. Of a chain all fates are gathered that a connection may meet, in the order of its rules: only
a fate without an alternative is certain. A word that is not known makes a rule fit "perhaps", so
what this does not understand can cost certainty, and never makes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum, StrEnum
from typing import Final

import msgspec

from bzzz_core.deploy.facts.sections import LINE_MAX


class Fits(Enum):
    """Whether a rule fits a new connection to the port; the greatest of its conditions decides."""

    ALWAYS = 0
    PERHAPS = 1
    NEVER = 2


class Fate(StrEnum):
    """What becomes of a connection."""

    ACCEPTED = "accepted"
    BLOCKED = "blocked"
    LEFT = "left"
    """It comes to the end of the chain, or a rule sends it there."""


class Chain(msgspec.Struct):
    """A list of rules; `hook` is where the kernel itself enters it, "" for all others."""

    hook: str = ""
    policy: str = "accept"
    rules: list[Rule] = []


class Rule(msgspec.Struct, frozen=True):
    """One rule, not yet judged: which port it is judged for comes later."""

    text: str
    """As it was printed, without comments and quotations."""
    style: str
    """Whose: "nft" or "iptables"."""
    scope: str
    """What stands before the names of chains that it jumps to."""
    whole: bool
    """It was not cut."""

    @property
    def blocks(self) -> bool:
        """Return whether it may refuse anything, be it what it wants."""
        return _BLOCKING.search(self.text) is not None

    @property
    def unclear(self) -> bool:
        """Return whether it may do something that does not stand in it."""
        return "unclear" in _judged(self, 0)[1]

    @property
    def leads_to(self) -> list[str]:
        """Return the chains that it may send a packet to."""
        pattern = _JUMP if self.style == "nft" else _JUMP_OLD
        return [f"{self.scope} {target}" for target in pattern.findall(self.text)]


ANYTHING: Final = frozenset(Fate)
_BLOCKING: Final = re.compile(r"(?<![\w@-])(drop|reject|DROP|REJECT)(?![\w-])")
_JUMP: Final = re.compile(r"\b(?:jump|goto) ([^\s,}]+)")
_JUMP_OLD: Final = re.compile(r"(?:^| )-[jg] (\S+)")
_QUOTED: Final = r'"(?:[^"\\]|\\.)*"'
_PORTS: Final = re.compile(r"(\d{1,5})(?:[-:](\d{1,5}))?")
_SSH: Final = 22
_NEW: Final = "new"
_OTHER_STATES: Final = frozenset({"established", "related", "invalid"})
_PASSING: Final = frozenset(
    (
        *("LOG", "NFLOG", "ULOG", "MARK", "CONNMARK", "SECMARK", "CONNSECMARK", "CT", "NOTRACK"),
        *("TRACE", "TCPMSS", "CHECKSUM", "DSCP", "TOS", "SET", "CLASSIFY", "AUDIT", "TTL", "HL"),
    )
)
"""Targets of iptables after which the next rule comes."""
_DIVERTING: Final = frozenset(
    (
        *("dnat", "snat", "redirect", "masquerade", "netmap", "queue", "nfqueue"),
        *("tproxy", "synproxy", "fwd"),
    )
)
"""What hands a connection to somebody else, who may do anything with it."""
_VERDICTS: Final = {"accept": "accept", "drop": "drop", "reject": "drop", "return": "return"}


def read_rule(line: str, style: str, scope: str, skip: int = 0) -> Rule:
    """Return a rule from a line, which is cut if it has `LINE_MAX` characters.

    Args:
        line: As the tool printed it.
        style: "nft" or "iptables".
        scope: The table.
        skip: Words before the rule itself.
    """
    text = re.sub(rf"(-m comment )?--comment ({_QUOTED}|\S+)|\bcomment {_QUOTED}", "", line)
    text = re.sub(r'xt (match|target) "([^"]*)"', r"xt-\1:\2", text)
    text = re.sub(_QUOTED, '""', text.replace('"lo"', "lo"))
    words = text.split()[skip:]
    return Rule(" ".join(words), style, scope, whole=len(line) < LINE_MAX)


def fates_of(chains: Mapping[str, Chain], name: str, port: int) -> frozenset[Fate]:
    """Return what may become of a new connection to a port in a chain that the kernel enters."""
    found = _fates(chains, name, port, {})
    if Fate.LEFT not in found:
        return found
    end = Fate.BLOCKED if chains[name].policy == "drop" else Fate.ACCEPTED
    return (found - {Fate.LEFT}) | {end}


def _fates(
    chains: Mapping[str, Chain], name: str, port: int, known: dict[str, frozenset[Fate]]
) -> frozenset[Fate]:
    if name not in chains:
        return ANYTHING
    if name in known:
        return known[name]
    known[name] = ANYTHING  # for a chain that leads back to itself
    found: set[Fate] = set()
    for rule in chains[name].rules:
        fits, acts = _judged(rule, port)
        if fits is Fits.NEVER:
            continue
        ends, goes_on = _of_acts(chains, rule, acts, port, known)
        found |= ends
        if fits is Fits.ALWAYS and not goes_on:
            break
    else:
        found.add(Fate.LEFT)
    known[name] = frozenset(found)
    return known[name]


def _of_acts(
    chains: Mapping[str, Chain],
    rule: Rule,
    acts: tuple[str, ...],
    port: int,
    known: dict[str, frozenset[Fate]],
) -> tuple[frozenset[Fate], bool]:
    """Return the fates that a rule may bring, and whether the next rule may come after it."""
    ends: frozenset[Fate] = frozenset()
    goes_on = not acts
    for act in acts:
        word, _, target = act.partition(" ")
        if word == "jump":
            below = _fates(chains, f"{rule.scope} {target}", port, known)
            ends |= below - {Fate.LEFT}
            goes_on = goes_on or Fate.LEFT in below
        elif word == "goto":
            ends |= _fates(chains, f"{rule.scope} {target}", port, known)
        elif word in _ENDS:
            ends |= {_ENDS[word]}
        else:
            ends |= ANYTHING
            goes_on = True
    return ends, goes_on


_ENDS: Final = {"accept": Fate.ACCEPTED, "drop": Fate.BLOCKED, "return": Fate.LEFT}


def _judged(rule: Rule, port: int) -> tuple[Fits, tuple[str, ...]]:
    if not rule.whole:
        return Fits.PERHAPS, ("unclear",)
    return _judged_nft(rule.text, port) if rule.style == "nft" else _judged_old(rule.text, port)


_NFT: Final = re.compile(
    r"(?P<passing>counter(?: packets \d+ bytes \d+)?|log(?: prefix \"\")?(?: level \w+)?)"
    r"|tcp dport (?P<ports>\{[^}]*\}|[^\s!.]+)"
    r"|(?P<other>(?:udp|udplite|sctp|dccp|icmp|icmpv6) \w+ (?:\{[^}]*\}|[^\s!]+))"
    r"|meta l4proto (?P<protocols>\{[^}]*\}|[^\s!]+)"
    r"|ct state vmap \{(?P<by_state>[^}]*)\}"
    r"|ct state (?P<states>\{[^}]*\}|[^\s!&]+)"
    r"|(?P<loop>iif(?:name)? lo)(?!\S)"
    r"|(?P<local>fib daddr type local)(?!\S)"
    r"|(?P<leads>jump|goto) (?P<target>[^\s,}]+)"
    r"|xt-target:(?P<xt>\S+)"
    r"|(?P<word>\S+)"
)


def _judged_nft(text: str, port: int) -> tuple[Fits, tuple[str, ...]]:
    fits = Fits.ALWAYS
    acts: list[str] = []
    for part in _NFT.finditer(text):
        said = part.groupdict()
        if said["leads"]:
            acts.append(f"{said['leads']} {said['target']}")
        elif said["xt"]:
            target = _target(said["xt"])
            acts.extend(["unclear"] if target is None else target)
        elif said["by_state"] is not None:
            pairs = (pair.split(":") for pair in said["by_state"].split(","))
            by_state = {pair[0].strip(): pair[-1].strip() for pair in pairs}
            acts.extend([_word_of(by_state[_NEW])] if _NEW in by_state else [])
            fits = fits if _NEW in by_state else Fits.NEVER
        elif word := said["word"]:
            fit, act = _of_word(word)
            fits = _harder(fits, fit)
            acts.extend(act)
            if word == "reject":
                break  # "with tcp reset": no condition follows
        else:
            fits = _harder(fits, _condition(said, port))
    return fits, tuple(acts)


def _of_word(word: str) -> tuple[Fits, list[str]]:
    """Return what a word of nft means that is no part of a known condition."""
    bare = word.strip("{},;")
    if bare in _VERDICTS:
        return Fits.ALWAYS, [_VERDICTS[bare]]
    if bare in _DIVERTING:
        return Fits.PERHAPS, ["divert"]
    if bare == "vmap" or bare.startswith("#"):
        return Fits.PERHAPS, ["unclear"]
    return Fits.PERHAPS, []


def _word_of(verdict: str) -> str:
    return verdict if verdict.startswith(("jump ", "goto ")) else _VERDICTS.get(verdict, "unclear")


def _condition(said: dict[str, str | None], port: int) -> Fits:
    if said["ports"]:
        return _port(said["ports"], port)
    if said["protocols"]:
        return _protocol(said["protocols"])
    if said["states"]:
        return _state(said["states"])
    return Fits.NEVER if said["other"] or said["loop"] else Fits.ALWAYS


_OLD: Final = re.compile(
    r"(?P<negated>! \S+ \S+)"
    r"|-p (?P<protocols>\S+)"
    r"|--dports? (?P<ports>\S+)"
    r"|--(?:ct)?state (?P<states>\S+)"
    r"|(?P<loop>-i lo)(?= )"
    r"|(?P<passing>-m (?:tcp|state|conntrack|multiport|comment|addrtype)(?= )|--dst-type LOCAL"
    r"|--tcp-flags FIN,SYN,RST,ACK SYN(?= ))"
    r"|-(?P<leads>[jg]) (?P<target>\S+)"
    r"|(?P<word>\S+)"
)


def _judged_old(text: str, port: int) -> tuple[Fits, tuple[str, ...]]:
    fits = Fits.ALWAYS
    for part in _OLD.finditer(text):
        said: dict[str, str | None] = {"other": None, **part.groupdict()}
        if said["leads"]:
            acts = _target(str(said["target"]))
            lead = "goto" if said["leads"] == "g" else "jump"
            return fits, (f"{lead} {said['target']}",) if acts is None else tuple(acts)
        perhaps = said["negated"] or said["word"]
        fits = _harder(fits, Fits.PERHAPS if perhaps else _condition(said, port))
    return fits, ()  # it counts, and does nothing


def _target(name: str) -> list[str] | None:
    """Return what a target of iptables does; None for one that is not its own, as a chain."""
    if name in _PASSING:
        return []
    if name.lower() in _DIVERTING:
        return ["divert"]
    return [_VERDICTS[name.lower()]] if name.isupper() and name.lower() in _VERDICTS else None


def _harder(first: Fits, second: Fits) -> Fits:
    return first if first.value >= second.value else second


def _members(text: str) -> list[str]:
    return [member for member in re.split(r"[,\s]+", text.strip("{}")) if member]


def _port(text: str, port: int) -> Fits:
    fits = Fits.NEVER
    for member in _members(text):
        found = _PORTS.fullmatch(member)
        if found is None:
            # Names are for a few ports; of those only ours is known.
            if member == "ssh" and port == _SSH:
                return Fits.ALWAYS
            fits = Fits.PERHAPS
        elif int(found[1]) <= port <= int(found[2] or found[1]):
            return Fits.ALWAYS
    return fits


def _protocol(text: str) -> Fits:
    members = set(_members(text))
    if members & {"tcp", "6", "all", "0"}:
        return Fits.ALWAYS
    return (
        Fits.NEVER
        if all(re.fullmatch(r"[a-z][\w-]*|\d+", one) for one in members)
        else Fits.PERHAPS
    )


def _state(text: str) -> Fits:
    states = {state.lower() for state in _members(text)}
    if _NEW in states:
        return Fits.ALWAYS
    return Fits.NEVER if states <= _OTHER_STATES else Fits.PERHAPS
