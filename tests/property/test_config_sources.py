"""Whatever a leaf's value is, file and environment say the same of it, and messages are ours."""

import contextlib
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bzzz_core.config.layers import ClusterValues
from bzzz_core.config.schema import AgentConfig, ClusterSpec
from bzzz_core.config.sections import (
    ClusterConfig,
    NetworkConfig,
    NodeEntry,
    Ports,
    SystemConfig,
)
from bzzz_core.config.sources import AgentSources, dump, load_agent_config, load_answers
from bzzz_core.errors import ConfigError
from tests.fakes.node_files import write_node_file

PORTS = st.lists(
    st.integers(1, 65_535),
    min_size=len(Ports.model_fields),
    max_size=len(Ports.model_fields),
    unique=True,
)
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1)
ONE_FILE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


def config(ports: list[int], cluster_id: str) -> AgentConfig:
    node = NodeEntry(id="n", name="a", public_key="k", address="192.0.2.1")
    return AgentConfig(
        system=SystemConfig(node_name="a"),
        network=NetworkConfig(
            address="192.0.2.1",
            ports=Ports.model_validate(dict(zip(Ports.model_fields, ports, strict=True))),
        ),
        cluster=ClusterConfig(id=cluster_id, nodes=(node,)),
    )


@ONE_FILE
@given(ports=PORTS, cluster_id=TEXT)
def test_what_is_written_is_read_back(tmp_path: Path, ports: list[int], cluster_id: str) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text(dump(config(ports, cluster_id)), encoding="utf-8")
    path.chmod(0o600)
    assert load_agent_config(path, {}) == config(ports, cluster_id)


@ONE_FILE
@given(ports=PORTS, port=st.integers(1, 65_535))
def test_the_environment_goes_before_the_file(tmp_path: Path, ports: list[int], port: int) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text(dump(config(ports, "c")), encoding="utf-8")
    path.chmod(0o600)
    environment = {"BZZZ_NETWORK__PORTS__API": str(port)}
    if port in ports[1:]:
        with pytest.raises(ConfigError, match="ports must differ"):
            load_agent_config(path, environment)
    else:
        assert load_agent_config(path, environment).network.ports.api == port


@ONE_FILE
@given(data=st.binary(max_size=400))
def test_any_bytes_are_answers_or_our_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "answers.yaml"
    path.write_bytes(data)
    with contextlib.suppress(ConfigError):
        assert isinstance(load_answers(path), ClusterSpec)


@ONE_FILE
@given(
    data=st.recursive(
        st.none() | st.booleans() | st.integers() | TEXT,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["hosts", "security", "ssh", "cluster", "x"]), inner)
        ),
        max_leaves=12,
    )
)
def test_any_document_is_answers_or_our_error(tmp_path: Path, data: object) -> None:
    path = tmp_path / "answers.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    with contextlib.suppress(ConfigError):
        assert isinstance(load_answers(path), ClusterSpec)


LAYERS = ("cluster", "file", "environment", "flag")
"""From the lowest to the highest."""


@ONE_FILE
@given(
    said=st.dictionaries(st.sampled_from(LAYERS), st.integers(100, 3_600_000)),
    elsewhere=st.sets(st.sampled_from(LAYERS)),
)
def test_the_highest_layer_that_says_something_wins(
    tmp_path: Path, said: dict[str, int], elsewhere: set[str]
) -> None:
    """And what a layer says of another leaf changes nothing."""
    key, name = "validation.watch_ms", "BZZZ_VALIDATION__WATCH_MS"
    other, other_name = "resources.log_level", "BZZZ_RESOURCES__LOG_LEVEL"
    extra = f"validation: {{watch_ms: {said['file']}}}\n" if "file" in said else ""
    path = write_node_file(tmp_path, extra)
    environment = {name: str(said["environment"])} if "environment" in said else {}
    if "environment" in elsewhere:
        environment[other_name] = "debug"
    flags = (f"{key}={said['flag']}",) if "flag" in said else ()
    flags += (f"{other}=error",) if "flag" in elsewhere else ()
    shared: dict[str, object] = {key: said["cluster"]} if "cluster" in said else {}
    shared |= {other: "warning"} if "cluster" in elsewhere else {}
    sources = AgentSources(path=path, environment=environment, flags=flags)
    loaded = sources.load(ClusterValues(1, shared))
    highest = next((layer for layer in reversed(LAYERS) if layer in said), "default")
    assert loaded.config.validation.watch_ms == said.get(highest, 1_000)
    assert loaded.origins[key].source == {"cluster": "cluster-wide"}.get(highest, highest)
