"""Finds alerts in readings. Pure: readings and the time come in, alerts go out.

    quiet --so--> waiting --so for `for_s`--> firing --not so for `keep_s`--> quiet
                     |
                     +--not so--> quiet

One alert has one id, made of its rule and what it is about, for as long as it lasts and on whatever
node it is found. What one node finds about itself is named after the node; what it finds about the
cluster is not, so that an operator who looks at two nodes sees it once.

What a counter has grown by is what it has grown by since this node began to look, within the rule's
window; a counter that begins anew has grown by what it has. (Prometheus stretches what it saw over
the whole window, so its figure may be a little higher.)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from bzzz_core.alerts.rule import Rule, shown
from bzzz_core.api.event_documents import AlertDocument
from bzzz_core.config.sections import AlertsConfig
from bzzz_core.telemetry.metrics_catalogue import Metric, Reading

ALERTS_MAX: Final = 256
"""More than one screen of them is one alert: that everything is wrong."""
_NAME_CHARACTERS_MAX: Final = 120


@dataclass(slots=True)
class _Case:
    """One rule about one subject."""

    since_ms: int
    since_at: str
    last_ms: int
    firing: bool = False
    document: AlertDocument | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    """Something that is as it should not be."""

    rule: Rule
    subject: str
    value: float
    threshold: float


class AlertMachine:
    """The alerts of one node."""

    def __init__(self, rules: Sequence[Rule], *, node: str, cluster: str) -> None:
        """Know nothing yet; `node` and `cluster` are what operators call them."""
        self._rules = tuple(rules)
        self._node = node
        self._cluster = cluster
        self._cases: dict[str, _Case] = {}
        self._past: dict[tuple[str, tuple[str, ...]], deque[tuple[int, float]]] = {}

    def look(
        self, readings: Iterable[Reading], config: AlertsConfig, *, now_ms: int, at: str
    ) -> tuple[AlertDocument, ...]:
        """Return the alerts that hold now, the gravest first, then by id.

        Args:
            readings: What there is to judge by.
            config: The thresholds.
            now_ms: Monotonic.
            at: The same moment in UTC, for people.
        """
        by_metric: dict[Metric, list[Reading]] = {}
        for reading in readings:
            by_metric.setdefault(reading.metric, []).append(reading)
        rules = {rule.name: rule for rule in self._rules}
        for rule in self._rules:
            for found in self._judge(rule, by_metric.get(rule.metric, ()), config, now_ms):
                self._note(found, config, now_ms, at)
        for name, case in list(self._cases.items()):
            rule = rules[name.partition("/")[0]]
            keep_ms = 1_000 * rule.keep_s if case.firing else 0
            if case.last_ms < now_ms and now_ms - case.last_ms >= keep_ms:
                del self._cases[name]
        return self.alerts()

    def alerts(self) -> tuple[AlertDocument, ...]:
        """Return the alerts found at the last look."""
        firing = [case.document for case in self._cases.values() if case.document is not None]
        grave = ("critical", "warning", "info")
        return tuple(sorted(firing, key=lambda one: (grave.index(one.severity), one.id)))

    def forget(self) -> None:
        """Begin anew."""
        self._cases.clear()
        self._past.clear()

    def _judge(
        self, rule: Rule, readings: Iterable[Reading], config: AlertsConfig, now_ms: int
    ) -> Iterator[_Found]:
        threshold = rule.limit(config)
        for reading in readings:
            labels = dict(zip(rule.metric.labels, reading.labels, strict=True))
            if any(labels[label] != value for label, value in rule.where):
                continue
            value = reading.value
            if rule.window_s:
                value = self._growth(rule, reading, now_ms)
            if (value > threshold) if rule.above else (value < threshold):
                for subject in self._subjects(rule, reading, labels):
                    yield _Found(rule, subject, value, threshold)

    def _subjects(self, rule: Rule, reading: Reading, labels: dict[str, str]) -> tuple[str, ...]:
        if rule.per:
            return (labels[rule.per],)
        if reading.subjects:
            return reading.subjects
        return (self._cluster if rule.scope == "cluster" else self._node,)

    def _growth(self, rule: Rule, reading: Reading, now_ms: int) -> float:
        past = self._past.setdefault((rule.name, reading.labels), deque())
        past.append((now_ms, reading.value))
        while past[0][0] < now_ms - 1_000 * rule.window_s:
            past.popleft()
        grown = 0.0
        before = past[0][1]
        for _, value in past:
            grown += value - before if value >= before else value
            before = value
        return grown

    def _note(self, found: _Found, config: AlertsConfig, now_ms: int, at: str) -> None:
        name = self._id(found)
        case = self._cases.get(name)
        if case is None:
            if len(self._cases) >= ALERTS_MAX:
                return
            case = self._cases[name] = _Case(now_ms, at, now_ms)
        case.last_ms = now_ms
        if now_ms - case.since_ms >= 1_000 * found.rule.for_s(config):
            case.firing = True
        if case.firing:
            case.document = self._document(name, found, case)

    def _id(self, found: _Found) -> str:
        subject = found.subject[:_NAME_CHARACTERS_MAX]
        if found.rule.scope == "node" and subject != self._node:
            return f"{found.rule.name}/{self._node[:_NAME_CHARACTERS_MAX]}/{subject}"
        return f"{found.rule.name}/{subject}"

    def _document(self, name: str, found: _Found, case: _Case) -> AlertDocument:
        rule = found.rule
        said = {
            "subject": found.subject,
            "value": shown(found.value, rule.unit),
            "threshold": shown(found.threshold, rule.unit),
        }
        return AlertDocument(
            id=name,
            rule=rule.name,
            severity=rule.severity,
            subject=found.subject[:_NAME_CHARACTERS_MAX],
            node=self._node,
            since_at=case.since_at,
            words=rule.words.format(**said),
            next_step=rule.next_step.format(**said),
            value=round(found.value, 6),
            threshold=round(found.threshold, 6),
        )
