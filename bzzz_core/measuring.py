"""The figures of one agent: every collector, what has to be looked at for them, and the alerts.

    GET /metrics            for Prometheus, in its text format or OpenMetrics
    GET /v1/metrics         the same as JSON, for the monitor
    GET /v1/alerts          what this node has found to be wrong
    GET /v1/alerts/rules    the rules, as Prometheus reads them

What other parts count is given to `add_...` as a call, once they are there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from bzzz_core.alerts.machine import AlertMachine
from bzzz_core.alerts.rules import RULES
from bzzz_core.alerts.service import Alerts
from bzzz_core.api.event_documents import CheckDocument
from bzzz_core.api.metrics_text import metrics_text
from bzzz_core.api.operations import Call, Offer, Operation
from bzzz_core.backbone import Backbone
from bzzz_core.clock import utc_instant, utc_now
from bzzz_core.collectors import fabric, node, roster
from bzzz_core.collectors.leadership import LeadershipFigures, of_lane
from bzzz_core.collectors.requests import RequestFigures
from bzzz_core.collectors.slow import SlowFigures
from bzzz_core.config.schema import AgentConfig
from bzzz_core.dht.notices import DhtStatus
from bzzz_core.fabric.layout import control_bytes_max
from bzzz_core.growth.steward import Steward
from bzzz_core.halt.service import Halt
from bzzz_core.model import NodeId, Text
from bzzz_core.ports import Clock
from bzzz_core.telemetry import logs
from bzzz_core.telemetry import metrics_catalogue as the
from bzzz_core.telemetry.audit_desk import AuditDesk
from bzzz_core.telemetry.loop_lag import LoopLag
from bzzz_core.telemetry.metrics import Metrics, exposition
from bzzz_core.telemetry.metrics_process import of_machine, of_process

Service = tuple[str, Coroutine[Any, Any, None]]


class Series(msgspec.Struct, frozen=True):
    """One metric with one set of labels; of a histogram the sum and how many there were."""

    name: Text
    value: float
    labels: dict[Text, Text] = {}
    count: int | None = None


class MetricsDocument(msgspec.Struct, frozen=True):
    """`GET /v1/metrics`."""

    node: Text
    at: Text
    series: tuple[Series, ...]


class Measuring:
    """What one agent counts and finds."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        config: Callable[[], AgentConfig],
        table: Callable[[], DhtStatus],
        steward: Steward,
        halt: Halt,
        audit: AuditDesk,
        clock: Clock,
    ) -> None:
        """Build; before the parts run.

        Args:
            backbone: What speaks with the other nodes.
            config: Gives the configuration in force.
            table: Gives the state of the hash table.
            steward: Sees the streams while this node leads.
            halt: Says whether work is stopped.
            audit: Counts acts.
            clock: For pauses and durations.
        """
        now = config()
        self._node = now.system.node_name
        self.requests = RequestFigures()
        """Is to be told of every request (`api.measured`)."""
        self.lag = LoopLag()
        """How late the event loop is."""
        self._slow = SlowFigures(config, clock=clock, now_s=lambda: utc_instant().timestamp())
        self._metrics = Metrics()
        self.alerts = Alerts(
            AlertMachine(RULES, node=self._node, cluster=now.cluster.name),
            readings=self._metrics.readings,
            config=lambda: config().resources.monitoring.alerts,
            node=self._node,
            clock=clock,
            now=utc_now,
        )
        """What is wrong: to read, and to subscribe to."""
        self._add_parts(backbone, config)
        self._metrics.add(
            node.of_table(table),
            fabric.of_streams(
                lambda: steward.streams,
                control_bytes_max=lambda: control_bytes_max(config().resources.store_bytes_max),
            ),
            node.of_number(the.AUDIT_ENTRIES, lambda: audit.counters["taken"]),
            node.of_number(the.AUDIT_LOST, lambda: audit.lost),
            node.of_number(the.AUDIT_FAILURES, lambda: audit.chain.failures),
            self.requests.collect,
            node.of_halt(halt),
            node.of_alerts(lambda: self.alerts.alerts),
            node.of_log(lambda: logs.book().counted),
        )

    def add_checks(self, checks: Callable[[], tuple[CheckDocument, ...]]) -> None:
        """Tell of health checks, too, and let those that are not well be alerts."""
        self._metrics.add(node.of_checks(checks))

    def add_clock_skew(self, skew_s: Callable[[], float | None]) -> None:
        """Tell how far the clock is off, too."""
        self._metrics.add(node.of_number(the.CLOCK_SKEW, skew_s))

    def add_event_readers(self, readers: Callable[[], float]) -> None:
        """Tell how many read events, too."""
        self._metrics.add(node.of_number(the.EVENT_READERS, readers))

    def add_audit_conflicts(self, conflicts: Callable[[], float]) -> None:
        """Tell of audits that contradict what was known of them, too."""
        self._metrics.add(node.of_number(the.AUDIT_CONFLICTS, conflicts))

    def services(self) -> list[Service]:
        """Return what runs as long as the agent does."""
        return [
            ("loop-lag", self.lag.run()),
            ("slow-figures", self._slow.run()),
            ("alerts", self.alerts.run()),
        ]

    def operations(self) -> list[Offer]:
        """Return what the API offers."""
        read = Operation(
            "GET",
            "/v1/metrics",
            self._get,
            "metrics:read",
            "The figures of this node",
            answers=MetricsDocument,
        )
        return [read, metrics_text(self._text), *self.alerts.operations()]

    async def _text(self, accept: str) -> tuple[bytes, str]:
        """Return what Prometheus reads, and its media type; see `exposition`."""
        readings = self._metrics.readings()
        return await asyncio.to_thread(exposition, readings, accept)

    async def _get(self, _call: Call) -> MetricsDocument:
        return MetricsDocument(
            node=self._node,
            at=utc_now(),
            series=tuple(
                Series(
                    reading.metric.name,
                    reading.value,
                    dict(zip(reading.metric.labels, reading.labels, strict=True)),
                    sum(reading.boxes.counts) if reading.boxes else None,
                )
                for reading in self._metrics.readings()
            ),
        )

    def _add_parts(self, backbone: Backbone, config: Callable[[], AgentConfig]) -> None:
        leadership, me = backbone.leadership, NodeId(config().me.id)
        figures = LeadershipFigures(leadership, me=me, votes=lambda: config().me.voter)
        self._metrics.add(
            node.of_build(config(), uptime_ms=lambda: backbone.myself.uptime_ms),
            of_process(self.lag),
            of_machine(lambda: backbone.sampler.latest),
            figures.collect,
            of_lane(leadership),
            roster.of_roster(
                backbone.membership,
                me=me,
                voters=lambda: leadership.voters,
                names=lambda: {NodeId(one.id): one.name for one in config().cluster.nodes},
            ),
            fabric.of_fabric(backbone.fabric),
            node.of_versions(backbone.versions),
            node.of_counts(the.ENROLMENT, lambda: backbone.enrolment.counters),
            node.of_counts(the.LEADER_QUESTIONS, lambda: backbone.requests.counters),
            self._slow.collect,
        )
