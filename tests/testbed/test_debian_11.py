"""A host whose Python is too old: Debian 11, with 3.9 and glibc 2.31.

Nothing is sent to it until a bundle brings a Python that runs there, and one that was built for a
newer C library is told from one that does.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bzzz_core.deploy.bundle import runtime
from bzzz_core.deploy.release import Release
from tests.testbed import bundles, cli, docker_daemon, image
from tests.testbed.bundles import Operator
from tests.testbed.docker_daemon import TestbedError
from tests.testbed.state import State

pytestmark = [pytest.mark.testbed, pytest.mark.journey, pytest.mark.timeout(1_500)]
HOST = "old-1"


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    bed = State(tmp_path_factory.mktemp("old"))
    try:
        cli.up(bed, count=1, name="old", suite="bullseye")
    except TestbedError as exc:  # its archive closes one day, and the test with it
        if "debootstrap failed" in str(exc):
            pytest.skip(f"the mirror has no Debian 11 any more: {exc}")
        raise
    yield Operator(bed, tmp_path_factory.mktemp("home"))
    cli.down(bed)


@pytest.fixture(scope="module")
def good() -> Release:
    return bundles.built()


@pytest.fixture(scope="module")
def too_new(operator: Operator) -> runtime.BuiltRuntime:
    """Return the Python of Debian 12 as a runtime."""
    docker = docker_daemon.find_or_start()
    tag = image.ensure(docker, "bookworm")
    take = ("run", "--rm", "--network", "none", tag, "cat", "/usr/bin/python3.11")
    path = operator.home / "python.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, content in (
            ("bin/python3.11", docker.run(*take).stdout),
            ("lib/python3.11/os.py", b"# never read"),
        ):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return runtime.build(str(path), sha256, operator.home / "runtime.tar.gz")


@pytest.mark.parametrize("from_bundle", [False, True])
def test_a_python_that_is_too_old_is_refused_with_both_ways_out(
    operator: Operator, good: Release, *, from_bundle: bool
) -> None:
    bundle = ("--bundle", str(operator.bundle("plain", good))) if from_bundle else ()
    code, events = operator.setup(*bundle, "--apply", "--yes")
    assert code == 3, bundles.failures(events)
    finding = _of_python(events)
    assert "/usr/bin/python3 is CPython 3.9" in finding["message"]
    assert "either install python3" in finding["fix"]
    assert "bzzz-agent bundle build --runtime FILE --runtime-sha256 HEX" in finding["fix"]
    _untouched(operator)


def test_a_runtime_that_does_not_start_there_is_refused_before_it_is_sent(
    operator: Operator, good: Release, too_new: runtime.BuiltRuntime
) -> None:
    """It would not: the host itself says so."""
    code, events = operator.apply(operator.bundle("new", good, runtimes=[too_new]))
    assert code == 3, bundles.failures(events)
    assert f"needs glibc {too_new.glibc}, and here is glibc 2.31" in _of_python(events)["message"]
    _untouched(operator)
    assert f"version `GLIBC_{too_new.glibc}' not found" in _started(operator, too_new.archive)


def _of_python(events: list[dict[str, Any]]) -> dict[str, Any]:
    (finding,) = (e for e in events if e.get("check") == "python" and e["severity"] == "error")
    return finding


def _untouched(operator: Operator) -> None:
    assert operator.on(HOST, "ls -d /opt/bzzz /etc/bzzz /var/lib/bzzz 2>/dev/null") == ""


def _started(operator: Operator, archive: Path) -> str:
    """Return what a runtime says when it is started on the host after all."""
    command = operator.bed.ssh_command(
        operator.bed.host(HOST), "tar -C /tmp -xzf - && /tmp/bin/python3.11 -V 2>&1"
    )
    done = subprocess.run(command, check=False, input=archive.read_bytes(), capture_output=True)
    return done.stdout.decode(errors="replace")
