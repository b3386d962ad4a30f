"""Uninstalling leaves a host as it was before: compared file by file, for the whole of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.testbed import cli
from tests.testbed.manifests import differences, manifest
from tests.testbed.operators import ROOT, Operator, changes, failures, planned
from tests.testbed.state import State

pytestmark = [pytest.mark.testbed, pytest.mark.journey, pytest.mark.timeout(600)]
NAMES = ("gone-1", "gone-2", "gone-3")


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    bed = State(tmp_path_factory.mktemp("uninstall"))
    cli.up(bed, count=3, name="gone", suite="bookworm")
    home = tmp_path_factory.mktemp("home")
    operator = Operator(bed, home, home / "answers.yaml")
    operator.answer(NAMES)
    yield operator
    cli.down(bed)


@pytest.fixture(scope="module")
def before(operator: Operator) -> dict[str, frozenset[str]]:
    """Return the hosts as they were; one has a command of our name, two an empty directory."""
    operator.on("gone-1", "printf '#!/bin/sh\\necho mine\\n' >/usr/local/bin/bzzz-agent")
    operator.on("gone-1", "chmod 755 /usr/local/bin/bzzz-agent")
    operator.on("gone-2", "mkdir -m 755 /var/lib/bzzz")
    operator.on("gone-3", "mkdir -m 711 /var/log/bzzz")
    return {name: manifest(operator, name) for name in NAMES}


def test_uninstalling_leaves_the_file_system_as_it_was(
    operator: Operator, before: dict[str, frozenset[str]]
) -> None:
    operator.apply()
    assert all(differences(before[name], manifest(operator, name)) for name in NAMES)
    code, events = operator.setup("--uninstall", "--plan")
    assert code == 0
    said = " ".join(planned(events)["gone-3"])
    for thing in ("bzzz-agent.service", "/etc/bzzz", "/var/lib/bzzz", "/opt/bzzz", "user bzzz"):
        assert thing in said
    assert operator.on("gone-3", "systemctl is-active bzzz-agent") == "active", "only a plan"
    code, events = operator.setup("--uninstall", "--yes")
    assert code == 0, failures(events)
    for name in NAMES:
        found = differences(before[name], manifest(operator, name))
        assert found == [], "\n".join(found)
        assert operator.on(name, "ls /var/log/bzzz").split(), "logs stay"
        assert operator.on(name, "stat -c %U /var/log/bzzz") == "root"
    assert operator.on("gone-2", "stat -c %a:%U /var/lib/bzzz") == "755:root"
    assert operator.on("gone-3", "stat -c %a:%U:%G /var/log/bzzz") == "711:root:root"


def test_nothing_is_installed_over_what_others_put_there(operator: Operator) -> None:
    """What stands beside somebody's files could not be told from them when it goes."""
    operator.on("gone-2", "echo mine >/var/lib/bzzz/foreign")
    code, events = operator.setup("--apply", "--yes")
    assert code == 3
    assert "holds files and belongs to root" in str(failures(events))
    operator.on("gone-2", "rm /var/lib/bzzz/foreign")


def test_uninstalling_again_changes_nothing(operator: Operator) -> None:
    code, events = operator.setup("--uninstall", "--yes")
    assert (code, set(changes(events).values())) == (0, {0}), planned(events)


def test_logs_that_were_kept_are_installed_over_and_kept_again(operator: Operator) -> None:
    """Also where they lie in a directory that was there before BZZZ, which is given back again."""
    operator.apply()
    assert operator.on("gone-3", "stat -c %a:%U:%G /var/log/bzzz/agent.log").endswith("bzzz:bzzz")
    code, events = operator.setup("--uninstall", "--yes")
    assert code == 0, failures(events)
    assert operator.on("gone-3", "stat -c %a:%U:%G /var/log/bzzz") == "711:root:root"
    assert operator.on("gone-3", "stat -c %U:%G /var/log/bzzz/agent.log") == "root:root"


def test_an_installation_that_was_cut_short_is_removed_too(
    operator: Operator, before: dict[str, frozenset[str]]
) -> None:
    """It was killed while the first releases were there and the agents were not."""
    command = [sys.executable, "-m", "bzzz_tui.cli", "setup", "--answers", str(operator.answers)]
    process = subprocess.Popen(
        [*command, "--apply", "--yes"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "XDG_CONFIG_HOME": str(operator.home), "PYTHONPATH": str(ROOT)},
    )
    deadline = time.monotonic() + 120
    while operator.on("gone-3", "ls /etc/bzzz/secrets 2>/dev/null") == "":
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=10)
    code, events = operator.setup("--uninstall", "--yes", "--purge")
    assert code == 0, failures(events)
    for name in NAMES:
        found = differences(before[name], manifest(operator, name))
        assert found == [], "\n".join(found)
    for name in ("gone-1", "gone-2"):
        assert operator.on(name, "ls -d /var/log/bzzz 2>/dev/null") == "", "--purge takes logs"
    assert operator.on("gone-3", "ls -A /var/log/bzzz") == ""
    assert operator.on("gone-3", "stat -c %a:%U:%G /var/log/bzzz") == "711:root:root"
