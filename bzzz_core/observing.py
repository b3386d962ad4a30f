"""What watches an agent and shows it: its log and audit, its health and figures, its events.

Built and mounted here, apart from the services that do the work (`agent`), for these read the
others and none of those needs them. Each part keeps what it knows to itself: here is only wiring.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from bzzz_core import __version__
from bzzz_core.api.auth import Doorkeeper, Keys
from bzzz_core.api.documents import Status
from bzzz_core.api.event_documents import (
    ALERTS,
    CHECKS,
    HALT,
    SELF,
    AlertDocument,
    CheckDocument,
    HaltDocument,
)
from bzzz_core.api.events.hub import Events
from bzzz_core.api.events.reading import Speaker
from bzzz_core.api.events.sampling import Sight
from bzzz_core.api.events.streaming import operation as event_stream
from bzzz_core.api.http import build_app
from bzzz_core.api.limits import Hosts
from bzzz_core.api.log_operations import LogApi
from bzzz_core.api.measured import measured
from bzzz_core.api.operations import Offer
from bzzz_core.api.server import AgentApi
from bzzz_core.auditing.wiring import MutualAudit
from bzzz_core.backbone import Backbone
from bzzz_core.clock import utc_now
from bzzz_core.config.schema import AgentConfig
from bzzz_core.errors import HealthCritical
from bzzz_core.growth.steward import Steward
from bzzz_core.halt.service import Halt
from bzzz_core.halt.wiring import EmergencyStop
from bzzz_core.hash_table import HashTable
from bzzz_core.health.wiring import NodeHealth
from bzzz_core.measuring import Measuring
from bzzz_core.model import NodeId
from bzzz_core.ports import Clock
from bzzz_core.telemetry import logs
from bzzz_core.telemetry.audit_desk import AuditDesk

Service = tuple[str, Coroutine[Any, Any, None]]


class Observing:
    """The observing parts of one agent."""

    def __init__(
        self,
        *,
        config: Callable[[], AgentConfig],
        clock: Clock,
        status: Callable[[], Status],
        sight: Callable[[], Sight],
        audit: AuditDesk,
        addresses: frozenset[str],
        backbone: Backbone,
        table: HashTable,
        steward: Steward,
        give_up: Callable[[HealthCritical], None],
    ) -> None:
        """Build every part; nothing runs yet.

        Args:
            config: Gives the configuration in force.
            clock: For ages and intervals.
            status: Gives the agent's present view of itself and the cluster.
            sight: Gives it without making documents that nobody wants.
            audit: Where acts are written down.
            addresses: Of this machine's interfaces.
            backbone: What speaks with the other nodes.
            table: The hash table.
            steward: Sees the streams while this node leads.
            give_up: Told when the agent has to end for its health.
        """
        self._config = config
        self._clock = clock
        self._status = status
        self._sight = sight
        self._audit = audit
        self.events = self._build_events(config())
        """Where parts put what they know (`events.board`)."""
        self._keys = Keys.of(config())
        self._doorkeeper = self._build_doorkeeper()
        self._stop = EmergencyStop(backbone, config=config, audit=audit.note, clock=clock)
        self._measuring = Measuring(
            backbone,
            config=config,
            table=table.status,
            steward=steward,
            halt=self._stop.halt,
            audit=audit,
            clock=clock,
        )
        self._logs = LogApi(
            logs.book(),
            directory=lambda: Path(config().resources.paths.logs),
            clock=clock,
            audit=audit.note,
        )
        self._audits = MutualAudit(
            config=config, fabric=backbone.fabric, clock=clock, desk=audit, now=utc_now
        )
        self.health = NodeHealth(
            config,
            fabric=backbone.fabric,
            status=status,
            dht=table.status,
            lag=self._measuring.lag,
            addresses=addresses,
            clock=clock,
            give_up=give_up,
        )
        """Every check; a part that comes later adds its own (`health.checks.add`)."""
        self._connect()

    def _build_doorkeeper(self) -> Doorkeeper:
        return Doorkeeper(
            self._keys,
            clock=self._clock,
            audit=self._audit.note,
            rate_per_s=lambda: self._config().security.api_requests_per_s,
        )

    def _connect(self) -> None:
        """Let figures be of all parts, and events of whatever changes."""
        measuring, board = self._measuring, self.events.board
        measuring.add_event_readers(lambda: self.events.readers)
        measuring.add_audit_conflicts(self._audits.peers.conflicts)
        measuring.add_checks(self.health.checks.documents)
        measuring.alerts.subscribe(self._show_alerts)
        self._show_alerts(())
        self.health.checks.subscribe(self._show_check)
        self.halt.watch(self._show_halt)
        board.put(HALT, SELF, self.halt.document())

    @property
    def alarms(self) -> tuple[str, ...]:
        """Return what an operator has to look at."""
        return self._audits.alarms

    @property
    def halt(self) -> Halt:
        """Return what stops work: to ask, and to subscribe to."""
        return self._stop.halt

    def _show_alerts(self, alerts: tuple[AlertDocument, ...]) -> None:
        self.events.board.replace(ALERTS, {alert.id: alert for alert in alerts})

    def _show_halt(self, halt: HaltDocument) -> None:
        self.events.board.put(HALT, SELF, halt)

    def _show_check(self, check: CheckDocument) -> None:
        # Figures change with every look; who follows is told when the verdict does.
        self.events.board.put(CHECKS, check.name, check, sign=check.state)

    def _build_events(self, config: AgentConfig) -> Events:
        speaker = Speaker(
            node=config.system.node_name,
            node_id=NodeId(config.me.id),
            version=__version__,
            epoch=secrets.token_hex(8),
        )
        return Events(
            speaker=speaker,
            sight=self._sight,
            log=logs.book().ring,
            clock=self._clock,
            now=utc_now,
        )

    def operations(self) -> tuple[Offer, ...]:
        """Return what the API offers of these parts."""
        return (
            *self._stop.operations(),
            *self._measuring.operations(),
            *self._logs.operations(),
            *self._audits.operations(),
            *self.health.operations(),
            event_stream(self.events, still=self._doorkeeper.still_knows),
        )

    def api(self, operations: tuple[Offer, ...]) -> AgentApi:
        """Return the API of an agent that offers this."""
        config = self._config()
        app = build_app(
            doorkeeper=self._doorkeeper,
            hosts=Hosts.of(config),
            status=self._status,
            settled=self._audit.settled,
            not_ready=self.health.not_ready,
            not_live=self.health.checks.not_live,
            operations=operations,
        )
        shown = measured(app, self._measuring.requests.note)
        return AgentApi(shown, config, clock=self._clock, farewell=self.events.farewell)

    def services(self) -> list[Service]:
        """Return what runs as long as the agent does."""
        return [
            *self._stop.services(),
            *self._measuring.services(),
            ("log-levels", self._logs.run()),
            *self._audits.services(),
            *self.health.services(),
            ("events", self.events.run()),
        ]

    async def farewell(self) -> None:
        """Tell the others what they should know before this node goes, within a bounded time."""
        await self._audits.farewell()

    async def follow_tokens(self, config: AgentConfig) -> None:
        """Take the API tokens of a new configuration.

        Raises:
            ConfigError: One cannot be read; the former ones stay.
        """
        await self._keys.follow(config)

    def hurry(self) -> None:
        """Look at once at what changed: who leads, for one."""
        self.events.hurry()

    def reconfigure(self, config: AgentConfig) -> None:
        """Follow the configuration."""
        del config
        self._audits.reconfigure()
