"""Seeds from the DNS: SRV records `_bzzz._tcp.<name>`, else the addresses of `<name>` itself.

SRV says host and port, in the order of priority and then weight (RFC 2782; we try all of them, so
the weight only orders). Without SRV, each A and AAAA record is a voter at the usual join port.
"""

from __future__ import annotations

from typing import Final

import dns.asyncresolver
import dns.exception
import dns.name
import dns.resolver

from bzzz_core.errors import ConfigError, TransportError
from bzzz_core.membership.discovery.seed import JOIN_PORT, SEEDS_MAX, Seed

SERVICE: Final = "_bzzz._tcp"
_ABSENT: Final = (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer)


class DnsLookup:
    """Looks seeds up at the machine's resolvers, or at given ones."""

    def __init__(self, *, servers: tuple[str, ...] = (), port: int = 53) -> None:
        """Ask nothing yet.

        Args:
            servers: Addresses of resolvers; empty: as the machine is configured.
            port: Where they listen.
        """
        self._servers = servers
        self._port = port

    async def seeds(self, name: str, *, timeout_ms: int) -> list[Seed]:
        """Return what the DNS says about `name`; empty if there is nothing.

        Raises:
            ConfigError: It is no name.
            TransportError: No resolver answered.
        """
        try:
            service = dns.name.from_text(f"{SERVICE}.{name}")
        except (dns.exception.DNSException, UnicodeError) as exc:
            raise ConfigError(f"{name!r} is no DNS name") from exc
        try:
            resolver = self._resolver(timeout_ms)
            found = await self._services(resolver, service)
            return found or await self._addresses(resolver, dns.name.from_text(name))
        except (dns.exception.DNSException, OSError) as exc:
            raise TransportError(f"looking up {name}: {exc}") from exc

    def _resolver(self, timeout_ms: int) -> dns.asyncresolver.Resolver:
        resolver = dns.asyncresolver.Resolver(configure=not self._servers)
        if self._servers:
            resolver.nameservers = list(self._servers)
            resolver.port = self._port
        resolver.lifetime = timeout_ms / 1000
        return resolver

    async def _services(
        self, resolver: dns.asyncresolver.Resolver, name: dns.name.Name
    ) -> list[Seed]:
        try:
            answer = await resolver.resolve(name, "SRV")
        except _ABSENT:
            return []
        ordered = sorted(answer, key=lambda each: (each.priority, -each.weight, each.target))
        return [
            Seed(str(each.target).rstrip("."), each.port, "dns")
            for each in ordered[:SEEDS_MAX]
            if each.port and each.target != dns.name.root  # "." means: there is none, on purpose.
        ]

    async def _addresses(
        self, resolver: dns.asyncresolver.Resolver, name: dns.name.Name
    ) -> list[Seed]:
        found: list[Seed] = []
        for kind in ("A", "AAAA"):
            try:
                answer = await resolver.resolve(name, kind)
            except _ABSENT:
                continue
            found += [Seed(each.address, JOIN_PORT, "dns") for each in answer]
        return sorted(found)[:SEEDS_MAX]
