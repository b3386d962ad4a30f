"""What the integration tests share: brokers are started once a session, three of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pytest

from tests.fakes.broker_cluster import BrokerCluster


@pytest.fixture(scope="session")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerCluster]:
    """Three voters with running brokers, and one edge; tests leave all three running."""
    with BrokerCluster(tmp_path_factory.mktemp("brokers"), nodes=4) as cluster:
        yield cluster


@pytest.fixture
def healthy(brokers: BrokerCluster) -> Iterator[BrokerCluster]:
    """Those three, running before the test and again after it; the fourth node is the edge."""
    yield brokers
    for number in range(len(brokers.brokers)):
        if number not in brokers.processes:
            brokers.start(number)
    brokers.wait_ready()


@pytest.fixture
def aloud(request: pytest.FixtureRequest) -> Callable[[Iterable[str]], None]:
    """Prints lines that are to be seen though the test passes."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def say(lines: Iterable[str]) -> None:
        with capture.global_and_fixture_disabled():
            for line in lines:
                print(line)  # noqa: T201

    return say
