"""Configuration says where it came from, refuses what cannot be, and never shows a secret."""

from pathlib import Path

import pytest
import yaml

from bzzz_core.config.leaf import catalogue
from bzzz_core.config.schema import AgentConfig, ClusterSpec, resolve
from bzzz_core.config.secrets import Secret
from bzzz_core.config.secrets import resolve as resolve_secret
from bzzz_core.config.sections import NodeEntry
from bzzz_core.config.sources import dump, dump_own, load_agent_config, load_answers
from bzzz_core.errors import ConfigError, SecretError
from bzzz_core.model import voter_count

ANSWERS = """\
version: 1
hosts:
  - {name: alpha, address: 192.0.2.1}
  - {name: beta, address: 192.0.2.2}
  - {name: gamma, address: 192.0.2.3}
"""
NODES = tuple(
    NodeEntry(id=name, name=name, public_key="", address=f"192.0.2.{i}")
    for i, name in enumerate(("alpha", "beta", "gamma"), start=1)
)


def write(path: Path, text: str, *, mode: int = 0o640) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.fixture
def agent_file(tmp_path: Path) -> Path:
    spec = load_answers(write(tmp_path / "answers.yaml", ANSWERS))
    config = resolve(spec, spec.hosts[0], cluster_id="c1", nodes=NODES)
    return write(tmp_path / "agent.yaml", dump_own(config))


def test_a_resolved_configuration_loads_back_equal(agent_file: Path) -> None:
    config = load_agent_config(agent_file, {})
    assert config.me.address == "192.0.2.1"
    assert AgentConfig.model_validate(yaml.safe_load(dump(config))) == config


def test_the_environment_overrides_the_file(agent_file: Path) -> None:
    config = load_agent_config(agent_file, {"BZZZ_NETWORK__PORTS__API": "9090"})
    assert config.network.ports.api == 9090


def test_every_leaf_has_its_own_environment_name() -> None:
    names = [name for leaf in catalogue(AgentConfig).values() for name in leaf.environment]
    assert len(names) == len(set(names)) > 25
    assert "BZZZ_CLUSTER__TIMINGS__DETECT_MS" in names


def test_an_unknown_key_is_named_with_file_line_and_neighbour(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", ANSWERS + "cluster:\n  nmae: x\n")
    with pytest.raises(ConfigError, match=r"a\.yaml:7: cluster\.nmae: .*did you mean name\?"):
        load_answers(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not valid YAML"),
        ("- 1", "expected keys and values"),
        ("version: 2\nhosts: [{name: a, address: b}]", "version"),
        (ANSWERS + "  - {name: alpha, address: 192.0.2.9}\n", "differ in name"),
        (ANSWERS + "cluster: {timings: {detect_ms: 300}}\n", "4 x heartbeat_ms"),
        (ANSWERS + "network: {ports: {api: 4222}}\n", "ports must differ"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_answers(write(tmp_path / "a.yaml", text))


def test_a_configuration_open_to_everyone_is_refused(agent_file: Path) -> None:
    agent_file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 640"):
        load_agent_config(agent_file, {})


def test_a_pasted_secret_is_refused_and_not_repeated(tmp_path: Path) -> None:
    """The likeliest mistake must not put the secret on the screen or in a log."""
    text = ANSWERS + "security: {ssh: {sudo_password: hunter2-canary}}\n"
    with pytest.raises(ConfigError, match="write a reference") as caught:
        load_answers(write(tmp_path / "a.yaml", text))
    assert "canary" not in str(caught.value)


def test_a_secret_does_not_print() -> None:
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret} {secret!r} {secret:>9} {[secret]}"
    with pytest.raises(TypeError):
        yaml.safe_dump(secret.__reduce__())


def test_a_secret_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "token", "hunter2\n", mode=0o640)
    with pytest.raises(SecretError, match="chmod 600"):
        resolve_secret(f"file:{path}")
    path.chmod(0o600)
    assert resolve_secret(f"file:{path}").reveal() == "hunter2"


@pytest.mark.parametrize(
    ("hosts", "voters"), [(1, 1), (2, 1), (3, 3), (4, 3), (5, 5), (6, 5), (1000, 5)]
)
def test_voters_are_one_three_or_five(hosts: int, voters: int) -> None:
    assert voter_count(hosts) == voters


def test_answers_round_trip(tmp_path: Path) -> None:
    spec = load_answers(write(tmp_path / "a.yaml", ANSWERS))
    assert ClusterSpec.model_validate(yaml.safe_load(dump(spec))) == spec
