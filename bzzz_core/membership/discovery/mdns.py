"""Seeds from the local network: DNS service discovery over multicast (RFC 6762, 6763).

Each node announces `<node id>._bzzz._tcp.local.`; the service record has its join port, the text
record says which cluster it belongs to. Only public things are said there, and what is heard is
believed by nobody: every field is bounded and checked, or the announcement is passed over.

`announce` says it, this file hears it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Final

from zeroconf import (
    BadTypeInNameException,
    IPVersion,
    NonUniqueNameException,
    ServiceStateChange,
    Zeroconf,
)
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from bzzz_core.errors import TransportError
from bzzz_core.membership.discovery.seed import SEEDS_MAX, Seed

SERVICE: Final = "_bzzz._tcp.local."
_FORMAT: Final = "1"
_ANSWER_MS: Final = 1_000
_FIELDS: Final = {
    "cluster": re.compile(r"[\x21-\x7e]{1,64}"),
    "name": re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"),
    "node": re.compile(r"[a-z2-7]{26}"),
    "role": re.compile(r"voter|edge"),
    "ca": re.compile(r"[0-9a-f]{64}"),
}


def text_of(seed: Seed) -> dict[str, str]:
    """Return the text record that announces `seed`."""
    return {
        "v": _FORMAT,
        "cluster": seed.cluster_id,
        "name": seed.cluster_name,
        "node": seed.node_id,
        "role": seed.role,
        "ca": seed.ca_sha256,
    }


def seeds_of(
    addresses: list[str], port: int | None, text: Mapping[bytes, bytes | None]
) -> list[Seed]:
    """Return the seeds of one announcement, one for each address; empty if it makes no sense."""
    said = {}
    for name, pattern in _FIELDS.items():
        value = (text.get(name.encode()) or b"").decode("ascii", "replace")
        if pattern.fullmatch(value) is None:
            return []
        said[name] = value
    if not port or text.get(b"v") != _FORMAT.encode():
        return []
    return [
        Seed(
            host=address,
            port=port,
            source="mdns",
            cluster_id=said["cluster"],
            cluster_name=said["name"],
            node_id=said["node"],
            role="voter" if said["role"] == "voter" else "edge",
            ca_sha256=said["ca"],
        )
        for address in addresses
    ]


async def browse(*, timeout_ms: int, interfaces: tuple[str, ...] = ()) -> list[Seed]:
    """Ask the local network and return what answered within `timeout_ms`.

    Args:
        timeout_ms: How long to listen; most answer within a second.
        interfaces: Addresses of the interfaces to ask on; empty: all of them.

    Raises:
        TransportError: No interface takes part in multicast.
    """
    heard: dict[str, None] = {}

    def on_change(
        zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        del zeroconf, service_type
        if state_change is not ServiceStateChange.Removed and len(heard) < SEEDS_MAX:
            heard[name] = None

    network = open_network(interfaces)
    try:
        browser = AsyncServiceBrowser(network.zeroconf, SERVICE, handlers=[on_change])
        await asyncio.sleep(timeout_ms / 1000)
        await browser.async_cancel()
        # All at once: whoever answers for a thousand names costs us no more time than one.
        found = await asyncio.gather(*(_resolve(network, name) for name in heard))
    finally:
        await network.async_close()
    return sorted({seed for seeds in found for seed in seeds})[:SEEDS_MAX]


async def _resolve(network: AsyncZeroconf, name: str) -> list[Seed]:
    try:
        info = AsyncServiceInfo(SERVICE, name)
        if not await info.async_request(network.zeroconf, _ANSWER_MS):
            return []
    except (BadTypeInNameException, NonUniqueNameException, ValueError):
        return []
    addresses = info.parsed_scoped_addresses(IPVersion.All)
    return seeds_of(addresses, info.port, info.properties)


def open_network(interfaces: tuple[str, ...]) -> AsyncZeroconf:
    """Take part in the local network's multicast.

    Args:
        interfaces: Addresses of the interfaces to use; empty: all of them.

    Raises:
        TransportError: None of them takes part.
    """
    try:
        if interfaces:
            return AsyncZeroconf(interfaces=list(interfaces))
        return AsyncZeroconf(ip_version=IPVersion.All)
    except (OSError, RuntimeError) as exc:
        raise TransportError(f"no multicast on this machine's interfaces: {exc}") from exc
