"""The metrics of one agent: collectors that are asked when somebody wants to know, and the text.

A collector is a function that returns readings from what a part of the agent counts anyway, so
nothing is measured for the metrics' sake and nothing costs while nobody asks. There is one
registry for each agent and none for the process.

Rules: a collector does not wait and asks nobody. One that fails with an expected error is left out
of that answer. Of one metric at most `SERIES_MAX` series are told, whatever the collector says;
what is left out is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, islice
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family

from bzzz_core.errors import BzzzError
from bzzz_core.telemetry.metrics_catalogue import SERIES_DROPPED, Boxes, Metric, Reading

SERIES_MAX: Final = 256
ACCEPT_CHARACTERS_MAX: Final = 1_000
Collector: TypeAlias = Callable[[], Iterable[Reading]]


class Metrics:
    """What one agent can tell of itself in figures."""

    def __init__(self) -> None:
        """Know nobody to ask."""
        self._collectors: list[Collector] = []

    def add(self, *collectors: Collector) -> None:
        """Ask these, too."""
        self._collectors += collectors

    def readings(self) -> list[Reading]:
        """Return everything as of now, in the order of the collectors."""
        found: list[Reading] = []
        for collect in self._collectors:
            try:
                found += collect()
            except (BzzzError, OSError):
                continue  # It will be there again when the part it asks is.
        counts: dict[Metric, int] = {}
        kept = []
        for reading in found:
            counts[reading.metric] = counts.get(reading.metric, 0) + 1
            if counts[reading.metric] <= SERIES_MAX:
                kept.append(reading)
        return [*kept, SERIES_DROPPED.at(len(found) - len(kept))]


def exposition(readings: Iterable[Reading], accept: str = "") -> tuple[bytes, str]:
    """Return readings as the text that Prometheus reads, and its media type.

    Args:
        readings: What to tell.
        accept: Header of the request: the text format, or OpenMetrics where that is asked for.
    """
    encode, media_type = choose_encoder(accept[:ACCEPT_CHARACTERS_MAX])
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Readings(readings))
    return encode(registry), media_type


class _Readings:
    """Readings in the shape that the library encodes."""

    def __init__(self, readings: Iterable[Reading]) -> None:
        self._readings = list(readings)

    def describe(self) -> Iterable[Family]:
        return ()

    def collect(self) -> Iterator[Family]:
        families: dict[Metric, Family] = {}
        for reading in self._readings:
            family = families.get(reading.metric)
            if family is None:
                family = families[reading.metric] = _family(reading.metric)
            if isinstance(family, HistogramMetricFamily):
                assert reading.boxes is not None, "a histogram is told with `boxes`"
                family.add_metric(reading.labels, list(_added_up(reading.boxes)), reading.value)
            elif isinstance(family, CounterMetricFamily | GaugeMetricFamily):
                family.add_metric(reading.labels, reading.value)
        yield from families.values()


def _family(metric: Metric) -> Family:
    match metric.kind:
        case "gauge":
            return GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
        case "counter":
            return CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
        case "histogram":
            return HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)


def _added_up(boxes: Boxes) -> Iterator[tuple[str, float]]:
    added = list(accumulate(boxes.counts))
    for bound, count in zip(boxes.bounds, islice(added, len(boxes.bounds)), strict=True):
        yield f"{bound:g}", count
    yield "+Inf", added[-1]
