"""Whether the nodes' ports are free on every host, who has them if not, and which are free instead.

Three ways to lose a port: something listens on it, the packet filter forwards it elsewhere (as it
does for Docker's published ports, which no list of listeners shows), or it lies among those that
the kernel hands out for outgoing connections, so that anything may sit there when a service starts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from bzzz_core.config.schema import ClusterSpec
from bzzz_core.config.sections import Ports
from bzzz_core.deploy import layout
from bzzz_core.deploy.events import Finding
from bzzz_core.deploy.facts.host import HostFacts, Listener

_OUR_UNITS: Final = frozenset({f"{layout.FABRIC}.service", f"{layout.AGENT}.service"})
_FROM_OUTSIDE: Final = frozenset({"fabric_client", "fabric_cluster", "join"})
"""Ports that others reach. The rest are the loopback's, where nothing is forwarded."""
PORT_MIN, PORT_MAX = 1_024, 65_535


def findings(spec: ClusterSpec, facts: Mapping[str, HostFacts]) -> Iterator[Finding]:
    """Yield every port that cannot be had on a host, with another that is free on all of them."""
    ports: dict[str, int] = spec.network.ports.model_dump(include=set(Ports.model_fields))
    wanted = {number: name for name, number in ports.items()}
    for host in spec.hosts:
        one = facts.get(host.name)
        if one is None:
            continue
        if one.listeners is None:
            message = "listening ports are not known"
            yield Finding("error", "ports", host.name, message, "install iproute2 (`ss`)")
        for number, name in wanted.items():
            owner = _owner(number, name, one)
            free = next_free(number, facts, set(wanted))
            instead = f"choose another network.ports.{name} for all hosts ({free} is free on each)"
            if owner:
                text = f"port {number} ({name}) is taken by {owner}"
                yield Finding("error", "ports", host.name, text, f"stop it, or {instead}")
            elif _is_ephemeral(number, one):
                first, last = one.ephemeral_ports or (0, 0)
                yield Finding(
                    "warning",
                    "ports",
                    host.name,
                    f"port {number} ({name}) is one of {first} to {last}, which the kernel hands"
                    " out for outgoing connections: it may be taken when a service starts",
                    f"{instead}, or reserve it: sysctl net.ipv4.ip_local_reserved_ports={number}",
                )


def next_free(wanted: int, facts: Mapping[str, HostFacts], kept: set[int]) -> int:
    """Return the next port after one that is free on every host; itself if there is none.

    Args:
        wanted: The port that cannot be had.
        facts: By host.
        kept: Ports that are meant for something else.
    """
    others: list[int] = [*range(wanted + 1, PORT_MAX + 1), *range(PORT_MIN, wanted)]
    for number in others:
        if number not in kept and not any(
            number in {listener.port for listener in one.listeners or ()}
            or number in (one.forwarded_ports or ())
            or _is_ephemeral(number, one)
            for one in facts.values()
        ):
            return number
    return wanted


def _owner(number: int, name: str, facts: HostFacts) -> str:
    """Return who has a port that should be ours; "": nobody."""
    for listener in facts.listeners or ():
        if listener.port == number and not _is_ours(listener, facts):
            process = listener.process or f"a process of user {listener.uid}"
            return f"{process}{f' of {listener.unit}' if listener.unit else ''}"
    if name in _FROM_OUTSIDE and number in (facts.forwarded_ports or ()):
        return "a forwarding of the packet filter (a published port of a container?)"
    return ""


def _is_ours(listener: Listener, facts: HostFacts) -> bool:
    if listener.unit is not None:
        return listener.unit in _OUR_UNITS
    # The process is hidden; nobody but our services runs as our user.
    return any(account.uid == listener.uid for account in facts.account or ())


def _is_ephemeral(number: int, facts: HostFacts) -> bool:
    first, last = facts.ephemeral_ports or (1, 0)
    return first <= number <= last and number not in (facts.reserved_ports or ())
