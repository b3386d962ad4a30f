"""A run in a process of its own: it outlives who started it, takes orders, and dies loudly."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import pytest

from bzzz_core.deploy.detached.orders import give
from bzzz_core.deploy.detached.place import Run, runs_of
from bzzz_core.deploy.fleet import CONNECTS_MAX
from bzzz_core.deploy.steering import Cut

ROOT = Path(__file__).resolve().parents[2]
SECRET = "correct horse battery"  # noqa: S105  it opens nothing

HELD_S = 0.3
HOSTS = 3 * CONNECTS_MAX
"""One that drops its callers is given up after half a minute: so many last three times as long, and
the programs that a test starts meanwhile have that time, on a busy machine too."""


@pytest.fixture
def silent() -> Iterator[list[int]]:
    """Yield ports that take connections, say nothing and drop them: a run stays with its hosts."""
    with ExitStack() as stack, selectors.DefaultSelector() as ready:
        servers = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(HOSTS)
        ]
        for server in servers:
            ready.register(server, selectors.EVENT_READ)
        over = threading.Event()

        def take() -> None:
            while not over.is_set():
                for key, _ in ready.select(0.1):
                    caller, _ = cast("socket.socket", key.fileobj).accept()
                    drop = threading.Timer(HELD_S, caller.close)
                    drop.daemon = True
                    drop.start()

        taking = threading.Thread(target=take, daemon=True)
        taking.start()
        yield [server.getsockname()[1] for server in servers]
        over.set()
        taking.join()


class Operator:
    """A person at a terminal."""

    def __init__(self, home: Path, ports: list[int]) -> None:
        self.home = home
        self.answers = home / "answers.yaml"
        self.answers.write_text(
            "cluster: {name: one}\n"
            'security: {ssh: {password: "env:HOSTS_PASSWORD"}}\n'
            "hosts:\n"
            + "".join(f"- {{name: h{p}, address: 127.0.0.1, port: {p}}}\n" for p in ports)
        )

    def setup(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "bzzz_tui.cli", "setup", *words, "--json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={
                **os.environ,
                "XDG_CONFIG_HOME": str(self.home),
                "PYTHONPATH": str(ROOT),
                "HOSTS_PASSWORD": SECRET,
            },
            start_new_session=True,
            preexec_fn=_as_from_a_terminal,  # noqa: PLW1509  before any thread of ours
        )

    def begin(self) -> tuple[subprocess.Popen[str], Run, int]:
        """Start a run; return its watcher, the run, and its engine's process."""
        words = ("--answers", str(self.answers), "--apply", "--yes", "--detach")
        watcher = self.setup(*words)
        assert watcher.stdout is not None
        first = json.loads(watcher.stdout.readline())
        run = next(run for run in runs_of("one", self.home / "bzzz") if run.id == first["run"])
        return watcher, run, first["pid"]


@pytest.fixture
def operator(tmp_path: Path, silent: list[int]) -> Operator:
    return Operator(tmp_path, silent)


def test_a_run_outlives_its_terminal_and_is_cut_off_by_an_order(operator: Operator) -> None:
    watcher, run, pid = operator.begin()
    command = Path(f"/proc/{pid}/cmdline").read_bytes()
    assert SECRET.encode() not in command
    assert os.getsid(pid) == pid
    assert Path(f"/proc/{pid}/fd/0").readlink() == Path("/dev/null")
    os.killpg(watcher.pid, signal.SIGHUP)
    os.kill(pid, signal.SIGHUP)
    watcher.communicate(timeout=60)
    assert run.alive
    again = operator.setup("--attach")
    second = operator.setup("--answers", str(operator.answers), "--apply", "--yes")
    said = second.communicate(timeout=60)[1]
    assert (second.returncode, f"--attach {run.id}" in said) == (3, True), said
    give(run, Cut())
    out, _ = again.communicate(timeout=60)
    events = [json.loads(line) for line in out.splitlines()]
    assert events[0] == {"event": "run", "run": run.id, "pid": pid}
    assert (events[-1]["event"], events[-1]["exit_code"], again.returncode) == ("summary", 130, 130)
    _until(lambda: not run.alive)
    kept = [path for path in operator.home.rglob("*") if path.is_file()]
    assert [path for path in kept if SECRET in path.read_text(errors="replace")] == []
    late = operator.setup("--attach", run.id)
    assert late.communicate(timeout=60)[0] == out


def test_the_death_of_an_engine_is_noticed_and_told(operator: Operator) -> None:
    watcher, run, pid = operator.begin()
    os.kill(pid, signal.SIGKILL)
    out, err = watcher.communicate(timeout=60)
    assert watcher.returncode == 130
    assert json.loads(out.splitlines()[-1])["event"] == "summary"
    assert f"the engine of run {run.id} was ended from outside" in err
    assert not run.alive


def test_stop_is_an_order_of_the_command_line_too(operator: Operator) -> None:
    watcher, run, _ = operator.begin()
    stopping = operator.setup("--attach", "--stop")
    _until(lambda: '"order":"stop"' in run.orders.read_text())
    give(run, Cut())
    assert stopping.wait(timeout=60) == watcher.wait(timeout=60) == 130
    for one in (stopping, watcher):
        one.communicate(timeout=60)


def _as_from_a_terminal() -> None:
    """Let signals mean what they do there, also where the tests themselves ignore one (`nohup`)."""
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


def _until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)
