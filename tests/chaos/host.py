"""One host of a chaos cluster: its processes as systemd would run them, and its disk.

A voter runs two units, the broker's supervisor and the agent, as on real hosts; an edge runs the
agent alone. Systemd's part is played here: whatever ends by itself is started again after
`RESTART_S`, and that it ended is remembered, for no fault but a kill may end a process. All
processes die with the one that plays systemd.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.sources import load_agent_config
from bzzz_core.demo.layout import AgentFiles
from bzzz_core.process import die_with_parent

ROOT: Final = Path(__file__).absolute().parents[2]
RESTART_S: Final = 1.0
_STOP_S_MAX: Final = 15.0
_SMALL_DISK: Final = "size=300m"
_BALLAST: Final = "ballast"
_BALLAST_BYTES: Final = (4_194_304, 4_096, 1)

_SAID_BYTES_MAX: Final = 200_000
_TELLING: Final = frozenset(
    {"broker", "fabric", "leadership", "lifecycle", "placement", "registry", "roster"}
)
_COMMON: Final = frozenset({"at", "component", "event", "level", "node"})

Part = str
"""`agent`, `broker` or `machine`: what of a host a fault concerns."""


class ChaosHost:
    """One host; it is off until `start`."""

    def __init__(
        self,
        files: AgentFiles,
        *,
        number: int,
        history: Path,
        inside: Callable[[Sequence[str]], list[str]],
        small_disk: bool,
    ) -> None:
        """Take the laid-out files.

        Args:
            files: What `lay_out` made for this node.
            number: Its place in the cluster.
            history: File that the node's clients write to.
            inside: Turns a command into one that runs in the host's network.
            small_disk: Whether its data directory is on a disk that can be filled.
        """
        self.files = files
        self.number = number
        self.config: AgentConfig = load_agent_config(files.config, {})
        self.ended_by_itself: list[str] = []
        """What ended though nobody killed it, with its exit status."""
        self._history = history
        self._inside = inside
        self._data = Path(self.config.resources.paths.data)
        self._units: dict[str, subprocess.Popen[bytes]] = {}
        self._ended_at: dict[str, float] = {}
        self._wanted: set[str] = set()
        self._small_disk = small_disk
        if small_disk:
            _mount(self._data)

    @property
    def name(self) -> str:
        """Return the node's name."""
        return self.files.name

    @property
    def voter(self) -> bool:
        """Return whether this host has a broker."""
        return self.config.me.voter

    @property
    def fillable(self) -> bool:
        """Return whether its disk is one that `fill_disk` may fill."""
        return self._small_disk

    def start(self) -> None:
        """Start all units that are not running."""
        units = ("fabric", "agent") if self.voter else ("agent",)
        for unit in units:
            self._wanted.add(unit)
            if unit not in self._units:
                self._start(unit)

    def look_after(self) -> None:
        """Do what systemd does: notice units that ended, start them again after a while."""
        for unit, process in list(self._units.items()):
            status = process.poll()
            if status is not None:
                self._units.pop(unit)
                self._ended_at[unit] = time.monotonic()
                self.ended_by_itself.append(f"{unit} of {self.name} ended with status {status}")
        for unit in self._wanted - set(self._units):
            if time.monotonic() - self._ended_at[unit] >= RESTART_S:
                self._start(unit)

    def kill(self, part: Part) -> None:
        """End processes without warning: the agent, the broker's program, or all of the host.

        A killed unit stays off until `start`; a killed broker comes back by its own supervisor.
        """
        if part == "broker":
            self._signal_broker(signal.SIGKILL)
            return
        for unit in ("agent", "fabric") if part == "machine" else ("agent",):
            self._wanted.discard(unit)
            process = self._units.pop(unit, None)
            if process is not None:
                process.kill()
                process.wait()
        if part == "machine":
            self._wait_broker_gone()

    def pause(self, part: Part) -> None:
        """Stop processes where they are (SIGSTOP): their connections stay open and say nothing."""
        self._signal(part, signal.SIGSTOP)

    def resume(self, part: Part) -> None:
        """Let paused processes go on."""
        self._signal(part, signal.SIGCONT)

    def stop(self) -> None:
        """Ask all units to end, the agent first, and wait; insist in the end."""
        self._stop("agent", "fabric")

    def stop_agent(self) -> None:
        """Ask the agent alone to end, and wait."""
        self._stop("agent")

    def _stop(self, *units: str) -> None:
        for unit in units:
            self._wanted.discard(unit)
            process = self._units.pop(unit, None)
            if process is None:
                continue
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(_STOP_S_MAX)
            except subprocess.TimeoutExpired:
                self.ended_by_itself.append(f"{unit} of {self.name} did not end on SIGTERM")
                process.kill()
                process.wait()

    def fill_disk(self) -> None:
        """Leave no byte free where the node keeps its data."""
        assert self._small_disk, "that would fill the disk of this machine"
        with (self._data / _BALLAST).open("ab", buffering=0) as ballast:
            for size in _BALLAST_BYTES:
                with contextlib.suppress(OSError):  # It is full, for pieces of this size.
                    while ballast.write(bytes(size)) == size:
                        pass

    def free_disk(self) -> None:
        """Give the space back."""
        (self._data / _BALLAST).unlink(missing_ok=True)

    def remove(self) -> None:
        """Take the small disk away; everything has to be stopped before."""
        if self._small_disk:
            subprocess.run(["umount", "--lazy", self._data], check=False)

    def log_tail(self, unit: str, size: int = 3_000) -> str:
        """Return the last words of a unit."""
        path = self._log(unit)
        return path.read_text(errors="replace")[-size:] if path.exists() else ""

    def said_since(self, at: str) -> list[str]:
        """Return what its units logged of elections, members and brokers since then, UTC."""
        logs = [self.log_tail(unit, _SAID_BYTES_MAX) for unit in ("agent", "fabric")]
        return [line for log in logs for line in said_since(log, at)]

    @property
    def broker_pid(self) -> int | None:
        """Return the process id of the broker that runs, or None."""
        try:
            pid = int((self._data / "nats.pid").read_text())
            return pid if b"nats-server" in Path(f"/proc/{pid}/cmdline").read_bytes() else None
        except (OSError, ValueError):
            return None

    @property
    def pids(self) -> dict[str, int]:
        """Return the process ids of what runs, by unit; `broker` is the broker itself."""
        found = {unit: process.pid for unit, process in self._units.items()}
        broker = self.broker_pid
        return found | ({"broker": broker} if broker else {})

    def _start(self, unit: str) -> None:
        config = ("--config", str(self.files.config))
        if unit == "fabric":
            command = [sys.executable, "-m", "bzzz_core.cli", "fabric", "run", *config]
        else:
            history = ("--history", str(self._history))
            command = [sys.executable, "-m", "tests.chaos.node", *config, *history]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("BZZZ_")}
        with self._log(unit).open("ab") as log:
            self._units[unit] = subprocess.Popen(
                self._inside(command),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
                preexec_fn=die_with_parent(),  # noqa: PLW1509  only this thread forks
            )

    def _log(self, unit: str) -> Path:
        return Path(self.config.resources.paths.logs) / f"{unit}.log"

    def _signal(self, part: Part, number: signal.Signals) -> None:
        if part in {"agent", "machine"} and "agent" in self._units:
            self._units["agent"].send_signal(number)
        if part in {"broker", "machine"}:
            if "fabric" in self._units:
                self._units["fabric"].send_signal(number)
            self._signal_broker(number)

    def _signal_broker(self, number: signal.Signals) -> None:
        pid = self.broker_pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _wait_broker_gone(self) -> None:
        """Wait for what the kernel does after the supervisor's end: the broker dies with it."""
        deadline = time.monotonic() + _STOP_S_MAX
        while self.broker_pid is not None and time.monotonic() < deadline:
            time.sleep(0.005)


def said_since(log: str, at: str) -> list[str]:
    """Return the lines of a log about elections, members and brokers since then, for people."""
    found = []
    for line in log.splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            continue  # The first may be half a line.
        if isinstance(said, dict) and said.get("component") in _TELLING and said["at"] >= at:
            rest = {key: value for key, value in said.items() if key not in _COMMON}
            found.append(f"{said['at']} {said['node']}: {said['event']} {rest or ''}".rstrip())
    return found


def _mount(directory: Path) -> None:
    """Put a small file system of its own where the data go."""
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"{_SMALL_DISK},mode=0700", "chaos-disk", directory],
        check=True,
    )
