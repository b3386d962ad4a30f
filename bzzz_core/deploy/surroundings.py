"""The network around the hosts: which subnet they share, what it collides with, which interface.

Pure functions of answers and facts. What is not known is no conflict; what is known to collide is
said with both sides of it. The operator's subnet and interface are rules, the detected ones are
only shown.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from bzzz_core.config.schema import ClusterSpec, HostSpec
from bzzz_core.deploy.events import Finding
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.facts.network import Interface, InterfaceKind

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address
PREFERRED: Final = (
    InterfaceKind.BOND,
    InterfaceKind.PHYSICAL,
    InterfaceKind.VLAN,
    InterfaceKind.BRIDGE,
    InterfaceKind.VETH,
    InterfaceKind.VPN,
)
"""Kinds that may carry the hosts' traffic, the best one first."""


def own_network(address: str, facts: HostFacts) -> Network | None:
    """Return the network on whose line a host has the address at which others reach it."""
    return next((network for _, network in _holders(address, facts)), None)


def carrier(address: str, facts: HostFacts) -> Interface | None:
    """Return the interface that has the address at which others reach a host."""
    return next((interface for interface, _ in _holders(address, facts)), None)


def _holders(address: str, facts: HostFacts) -> Iterator[tuple[Interface, Network]]:
    wanted = _address(address)
    for interface in facts.interfaces or ():
        for text in interface.addresses or ():
            own = _interface_address(text)
            if own is not None and own[0] == wanted:
                yield interface, own[1]


def shared_subnet(hosts: Sequence[tuple[str, HostFacts | None]]) -> Network | None:
    """Return the network that the addresses of all hosts are in, or None: not known, or none is.

    Args:
        hosts: Address and facts of each host.
    """
    found: set[Network] = set()
    for address, facts in hosts:
        network = None if facts is None else own_network(address, facts)
        if network is None:
            return None
        found.add(network)
    return found.pop() if len(found) == 1 else None


def conflicts(subnet: str, facts: HostFacts) -> tuple[str, ...]:
    """Return what else on a host uses addresses of a subnet, in words."""
    wanted = ipaddress.ip_network(subnet)
    own = _own_interfaces(wanted, facts)
    found = []
    for route in facts.routing.routes if facts.routing else ():
        there = _network(route.destination)
        if there is None or route.default or not _overlap(wanted, there):
            continue
        if route.interface not in own:
            way = f" by {route.gateway}" if route.gateway else ""
            found.append(f"{there} is routed to {route.interface or 'nowhere'}{way}")
    for engine in facts.docker or ():
        for made in engine.networks or ():
            for text in made.subnets:
                there = _network(text)
                if there is not None and _overlap(wanted, there):
                    found.append(f"Docker's network {made.name} has {there}")
    return tuple(dict.fromkeys(found))


def candidates(facts: HostFacts, subnet: str | None = None) -> tuple[Interface, ...]:
    """Return the interfaces that could carry the hosts' traffic, the best one first.

    Up, with something at the other end, with an address; in the subnet if there is one.
    """
    wanted = None if subnet is None else ipaddress.ip_network(subnet)
    fit = [
        interface
        for interface in facts.interfaces or ()
        if interface.kind in PREFERRED
        and interface.usable
        and (wanted is None or _holds(interface, wanted))
    ]
    ways = {route.interface for route in facts.routing.defaults} if facts.routing else set()
    return tuple(
        sorted(
            fit,
            key=lambda one: (one.name not in ways, PREFERRED.index(one.kind), one.name),
        )
    )


def check(spec: ClusterSpec, host: HostSpec, facts: HostFacts) -> Iterator[Finding]:
    """Yield what is wrong with the subnet and the interface that the operator asked for."""
    subnet, interface = spec.network.subnet, spec.network.interface
    if subnet is not None:
        yield from _in_subnet(host, facts, subnet)
        for words in conflicts(subnet, facts):
            yield Finding(
                "error",
                "subnet",
                host.name,
                f"network.subnet {subnet} is in use: {words}",
                "choose a subnet that is free on every host, or move the other network",
            )
    else:
        yield from _found_subnet(host, facts)
    if interface is not None:
        yield from _by_interface(host, facts, interface)


def _found_subnet(host: HostSpec, facts: HostFacts) -> Iterator[Finding]:
    """Yield what the network that the host is in collides with; nobody asked for it: a warning."""
    found = own_network(host.address, facts)
    for words in () if found is None else conflicts(str(found), facts):
        yield Finding(
            "warning",
            "subnet",
            host.name,
            f"its network {found} is in use elsewhere too: {words}",
            "hosts in both cannot be told apart: move the other network, or route it elsewhere",
        )


def notes(hosts: Mapping[str, HostFacts]) -> tuple[str, ...]:
    """Return what a person should know of the network before going on, in words."""
    lines = []
    for name, facts in hosts.items():
        kinds = {one.kind for one in facts.interfaces or ()}
        signs = [
            word
            for word, there in (
                ("a VLAN", InterfaceKind.VLAN in kinds),
                ("a bond", InterfaceKind.BOND in kinds),
                ("a VPN", InterfaceKind.VPN in kinds),
                ("a proxy", bool(facts.proxies)),
                ("behind NAT", facts.behind_nat is True),
            )
            if there
        ]
        if facts.resolver is not None and facts.resolver.servers:
            signs.append("DNS " + ", ".join(facts.resolver.servers[:2]))
        lines.append(f"{name}: {', '.join(signs) or 'nothing special'}")
    return tuple(lines)


def _in_subnet(host: HostSpec, facts: HostFacts, subnet: str) -> Iterator[Finding]:
    wanted = ipaddress.ip_network(subnet)
    given = _address(host.address)
    known = [given] if given is not None else [_address(text) for text in facts.addresses or ()]
    if known and not any(one is not None and one in wanted for one in known):
        yield Finding(
            "error",
            "subnet",
            host.name,
            f"{host.address} is not in network.subnet {subnet}",
            "give the host's address in that subnet, or leave network.subnet empty",
        )


def _by_interface(host: HostSpec, facts: HostFacts, name: str) -> Iterator[Finding]:
    if facts.interfaces is None:
        return
    found = next((one for one in facts.interfaces if one.name == name), None)
    fault = ""
    if found is None:
        fault = f"there is no interface {name}"
    elif found.state == "down":
        fault = f"{name} is down"
    elif found.carrier is False:
        fault = f"{name} has nothing at its other end"
    elif _address(host.address) is not None and not any(
        own is not None and own[0] == _address(host.address)
        for own in map(_interface_address, found.addresses or ())
    ):
        fault = f"{name} does not hold {host.address}"
    if fault:
        fit = ", ".join(one.name for one in candidates(facts)) or "none"
        yield Finding(
            "error",
            "interface",
            host.name,
            fault,
            f"choose another network.interface (usable here: {fit}), or leave it empty",
        )


def _own_interfaces(wanted: Network, facts: HostFacts) -> set[str]:
    """Return the interfaces that are meant: the ones with an address in the subnet.

    Docker's bridges and the like are never meant; theirs is the other network.
    """
    return {
        one.name for one in facts.interfaces or () if one.kind in PREFERRED and _holds(one, wanted)
    }


def _holds(interface: Interface, wanted: Network) -> bool:
    own = map(_interface_address, interface.addresses or ())
    return any(one is not None and one[0] in wanted for one in own)


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _interface_address(text: str) -> tuple[Address, Network] | None:
    try:
        own = ipaddress.ip_interface(text)
    except ValueError:
        return None
    return own.ip, own.network
