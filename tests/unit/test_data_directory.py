"""One agent for one data directory, however the other one was told to listen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bzzz_core import data_directory
from bzzz_core.errors import UNDONE, AlreadyRunning, BzzzError

HOLDER = """
import sys
from pathlib import Path
from bzzz_core import data_directory
with data_directory.held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_agent_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    """It would be the same voter with a second mind."""
    with data_directory.held(tmp_path):
        with (
            pytest.raises(AlreadyRunning, match="another agent runs on") as refused,
            data_directory.held(tmp_path),
        ):
            pass
        assert refused.value.exit_code == UNDONE
    with data_directory.held(tmp_path):
        assert (tmp_path / "agent.lock").stat().st_mode & 0o777 == 0o600


def test_a_killed_agent_holds_nothing_and_its_children_neither(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    with holder, holder.stdout:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(AlreadyRunning), data_directory.held(tmp_path):
            pass
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    with data_directory.held(tmp_path):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with child, data_directory.held(tmp_path):
        child.kill()


def test_a_directory_that_is_not_there_is_said_plainly(tmp_path: Path) -> None:
    with (
        pytest.raises(BzzzError, match="cannot use the data directory"),
        data_directory.held(tmp_path / "absent"),
    ):
        pass
