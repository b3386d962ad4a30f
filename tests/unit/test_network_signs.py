"""What of a network makes a cluster fail later is said before there is one."""

from __future__ import annotations

import msgspec

from bzzz_core.config.schema import ClusterSpec
from bzzz_core.deploy import preflight
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.facts.network import Interface, InterfaceKind
from tests.fakes.deploy_goals import KNOWN, fresh


def host(address: str, mtu: int | None = 1500, prefix: int = 24, number: int = 1) -> HostFacts:
    line = Interface(
        name="eth0",
        kind=InterfaceKind.PHYSICAL,
        state="up",
        mtu=mtu,
        addresses=(f"{address}/{prefix}",),
    )
    return msgspec.structs.replace(fresh(number), interfaces=(line,), addresses=(address,))


def said(check: str, *hosts: HostFacts, subnet: str | None = None) -> list[str]:
    names = [f"bzzz-{number}" for number, _ in enumerate(hosts, 1)]
    given = [
        {"name": name, "address": (one.addresses or ("",))[0]}
        for name, one in zip(names, hosts, strict=True)
    ]
    answers = ClusterSpec.model_validate({"hosts": given, "network": {"subnet": subnet}})
    found = preflight.check(answers, dict(zip(names, hosts, strict=True)), {}, KNOWN)
    return [f"{one.severity}: {one.message}" for one in found if one.check == check]


def test_different_frame_sizes_are_named_with_who_has_which() -> None:
    tunnel = host("10.0.0.2", 1420, number=2)
    (words,) = said("mtu", host("10.0.0.1"), tunnel, host("10.0.0.3", number=3))
    assert words.startswith("warning: the hosts' interfaces have different MTUs:")
    assert "1420 on bzzz-2 (eth0); 1500 on bzzz-1 (eth0), bzzz-3 (eth0)" in words


def test_equal_or_unknown_frame_sizes_are_no_finding() -> None:
    assert said("mtu", host("10.0.0.1"), host("10.0.0.2", number=2)) == []
    assert said("mtu", host("10.0.0.1"), host("10.0.0.2", None, number=2)) == []


def test_borrowed_ranges_are_named_when_the_cluster_would_live_in_them() -> None:
    (tailscale,) = said("subnet", host("100.101.2.3", prefix=32), host("10.0.0.2", number=2))
    assert "100.101.2.3/32 lies in 100.64.0.0/10: carriers (CGNAT) and Tailscale" in tailscale
    (asked,) = said("subnet", host("100.64.0.1"), subnet="100.64.0.0/24")
    assert "100.64.0.0/24 lies in 100.64.0.0/10" in asked
    (libvirt,) = said("subnet", host("192.168.122.10"))
    assert "192.168.122.0/24 lies in 192.168.122.0/24: libvirt" in libvirt


def test_a_network_beside_them_is_no_finding() -> None:
    assert said("subnet", host("100.128.0.1"), host("192.168.121.9", number=2)) == []


def test_ipv6_has_no_such_range() -> None:
    assert said("subnet", host("2001:db8::1", prefix=64)) == []
