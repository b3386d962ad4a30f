"""The rules of a packet filter that are ours, and those of others that open the same.

Ours are known by a mark: in ufw, nftables and iptables a comment `bzzz:<role>`, in firewalld, which
has no comments, a priority that nobody else would choose. A rule counts only if it is there now and
will be there after a restart; half a rule is none, and is made again, or removed.
"""

from __future__ import annotations

import importlib.resources
import ipaddress
import re
from collections.abc import Iterator
from typing import Final

import msgspec

from bzzz_core.deploy.facts.sections import digits, pairs_list, parts, short_lines

CLOSED: Final = "closed"
"""Role of a rule that refuses everybody whom no other rule lets in."""
PRIORITY: Final = -16_222
"""Of our rules in firewalld. Below 0 a rule comes before what the zone itself says."""
PORT_MAX: Final = 65_535
_COMMENT: Final = re.compile(r"bzzz:([a-z-]{1,40})")
_UFW: Final = re.compile(
    r"### tuple ### allow tcp (\d{1,5}) (?:0\.0\.0\.0/0|::/0) any (\S+) in(?: comment=([0-9a-f]*))?"
)
_NFT: Final = re.compile(
    r'(?:ip6? saddr (\S+) )?tcp dport (\d{1,5}) (accept|drop) comment "bzzz:([a-z-]{1,40})"'
)
_IPTABLES: Final = re.compile(
    r"-A BZZZ -s (\S+) -p tcp -m tcp --dport (\d{1,5}) -m comment --comment \"?bzzz:([a-z-]{1,40})"
    r'"? -j ACCEPT'
)
_RICH: Final = re.compile(
    r'rule(?: priority="(-?\d{1,6})")? family="ipv[46]" source address="(\S+)"'
    r' port port="(\d{1,5})" protocol="tcp" accept'
)


class Opening(msgspec.Struct, frozen=True, order=True):
    """One rule: a port, and who may open connections to it."""

    role: str
    port: int
    source: str
    """An address, or a network; "" only for `CLOSED`."""


class OwnRules(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Rules on a host, by filter."""

    own: dict[str, tuple[Opening, ...]] = {}
    half: dict[str, tuple[Opening, ...]] = {}
    """Rules of ours that are there now, or after a restart, and not both: a change was cut off."""
    others: dict[str, tuple[Opening, ...]] = {}
    """Rules of others that open a port for one source, as ours would."""
    armed: tuple[str, ...] = ()
    """Changes that an earlier run left unproved: the host undoes them, or the next run does."""
    tools: tuple[str, ...] = ()
    """Which of `nft` and `iptables` there are."""


class PortUse(msgspec.Struct, frozen=True, kw_only=True):
    """What the kernel does with port numbers; each part None if it is not known."""

    ephemeral: tuple[int, int] | None
    reserved: tuple[int, ...] | None
    forwarded: tuple[int, ...] | None


_ALONE: Final = """
LC_ALL=C
export LC_ALL
section() {
  [ "$1" = openings ] || return 0
  sh -c "$2" 2>/dev/null
  exit
}
"""


def openings_script() -> str:
    """Return what prints the section `openings` alone, for a look in the middle of a run."""
    file = importlib.resources.files("bzzz_core.deploy.facts").joinpath("openings.sh")
    return _ALONE + file.read_text(encoding="utf-8")


def read_openings(text: str) -> OwnRules:
    """Return the rules in what the section `openings` printed.

    Raises:
        ValueError: An address is none.
    """
    said = dict(parts(text))
    ufw = list(_ufw(said.get("ufw", "")))
    now, lasting = (
        set(_firewalld(said.get(name, ""))) for name in ("firewalld", "firewalld permanent")
    )
    file = said.get("file", "") if "enabled" in said.get("unit", "").split() else ""
    both = {
        "firewalld": (_marked(now), _marked(lasting)),
        "nftables": (set(_nft(said.get("nft", ""))), set(_nft(file))),
        "iptables": (set(_iptables(said.get("iptables", ""))), set(_iptables_file(file))),
    }
    own = {"ufw": tuple(rule for rule, ours in ufw if ours)}
    own |= {name: tuple(sorted(here & after)) for name, (here, after) in both.items()}
    half = {name: tuple(sorted(here ^ after)) for name, (here, after) in both.items()}
    others = {
        "ufw": tuple(rule for rule, ours in ufw if not ours),
        "firewalld": tuple(
            sorted(rule for priority, rule in now & lasting if priority != PRIORITY)
        ),
    }
    return OwnRules(
        own={name: rules for name, rules in own.items() if rules},
        half={name: rules for name, rules in half.items() if rules},
        others={name: rules for name, rules in others.items() if rules},
        armed=tuple(said.get("armed", "").split()),
        tools=tuple(said.get("tools", "").split()),
    )


def read_ports(text: str) -> PortUse:
    """Return what the section `ports` printed.

    Raises:
        ValueError: A number is none.
    """
    said = pairs_list(text) or []
    first = dict(reversed(said))
    ends = [digits(word) for word in first.get("range", "").split()]
    forwarded = [digits(value) for key, value in said if key == "forward"]
    return PortUse(
        ephemeral=(ends[0], ends[1]) if len(ends) == 2 else None,  # noqa: PLR2004  first and last
        reserved=tuple(_listed(first["reserved"])) if "reserved" in first else None,
        forwarded=tuple(sorted(set(forwarded))) if "forwarded" in first else None,
    )


def _listed(text: str) -> Iterator[int]:
    for part in filter(None, text.split(",")):
        low, _, high = part.partition("-")
        yield from range(digits(low), min(digits(high or low), PORT_MAX) + 1)


def _ufw(text: str) -> Iterator[tuple[Opening, bool]]:
    for line in short_lines(text):
        found = _UFW.fullmatch(line.strip())
        if found is None:
            continue
        comment = bytes.fromhex(found[3] or "").decode("utf-8", errors="replace")
        mark = _COMMENT.fullmatch(comment)
        rule = Opening(mark[1] if mark else "", int(found[1]), source_of(found[2]))
        yield rule, mark is not None


def _firewalld(text: str) -> Iterator[tuple[int, Opening]]:
    for line in short_lines(text):
        found = _RICH.fullmatch(line.strip())
        if found is not None:
            yield int(found[1] or 0), Opening("", int(found[3]), source_of(found[2]))


def _marked(rules: set[tuple[int, Opening]]) -> set[Opening]:
    return {rule for priority, rule in rules if priority == PRIORITY}


def _nft(text: str) -> Iterator[Opening]:
    for line in short_lines(text):
        found = _NFT.fullmatch(line.strip())
        if found is None:
            continue
        source = source_of(found[1]) if found[1] else ""
        if (found[3] == "drop") == (found[4] == CLOSED):
            yield Opening(found[4], int(found[2]), source)


def _iptables(text: str) -> Iterator[Opening]:
    for line in short_lines(text):
        found = _IPTABLES.fullmatch(line.strip())
        if found is not None:
            yield Opening(found[3], int(found[2]), source_of(found[1]))


def _iptables_file(text: str) -> Iterator[Opening]:
    """Read the lines `add ROLE PORT SOURCE` of the file from which a start loads the chain."""
    for line in short_lines(text):
        found = re.fullmatch(r"add ([a-z-]{1,40}) (\d{1,5}) (\S+)", line.strip())
        if found is not None:
            yield Opening(found[1], int(found[2]), source_of(found[3]))


def source_of(text: str) -> str:
    """Return an address or a network as we write it: a network of one address is that address."""
    network = ipaddress.ip_network(text, strict=False)
    single = network.prefixlen == network.max_prefixlen
    return str(network.network_address) if single else str(network)
