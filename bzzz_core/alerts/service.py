"""Looks at this node's figures every two seconds, and keeps the alerts that the machine finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from bzzz_core.alerts.machine import AlertMachine
from bzzz_core.alerts.prometheus import rule_file
from bzzz_core.api.event_documents import AlertDocument, Words
from bzzz_core.api.operations import Call, Operation
from bzzz_core.config.sections import AlertsConfig
from bzzz_core.model import Text
from bzzz_core.ports import Clock
from bzzz_core.telemetry import logs
from bzzz_core.telemetry.metrics_catalogue import Reading

EVERY_MS: Final = 2_000
Subscriber = Callable[[tuple[AlertDocument, ...]], None]


class AlertsDocument(msgspec.Struct, frozen=True):
    """`GET /v1/alerts`: what the answering node has found, the gravest first."""

    node: Text
    enabled: bool
    alerts: tuple[AlertDocument, ...]


class RuleFile(msgspec.Struct, frozen=True):
    """`GET /v1/alerts/rules`: the rules with this node's thresholds, as Prometheus reads them."""

    rules: str


class Alerts:
    """This node's alerts. Run `run` as long as the node runs."""

    def __init__(
        self,
        machine: AlertMachine,
        *,
        readings: Callable[[], Iterable[Reading]],
        config: Callable[[], AlertsConfig],
        node: str,
        clock: Clock,
        now: Callable[[], str],
    ) -> None:
        """Look at nothing yet.

        Args:
            machine: Judges.
            readings: Gives the node's figures.
            config: Gives the thresholds in force.
            node: What operators call this node.
            clock: For durations.
            now: Wall-clock UTC, for people.
        """
        self._machine = machine
        self._readings = readings
        self._config = config
        self._node = node
        self._clock = clock
        self._now = now
        self._log = logs.get("alerts")
        self._alerts: tuple[AlertDocument, ...] = ()
        self._subscribers: list[Subscriber] = []

    @property
    def alerts(self) -> tuple[AlertDocument, ...]:
        """Return what was found at the last look."""
        return self._alerts

    def subscribe(self, subscriber: Subscriber) -> None:
        """Have `subscriber` told of all alerts whenever one of them is another; must not block."""
        self._subscribers.append(subscriber)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self.look()
            await self._clock.sleep_ms(EVERY_MS)

    def look(self) -> None:
        """Look once."""
        config = self._config()
        found: tuple[AlertDocument, ...] = ()
        if config.enabled:
            found = self._machine.look(
                self._readings(), config, now_ms=self._clock.now_ms(), at=self._now()
            )
        else:
            self._machine.forget()
        before, self._alerts = self._alerts, found
        if found != before:
            self._tell(before)
            for subscriber in self._subscribers:
                subscriber(found)

    def operations(self) -> list[Operation]:
        """Return what the API offers."""
        return [
            Operation(
                "GET",
                "/v1/alerts",
                self._get,
                "status:read",
                "What this node has found to be wrong",
                answers=AlertsDocument,
            ),
            Operation(
                "GET",
                "/v1/alerts/rules",
                self._get_rules,
                "metrics:read",
                "The rules of alerts with this node's thresholds, for Prometheus",
                answers=RuleFile,
            ),
        ]

    async def _get(self, _call: Call) -> AlertsDocument:
        return AlertsDocument(self._node, self._config().enabled, self._alerts)

    async def _get_rules(self, _call: Call) -> RuleFile:
        return RuleFile(rule_file(self._config()))

    def _tell(self, before: tuple[AlertDocument, ...]) -> None:
        was, now = ({one.id: one for one in some} for some in (before, self._alerts))
        for name in now.keys() - was.keys():
            say = self._log.info if now[name].severity == "info" else self._log.warning
            words: Words = now[name].words
            say("alert", alert=name, severity=now[name].severity, words=words)
        for name in was.keys() - now.keys():
            self._log.info("alert ended", alert=name, since=was[name].since_at)
