"""Network interfaces: what kind each is, whether it is up, and which addresses it holds.

The kernel's own files tell state, speed and what an interface is made of; `ip` adds the addresses.
A speed that the kernel refuses to tell, or tells as -1, is not known: so it is with most virtual
interfaces, and with every one that is down.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Final

import msgspec

from bzzz_core.deploy.facts.sections import (
    Sections,
    document,
    flag,
    guarded,
    lines_of,
    mapping,
    number,
    objects,
    pairs,
    parts,
    text_of,
    word,
)

INTERFACES_MAX: Final = 1_000
ADDRESSES_MAX: Final = 100
"""Of one interface."""
_NAME_MAX: Final = 15
"""Characters of an interface's name, by the kernel's own rule."""
_ARPHRD_LOOPBACK: Final = "772"
_TUN, _TAP = 0x0001, 0x0002
_SPEED_MBPS_MAX: Final = 10_000_000
_CONTAINER_BRIDGE: Final = re.compile(
    r"docker\d+|docker_gwbridge|br-[0-9a-f]{12}|podman\d+|cni-podman\d+|cni\d+|lxcbr\d+|lxdbr\d+"
)
_VPN_NAME: Final = re.compile(r"(tailscale|wg|zt|nebula|tun|ppp|ipsec|utun)[0-9a-z]*")


class InterfaceKind(StrEnum):
    """What an interface is."""

    PHYSICAL = "physical"
    """A device; in a virtual machine what takes its place."""
    LOOPBACK = "loopback"
    BRIDGE = "bridge"
    DOCKER = "docker"
    """A bridge that a container engine made."""
    VETH = "veth"
    """One end of a pair. Inside a container this is the way out."""
    VLAN = "vlan"
    BOND = "bond"
    VPN = "vpn"
    """WireGuard, or a tunnel that a program feeds."""
    TUNNEL = "tunnel"
    """VXLAN, GRE and the like."""
    OTHER = "other"


class Interface(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One network interface."""

    name: str
    kind: InterfaceKind
    state: str = "unknown"
    """The kernel's word: up, down, unknown, lowerlayerdown, dormant ..."""
    carrier: bool | None = None
    """Whether there is something at the other end; an interface that is down does not know."""
    speed_mbps: int | None = None
    mtu: int | None = None
    mac: str = ""
    addresses: tuple[str, ...] | None = None
    """With prefix: "10.0.0.1/24"."""
    master: str = ""
    """The bond or bridge that it belongs to."""
    members: tuple[str, ...] = ()
    """Of a bond or a bridge."""
    below: str = ""
    """What a VLAN lies on."""
    vlan: int | None = None

    @property
    def usable(self) -> bool:
        """Return whether it could carry traffic between hosts, as far as is known."""
        return self.state != "down" and self.carrier is not False and bool(self.addresses)


_KINDS: Final = {
    "bridge": InterfaceKind.BRIDGE,
    "bond": InterfaceKind.BOND,
    "team": InterfaceKind.BOND,
    "vlan": InterfaceKind.VLAN,
    "veth": InterfaceKind.VETH,
    "wireguard": InterfaceKind.VPN,
    "xfrm": InterfaceKind.VPN,
    "vti": InterfaceKind.VPN,
    "ppp": InterfaceKind.VPN,
    **dict.fromkeys(
        ("vxlan", "geneve", "gre", "gretap", "ip6gre", "ipip", "sit", "ip6tnl"),
        InterfaceKind.TUNNEL,
    ),
}
"""By `ip`'s word for a kind, and by the kernel's DEVTYPE, which are the same where both exist."""


def read_interfaces(sections: Sections) -> tuple[Interface, ...] | None:
    """Return the interfaces in the kernel's order; None if they are not known."""
    text, addresses = text_of(sections, "link"), text_of(sections, "ip")
    if text is None:
        return None
    told = None if addresses is None else guarded(_of_ip, addresses)
    found = guarded(lambda text: _interfaces(text, told), text)
    return None if found is None else _with_members(found)


def only_private(addresses: Iterable[str]) -> bool | None:
    """Return whether a host has private addresses alone, so that only translation leads out.

    Addresses may have a prefix. None: it has none that reach beyond the host.
    """
    values = [ipaddress.ip_interface(address).ip for address in addresses]
    far = [value for value in values if not (value.is_loopback or value.is_link_local)]
    return not any(value.is_global for value in far) if far else None


def _interfaces(text: str, told: dict[str, _Told] | None) -> list[Interface]:
    found: list[Interface] = []
    for name, said in parts(text)[1:]:
        if len(name) > _NAME_MAX or len(found) >= INTERFACES_MAX:
            raise ValueError(name)
        found.append(_interface(name, pairs(said), told))
    return found


class _Told(msgspec.Struct, frozen=True):
    """What `ip` says of an interface."""

    addresses: tuple[str, ...]
    kind: str = ""
    below: str = ""
    vlan: int | None = None


def _interface(name: str, said: dict[str, str], told: dict[str, _Told] | None) -> Interface:
    by_ip = (told or {}).get(name, _Told(()))
    speed = number(said.get("speed"))
    kind = _kind(name, said, by_ip.kind)
    return Interface(
        name=name,
        kind=kind,
        state=word(said.get("state")) or "unknown",
        carrier=flag(said.get("carrier")),
        speed_mbps=speed if speed and speed <= _SPEED_MBPS_MAX else None,
        mtu=number(said.get("mtu")),
        mac=word(said.get("mac", ""), 64).lower() if kind is not InterfaceKind.LOOPBACK else "",
        addresses=None if told is None else by_ip.addresses,
        master=word(said.get("master", ""), _NAME_MAX),
        members=tuple(word(one, _NAME_MAX) for one in said.get("slaves", "").split()[:64]),
        below=by_ip.below,
        vlan=by_ip.vlan,
    )


def _kind(name: str, said: dict[str, str], by_ip: str) -> InterfaceKind:
    if said.get("type") == _ARPHRD_LOOPBACK:
        return InterfaceKind.LOOPBACK
    made = _KINDS.get(by_ip) or _KINDS.get(said.get("DEVTYPE", ""))
    if said.get("bridge") or made is InterfaceKind.BRIDGE:
        container = _CONTAINER_BRIDGE.fullmatch(name)
        return InterfaceKind.DOCKER if container else InterfaceKind.BRIDGE
    if made is not None:
        return made
    tun = said.get("tun", "")
    if tun or by_ip == "tun":
        # A tap is a virtual machine's more often than a VPN's; only its name can tell.
        flags = int(tun, 16) if re.fullmatch(r"0x[0-9a-fA-F]{1,8}", tun) else _TUN
        vpn = flags & _TUN or _VPN_NAME.fullmatch(name)
        return InterfaceKind.VPN if vpn else InterfaceKind.OTHER
    if said.get("device"):
        return InterfaceKind.PHYSICAL
    return InterfaceKind.VPN if _VPN_NAME.fullmatch(name) else InterfaceKind.OTHER


def _with_members(found: list[Interface]) -> tuple[Interface, ...]:
    """Complete the members of bridges, which only the members themselves tell."""
    of: dict[str, list[str]] = {}
    for one in found:
        if one.master:
            of.setdefault(one.master, []).append(one.name)
    return tuple(
        one if one.members else msgspec.structs.replace(one, members=tuple(of.get(one.name, ())))
        for one in found
    )


def _of_ip(text: str) -> dict[str, _Told]:
    if text.lstrip().startswith("["):
        items = objects(document(text))
        # Some versions print an empty object for what they do not show.
        return {word(item["ifname"]): _told(item) for item in items if "ifname" in item}
    found: dict[str, list[str]] = {}
    for line in lines_of(text):
        address = _in_line(line.split())
        if address is not None:
            found.setdefault(address[0], []).append(address[1])
    return {name: _Told(tuple(held[:ADDRESSES_MAX])) for name, held in found.items()}


def _in_line(words: list[str]) -> tuple[str, str] | None:
    """Return interface and address in a line of `ip -o addr`; None if it holds none."""
    if len(words) < 4 or words[2] not in {"inet", "inet6"}:  # noqa: PLR2004  number, name, family
        return None
    name = words[1].rstrip(":").partition("@")[0]
    return name, str(ipaddress.ip_interface(words[3].partition("%")[0]))


def _told(item: dict[str, Any]) -> _Told:
    info = mapping(item.get("linkinfo"))
    data = mapping(info.get("info_data"))
    kind = word(info.get("info_kind"))
    held = [
        str(ipaddress.ip_interface(f"{one['local']}/{one['prefixlen']}"))
        for one in objects(item.get("addr_info") or [])
        if one.get("family") in {"inet", "inet6"} and "local" in one
    ]
    return _Told(
        addresses=tuple(held[:ADDRESSES_MAX]),
        kind=kind,
        below=word(item.get("link"), _NAME_MAX) if kind == "vlan" else "",
        vlan=number(data.get("id")) if kind == "vlan" else None,
    )
