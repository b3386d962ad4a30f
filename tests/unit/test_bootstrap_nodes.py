"""`BZZZ_DHT_BOOTSTRAP_NODES`: which brokers a node tries first."""

from pathlib import Path

import pytest

from bzzz_core.clock import SystemClock
from bzzz_core.config.sources import load_agent_config
from bzzz_core.demo.layout import lay_out
from bzzz_core.fabric.nats import NatsFabric


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    files = lay_out(tmp_path_factory.mktemp("cluster"), agents=6)
    return [agent.config for agent in files.agents]


@pytest.fixture(scope="module")
def edge(cluster: list[Path]) -> Path:
    """Return the configuration of a node without a broker, beside five with one."""
    return cluster[5]


def order(path: Path, environment: dict[str, str]) -> list[str]:
    config = load_agent_config(path, environment)
    fabric = NatsFabric.from_agent_config(config, clock=SystemClock())
    return [f"{broker.host}:{broker.port}" for broker in fabric._brokers]


def test_named_brokers_come_first_and_none_is_left_out(edge: Path) -> None:
    usual = order(edge, {})
    assert len(usual) == 5
    named = order(edge, {"BZZZ_DHT_BOOTSTRAP_NODES": f"{usual[4]},{usual[2]}"})
    assert set(named[:2]) == {usual[4], usual[2]}
    assert named[2:] == [usual[0], usual[1], usual[3]]


def test_place_where_no_voter_is_known_changes_nothing(edge: Path) -> None:
    """Whoever listens there could not be told from an impostor."""
    assert order(edge, {"BZZZ_DHT_BOOTSTRAP_NODES": "192.0.2.9:4222"}) == order(edge, {})


def test_own_broker_stays_first(cluster: list[Path]) -> None:
    usual = order(cluster[0], {})
    assert order(cluster[0], {"BZZZ_DHT_BOOTSTRAP_NODES": usual[3]})[:2] == [usual[0], usual[3]]
