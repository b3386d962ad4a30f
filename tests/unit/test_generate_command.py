"""`bzzz-tui setup --generate`: what it takes, what it writes over, and what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bzzz_core.deploy.generate import texts
from bzzz_core.deploy.generate.image import image
from bzzz_core.deploy.generate.writing import differing
from bzzz_core.errors import ConfigError
from bzzz_tui import generating
from bzzz_tui.cli import main
from tests.fakes.generated_texts import PLACE

IMAGE = ("--image", "registry.example/bzzz:1")


def generate(*words: str, answers: str = "one") -> Result:
    return CliRunner(env={"XDG_CONFIG_HOME": "/nonexistent"}).invoke(
        main, ["setup", "--answers", str(PLACE / f"{answers}.yaml"), "--generate", *words]
    )


def test_the_command_offers_the_kinds_there_are() -> None:
    assert set(generating.KINDS) == {*texts.KINDS, texts.ALL}


def test_one_text_is_printed_and_nothing_else() -> None:
    done = generate("kubernetes", *IMAGE)
    assert done.exit_code == 0
    assert done.stdout.startswith("# Kubernetes manifests for BZZZ")
    assert done.stderr == ""


def test_several_files_need_a_directory() -> None:
    done = generate("compose", *IMAGE)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "2 files: give --output" in done.stderr


@pytest.mark.parametrize("kind", ["compose", "swarm", "kubernetes"])
def test_without_an_image_nothing_is_made_up(kind: str, tmp_path: Path) -> None:
    done = generate(kind, "--output", str(tmp_path))
    assert done.exit_code == 2
    assert "no image of BZZZ is published" in done.stderr
    assert not list(tmp_path.iterdir())


def test_all_says_what_it_leaves_out(tmp_path: Path) -> None:
    done = generate("all", "--output", str(tmp_path))
    assert done.exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["env", "systemd"]
    for kind in ("agent-yaml", "compose", "kubernetes", "swarm"):
        assert f"left out: {kind}" in done.stderr


def test_what_differs_is_replaced_only_by_force_and_all_or_nothing(tmp_path: Path) -> None:
    assert generate("systemd", "--output", str(tmp_path)).exit_code == 0
    mine = tmp_path / "bzzz-fabric.service"
    mine.write_text("mine\n")
    other = tmp_path / "bzzz-agent.service"
    other.unlink()
    done = generate("systemd", "--output", str(tmp_path))
    assert done.exit_code == 2
    assert "bzzz-fabric.service" in done.stderr
    assert mine.read_text() == "mine\n"
    assert not other.exists()
    assert generate("systemd", "--output", str(tmp_path), "--force").exit_code == 0
    assert mine.read_text().startswith("# Written by bzzz-tui setup")
    assert other.exists()


def test_files_are_written_in_one_step_and_may_be_read_by_all(tmp_path: Path) -> None:
    assert generate("systemd", "--output", str(tmp_path)).exit_code == 0
    before = (tmp_path / "bzzz-agent.service").stat()
    assert before.st_mode & 0o777 == 0o644
    (tmp_path / "bzzz-agent.service").write_text("old")
    link = tmp_path / "link"
    link.hardlink_to(tmp_path / "bzzz-agent.service")
    assert generate("systemd", "--output", str(tmp_path), "--force").exit_code == 0
    assert link.read_text() == "old", "the old file was replaced, not written into"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "bzzz-agent.service",
        "bzzz-fabric.service",
        "link",
    ]


def test_agent_yaml_needs_the_nodes_keys_and_the_clusters_id() -> None:
    done = generate("agent-yaml")
    assert done.exit_code == 2
    assert "missing: bzzz-1" in done.stderr
    done = generate("agent-yaml", "--enrolled", str(PLACE / "enrolled"))
    assert done.exit_code == 2
    assert "--cluster-id" in done.stderr
    done = generate("agent-yaml", "--enrolled", str(PLACE / "enrolled"), "--cluster-id", "d" * 32)
    assert done.exit_code == 0
    assert done.stdout == (PLACE / "one/agent-yaml/bzzz-1/agent.yaml").read_text()


def test_a_node_whose_id_is_not_its_keys_is_refused(tmp_path: Path) -> None:
    text = (PLACE / "enrolled" / "bzzz-1.json").read_text()
    other = (PLACE / "enrolled" / "bzzz-2.json").read_text()
    (tmp_path / "bzzz-1.json").write_text(text.replace(text.split('"')[3], other.split('"')[3]))
    done = generate("agent-yaml", "--enrolled", str(tmp_path), "--cluster-id", "d" * 32)
    assert done.exit_code == 2
    assert "does not follow from its key" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("--plan",),
        ("--yes",),
        ("--json",),
        ("--name", "x"),
        ("--cluster-id", "short"),
        ("--python", "python3"),
        ("--python", "/usr/bin/python3 -c 'x'"),
    ],
)
def test_what_does_not_belong_is_refused(words: tuple[str, ...]) -> None:
    assert generate("env", *words).exit_code == 2


def test_options_of_generating_mean_nothing_without_it() -> None:
    done = CliRunner().invoke(main, ["setup", "--answers", "x", "--plan", "--force"])
    assert done.exit_code == 2
    assert "--force is for --generate" in done.stderr


@pytest.mark.parametrize(
    "reference",
    [
        "bzzz",
        "tools/bzzz:0.1.0",
        "localhost:5000/bzzz",
        "[2001:db8::1]:5000/a/b:1",
        "registry.example/a__b/c-d:1@sha256:" + "0" * 64,
    ],
)
def test_images_may_be_named_in_every_usual_way(reference: str) -> None:
    assert image(reference).reference == reference
    assert image(reference).pinned == ("@" in reference)


@pytest.mark.parametrize(
    "reference",
    ["", "Bzzz", "a b", "a:b:c", "a@sha256:0", "http://a/b", "a\n", "-a", "a/", "x" * 600],
)
def test_what_is_no_image_is_refused(reference: str) -> None:
    with pytest.raises(ConfigError, match="is no image"):
        image(reference)


def test_files_that_hold_something_else_are_named(tmp_path: Path) -> None:
    files = {"a.yaml": "a\n", "b.yaml": "b\n", "c.yaml": "c\n"}
    (tmp_path / "a.yaml").write_text("a\n")
    (tmp_path / "b.yaml").write_text("mine\n")
    assert differing(tmp_path, files) == ("b.yaml",)
