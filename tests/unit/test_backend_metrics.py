"""Figures of a backend: counts, boxes of latency, share of recent errors."""

import pytest

from bzzz_core.fabric.backend_metrics import BOUNDS_MS, BackendMetrics


def test_before_anything_happened_nothing_is_claimed() -> None:
    report = BackendMetrics().report()
    assert (report.operations, report.error_rate) == (0, 0.0)
    assert report.p50_ms is None
    assert report.p99_ms is None


@pytest.mark.parametrize(
    ("latencies", "p50", "p99"),
    [
        ([0.1], 0.1, 0.1),
        ([0.11], 0.25, 0.25),
        ([1] * 98 + [30, 30], 1, 50),
        ([1] * 49 + [6_000] * 51, float("inf"), float("inf")),
        ([*BOUNDS_MS], 25, 5_000),
    ],
)
def test_a_percentile_is_the_bound_above_it(latencies: list[float], p50: float, p99: float) -> None:
    metrics = BackendMetrics()
    for latency in latencies:
        metrics.succeeded(latency)
    assert (metrics.report().p50_ms, metrics.report().p99_ms) == (p50, p99)


def test_the_share_of_errors_is_of_the_latest_operations() -> None:
    """A bad hour a week ago must not look like trouble now."""
    metrics = BackendMetrics()
    for _ in range(1_000):
        metrics.failed()
    assert metrics.report().error_rate == 1.0
    for _ in range(150):
        metrics.succeeded(1)
    assert metrics.report().error_rate == 0.25
    for _ in range(50):
        metrics.succeeded(1)
    report = metrics.report()
    assert (report.error_rate, report.failures, report.operations) == (0.0, 1_000, 1_200)
