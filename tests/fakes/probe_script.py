"""Run files of the probe's script, with tools of the test's making in place of the host's."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from bzzz_core.deploy.facts import parse as parser
from tests.fakes.probe_outputs import WORD

PLACE = Path(parser.__file__).parent
SHELLS = [
    shlex.split(words)
    for words in ("dash", "bash --posix", "busybox sh")
    if shutil.which(words.split()[0])
]
HUNG_S = 30
"""How long a hanging tool would hang; no test waits for it."""


def names(shells: list[str]) -> str:
    """Return what a test calls a shell."""
    return shells[0]


def fake(place: Path, name: str, body: str) -> None:
    """Write a tool; `body` is in sh."""
    path = place / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def run(place: Path, *files: str, change: dict[str, str] | None = None) -> bytes:
    """Return what files of the script print where the tools of `place` come first."""
    script = "".join((PLACE / name).read_text() for name in ("frame.sh", *files))
    for old, new in (change or {}).items():
        assert old in script
        script = script.replace(old, new)
    path = f"{place}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", script, "probe", WORD, "/var/lib/bzzz", "/var/log/bzzz"],
        check=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PATH": path},
        timeout=HUNG_S - 5,
    )
    assert done.stderr == b""
    return done.stdout


def started(shell: list[str], tools: Path, memory: Path, *files: str) -> subprocess.Popen[bytes]:
    """Start files of the script with a directory of the test in place of the one in memory."""
    script = "".join((PLACE / name).read_text() for name in ("frame.sh", *files))
    assert "/dev/shm" in script  # noqa: S108
    return subprocess.Popen(
        [*shell, "-c", script.replace("/dev/shm", str(memory)), "probe", WORD, "/d", "/l"],  # noqa: S108
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "TMPDIR": str(memory)},
    )


def places(tmp_path: Path) -> tuple[Path, Path]:
    """Return a place for tools and one for what the probe keeps."""
    found = tmp_path / "tools", tmp_path / "memory"
    for place in found:
        place.mkdir()
    return found
