"""Operators with a release key, and bundles of theirs: good ones, broken ones, changed ones.

A broken release is a built one with a line changed, sealed and signed like any other: what is wrong
with it shows only when it runs.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bzzz_core.deploy import release
from bzzz_core.deploy.bundle import build, trusted
from bzzz_core.deploy.bundle.runtime import BuiltRuntime
from bzzz_core.deploy.release import Release
from bzzz_core.trust.keys import IdentityKey
from tests.testbed.state import State

ROOT = Path(__file__).resolve().parents[2]
PYTHON = "3.11"
ARCH = os.uname().machine
DAY_S = 86_400
Break = Callable[[Path], None]

NO_WAY_OUT = {
    "PIP_NO_INDEX": "1",
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_FIND_LINKS": "",
    "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
    "http_proxy": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
}
"""An operator whose pip can get nothing; the cache of built releases is empty too."""


@dataclass(frozen=True, slots=True)
class Operator:
    """A person at a terminal: hosts, a home of one's own, a release key."""

    bed: State
    home: Path

    @property
    def key(self) -> IdentityKey:
        """Return the release key, made and trusted at the first call."""
        path = self.home / "release.key"
        if path.exists():
            return IdentityKey.load(path)
        key = IdentityKey.create(path)
        trusted.trust(key.public_key, "test", trusted.trusted_file(self.home / "config" / "bzzz"))
        return key

    def setup(self, *words: str, answers: Path | None = None) -> tuple[int, list[dict[str, Any]]]:
        """Run setup, without any way out; return exit code and events."""
        done = subprocess.run(
            [
                *(sys.executable, "-m", "bzzz_tui.cli", "setup", "--json"),
                *("--answers", str(answers or self.answers()), *words),
            ],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=300,
            env={
                **os.environ,
                **NO_WAY_OUT,
                "XDG_CONFIG_HOME": str(self.home / "config"),
                "XDG_CACHE_HOME": str(self.home / "cache"),
                "PYTHONPATH": str(ROOT),
            },
        )
        assert done.stdout, done.stderr
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]

    def apply(self, bundle: Path, *words: str) -> tuple[int, list[dict[str, Any]]]:
        """Set up from a bundle."""
        return self.setup("--bundle", str(bundle), "--apply", "--yes", *words)

    def answers(self) -> Path:
        """Return the testbed's answers, with a short patience for what never gets ready."""
        path = self.home / "answers.yaml"
        path.write_text(f"{self.bed.answers.read_text()}services:\n  ready_ms_max: 15000\n")
        return path

    def on(self, host: str, script: str) -> str:
        """Run a script on a host as root and return what it prints."""
        command = self.bed.ssh_command(self.bed.host(host), f"sudo -n sh -c {shlex.quote(script)}")
        done = subprocess.run(
            command, check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=60
        )
        return done.stdout.decode(errors="replace").strip()

    def bundle(
        self,
        name: str,
        tree: Release,
        *,
        key: IdentityKey | None = None,
        runtimes: Sequence[BuiltRuntime] = (),
        age_s: int = 0,
        lives_s: int = DAY_S,
        **changes: Any,
    ) -> Path:
        """Write and sign a bundle of one release."""
        path = self.home / f"{name}.bzzz"
        now_s = int(time.time())
        wanted = build.Wanted(
            created_s=now_s - age_s, expires_s=now_s - age_s + lives_s, min_from="0.0.0", **changes
        )
        build.assemble(wanted, key or self.key, path, [tree], runtimes)
        return path


def built() -> Release:
    """Return the release of this checkout for the hosts, built as always."""
    return asyncio.run(release.build(python=PYTHON, arch=ARCH))


def variant(good: Release, place: Path, breaks: Break, *, arch: str = ARCH) -> Release:
    """Return a release that differs from a good one by what `breaks` does to its tree."""
    with tempfile.TemporaryDirectory(dir=place) as scratch:
        with tarfile.open(good.archive) as tar:
            tar.extractall(scratch, filter="data")
        work = Path(tempfile.mkdtemp(dir=place))
        (Path(scratch) / "site").rename(work / "site")
    breaks(work / "site")
    release.seal(work, "0.1.0", good.python, arch)
    return release.load(work / "done", good.python, arch)


def replace(site: Path, file: str, old: str, new: str) -> None:
    """Change a line of a release."""
    path = site / file
    text = path.read_text()
    assert old in text, f"{file} has no {old!r} any more"
    path.write_text(text.replace(old, new, 1))


_RUN = "    agent.run("


def crashes(site: Path) -> None:
    """The agent ends as soon as it is started."""
    replace(site, "bzzz_core/commands/run.py", _RUN, f"    raise SystemExit(1)\n{_RUN}")


def never_ready(site: Path) -> None:
    """The agent works, and never tells systemd."""
    replace(site, "bzzz_core/agent.py", 'notify("READY=1")', 'notify("STATUS=busy")')


def hangs(site: Path) -> None:
    """The agent says READY, and then nothing more."""
    stuck = (
        '    from bzzz_core.telemetry.notify import notify\n    notify("READY=1")\n'
        "    import time\n    time.sleep(3600)\n"
    )
    replace(site, "bzzz_core/commands/run.py", _RUN, stuck + _RUN)


def says_another_version(site: Path) -> None:
    """The agent works, and is not what its label says."""
    replace(site, "bzzz_core/__init__.py", '"0.1.0"', '"0.0.9"')


def has_no_broker(site: Path) -> None:
    """The broker's program is missing."""
    (site / "bin" / "nats-server").unlink()


def harmless(site: Path) -> None:
    """Another release that is just as good."""
    (site / "bzzz_core" / "another.txt").write_text("another\n")


def summary(events: list[dict[str, Any]]) -> dict[str, str]:
    """Return how each host came out."""
    return {host["name"]: host["result"] for host in events[-1]["hosts"]}


def failures(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what went wrong."""
    return [
        e
        for e in events
        if e.get("status") in {"failed", "rolled back"}
        or e.get("severity") == "error"
        or e["event"] == "error"
    ] or events[-3:]
