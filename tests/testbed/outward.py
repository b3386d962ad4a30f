"""A counter on a host of everything that it sends to anywhere but its own cluster.

The hosts' network leads nowhere, so most tries would end before there is a packet to count. Here
every address has a route, and the packet filter counts and refuses what is not for the cluster's
network: nothing leaves the host. A set keeps who tried what. Questions to the resolver count too:
the container engine's listens on the loopback of the host. What nodes announce to each other on the
link by multicast (mDNS, and joining its group) does not: no router passes it on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.testbed.bundles import Operator
from tests.testbed.state import Host

_TABLE = """
table inet outward {
  set tried4 { type ipv4_addr . inet_proto . inet_service . uid; flags dynamic; size 512; }
  set tried6 { type ipv6_addr . inet_proto . inet_service . uid; flags dynamic; size 512; }
  set other4 { type ipv4_addr . inet_proto; flags dynamic; size 512; }
  set other6 { type ipv6_addr . inet_proto; flags dynamic; size 512; }
  counter outside { }
  chain count {
    counter name outside
    meta l4proto { tcp, udp } add @tried4 { ip daddr . meta l4proto . th dport . meta skuid }
    meta l4proto { tcp, udp } add @tried6 { ip6 daddr . meta l4proto . th dport . meta skuid }
    meta l4proto != { tcp, udp } add @other4 { ip daddr . meta l4proto }
    meta l4proto != { tcp, udp } add @other6 { ip6 daddr . meta l4proto }
    reject
  }
  chain output {
    type filter hook output priority -300; policy accept;
    ip daddr 127.0.0.11 goto count
    ip daddr { 127.0.0.0/8, NET4 } accept
    ip6 daddr { ::1, fe80::/10, NET6 } accept
    ip daddr 224.0.0.251 udp dport 5353 accept
    ip6 daddr ff02::fb udp dport 5353 accept
    ip daddr 224.0.0.22 ip protocol igmp accept
    meta l4proto ipv6-icmp accept
    goto count
  }
}
"""
_WATCH = """
set -e
nft -f - <<'TABLE'
TEXT
TABLE
ip -4 route replace default via GATEWAY
echo watched
"""
SETS = ("tried4", "tried6", "other4", "other6")
_TRY = """
ip address add 198.51.100.1/32 dev lo
runuser -u nobody -- timeout 3 bash -c ': </dev/tcp/198.51.100.1/443'
ip address del 198.51.100.1/32 dev lo
"""
"""Tries to reach an address that is nobody's and, for this moment, the host's own."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What went outwards since `watch`."""

    packets: int
    what: tuple[str, ...]
    """Address and protocol of each; port and user too of what has them."""


def watch(operator: Operator, host: Host) -> None:
    """Count from now on, until the host restarts."""
    prefix4, prefix6 = host.address.rpartition(".")[0], host.address6.rpartition("::")[0]
    text = _TABLE.replace("NET4", f"{prefix4}.0/24").replace("NET6", f"{prefix6}::/64")
    script = _WATCH.replace("TEXT", text).replace("GATEWAY", host.gateway)
    assert operator.on(host.name, script) == "watched"


def read(operator: Operator, host: Host) -> Tried:
    """Return what the counter says."""
    found = json.loads(operator.on(host.name, "nft -j list table inet outward"))["nftables"]
    counter = next(item["counter"] for item in found if "counter" in item)
    sets = [item["set"].get("elem", []) for item in found if "set" in item]
    what = [" ".join(map(str, _words(element))) for elements in sets for element in elements]
    return Tried(counter["packets"], tuple(sorted(what)))


def reset(operator: Operator, host: Host) -> None:
    """Begin at nothing again."""
    sets = "; ".join(
        f"nft flush set inet outward {name}" for name in ("tried4", "tried6", "other4", "other6")
    )
    operator.on(host.name, f"nft reset counters table inet outward; {sets}")


def try_it(operator: Operator, host: Host) -> None:
    """Let somebody on the host try, to see that it counts."""
    operator.on(host.name, _TRY)


def _words(element: object) -> list[object]:
    inner = element["elem"]["val"] if isinstance(element, dict) and "elem" in element else element
    return list(inner["concat"]) if isinstance(inner, dict) else [inner]
