"""A node's health, wired: its checks, what they are told to, and what the API offers of them.

A part that comes later adds its own check by `NodeHealth.checks.add`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from bzzz_core.api.documents import HealthReport, Status
from bzzz_core.api.operations import Call, Operation
from bzzz_core.clock import utc_instant, utc_now
from bzzz_core.config.schema import AgentConfig
from bzzz_core.dht.notices import DhtStatus
from bzzz_core.errors import HealthCritical
from bzzz_core.health.check import Check
from bzzz_core.health.checks import cluster, disk, process, services, trust
from bzzz_core.health.service import Health
from bzzz_core.health.stop_note import StopNote
from bzzz_core.health.watchdog import tell_watchdog
from bzzz_core.model import NodeId
from bzzz_core.ports import Clock, Fabric
from bzzz_core.status import not_ready
from bzzz_core.telemetry.loop_lag import LoopLag
from bzzz_core.trust.secrets_directory import SecretsDirectory


class NodeHealth:
    """Everything about one node's health."""

    def __init__(
        self,
        config: Callable[[], AgentConfig],
        *,
        fabric: Fabric,
        status: Callable[[], Status],
        dht: Callable[[], DhtStatus],
        addresses: frozenset[str],
        lag: LoopLag,
        clock: Clock,
        give_up: Callable[[HealthCritical], None],
    ) -> None:
        """Look at nothing yet.

        Args:
            config: Gives the configuration in force.
            fabric: For the check of it.
            status: Gives this node's view of itself and the cluster.
            dht: Gives the hash table's view of itself.
            addresses: Of this machine's interfaces.
            lag: Says how late the event loop is.
            clock: For intervals and timeouts.
            give_up: Told when the agent has to end for its health.
        """
        self._config = config
        self._status = status
        self._addresses = addresses
        self._clock = clock
        self.checks = Health(
            clock=clock,
            now=utc_now,
            patience=StopNote(Path(config().resources.paths.data)),
            give_up=give_up,
        )
        for check in every(config, fabric=fabric, status=status, dht=dht, lag=lag, clock=clock):
            self.checks.add(check)

    def services(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        """Return what runs as long as the agent does."""
        watchdog = tell_watchdog(lambda: not self.checks.not_live(), clock=self._clock)
        return [("health", self.checks.run()), ("watchdog", watchdog)]

    def not_ready(self) -> list[str]:
        """Return why this node cannot do its part, each reason with what to look at."""
        return self.checks.not_ready() + not_ready(
            self._status(), addresses=self._addresses, address=self._config().network.address
        )

    def operations(self) -> tuple[Operation, ...]:
        """Return what the API offers beside the routes that need no token."""
        return (
            Operation(
                "GET",
                "/health/checks",
                self._get_checks,
                "health:read",
                "Every check of this node, and what came of it the last time",
                answers=HealthReport,
            ),
        )

    async def _get_checks(self, _call: Call) -> HealthReport:
        not_live, unready = self.checks.not_live(), self.not_ready()
        return HealthReport(
            live=not not_live,
            ready=not unready,
            reasons=(*not_live, *unready),
            checks=self.checks.documents(),
        )


def every(
    config: Callable[[], AgentConfig],
    *,
    fabric: Fabric,
    status: Callable[[], Status],
    dht: Callable[[], DhtStatus],
    lag: LoopLag,
    clock: Clock,
) -> list[Check]:
    """Return the checks of a node whose parts these are, the quick ones first."""
    now = config()
    paths, secrets = now.resources.paths, SecretsDirectory(Path(now.security.directory))
    checks = [
        process.loop_check(lag),
        *process.memory_checks(),
        process.descriptor_check(),
        cluster.fabric(fabric, NodeId(now.me.id), clock=clock),
        cluster.leadership(status),
        cluster.hash_table(dht),
        cluster.broker(config),
        cluster.storage(config),
        disk.room("data-disk", Path(paths.data)),
        disk.room("log-disk", Path(paths.logs)),
        disk.writable("data-writable", Path(paths.data)),
        disk.writable("log-writable", Path(paths.logs)),
        trust.wall_clock(clock=clock, now=utc_instant),
        trust.certificates(
            lambda: (
                secrets.node_certificate,
                secrets.route_certificate,
                secrets.system_certificate,
            ),
            now=utc_instant,
        ),
    ]
    if now.ai.endpoint.provider != "none":
        checks.append(services.ai_endpoint(config))
    return checks
