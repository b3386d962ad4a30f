"""The Docker daemon of the testbed: the one that answers, or one of our own.

Our own daemon keeps everything below the cache directory (images survive, so the next start is
fast), listens on a unix socket only, and makes no default bridge, so it cannot meet an address that
the machine already uses. It is shared by all runs of one user and is stopped by the `down` that
removes the last container; a daemon that was there before us is never stopped.

Rules: standard library and the `docker` command only; no host name of any registry.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

COMMAND_S_MAX = 180
START_S_MAX = 30
STOP_S_MAX = 20

ATTEMPTS: tuple[tuple[str, ...], ...] = (
    (),
    ("--storage-driver", "vfs"),  # no overlay on this file system (nested containers)
    ("--storage-driver", "vfs", "--iptables=false"),  # kernel without the NAT table
)


_children: list[subprocess.Popen[bytes]] = []
"""Daemons this process has started. They outlive it; held so that Python does not warn of that."""


class TestbedError(Exception):
    """What went wrong and what to do about it, for the person who typed the command."""

    __test__ = False


def cache_directory() -> Path:
    """Return where images and the daemon's data are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "bzzz"


@dataclass(frozen=True, slots=True)
class Docker:
    """The `docker` command, bound to one daemon."""

    address: str | None
    """What `--host` gets; None means whatever the environment says."""

    def command(self, *arguments: str) -> list[str]:
        """Return the full command line."""
        host = [] if self.address is None else ["--host", self.address]
        return ["docker", *host, *arguments]

    def run(
        self, *arguments: str, data: bytes | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        """Run one command to its end.

        Raises:
            TestbedError: It failed (unless `check` is false) or hung.
        """
        try:
            done = subprocess.run(
                self.command(*arguments),
                check=False,
                capture_output=True,
                timeout=COMMAND_S_MAX,
                input=data or b"",
            )
        except FileNotFoundError as exc:
            raise TestbedError(
                "no `docker` command here; run: scripts/bootstrap --testbed"
            ) from exc
        except subprocess.TimeoutExpired as exc:
            raise TestbedError(f"docker {arguments[0]}: no answer after {COMMAND_S_MAX} s") from exc
        if check and done.returncode:
            message = done.stderr.decode(errors="replace").strip()
            raise TestbedError(f"docker {arguments[0]}: {message}")
        return done

    def text(self, *arguments: str) -> str:
        """Return the standard output of a command that must succeed."""
        return self.run(*arguments).stdout.decode(errors="replace").strip()


def find() -> Docker | None:
    """Return the daemon that answers: the environment's first, then our own."""
    for candidate in (Docker(None), Docker(_socket_address())):
        if shutil.which("docker") and _answers(candidate):
            return candidate
    return None


@contextmanager
def in_use() -> Iterator[None]:
    """Keep every other process from stopping our daemon while this one brings hosts up."""
    with _lock("use", fcntl.LOCK_SH):
        yield


def find_or_start() -> Docker:
    """Return a daemon that answers, starting our own if none does.

    Raises:
        TestbedError: There is none and none could be started.
    """
    with _lock("start", fcntl.LOCK_EX):
        return find() or _start_own()


def _start_own() -> Docker:
    dockerd = shutil.which("dockerd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if dockerd is None or shutil.which("docker") is None:
        raise TestbedError("docker is not installed; run: scripts/bootstrap --testbed")
    if os.geteuid() != 0:
        raise TestbedError("no docker daemon answers, and only root can start one; use sudo")
    reasons = [_start(dockerd, options) for options in ATTEMPTS]
    found = find()
    if found is None:
        raise TestbedError("dockerd does not start:\n" + "\n".join(reasons))
    return found


def stop_own_if_idle(docker: Docker) -> bool:
    """Stop our own daemon when it runs nothing any more; return whether it was stopped."""
    if docker.address != _socket_address():
        return False
    try:
        with _lock("use", fcntl.LOCK_EX | fcntl.LOCK_NB):
            if docker.text("ps", "--all", "--quiet"):
                return False
            _stop_own()
            return True
    except BlockingIOError:
        return False  # somebody is bringing hosts up


def _stop_own() -> None:
    pid_file = _directory() / "dockerd.pid"
    pid = int(pid_file.read_text())
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_S_MAX
    while pid_file.exists() and _lives(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    for child in _children:
        child.poll()
    shutil.rmtree(_run_directory(), ignore_errors=True)


def _start(dockerd: str, options: Sequence[str]) -> str:
    """Start our daemon; return once it answers, or with the reason why it ended."""
    if find() is not None:
        return ""
    directory, run = _directory(), _run_directory()
    directory.mkdir(parents=True, exist_ok=True)
    run.mkdir(parents=True, exist_ok=True, mode=0o700)
    (directory / "dockerd.pid").unlink(missing_ok=True)
    log = directory / "dockerd.log"
    command = [
        dockerd,
        *("--data-root", str(directory / "data")),
        *("--exec-root", str(run / "exec")),
        *("--pidfile", str(directory / "dockerd.pid")),
        *("--host", _socket_address()),
        *("--bridge", "none"),
        *options,
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C at the terminal is not for the daemon
        )
    _children.append(process)
    deadline = time.monotonic() + START_S_MAX
    while process.poll() is None and time.monotonic() < deadline:
        if _answers(Docker(_socket_address())):
            return ""
        time.sleep(0.1)
    if process.poll() is None:
        process.terminate()
        process.wait(STOP_S_MAX)
    tail = log.read_text(errors="replace").splitlines()[-3:]
    return f"with {' '.join(options) or 'defaults'}: " + " | ".join(tail)


def _answers(docker: Docker) -> bool:
    return docker.run("version", "--format", "{{.Server.Version}}", check=False).returncode == 0


def _lives(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def _lock(name: str, how: int) -> Iterator[None]:
    path = cache_directory() / f"dockerd-{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, how)
        yield


def _directory() -> Path:
    return cache_directory() / "dockerd"


def _run_directory() -> Path:
    # A socket's path is limited to 107 bytes, which a cache directory may exceed.
    mark = hashlib.sha256(str(_directory()).encode()).hexdigest()[:8]
    base = Path("/run") if os.geteuid() == 0 else Path(tempfile.gettempdir())
    return base / f"bzzz-dockerd-{mark}"


def _socket_address() -> str:
    return f"unix://{_run_directory() / 'docker.sock'}"
