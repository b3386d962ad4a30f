"""The headless twin: answers files that are written, asked for in part, and kept after a run."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from bzzz_core.config.schema import ClusterSpec
from bzzz_core.config.sources import load_answers
from bzzz_core.deploy import last_answers
from bzzz_core.deploy.facts.host import Listener
from bzzz_tui import writing_answers
from bzzz_tui.cli import main
from screens.setup.draft import Draft, parse_hosts
from tests.fakes.deploy_goals import fresh


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def ask(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


def test_flags_become_an_answers_file_that_loads(tmp_path: Path) -> None:
    target = tmp_path / "a.yaml"
    flags = ["--host", "lab=admin@10.0.0.1:2222", "--host", "10.0.0.2", "--offline"]
    done = ask("setup", "--write-answers", str(target), *flags, "--set", "cluster.name=lab")
    assert done.exit_code == 0, done.output
    spec = load_answers(target)
    assert [(h.name, h.address, h.port, h.user) for h in spec.hosts] == [
        ("lab", "10.0.0.1", 2222, "admin"),
        ("bzzz-1", "10.0.0.2", None, None),
    ]
    assert spec.cluster.name == "lab"
    assert target.stat().st_mode & 0o777 == 0o600


def test_an_inventory_becomes_an_answers_file(tmp_path: Path) -> None:
    (tmp_path / "hosts.ini").write_text("[gpu]\nn[1:2].lab ansible_user=ops\n")
    target = tmp_path / "a.yaml"
    inventory = str(tmp_path / "hosts.ini")
    ask("setup", "--write-answers", str(target), "--inventory", inventory, "--offline")
    assert [host.name for host in load_answers(target).hosts] == ["n1", "n2"]


def test_what_a_flag_says_is_kept_although_the_hosts_suggest_something_else() -> None:
    """Also where it says what the default is: port 8080 is taken there, and its owner will move."""
    taken = (Listener("::", 8080, process="nginx"), Listener("::", 4222, process="other"))
    facts = {"a": msgspec.structs.replace(fresh(1), listeners=taken)}
    draft = Draft(hosts=parse_hosts("a=10.0.0.1", ()))
    said: list[str] = []
    writing_answers.suggest(draft, facts, {"network.ports.api"}, said.append)
    assert draft.get("network.ports.api") == "8080"
    assert draft.get("network.ports.fabric_client") != "4222"
    assert [line.partition(":")[0] for line in said] == ["network.ports.fabric_client"]


def test_a_host_that_cannot_be_reached_is_a_warning(tmp_path: Path) -> None:
    target = tmp_path / "a.yaml"
    done = ask("setup", "--write-answers", str(target), "--host", "127.0.0.1:1")
    assert done.exit_code == 0
    assert "nothing is detected there" in done.output
    assert target.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host", "a", "--offline"], "is for --write-answers"),
        (["--write-answers", "F", "--offline"], "hosts"),
        (["--write-answers", "F", "--host", "a", "--set", "cluster.nam=x"], "cluster.name"),
        (["--write-answers", "F", "--host", "a", "--set", "cluster.name=UP CASE"], "lower-case"),
        (["--write-answers", "F", "--host", "a", "--plan"], "no other mode"),
    ],
)
def test_what_cannot_be_is_said(tmp_path: Path, words: list[str], said: str) -> None:
    words = [str(tmp_path / "a.yaml") if word == "F" else word for word in words]
    done = ask("setup", *words)
    assert done.exit_code == 2
    assert said in done.output
    assert not (tmp_path / "a.yaml").exists()


def test_an_answers_file_is_never_replaced(tmp_path: Path) -> None:
    target = tmp_path / "a.yaml"
    target.write_text("mine")
    done = ask("setup", "--write-answers", str(target), "--host", "10.0.0.1", "--offline")
    assert done.exit_code == 2
    assert target.read_text() == "mine"


def test_sections_to_ask_for_are_refused_where_nobody_can_be_asked(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("hosts: [{name: a, address: 10.0.0.1}]\ninteractive_sections: [network]\n")
    done = ask("setup", "--answers", str(path), "--plan")
    assert done.exit_code == 2
    assert "interactive_sections" in done.output


def test_the_answers_of_the_last_run_load_back_equal(tmp_path: Path) -> None:
    spec = ClusterSpec.model_validate(
        {
            "hosts": [{"name": "a", "address": "10.0.0.1"}],
            "security": {"ssh": {"password": "env:PW"}},
            "network": {"ports": {"api": 9090}},
        }
    )
    path = last_answers.keep(spec, tmp_path)
    assert path == last_answers.path_of("bzzz", tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_answers(path) == spec


@pytest.mark.parametrize("words", [["--plan"], ["--uninstall"], ["--check", "--json"]])
def test_whoever_forgot_the_answers_file_is_told_of_the_last_run_s(words: list[str]) -> None:
    before = ask("setup", *words)
    assert before.exit_code == 2
    assert before.stderr.rstrip().endswith("--answers FILE")
    spec = ClusterSpec.model_validate({"hosts": [{"name": "a", "address": "10.0.0.1"}]})
    path = last_answers.keep(spec)
    assert str(path) in ask("setup", *words).stderr


def test_a_bundle_by_command_needs_a_cluster(tmp_path: Path) -> None:
    done = ask("support-bundle", str(tmp_path / "b.tar.gz"))
    assert done.exit_code == 2
    assert "no cluster was set up from here" in done.output
    spec = ClusterSpec.model_validate({"hosts": [{"name": "a", "address": "10.0.0.1"}]})
    last_answers.keep(spec)
    done = ask("support-bundle", str(tmp_path / "b.tar.gz"))
    assert done.exit_code == 0, done.output
    assert (tmp_path / "b.tar.gz").exists()
