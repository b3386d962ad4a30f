"""Figures that have to be asked for: disks, certificates, this node's broker.

They are looked at seldom, in a thread where they may hang (a network file system that is gone), and
told as they were at the last look. What could not be read is left out, never told as 0.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from bzzz_core.config.schema import AgentConfig
from bzzz_core.errors import TransportError, TrustError
from bzzz_core.fabric.broker import Endpoint
from bzzz_core.fabric.monitor import BrokerHealth, ask_health
from bzzz_core.ports import Clock
from bzzz_core.telemetry import metrics_catalogue as the
from bzzz_core.telemetry.metrics_catalogue import Reading
from bzzz_core.trust import private_files
from bzzz_core.trust.certificate import describe
from bzzz_core.trust.secrets_directory import SecretsDirectory

LOOK_MS: Final = 15_000
"""As often as Prometheus asks, usually."""


class SlowFigures:
    """What the last look has found."""

    def __init__(
        self,
        config: Callable[[], AgentConfig],
        *,
        clock: Clock,
        now_s: Callable[[], float],
    ) -> None:
        """Look at nothing yet.

        Args:
            config: Gives the configuration in force.
            clock: For the pauses.
            now_s: Wall-clock seconds since 1970, for what is left of certificates.
        """
        self._config = config
        self._clock = clock
        self._now_s = now_s
        self._disks: dict[str, float] = {}
        self._ends: dict[str, tuple[int, int]] = {}
        self._broker: BrokerHealth | None = None
        self._broker_asked = False

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self._disks, self._ends = await asyncio.to_thread(self._look)
            await self._ask_broker()
            await self._clock.sleep_ms(LOOK_MS)

    def collect(self) -> Iterator[Reading]:
        """Return what was found."""
        for directory, used in self._disks.items():
            yield the.DISK_USED.at(used, directory)
        now_s = self._now_s()
        for name, (begins_s, ends_s) in self._ends.items():
            left_s = ends_s - now_s
            life_s = max(1, ends_s - begins_s)
            yield the.CERTIFICATE_EXPIRY.at(left_s, name)
            yield the.CERTIFICATE_LEFT.at(max(0.0, min(1.0, left_s / life_s)), name)
        if self._broker_asked:
            found = self._broker
            yield the.BROKER_HEALTHY.at(found is not None and found.healthy)
            if found is not None:
                used = found.store_bytes / self._config().resources.store_bytes_max
                yield the.BROKER_STORE.at(found.store_bytes)
                yield the.BROKER_STORE_USED.at(used)

    def _look(self) -> tuple[dict[str, float], dict[str, tuple[int, int]]]:
        config = self._config()
        disks = {}
        for name, path in (
            ("data", config.resources.paths.data),
            ("logs", config.resources.paths.logs),
        ):
            try:
                found = shutil.disk_usage(path)
            except OSError:
                continue
            # As `df` counts: what is reserved for root is not there for us.
            there = found.used + found.free
            disks[name] = found.used / there if there else 1.0
        return disks, dict(self._certificates(config))

    def _certificates(self, config: AgentConfig) -> Iterator[tuple[str, tuple[int, int]]]:
        secrets = SecretsDirectory(Path(config.security.directory))
        held = {"node": secrets.node_certificate}
        if config.me.voter:
            held |= {
                "route": secrets.route_certificate,
                "system": secrets.system_certificate,
                "node-issuer": secrets.node_issuer,
                "fabric-issuer": secrets.fabric_issuer,
            }
        for name, path in held.items():
            try:
                facts = describe(private_files.read(path).decode("ascii", "replace"))
            except TrustError:
                continue
            yield name, (facts.not_before_s, facts.not_after_s)

    async def _ask_broker(self) -> None:
        config = self._config()
        self._broker_asked = config.me.voter and config.services.broker != "none"
        self._broker = None
        if self._broker_asked:
            try:
                self._broker = await ask_health(
                    Endpoint(host="127.0.0.1", port=config.network.ports.fabric_monitor)
                )
            except TransportError:
                return
