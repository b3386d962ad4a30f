"""A place where a cluster may be reached, whoever said so.

Anybody on the network can claim anything here: that an address belongs to a cluster, that its
authority has some fingerprint. So a seed is only ever an address to *try*. Trust comes from the
join token, which pins the authority's key, or from the certificates a node already has.

Ways to find seeds: told by the operator (`static`), asked of the local network (`mdns`), looked up
in the DNS (`dns`). They run side by side and fail alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Final, Literal

import msgspec

from bzzz_core.errors import ConfigError

JOIN_PORT: Final = 8443
SEEDS_MAX: Final = 1_024
"""What one search takes in; more is somebody filling our memory."""
_HOST_PORT: Final = re.compile(
    r"(?:\[([0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?)\]|([A-Za-z0-9][A-Za-z0-9._-]*)):([0-9]{1,5})"
)

Source = Literal["static", "mdns", "dns"]
Short = Annotated[str, msgspec.Meta(max_length=253)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]


class Seed(msgspec.Struct, frozen=True, order=True):
    """An address to try, and what its source claims about it."""

    host: Short
    port: Port
    """Where a voter takes new nodes."""
    source: Source
    cluster_id: Short = ""
    cluster_name: Short = ""
    node_id: Short = ""
    role: Literal["voter", "edge", ""] = ""
    ca_sha256: Short = ""
    """Of the node authority's public key, as join tokens pin it; lower-case hexadecimal."""

    @property
    def address(self) -> str:
        """Return `host:port`, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_seed(text: str) -> Seed:
    """Return the seed that an operator wrote as `host:port`.

    Raises:
        ConfigError: It is not written like that.
    """
    match = _HOST_PORT.fullmatch(text)
    if match is None or not 1 <= int(match[3]) <= 65_535:  # noqa: PLR2004  the largest port
        raise ConfigError(f"{text!r} is no host:port; an IPv6 address stands in brackets")
    return Seed(match[1] or match[2], int(match[3]), "static")


def addresses_of(seeds: Iterable[Seed], *, ca_sha256: str) -> list[str]:
    """Return what to try for a cluster whose authority is known, the most promising first.

    Those that claim another authority are left out: an honest one would not.
    """
    fitting = [seed for seed in seeds if seed.ca_sha256 in {"", ca_sha256} and seed.role != "edge"]
    fitting.sort(key=lambda seed: (seed.ca_sha256 != ca_sha256, seed))
    return list(dict.fromkeys(seed.address for seed in fitting))
