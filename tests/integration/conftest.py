"""What the integration tests share: brokers are started once a session, three of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.broker_cluster import BrokerCluster


@pytest.fixture(scope="session")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerCluster]:
    """Three voters with running brokers, and one edge; tests leave all three running."""
    with BrokerCluster(tmp_path_factory.mktemp("brokers"), nodes=4) as cluster:
        yield cluster
