"""A deployment on real hosts whose wizard is killed: it goes on, and is watched to its end."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bzzz_core.deploy.detached.place import runs_of
from tests.testbed import cli
from tests.testbed.operators import Operator, events, failures, until
from tests.testbed.state import State
from tests.testbed.terminal import Terminal

pytestmark = [pytest.mark.testbed, pytest.mark.journey, pytest.mark.timeout(600)]
INSTALL_S_MAX = 240


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[State]:
    if shutil.which("tmux") is None:
        pytest.skip("no tmux; install it: apt-get install tmux")
    state = State(tmp_path_factory.mktemp("detached"))
    cli.up(state, count=3, name="det", suite="bookworm")
    yield state
    cli.down(state)


def watch(operator: Operator) -> subprocess.Popen[str]:
    """Follow the run at work, or the newest."""
    return operator.begins("setup", "--attach", "--json")


def test_a_killed_wizard_does_not_end_the_deployment(bed: State, tmp_path: Path) -> None:
    operator = Operator(bed, tmp_path)
    home = {"XDG_CONFIG_HOME": str(tmp_path)}
    answers = tmp_path / "answers.yaml"
    answers.write_text(f"{bed.answers.read_text()}\ninteractive_sections: [services]\n")
    with Terminal(["setup", "--answers", str(answers)], columns=120, rows=40, env=home) as first:
        first.see("Make the plan")
        first.press("Enter")
        first.see("about", within_s=120)
        first.press("a")
        first.see("hosts are being changed")
        until(
            lambda: any((tmp_path / "bzzz" / "clusters" / "det" / "journal").glob("*.ndjson")),
            within_s=60,
            why="hosts are changed",
        )
        first.kill()
        (run,) = runs_of("det", tmp_path / "bzzz")
        assert run.alive
    # Its terminal is closed now, too.
    stays = watch(operator)
    code, said = operator.setup("--apply", "--yes")
    assert (code, f"setup --attach {run.id}" in str(said)) == (3, True), said
    with Terminal(["setup"], columns=120, rows=40, env=home) as second:
        second.see(f"run {run.id} is changing hosts of det")
        second.press("1")
        second.see("hosts are being changed")
        second.press("q")
        second.see("the run goes on by itself")
        second.press("n")
        second.see("done in", within_s=INSTALL_S_MAX)
        assert "det-3" in second.screen()
    out, err = stays.communicate(timeout=60)
    found = events(out)
    assert stays.returncode == 0, (failures(found), err)
    assert [event["event"] for event in (found[0], found[-1])] == ["run", "summary"]
    assert {host["result"] for host in found[-1]["hosts"]} == {"changed"}
    late, _ = watch(operator).communicate(timeout=60)
    assert late == out
    assert {path.stat().st_mode & 0o777 for path in run.path.iterdir()} == {0o600}
    until(lambda: not run.alive, within_s=10, why="the engine has ended")
    assert (tmp_path / "bzzz" / "clusters" / "det" / "answers.last.yaml").exists()
    assert len(list(run.journal.glob(f"{run.id}.ndjson"))) == 1
