"""A real sshd on the loopback: own port, own host key, own login key, for whoever runs tests."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

START_S_MAX = 10
PROGRAM = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


class LoopbackSshd:
    """One server; ends with the block, and its sessions with it."""

    def __init__(self, directory: Path, *lines: str) -> None:
        """Take a directory of its own, and lines of configuration that come before ours."""
        self.directory = directory
        self.user = getpass.getuser()
        self.port = _free_port()
        self.key = directory / "login"
        self.log = directory / "log"
        self._lines = lines
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        make_key(self.key)
        shutil.copy(self.key.with_suffix(".pub"), self.directory / "authorized_keys")
        self.new_host_key()
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def fingerprint(self) -> str:
        """Return the host key's fingerprint as ssh-keygen prints it."""
        shown = ["ssh-keygen", "-l", "-f", str(self.directory / "host.pub")]
        return subprocess.run(shown, check=True, capture_output=True, text=True).stdout.split()[1]

    def new_host_key(self) -> None:
        """Make another host key; the server has to be started anew to use it."""
        for name in ("host", "host.pub"):
            (self.directory / name).unlink(missing_ok=True)
        make_key(self.directory / "host")

    def start(self) -> None:
        """Start the server and wait until it listens."""
        assert PROGRAM is not None, "sshd is not installed"
        Path("/run/sshd").mkdir(exist_ok=True)  # it wants one, even with privileges separated
        config = self.directory / "sshd_config"
        config.write_text("\n".join((*self._lines, *self._settings())) + "\n")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "-D", "-e", "-f", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # stop() ends its sessions too
            )
        deadline = time.monotonic() + START_S_MAX
        while time.monotonic() < deadline and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError(f"sshd does not start: {self.log.read_text()}")

    def forget_probe(self) -> None:
        """Empty the log, once it tells to its end of who looked whether the server listens."""
        deadline = time.monotonic() + START_S_MAX
        while "Connection closed by" not in self.log.read_text():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)
        self.log.write_text("")

    def stop(self) -> None:
        """End the server and what its sessions left."""
        if self._process is None:
            return
        for pid in (self._process.pid, *self.sessions()):
            _signal(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def freeze(self) -> None:
        """Stop every process that serves a session, as a machine that hangs does."""
        for pid in self.sessions():
            _signal(pid, signal.SIGSTOP)

    def sessions(self) -> list[int]:
        """Return the processes below the server."""
        assert self._process is not None, "start it first"
        parents = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    stat = (entry / "stat").read_text()
                except OSError:
                    continue
                parents[int(entry.name)] = int(stat.rsplit(")", 1)[1].split()[1])
        found: list[int] = []
        front = [self._process.pid]
        while front:
            front = [pid for pid, parent in parents.items() if parent in front]
            found += front
        return found

    def _settings(self) -> list[str]:
        here = self.directory
        return [
            "ListenAddress 127.0.0.1",
            f"Port {self.port}",
            f"HostKey {here / 'host'}",
            f"AuthorizedKeysFile {here / 'authorized_keys'}",
            f"PidFile {here / 'pid'}",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            "LogLevel VERBOSE",
            "Subsystem sftp internal-sftp",
        ]


def make_key(path: Path) -> None:
    """Make a key pair without passphrase where there is none."""
    if not path.exists():
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
        subprocess.run(make, check=True, stdin=subprocess.DEVNULL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
