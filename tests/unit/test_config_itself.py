"""`config set` writes nothing with which the node would not be itself any more."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import yaml
from click.testing import CliRunner, Result

from bzzz_core.cli import main
from bzzz_core.config.sources import load_agent_config
from bzzz_core.enrolment.cache import RegistryCache
from bzzz_core.enrolment.founder import Founding, found
from bzzz_core.enrolment.home import Home
from bzzz_core.enrolment.joiner import Newcomer
from bzzz_core.enrolment.registry import genesis
from bzzz_core.model import ClusterId


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A node that is enrolled as `two`, beside a member `one` whose key is elsewhere."""
    home, nodes = Home.below(tmp_path / "two"), []
    for name in ("one", "two"):
        founding = Founding(cluster_name="home", leaf_s=3_600, ca_directory=tmp_path / f"ca-{name}")
        newcomer = Newcomer.described(name, "127.0.0.1", ["api=1"])
        config = found(newcomer, founding, home=Home.below(tmp_path / name))
        nodes += config.model_dump(mode="json")["cluster"]["nodes"]
    document = yaml.safe_load(home.config.read_text())
    document["cluster"]["nodes"] = nodes
    home.config.write_text(yaml.safe_dump(document))
    return home.config


def change(file: Path, *pairs: str) -> Result:
    return CliRunner().invoke(main, ["config", "set", "--config", str(file), *pairs])


def keep_registry(file: Path) -> None:
    """Let the node know the registry, as after its first start."""
    config = load_agent_config(file, {})
    known = msgspec.structs.replace(genesis(config), version=1)
    data = Path(config.resources.paths.data)
    assert RegistryCache(data, cluster=ClusterId(config.cluster.id)).store(known)


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize(
    ("pair", "why"),
    [
        (("system.node_name", "one"), "the key here is not that of one but of two"),
        (("system.node_name", "three"), "cluster.nodes has no node named three"),
        (("cluster.id", "x"), "cluster"),
        (("security.directory", "/nowhere"), "no agent would start with this: /nowhere"),
    ],
)
def test_another_self_is_refused(
    file: Path, pair: tuple[str, str], why: str, *, started: bool
) -> None:
    if started:
        keep_registry(file)
    before = file.read_bytes()
    refused = change(file, *pair)
    assert (refused.exit_code, why in refused.stderr) == (2, True), refused.output
    assert file.read_bytes() == before


def test_all_else_can_be_set_and_a_moved_home_too(file: Path, tmp_path: Path) -> None:
    keep_registry(file)
    assert change(file, "resources.log_level", "debug").exit_code == 0
    secrets, data = tmp_path / "moved", tmp_path / "data"
    config = load_agent_config(file, {})
    Path(config.security.directory).rename(secrets)
    Path(config.resources.paths.data).rename(data)
    pairs = ("security.directory", str(secrets), "resources.paths.data", str(data))
    moved = change(file, *pairs, "security.api_token", f"file:{secrets / 'api-token'}")
    assert moved.exit_code == 0, moved.output
    assert "the agent cannot be asked" in moved.output


def test_a_file_that_was_spoilt_by_hand_can_be_mended(file: Path) -> None:
    keep_registry(file)
    file.write_text(file.read_text().replace("node_name: two", "node_name: one"))
    assert change(file, "system.node_name", "two").exit_code == 0
