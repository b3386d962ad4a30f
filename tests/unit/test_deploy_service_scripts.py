"""The script that waits for a unit, run by a real shell against a systemd that only pretends."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from bzzz_core.deploy import services
from tests.fakes.probe_script import fake

SYSTEMCTL = """
case $* in
  *NRestarts*) head -n 1 "$SCENE/counts"; sed -i 1d "$SCENE/counts" ;;
  *ActiveState*) [ "$(wc -l <"$SCENE/counts")" -gt 1 ] && echo activating || echo active ;;
esac
"""
"""Gives the counts of the test, one a look; active with the last of them."""


def waited(tmp_path: Path, *counts: int, healthy: bool) -> subprocess.CompletedProcess[str]:
    """Wait for a unit of which systemd counts so many new starts, look by look."""
    (tmp_path / "counts").write_text("".join(f"{count}\n" for count in counts))
    fake(tmp_path, "systemctl", SYSTEMCTL)
    for name, body in {
        "journalctl": ":",
        "sleep": ":",
        "python": f"exit {int(not healthy)}",
    }.items():
        fake(tmp_path, name, body)
    return subprocess.run(
        ["sh", "-c", services._WAIT, "bzzz", "bzzz-fabric", "8222", str(tmp_path / "python")],
        check=False,
        capture_output=True,
        text=True,
        timeout=20,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "SCENE": str(tmp_path)},
    )


def test_a_broker_that_crashed_long_ago_is_waited_for(tmp_path: Path) -> None:
    """The count is since its last start by hand; it was given up at the first look."""
    assert waited(tmp_path, 5, 5, 5, healthy=True).returncode == 0


def test_a_broker_that_crashes_while_we_look_is_given_up(tmp_path: Path) -> None:
    done = waited(tmp_path, 5, 6, 7, 8, healthy=False)
    assert (done.returncode, "is active, restarted 8 times" in done.stderr) == (1, True)
