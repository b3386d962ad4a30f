"""All ways to find seeds at once; each fails alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeAlias

from bzzz_core.errors import BzzzError, TransportError
from bzzz_core.membership.discovery.dns import SERVICE, DnsLookup
from bzzz_core.membership.discovery.mdns import browse
from bzzz_core.membership.discovery.seed import Seed, addresses_of, parse_seed

TIMEOUT_MS: Final = 2_000
"""How long to look; on a local network most answer within a second."""
Way: TypeAlias = Callable[[], Awaitable[Sequence[Seed]]]


@dataclass(slots=True)
class Found:
    """What a search brought."""

    seeds: list[Seed] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    """Why a way brought nothing, by its name."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Seeds that claim to belong together."""

    cluster_id: str
    """Empty: the source does not say, as operators and the DNS do not."""
    name: str
    ca_sha256: str
    seeds: tuple[Seed, ...]


async def search(ways: dict[str, Way]) -> Found:
    """Go all ways side by side and return what they brought."""
    found = Found()

    async def go(name: str, way: Way) -> None:
        try:
            found.seeds += await way()
        except BzzzError as exc:
            found.problems[name] = str(exc)

    async with asyncio.TaskGroup() as group:
        for name, way in ways.items():
            group.create_task(go(name, way), name=f"discovery-{name}")
    found.seeds.sort()
    return found


def ways(
    *,
    names: Sequence[str],
    mdns: bool,
    timeout_ms: int,
    interfaces: tuple[str, ...] = (),
    lookup: DnsLookup | None = None,
) -> dict[str, Way]:
    """Return how to look: the DNS for each of `names`, and the local network."""
    resolver = lookup or DnsLookup()
    found: dict[str, Way] = {
        name: partial(_looked_up, resolver, name, timeout_ms=timeout_ms) for name in names
    }
    if mdns:
        found["mdns"] = partial(browse, timeout_ms=timeout_ms, interfaces=interfaces)
    return found


async def _looked_up(lookup: DnsLookup, name: str, *, timeout_ms: int) -> list[Seed]:
    """Return what the DNS says of a name; the operator gave it, so nothing is a problem."""
    seeds = await lookup.seeds(name, timeout_ms=timeout_ms)
    if not seeds:
        raise TransportError(f"the DNS knows neither a service {SERVICE} nor an address there")
    return seeds


async def addresses(
    ca_sha256: str, *, seeds: Sequence[str], names: Sequence[str], mdns: bool
) -> list[str]:
    """Return where to try the cluster whose authority has that fingerprint, best first.

    Raises:
        ConfigError: A seed is not written as host:port.
    """
    told = [parse_seed(text) for text in seeds]
    found = await search(ways(names=names, mdns=mdns, timeout_ms=TIMEOUT_MS))
    return addresses_of([*told, *found.seeds], ca_sha256=ca_sha256)


def clusters(seeds: Sequence[Seed]) -> list[Cluster]:
    """Group seeds by what they claim; one that lies about its authority stands alone."""
    groups: dict[tuple[str, str, str], list[Seed]] = {}
    for seed in seeds:
        claim = (seed.cluster_name, seed.cluster_id, seed.ca_sha256)
        groups.setdefault(claim, []).append(seed)
    return [
        Cluster(cluster_id, name, ca_sha256, tuple(sorted(members)))
        for (name, cluster_id, ca_sha256), members in sorted(groups.items())
    ]
