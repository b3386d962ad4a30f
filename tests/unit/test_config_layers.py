"""Flag > environment > file > cluster-wide > default; every message names the place."""

import re
from pathlib import Path

import msgspec
import pytest
import yaml

from bzzz_core.config.layers import ClusterValues, Source
from bzzz_core.config.report import json_schema, settings, variables
from bzzz_core.config.schema import AgentConfig, ClusterSpec
from bzzz_core.config.sources import AgentSources, load_agent_config
from bzzz_core.config.value import as_text, from_text, plain
from bzzz_core.errors import ConfigError
from tests.fakes.node_files import LEAVES, other_value, sources_of, write_node_file

SPEC_ALIASES = {
    "BZZZ_DHT_BACKEND": ("services.backends.dht", "hybrid", "hybrid"),
    "BZZZ_DHT_BOOTSTRAP_NODES": (
        "cluster.dht.bootstrap_nodes",
        "192.0.2.1:4222, [2001:db8::1]:4222",
        ["192.0.2.1:4222", "[2001:db8::1]:4222"],
    ),
    "BZZZ_FALLBACK_ON_ERROR": ("services.fallback", "true", True),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_node_file(tmp_path)


@pytest.mark.parametrize("key", LEAVES)
def test_every_leaf_can_be_set_by_environment(path: Path, key: str) -> None:
    leaf = LEAVES[key]
    wanted = other_value(load_agent_config(path, {}), leaf)
    loaded = sources_of(path, **{leaf.environment[0]: as_text(wanted)}).load()
    found = plain(loaded.config)[key]
    if key == "cluster.nodes":
        assert [node["address"] for node in found] == ["192.0.2.11", "192.0.2.12"]
    else:
        assert found == wanted
    assert loaded.origins[key].source is Source.ENVIRONMENT
    assert loaded.origins[key].place == leaf.environment[0]


def test_nearly_every_leaf_of_the_test_above_really_changed(path: Path) -> None:
    """A helper that finds no other value would make the test above prove nothing."""
    config = load_agent_config(path, {})
    same = [key for key, leaf in LEAVES.items() if other_value(config, leaf) == plain(config)[key]]
    assert same == ["version"]


@pytest.mark.parametrize("key", [k for k, leaf in LEAVES.items() if leaf.optional])
def test_an_empty_variable_means_not_set(path: Path, key: str) -> None:
    config = load_agent_config(path, {LEAVES[key].environment[0]: ""})
    assert plain(config)[key] is None


@pytest.mark.parametrize("name", SPEC_ALIASES)
def test_short_names_of_the_specification_work(path: Path, name: str) -> None:
    key, text, value = SPEC_ALIASES[name]
    loaded = sources_of(path, **{name: text}).load()
    assert plain(loaded.config)[key] == value
    assert loaded.origins[key].place == name


def test_the_long_name_goes_before_the_short_one(path: Path) -> None:
    both = {"BZZZ_DHT_BACKEND": "mock", "BZZZ_SERVICES__BACKENDS__DHT": "hybrid"}
    assert sources_of(path, **both).load().config.services.backends.dht == "hybrid"


def test_a_number_stays_a_text_where_a_text_is_wanted(path: Path) -> None:
    config = load_agent_config(
        path, {"BZZZ_CLUSTER__ID": "0123", "BZZZ_AI__ENDPOINT__MODEL": "yes"}
    )
    assert (config.cluster.id, config.ai.endpoint.model) == ("0123", "yes")


def test_each_layer_goes_before_the_one_below(path: Path) -> None:
    key, leaf = "resources.log_level", LEAVES["resources.log_level"]
    assert plain(sources_of(path).load().config)[key] == "info"

    cluster = ClusterValues(4, {key: "warning"})
    loaded = sources_of(path).load(cluster)
    assert (plain(loaded.config)[key], loaded.origins[key].place) == ("warning", "revision 4")

    path.write_text(path.read_text().replace("resources:", "resources:\n  log_level: error"))
    loaded = sources_of(path).load(cluster)
    assert (plain(loaded.config)[key], loaded.origins[key].source) == ("error", Source.FILE)
    assert re.fullmatch(r".*agent\.yaml:12", loaded.origins[key].place)

    environment = {leaf.environment[0]: "debug"}
    loaded = sources_of(path, **environment).load(cluster)
    assert (plain(loaded.config)[key], loaded.origins[key].source) == ("debug", Source.ENVIRONMENT)

    flags = ("resources.log_level=error", "resources.log_level=warning")
    loaded = AgentSources(path=path, environment=environment, flags=flags).load(cluster)
    assert (plain(loaded.config)[key], loaded.origins[key].source) == ("warning", Source.FLAG)


def test_what_is_the_node_s_own_is_never_taken_from_the_cluster(path: Path) -> None:
    cluster = ClusterValues(1, {"network.api_host": "0.0.0.0", "of.the.future": 1})  # noqa: S104
    assert sources_of(path).load(cluster).config.network.api_host == "127.0.0.1"


@pytest.mark.parametrize(
    ("flags", "environment", "message"),
    [
        (("resources.log_level",), {}, "KEY=VALUE"),
        (("resources.log_levle=x",), {}, r"did you mean resources\.log_level\?"),
        (("resources=x",), {}, r"it is a section: resources\.paths\.data"),
        (("network.ports.api=x",), {}, r"flag --set: network\.ports\.api: .*integer"),
        ((), {"BZZZ_NETWORK__PORTS__API": "x"}, r"environment BZZZ_NETWORK__PORTS__API: .*integer"),
        ((), {"BZZZ_NETWORK__PORTS__APPI": "1"}, r"did you mean BZZZ_NETWORK__PORTS__API\?"),
        ((), {"BZZZ_CLUSTER__NODES": "[{"}, r"BZZZ_CLUSTER__NODES: not a list in YAML"),
        ((), {"BZZZ_CLUSTER__NODES": "[" + "x" * 1_000_001}, "longer than"),
        (
            (),
            {"BZZZ_DHT_BOOTSTRAP_NODES": "a:0"},
            r"BZZZ_DHT_BOOTSTRAP_NODES: .*bootstrap_nodes\.0",
        ),
    ],
)
def test_a_message_names_the_flag_or_variable(
    path: Path, flags: tuple[str, ...], environment: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        AgentSources(path=path, environment=environment, flags=flags).load()


def test_a_message_about_a_cluster_wide_value_names_its_revision(path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cluster-wide revision 3: resources\.log_level"):
        sources_of(path).load(ClusterValues(3, {"resources.log_level": "loud"}))


def test_foreign_variables_are_left_alone(path: Path) -> None:
    assert load_agent_config(path, {"BZZZ_REQUIRE_SERVICES": "all", "HOME": "/x"})


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("node_name: alpha", "node_name: alpha, node_name: beta", r":3: this key was given before"),
        ("address: 192.0.2.1\n", "adress: 192.0.2.1\n", r"agent\.yaml:5: network\.adress: unknown"),
        ("api: 18080", "api: [1]", r"agent\.yaml:7: network\.ports\.api: Input should be"),
        ("voter: true", "vote: true", r"agent\.yaml:16: cluster\.nodes\.0\.vote: .*voter"),
        ("{node_name: alpha}", "*alias", "not valid YAML: found undefined alias"),
        ("id: c1", "id: 2024-99-99", "not valid YAML"),
    ],
)
def test_a_message_about_the_file_names_the_line(
    path: Path, before: str, after: str, message: str
) -> None:
    path.write_text(path.read_text().replace(before, after, 1))
    with pytest.raises(ConfigError, match=message):
        sources_of(path).load()


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o604, 0o650, 0o641])
def test_looser_modes_are_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 640"):
        sources_of(path).load()


def test_what_is_no_text_is_refused(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        sources_of(path).load()
    path.write_bytes(b"#" * 1_000_001)
    with pytest.raises(ConfigError, match="larger than"):
        sources_of(path).load()
    with pytest.raises(ConfigError, match="No such file"):
        sources_of(tmp_path / "absent").load()
    with pytest.raises(ConfigError, match="No such file"):
        load_agent_config(tmp_path / "absent")


@pytest.mark.parametrize(
    ("profile", "backend", "falls_back"),
    [
        ("development", "mock", True),
        ("integration", "hybrid", True),
        ("staging", "real", True),
        ("production", "real", False),
    ],
)
def test_a_profile_gives_every_backend_its_default(
    path: Path,
    profile: str,
    backend: str,
    falls_back: bool,  # noqa: FBT001
) -> None:
    services = sources_of(path, BZZZ_SERVICES__PROFILE=profile).load().config.services
    assert (services.backend_of("dht"), services.falls_back) == (backend, falls_back)


def test_a_flag_goes_before_the_profile(path: Path) -> None:
    variables_ = {"BZZZ_SERVICES__PROFILE": "production", "BZZZ_FALLBACK_ON_ERROR": "yes"}
    services = sources_of(path, **variables_, BZZZ_DHT_BACKEND="mock").load().config.services
    assert (services.backend_of("dht"), services.falls_back) == ("mock", True)


def test_all_eight_sections_exist_on_both_sides() -> None:
    eight = [
        "system", "network", "security", "ai", "resources", "services", "cluster", "validation",
    ]  # fmt: skip
    others = {"version", "hosts", "interactive_sections"}
    for model in (AgentConfig, ClusterSpec):
        assert [name for name in model.model_fields if name not in others] == eight


def test_every_leaf_says_what_it_is_for(path: Path) -> None:
    for leaf in LEAVES.values():
        assert leaf.label, leaf.key
        assert leaf.help.endswith("."), leaf.key
    loaded = sources_of(path).load()
    assert {one.key for one in settings(loaded.config, loaded.origins)} == set(LEAVES)
    names = [one.name for one in variables(loaded.origins)]
    assert len(names) == len(set(names)) > len(LEAVES)


@pytest.mark.parametrize("model", [AgentConfig, ClusterSpec])
def test_the_schema_is_json_and_forbids_unknown_keys(model: type[AgentConfig]) -> None:
    schema = msgspec.json.decode(msgspec.json.encode(json_schema(model, "x")))
    assert schema["$schema"].endswith("2020-12/schema")
    assert schema["additionalProperties"] is False
    for section in schema["$defs"].values():
        assert section["additionalProperties"] is False
        fields = section["properties"].values()
        assert all("description" in field or "$ref" in field for field in fields)


def test_a_list_of_entries_is_yaml_or_json() -> None:
    leaf = LEAVES["cluster.nodes"]
    entry = {"id": "n1", "name": "alpha"}
    assert from_text(leaf, "[{id: n1, name: alpha}]", "") == [entry]
    assert from_text(leaf, msgspec.json.encode([entry]).decode(), "") == [entry]
    assert yaml.safe_load(as_text([entry])) == [entry]
