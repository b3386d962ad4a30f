"""Where packets and questions go: routes, name servers, and signs of a proxy."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

import msgspec

from bzzz_core.deploy.facts.sections import lines_of, number, parts, word

ROUTES_MAX: Final = 1_000
"""Of each family that the probe prints; a router may have a million."""
_ANYWHERE: Final = {"4": "0.0.0.0/0", "6": "::/0"}
WAYS_MAX: Final = 64
"""That one route may take."""
_NO_WAY: Final = frozenset(
    {"unreachable", "blackhole", "prohibit", "throw", "broadcast", "multicast", "anycast", "local"}
)
_SERVERS_MAX: Final = 32
_PROXIES_MAX: Final = 50
_STUBS: Final = frozenset({"127.0.0.53", "127.0.0.54"})
_URL: Final = re.compile(r"\b((?:https?|socks[45]h?)://)(?:[^\s\"';]*@)?([^\s\"'@;,]+)")


class Route(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One route of the main table."""

    destination: str
    """A network with prefix: "0.0.0.0/0" is everything."""
    gateway: str = ""
    """"": what is on the line itself."""
    interface: str = ""
    source: str = ""
    metric: int | None = None

    @property
    def default(self) -> bool:
        """Return whether it leads everywhere."""
        return self.destination in _ANYWHERE.values()


class Routing(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The routes, without those to the own link."""

    routes: tuple[Route, ...]
    complete: bool = True
    """False: there are more than were read, so a network that is not here may still be routed."""

    @property
    def defaults(self) -> tuple[Route, ...]:
        """Return the routes that lead everywhere."""
        return tuple(route for route in self.routes if route.default)


class Resolver(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Whom the host asks for names."""

    servers: tuple[str, ...] = ()
    """The ones behind systemd-resolved where that is in between."""
    search: tuple[str, ...] = ()
    stub: bool = False
    """systemd-resolved is in between."""


class Proxy(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A line in a file that says that a proxy stands between the host and the world."""

    source: str
    url: str = ""
    """Without the login it may have held; "" if the line has no address."""


def read_routing(text: str) -> Routing:
    """Return the routes that `ip -o route` printed.

    Raises:
        ValueError: A part is missing: `ip` failed.
    """
    said = dict(parts(text))
    found: list[Route] = []
    complete = True
    for family in ("4", "6"):
        lines = lines_of(said[family])
        complete = complete and len(lines) < ROUTES_MAX
        for line in lines[:ROUTES_MAX]:
            found.extend(_routes(line, family))
    return Routing(routes=tuple(dict.fromkeys(found)), complete=complete)


def read_resolver(text: str) -> Resolver:
    """Return name servers and search domains of resolv.conf."""
    said = dict(parts(text))
    own = _servers(said.get("", ""))
    stub = bool(own) and set(own) <= _STUBS
    search: tuple[str, ...] = ()
    for line in said.get("", "").splitlines():
        first, *rest = line.split()
        if first in {"search", "domain"}:
            search = tuple(word(one) for one in rest[:_SERVERS_MAX] if one != ".")
    return Resolver(
        servers=_servers(said.get("upstream", "")) if stub else own, search=search, stub=stub
    )


def read_proxies(lines: list[str]) -> tuple[Proxy, ...]:
    """Return what `grep` found in files: "file:line"."""
    found = []
    for line in lines[:_PROXIES_MAX]:
        source, _, text = line.partition(":")
        if re.search(r"no[_-]proxy", text, re.IGNORECASE):
            continue  # says only where the proxy is not used
        url = _URL.search(text)
        found.append(Proxy(source=word(source), url=word(url[1] + url[2]) if url else ""))
    return tuple(dict.fromkeys(found))


def _servers(text: str) -> tuple[str, ...]:
    found = re.findall(r"^nameserver\s+(\S+)", text, re.MULTILINE)
    return tuple(
        str(ipaddress.ip_address(server.partition("%")[0])) for server in found[:_SERVERS_MAX]
    )


def _routes(line: str, family: str) -> list[Route]:
    """Return the route in a line, one for each way it may take; none if it leads nowhere."""
    told = " ".join(line.replace("\\", " ").split())
    first, *ways = told.split(" nexthop ")[:WAYS_MAX]
    words = first.split()
    if words and words[0] == "unicast":
        del words[0]
    if not words or words[0] in _NO_WAY:
        return []
    destination = _ANYWHERE[family] if words[0] == "default" else _network(words[0])
    if destination is None:
        return []
    rests = [[*words, *way.split()] for way in ways] or [words]
    return [
        Route(
            destination=destination,
            gateway=_gateway(rest),
            interface=word(_after(rest, "dev"), 15),
            source=word(_after(rest, "src"), 64),
            metric=number(_after(rest, "metric")),
        )
        for rest in rests
    ]


def _network(text: str) -> str | None:
    """Return a destination; None for the host's own link, which every interface has."""
    network = ipaddress.ip_network(text, strict=False)
    return None if network.is_link_local or network.is_multicast else str(network)


def _gateway(words: list[str]) -> str:
    value = _after(words, "via")
    if value in {"inet", "inet6"}:
        value = _after(words, value)
    return word(value, 64)


def _after(words: list[str], key: str) -> str:
    try:
        return words[words.index(key) + 1]
    except (ValueError, IndexError):
        return ""
