"""What of a network lets a cluster start and fail later: frame sizes, borrowed ranges. Pure.

Warnings only: a cluster in a VPN may be meant so. What is not known is not said.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from bzzz_core.config.schema import ClusterSpec
from bzzz_core.deploy.events import Finding
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.goal import node_address
from bzzz_core.deploy.surroundings import Network, carrier, own_network

_RANGES: Final = {
    ipaddress.ip_network("100.64.0.0/10"): (
        "carriers (CGNAT) and Tailscale hand its addresses out",
        "if it is your VPN's, let its rules pass network.ports; else give the hosts' own addresses",
    ),
    ipaddress.ip_network("192.168.122.0/24"): (
        "libvirt gives it to the virtual machines of every host, behind translation",
        "machines of different hosts do not reach each other there: give bridged addresses",
    ),
}


def findings(spec: ClusterSpec, facts: Mapping[str, HostFacts]) -> Iterator[Finding]:
    """Yield what speaks against the network that the hosts share."""
    yield from _frames(spec, facts)
    yield from _ranges(spec, facts)


def _frames(spec: ClusterSpec, facts: Mapping[str, HostFacts]) -> Iterator[Finding]:
    sizes: defaultdict[int, list[str]] = defaultdict(list)
    for host in spec.hosts:
        one = facts.get(host.name)
        interface = None if one is None else carrier(node_address(host), one)
        if interface is not None and interface.mtu:
            sizes[interface.mtu].append(f"{host.name} ({interface.name})")
    if len(sizes) > 1:
        said = "; ".join(f"{mtu} on {', '.join(sizes[mtu][:4])}" for mtu in sorted(sizes))
        yield Finding(
            "warning",
            "mtu",
            "",
            f"the hosts' interfaces have different MTUs: {said}",
            "large packets may be lost without a word where a router drops ICMP: give all the same,"
            " and try `ping -M do -s 1472` between them",
        )


def _ranges(spec: ClusterSpec, facts: Mapping[str, HostFacts]) -> Iterator[Finding]:
    for known, (words, fix) in _RANGES.items():
        if spec.network.subnet is not None:
            asked = ipaddress.ip_network(spec.network.subnet)
            used = [str(asked)] if asked.version == known.version and asked.overlaps(known) else []
        else:
            found = (_network(node_address(h), facts.get(h.name)) for h in spec.hosts)
            used = sorted({str(one) for one in found if one and one.overlaps(known)})
        if used:
            message = f"the hosts' network {', '.join(used[:4])} lies in {known}: {words}"
            yield Finding("warning", "subnet", "", message, fix)


def _network(address: str, facts: HostFacts | None) -> Network | None:
    """Return the IPv4 network of a host; of an unknown interface the address alone."""
    found = None if facts is None else own_network(address, facts)
    try:
        found = found or ipaddress.ip_network(address)
    except ValueError:
        return None  # a name
    return found if found.version == 4 else None  # noqa: PLR2004
