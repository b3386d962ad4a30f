"""2 Network, as setup asks for it: the nodes' ports and what surrounds the hosts."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, StringConstraints, model_validator

from bzzz_core.config.secret_reference import SecretRef
from bzzz_core.config.sections.network import DiscoveryConfig, FirewallAnswers, HostName, Ports
from bzzz_core.config.sections.patterns import URL
from bzzz_core.config.setting import Section, setting


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise ValueError("write a subnet such as 10.0.0.0/24 or fd00::/64") from None


Subnet = Annotated[str, StringConstraints(max_length=64), AfterValidator(_network)]
"""Address and prefix length, IPv4 or IPv6; bits of a host are dropped."""


class PortsAnswers(Ports):
    """The ports of a node, and of services that are still to come."""

    web: int = setting(
        0,
        ge=0,
        le=65_535,
        active=False,
        label="Web port",
        help="Where the web view listens; 0: on the API's port.",
    )
    mcp: int = setting(
        3000, ge=1, le=65_535, active=False, label="MCP port", help="Where tools are offered."
    )
    websocket: int = setting(
        8081,
        ge=0,
        le=65_535,
        active=False,
        label="WebSocket port",
        help="Where events are pushed to browsers; 0: on the API's port.",
    )


class DiscoveryAnswers(Section):
    """How machines that are no member yet find the cluster."""

    method: Literal["automatic", "manual", "dns"] = setting(
        "automatic",
        label="Discovery",
        help="automatic: nodes announce themselves on the local network (mDNS); manual and dns: "
        "they do not, and are found at their addresses or by a DNS name.",
    )
    dns_name: HostName | None = setting(
        None,
        active=False,
        label="DNS name",
        help="Name under which you publish the voters (SRV, or A and AAAA records), for dns.",
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.method == "dns" and not self.dns_name:
            raise ValueError("discovery by dns needs dns_name, such as bzzz.example.org")
        return self

    @property
    def of_node(self) -> DiscoveryConfig:
        """Return what a node is told."""
        return DiscoveryConfig(mdns=self.method == "automatic")


class ProxyAnswers(Section):
    """The way out to the internet, if it leads through a proxy."""

    url: str | None = setting(
        None,
        pattern=URL,
        label="Proxy",
        help="URL of the proxy, without a login.",
    )
    login: SecretRef | None = setting(
        None, label="Proxy login", help="Reference to `user:password` for it."
    )
    exceptions: tuple[str, ...] = setting(
        (),
        max_length=64,
        label="Without proxy",
        help="Names and subnets that are reached directly.",
    )


class NetworkAnswers(Section):
    """2 Network: where every host listens, and which network they share."""

    subnet: Subnet | None = setting(
        None,
        label="Subnet",
        help="The network that all hosts share; empty: found from their addresses and not "
        "enforced. A host outside it is refused.",
    )
    interface: str | None = setting(
        None,
        pattern=r"^[A-Za-z0-9@._:-]{1,15}$",
        label="Interface",
        help="Network interface that carries the hosts' addresses, the same name on each; empty: "
        "whichever does.",
    )
    ports: PortsAnswers = setting(PortsAnswers(), label="Ports", help="Where each node listens.")
    firewall: FirewallAnswers = setting(
        FirewallAnswers(), label="Firewall", help="Who may reach these ports."
    )
    discovery: DiscoveryAnswers = setting(
        DiscoveryAnswers(), label="Discovery", help="How others find the cluster."
    )
    proxy: ProxyAnswers = setting(
        ProxyAnswers(), active=False, label="Proxy", help="The way out to the internet."
    )
