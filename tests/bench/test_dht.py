"""The hash table's budgets (SPEC P6, S7, F5), each printed beside what was measured."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.bench.dht import measure_cluster, measure_fallback, measure_mock
from tests.fakes.broker_cluster import BrokerCluster


def show(name: str, found: float, budget: str) -> None:
    print(f"  {name:<14} {found:>12,.10g}   budget {budget}")


def test_table_in_memory() -> None:
    found = asyncio.run(measure_mock())
    print()
    show("mock puts/s", found["mock_puts"], ">= 100,000")
    show("mock gets/s", found["mock_gets"], ">= 200,000")
    show("  hot keys", found["mock_gets_hot"], "-")
    assert found["mock_puts"] >= 100_000
    assert found["mock_gets"] >= 200_000


@pytest.mark.integration
def test_table_on_brokers(tmp_path: Path) -> None:
    with BrokerCluster(tmp_path / "cluster", nodes=4) as cluster:
        found = asyncio.run(measure_cluster(cluster))
        lost = asyncio.run(measure_fallback(cluster, tmp_path))
    print()
    show("copy reads/s", found["copy_reads"], ">= 50,000")
    for callers in (1, 64):
        show(f"put/s @{callers}", found[f"put_{callers}"], "-")
        show(f"  nats-py @{callers}", found[f"raw_put_{callers}"], "-")
        show("  ratio", found[f"put_ratio_{callers}"], "<= 1.3")
    show("get/s (edge)", found["get_1"], "-")
    show("fallback ms", lost["fallback_ms"], "< 100")
    show("recovery ms", lost["recovery_ms"], "< 30,000")
    assert found["copy_reads"] >= 50_000
    assert found["put_ratio_1"] <= 1.3
    assert found["put_ratio_64"] <= 1.3
    assert lost["fallback_ms"] < 100
    assert lost["recovery_ms"] < 30_000
