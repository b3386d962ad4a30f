"""What may be the address of a node; the joining side and the leader ask the same question."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from bzzz_core.config.sections import ADDRESS
from bzzz_core.errors import ConfigError, TrustError
from bzzz_core.trust.profile import alternative_name

_CHARACTERS_MAX: Final = 253
_NOBODYS: Final = (ipaddress.IPv4Network("0.0.0.0/8"), ipaddress.IPv4Network("240.0.0.0/4"))
"""This network (RFC 1122, 3.2.1.3), and what was never given out, broadcast included (RFC 1112)."""


def refuse_unreachable(address: str) -> None:
    """Refuse what no other node can reach, before a file is written for it.

    Whether the address is this machine's own is not looked at: behind NAT it is not.

    Raises:
        ConfigError: It is no address, one of a group or of nobody, or an IP address mistyped.
    """
    if not re.fullmatch(ADDRESS, address) or len(address) > _CHARACTERS_MAX:
        raise ConfigError(f"{address[:80]!r} is neither an IP address nor a host name")
    try:
        alternative_name(address)
    except TrustError as exc:
        raise ConfigError(str(exc)) from exc
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        # A name never ends in a number (RFC 1123, 2.1); resolvers would guess an IPv4 address.
        if address.rpartition(".")[2].isdigit():
            raise ConfigError(f"{address!r} is no complete IP address") from None
        return
    meant = getattr(parsed, "ipv4_mapped", None) or parsed
    if meant.is_unspecified or meant.is_multicast or any(meant in net for net in _NOBODYS):
        raise ConfigError(f"{address} is no address at which a node can be reached")
