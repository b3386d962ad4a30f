"""2 Network: what a node knows of it. What setup asks: `network_answers`."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, StringConstraints, model_validator

from bzzz_core.config.setting import Section, setting

HostName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$")
]


def _in_normal_form(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as exc:
        raise ValueError(f"{text[:60]!r} is no network such as 10.0.0.0/24: {exc}") from exc


Cidr = Annotated[str, AfterValidator(_in_normal_form)]


class Ports(Section):
    """Where a node listens. One number each, the same on every host of a cluster."""

    api: int = setting(
        8080, ge=1, le=65_535, label="API port", help="The agent's HTTP API; loopback by default."
    )
    fabric_client: int = setting(
        4222,
        ge=1,
        le=65_535,
        label="Fabric port",
        help="Where agents reach a node's message broker.",
    )
    fabric_cluster: int = setting(
        6222, ge=1, le=65_535, label="Route port", help="Where the brokers reach each other."
    )
    fabric_monitor: int = setting(
        8222,
        ge=1,
        le=65_535,
        label="Broker monitor port",
        help="The broker's own status page; loopback only.",
    )
    join: int = setting(
        8443, ge=1, le=65_535, label="Join port", help="Where a voter takes new nodes by token."
    )

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        uses: dict[int, list[str]] = {}
        for name, number in self.model_dump().items():
            if number == 0:  # It has no port of its own.
                continue
            uses.setdefault(number, []).append(name)
        for number, names in uses.items():
            if len(names) > 1:
                raise ValueError(f"ports must differ: {' and '.join(names)} are {number}")
        return self


class BehindForwarding(Section):
    """Where the broker listens when something in between passes the nodes' ports on to it."""

    fabric_client: int = setting(
        0,
        ge=0,
        le=65_535,
        label="Own fabric port",
        help="Where the broker takes agents, if a forwarding does not keep the port; 0: it does.",
    )
    fabric_cluster: int = setting(
        0,
        ge=0,
        le=65_535,
        label="Own route port",
        help="Where the broker takes brokers, if a forwarding does not keep the port; 0: it does.",
    )


class DiscoveryConfig(Section):
    """How machines that do not know this node find it."""

    mdns: bool = setting(
        default=True,
        label="Announce",
        help="Tell the local network that this node is there; says nothing secret.",
    )


class FirewallAnswers(Section):
    """What setup does about the hosts' packet filters."""

    mode: Literal["auto", "restrict", "instructions", "off"] = setting(
        "auto",
        label="Firewall",
        help="auto: open the nodes' ports in a firewall that is active, for the nodes alone;"
        " restrict: besides, where none is active, keep everybody else out of these ports;"
        " instructions: only say what to open; off: nothing.",
    )
    peers: tuple[Cidr, ...] = setting(
        (),
        max_length=64,
        label="More peers",
        help="Networks from which further nodes come, besides the hosts of these answers.",
    )


class NetworkConfig(Section):
    """Where this node listens and is reached."""

    address: str = setting(
        label="Address", help="The IP address or name at which the other nodes reach this one."
    )
    api_host: str = setting(
        "127.0.0.1",
        label="API address",
        help="Address the API listens on; loopback unless changed. Any other is served besides "
        "loopback, with TLS and this node's certificate.",
    )
    api_names: tuple[HostName, ...] = setting(
        (),
        max_length=16,
        label="API names",
        help="Further names by which callers reach this API; addresses, localhost and the node's "
        "name are always taken, others are refused (DNS rebinding).",
    )
    ports: Ports = setting(Ports(), label="Ports", help="Where this node listens.")
    behind: BehindForwarding = setting(
        BehindForwarding(),
        label="Behind a forwarding",
        help="Own ports of the broker that others reach on those of its entry.",
    )
    discovery: DiscoveryConfig = setting(
        DiscoveryConfig(), label="Discovery", help="How others find this node."
    )
