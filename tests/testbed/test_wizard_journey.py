"""The wizard in a terminal of 80x24, by keys alone, on real hosts: from nothing to the monitor."""

from __future__ import annotations

import contextlib
import shutil
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bzzz_core.config.sources import load_answers
from tests.testbed import cli
from tests.testbed.state import USER, State
from tests.testbed.terminal import ANSWER_S, LOOK_S, Terminal

pytestmark = [pytest.mark.testbed, pytest.mark.journey, pytest.mark.timeout(600)]
TYPING_S_MAX = 180
INSTALL_S_MAX = 240


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[State]:
    if shutil.which("tmux") is None:
        pytest.skip("no tmux; install it: apt-get install tmux")
    state = State(tmp_path_factory.mktemp("wizard"))
    cli.up(state, count=3, name="bzzz", suite="bookworm")
    yield state
    cli.down(state)


def test_the_short_way_leads_from_nothing_to_the_monitor(bed: State, tmp_path: Path) -> None:
    home = {"XDG_CONFIG_HOME": str(tmp_path)}
    addresses = " ".join(host.address for host in bed.hosts())
    with Terminal(["setup"], columns=80, rows=24, env=home) as terminal:
        terminal.see("Express")
        begun = time.monotonic()
        terminal.press("1")
        terminal.see("@FILE")  # The step's name stands behind the question too.
        terminal.type(addresses)
        terminal.press("Enter")
        terminal.see("not seen")  # In the table; the names stand in the hint as well.
        terminal.press("Tab", "Tab")  # over the table to the login
        terminal.press("C-u")
        terminal.type(USER)
        terminal.press("Tab", "Tab")
        terminal.type(str(bed.key))
        terminal.press("C-n")
        terminal.see("3/8 Security")
        _trust_all(terminal, len(bed.hosts()))
        terminal.press("C-n")
        terminal.see("4/8 AI Integration")
        terminal.press("C-n")
        terminal.see("6/8 Service Deployment")
        terminal.press("Enter")
        typed_s = time.monotonic() - begun
        plan = terminal.see("about", within_s=120)
        assert "changes" in plan
        terminal.press("a")
        terminal.see("done in", within_s=INSTALL_S_MAX)
        terminal.press("C-n")
        terminal.see("all name", within_s=60)
        terminal.press("C-n")
        terminal.see("no check failed", "failed;", within_s=60)
        assert "no check failed" in terminal.screen()
        terminal.press("C-n")
        terminal.see("quorum", within_s=30)
    assert typed_s < TYPING_S_MAX
    kept = load_answers(tmp_path / "bzzz" / "clusters" / "bzzz" / "answers.last.yaml")
    assert len(kept.hosts) == 3
    assert not (tmp_path / "bzzz" / "setup-session.json").exists()


def test_reachability_is_proved_and_a_bundle_tells_no_secret(bed: State, tmp_path: Path) -> None:
    home = {"XDG_CONFIG_HOME": str(tmp_path)}
    words = ["setup", "--answers", str(bed.answers)]
    with Terminal(words, columns=120, rows=40, env=home) as terminal:
        terminal.see("@FILE")
        terminal.press("C-n")
        terminal.see("2 Network", "Prove that all reach")
        terminal.press("BTab", "Enter")  # from the first field back to the button above it
        terminal.see("every host reaches every other", within_s=90)
        terminal.press("Escape")
        time.sleep(0.5)  # Escape and a letter together would be Alt and the letter.
        terminal.press("b")
        bundle = _written(tmp_path / "bzzz")
    with tarfile.open(bundle) as archive:
        texts = {
            member.name: archive.extractfile(member).read().decode()  # type: ignore[union-attr]
            for member in archive
        }
    assert "bzzz-support/answers.yaml" in texts
    secret = bed.key.read_text().splitlines()[2]
    assert all(secret not in text for text in texts.values())


def _trust_all(terminal: Terminal, hosts: int) -> None:
    """Trust keys as they come, until no host is without: some take longer to show theirs."""
    until = time.monotonic() + 60
    while (screen := terminal.screen()).count(" trusted") < hosts:
        assert time.monotonic() < until, screen
        if "key unknown" in screen:
            terminal.press("T")
        time.sleep(0.5)


def _written(directory: Path) -> Path:
    """Return the support bundle, once it is whole."""
    until = time.monotonic() + ANSWER_S
    while time.monotonic() < until:
        for path in directory.glob("support-*.tar.gz"):
            with contextlib.suppress(tarfile.TarError, EOFError), tarfile.open(path) as archive:
                archive.getmembers()
                return path
        time.sleep(LOOK_S)
    raise AssertionError("no support bundle was written")


def test_a_setup_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    home = {"XDG_CONFIG_HOME": str(tmp_path)}
    with Terminal(["setup", "--express"], columns=80, rows=24, env=home) as terminal:
        terminal.see("@FILE")
        terminal.type("127.0.0.2:1 127.0.0.3:1")
        terminal.press("Enter")
        terminal.see("bzzz-2")
        terminal.press("C-n")
        terminal.see("3/8 Security")
        time.sleep(1)  # Answers are kept half a second after the last one.
        terminal.kill()
    kept = tmp_path / "bzzz" / "setup-session.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    with Terminal(["setup"], columns=80, rows=24, env=home) as terminal:
        terminal.see("step 3, Security: bzzz-1, bzzz-2")
        terminal.press("Enter")
        terminal.see("3/8 Security")
        terminal.see("bzzz-2")
