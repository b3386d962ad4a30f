"""Figures of what else one node has: itself, its hash table, its place in the cluster, its API."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping

from bzzz_core import __version__
from bzzz_core.api.event_documents import AlertDocument, CheckDocument
from bzzz_core.config.schema import AgentConfig
from bzzz_core.dht.notices import DhtStatus
from bzzz_core.halt.service import Halt
from bzzz_core.telemetry import metrics_catalogue as the
from bzzz_core.telemetry.metrics import Collector
from bzzz_core.telemetry.metrics_catalogue import Metric, Reading

Counts = Callable[[], Mapping[str, int]]


def of_build(config: AgentConfig, *, uptime_ms: Callable[[], int]) -> Collector:
    """Return what says which agent this is."""
    python = platform.python_version()
    named = (__version__, python, config.cluster.name, config.system.node_name)

    def collect() -> Iterator[Reading]:
        yield the.BUILD_INFO.at(1, *named)
        yield the.UPTIME.at(uptime_ms() / 1000)

    return collect


def of_table(status: Callable[[], DhtStatus]) -> Collector:
    """Return what reads the hash table."""

    def collect() -> Iterator[Reading]:
        found = status()
        for side, figures in (("cluster", found.cluster), ("local", found.local)):
            yield the.DHT_OPERATIONS.at(figures.operations, side)
            yield the.DHT_ERRORS.at(figures.failures, side)
        for metric, name in (
            (the.DHT_FALLBACKS, "fallbacks"),
            (the.DHT_RECOVERIES, "recoveries"),
            (the.DHT_CONFLICTS, "conflicts"),
        ):
            yield metric.at(found.counters.get(name, 0))
        yield the.DHT_FALLBACK.at(found.serving == "local")
        yield the.DHT_QUEUED.at(found.queued)
        yield the.DHT_QUEUED_BYTES.at(found.queued_bytes)

    return collect


def of_versions(versions: Counts) -> Collector:
    """Return what reads the numbers of what the whole cluster has one of."""

    def collect() -> Iterator[Reading]:
        found = versions()
        for metric, name in ((the.REGISTRY_VERSION, "registry"), (the.CONFIG_REVISION, "config")):
            if name in found:
                yield metric.at(found[name])

    return collect


def of_counts(metric: Metric, counts: Counts) -> Collector:
    """Return what reads a metric with one label from counts by that label's values."""

    def collect() -> Iterator[Reading]:
        for kind, count in counts().items():
            yield metric.at(count, kind)

    return collect


def of_number(metric: Metric, number: Callable[[], float | None]) -> Collector:
    """Return what reads a metric without labels; None leaves it out."""

    def collect() -> Iterator[Reading]:
        found = number()
        if found is not None:
            yield metric.at(found)

    return collect


def of_log(lines: Callable[[], Mapping[tuple[str, str], int]]) -> Collector:
    """Return what reads how many lines were logged, by (level, component)."""

    def collect() -> Iterator[Reading]:
        for (level, component), count in lines().items():
            yield the.LOG_LINES.at(count, level, component)

    return collect


def of_halt(halt: Halt) -> Collector:
    """Return what says whether work is stopped."""

    def collect() -> Iterator[Reading]:
        yield the.HALTED.at(halt.halted)
        yield the.HALT_REVISION.at(halt.decision.number)

    return collect


def of_checks(checks: Callable[[], tuple[CheckDocument, ...]]) -> Collector:
    """Return what reads the health checks."""

    def collect() -> Iterator[Reading]:
        for check in checks():
            yield the.HEALTH_CHECK.at(1, check.name, check.state)

    return collect


def of_alerts(alerts: Callable[[], tuple[AlertDocument, ...]]) -> Collector:
    """Return what counts the alerts."""

    def collect() -> Iterator[Reading]:
        found = [alert.severity for alert in alerts()]
        for severity in ("info", "warning", "critical"):
            yield the.ALERTS.at(found.count(severity), severity)

    return collect
