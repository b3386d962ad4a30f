"""`bzzz-agent fabric` and `dht put`: what they refuse before anybody is asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bzzz_core.cli import main
from tests.fakes.node_files import write_node_file

LIMIT = 1_000_000


def command(*words: str, **options: bytes) -> Result:
    return CliRunner().invoke(main, words, catch_exceptions=False, **options)


@pytest.fixture
def edge(tmp_path: Path) -> Path:
    """An edge's file in a cluster of one voter."""
    path = write_node_file(tmp_path, node="gamma")
    lines = [line for line in path.read_text().splitlines() if "name: beta" not in line]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    "words",
    [
        ("snapshot", "new"),
        ("restore", "agent.yaml"),
        ("remove", "peer"),
        ("rescue", "--the-other-voters-are-lost-for-good"),
    ],
    ids=" ".join,
)
def test_an_edge_says_that_it_runs_no_broker_and_who_does(
    edge: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(edge.parent)
    refused = command("fabric", words[0], f"--config={edge}", *words[1:])
    assert (refused.exit_code, refused.stderr) == (
        2,
        "bzzz-agent: gamma is an edge: it runs no broker; run this on a voter (alpha)\n",
    )
    assert not (edge.parent / "new").exists()


@pytest.mark.parametrize("size", [LIMIT + 1, 2 * LIMIT])
def test_a_value_that_is_too_large_is_refused_without_a_wrong_number(
    edge: Path, tmp_path: Path, size: int
) -> None:
    value = tmp_path / "value"
    value.write_bytes(bytes(size))
    for refused in (
        command("dht", "put", f"--config={edge}", "key", str(value)),
        command("dht", "put", f"--config={edge}", "key", input=bytes(size)),
    ):
        assert refused.exit_code == 2
        assert f"a value has at most {LIMIT} bytes; this one has more" in refused.stderr
