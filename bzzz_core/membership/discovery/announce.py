"""Announces this node on the local network (`mdns` says what and why).

An announcement costs nothing while nobody asks. It is said anew when the node has become another
(an edge that was made a voter takes new nodes), and withdrawn on an orderly stop.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, Final

from zeroconf import Error as ZeroconfError
from zeroconf import EventLoopBlocked
from zeroconf.asyncio import AsyncServiceInfo

from bzzz_core.config.schema import AgentConfig
from bzzz_core.errors import TransportError, TrustError
from bzzz_core.membership.discovery.mdns import SERVICE, open_network, text_of
from bzzz_core.membership.discovery.seed import Seed
from bzzz_core.telemetry import logs
from bzzz_core.trust.chain import spki_sha256
from bzzz_core.trust.secrets_directory import SecretsDirectory

_RETRY_S: Final = 60


def seed_of(config: AgentConfig) -> Seed | None:
    """Return what a configured node says of itself; None if it is to say nothing.

    Raises:
        TrustError: The node authority's certificate cannot be read.
    """
    if not config.network.discovery.mdns:
        return None
    me = config.me
    secrets = SecretsDirectory(Path(config.security.directory))
    return Seed(
        host=me.address,
        port=config.network.ports.join,
        source="mdns",
        cluster_id=config.cluster.id,
        cluster_name=config.cluster.name,
        node_id=me.id,
        role="voter" if me.voter else "edge",
        ca_sha256=spki_sha256(secrets.node_ca.read_text(encoding="utf-8", errors="replace")),
    )


class Announcer:
    """Announces this node on the local network while `run` runs."""

    def __init__(self, seed: Seed | None, *, addresses: tuple[str, ...]) -> None:
        """Say nothing yet.

        Args:
            seed: What is said; None: nothing, ever.
            addresses: The machine's own. Where the seed's host is one of them, its interface alone
                is used: a node on loopback is nobody else's business. Where it is a name, they are
                what is said, since whoever hears us need not know the name.
        """
        self._seed = seed
        self._addresses = addresses
        self._interfaces = (seed.host,) if seed and seed.host in addresses else ()
        self._changed = asyncio.Event()
        self._log = logs.get("discovery")

    def follow(self, config: AgentConfig) -> None:
        """Say from now on what the configuration makes of this node."""
        try:
            seed = seed_of(config)
        except TrustError as exc:
            self._log.info("announced as before", reason=str(exc))
            return
        if self._seed is not None and seed not in {None, self._seed}:
            self._seed = seed
            self._changed.set()

    async def run(self) -> None:
        """Announce until cancelled; a network that is not there yet is tried again."""
        while self._seed is not None:
            try:
                await self._announce(self._seed)
            except TransportError as exc:
                self._log.info("not announced on the local network", reason=str(exc))
            await asyncio.sleep(_RETRY_S)

    async def _announce(self, seed: Seed) -> None:
        network = open_network(self._interfaces)
        try:
            self._changed.clear()
            info = self._info(seed)
            await _said(network.async_register_service(info))
            try:
                while True:  # Announcing is the library's work from here.
                    await self._changed.wait()
                    self._changed.clear()
                    if self._seed is not None:
                        info = self._info(self._seed)
                        await _said(network.async_update_service(info))
            finally:
                await (await network.async_unregister_service(info))
        finally:
            await network.async_close()

    def _info(self, seed: Seed) -> AsyncServiceInfo:
        return AsyncServiceInfo(
            SERVICE,
            f"{seed.node_id}.{SERVICE}",
            port=seed.port,
            properties={**text_of(seed)},
            server=f"{seed.node_id}.local.",
            parsed_addresses=_announced(seed.host, self._addresses),
        )


async def _said(speech: Awaitable[Awaitable[Any]]) -> None:
    """Wait until the library has said something.

    Raises:
        TransportError: It could not.
    """
    try:
        await (await speech)
    except (ZeroconfError, EventLoopBlocked, OSError) as exc:
        raise TransportError(f"{type(exc).__name__}: {exc}") from exc


def _announced(host: str, own: tuple[str, ...]) -> list[str]:
    """Return the addresses to announce: the configured one, or the machine's if that is a name."""
    try:
        return [str(ipaddress.ip_address(host.partition("%")[0]))]
    except ValueError:
        reachable = (ipaddress.ip_address(address) for address in own)
        return sorted(str(each) for each in reachable if not each.is_loopback)
