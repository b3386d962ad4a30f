"""However a real agent ends, nothing of it is left: no process, socket, lock or temporary file."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from bzzz_core.config.sources import load_agent_config
from bzzz_core.demo.layout import AgentFiles, lay_out
from bzzz_core.shutdown.plan import ORDER, budget_ms

pytestmark = pytest.mark.integration
SLACK_S = 10.0
"""What a loaded machine may add."""
BUDGET_S = budget_ms(ORDER) / 1_000 + SLACK_S
HURRIED_S = budget_ms(ORDER, hurried=True) / 1_000 + SLACK_S
READY_S = 90.0
OF_A_MOMENT = re.compile(
    r"nats\.pid|.*\.ports|\..*\.[0-9a-f]{16}|\.health-probe|api-place|broker\.problem|.*\.new"
)


class Node:
    """One agent of a cluster of one, with its own broker, on files that outlive it."""

    def __init__(self, files: AgentFiles) -> None:
        self.files = files
        self.config = load_agent_config(files.config, {})
        self.process: subprocess.Popen[bytes] | None = None
        self.family: list[psutil.Process] = []
        """Every process that was seen to belong to it."""

    def start(self, *module: str) -> None:
        words = module or ("bzzz_core.cli", "run", "--config")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("BZZZ_")}
        with (self.files.directory / "logs" / "agent.err").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *words, str(self.files.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        wait(self._is_ready, READY_S, "ready")
        assert self.process is not None
        self.family = [
            psutil.Process(self.process.pid),
            *psutil.Process(self.process.pid).children(recursive=True),
        ]
        assert any("nats-server" in one.name() for one in self.family), "it has a broker"

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def ends(self, seconds: float) -> int:
        assert self.process is not None
        return self.process.wait(timeout=seconds)

    @property
    def broker_pid(self) -> int:
        return int((self.files.directory / "data" / "nats.pid").read_text())

    @property
    def log(self) -> Path:
        return self.files.directory / "logs" / "agent.log"

    def said(self, text: str) -> list[dict[str, Any]]:
        """Return what its log says beside this text, as often as it does."""
        if not self.log.exists():
            return []
        whole = [line for line in self.log.read_text().split("\n")[:-1] if line]
        return [line["fields"] for line in map(json.loads, whole) if line["text"] == text]

    def leftovers(self) -> list[str]:
        """Return everything of a running agent that is still there."""
        left = [f"process {one.pid}" for one in self.family if one.is_running() and not _dead(one)]
        ports = self.config.network.ports
        for name, port in ports.model_dump().items():
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    left.append(f"socket {name} {port}")
        for lock in ("agent.lock", "broker/lock"):
            with (self.files.directory / "data" / lock).open() as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    left.append(f"lock {lock}")
        left += [
            f"file {path}"
            for path in self.files.directory.rglob("*")
            if path.is_file() and OF_A_MOMENT.fullmatch(path.name)
        ]
        return left

    def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (
            self.log.read_text()[-3_000:] if self.log.exists() else ""
        )
        try:
            with urllib.request.urlopen(f"{self.files.api_url}/health/ready", timeout=2):  # noqa: S310
                return True
        except OSError:
            return False


def _dead(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait(condition: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not {what} within {seconds} s"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> AgentFiles:
    return lay_out(tmp_path_factory.mktemp("end") / "state", agents=1).agents[0]


@pytest.fixture
def node(files: AgentFiles) -> Iterator[Node]:
    files.directory.joinpath("logs", "agent.log").unlink(missing_ok=True)
    one = Node(files)
    try:
        yield one
    finally:
        if one.process is not None and one.process.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(one.broker_pid).resume()
            one.process.kill()
            one.process.wait()


def use(node: Node) -> None:
    """Do something with it that opens files, connections and records."""
    command = [sys.executable, "-m", "bzzz_core.cli", "dht"]
    place = ["--config", str(node.files.config)]
    value = b"kept"
    subprocess.run([*command, "put", *place, "key"], input=value, check=True, timeout=30)
    told = subprocess.run(
        [*command, "get", *place, "key"], stdout=subprocess.PIPE, check=True, timeout=30
    )
    assert told.stdout == value


def health(node: Node, *options: str) -> tuple[int, Any]:
    command = [sys.executable, "-m", "bzzz_core.cli", "health", "--json", *options]
    asked = subprocess.run(
        [*command, "--config", str(node.files.config)], stdout=subprocess.PIPE, check=False
    )
    return asked.returncode, json.loads(asked.stdout) if asked.stdout else None


def test_sigterm_ends_everything_in_its_order(node: Node) -> None:
    node.start()
    node.wait_ready()
    use(node)
    status, report = health(node, "--wait", "60")
    assert (status, report["live"], report["ready"], report["reasons"]) == (0, True, True, [])
    names = {check["name"] for check in report["checks"]}
    assert names >= {"fabric", "leadership", "broker", "data-writable", "event-loop"}
    node.signal(signal.SIGTERM)
    assert node.ends(BUDGET_S) == 0
    assert node.leftovers() == []
    assert health(node)[0] == 3, "nobody answers any more"
    ended = node.said("component stopped")
    names = [line["name"] for line in ended]
    order = ["resign", "goodbye", "api", "dht", "membership", "fabric", "broker", "audit"]
    assert [name for name in names if name in order] == order
    assert {line["result"] for line in ended} == {"ok"}
    assert set(names) >= set(ORDER), "the order names no part that there is not"
    assert {line["name"] for line in node.said("component started")} >= {"api", "fabric", "broker"}


def test_a_second_sigint_is_faster(node: Node) -> None:
    node.start()
    node.wait_ready()
    os.kill(node.broker_pid, signal.SIGSTOP)  # So that the first one alone would take long.
    node.signal(signal.SIGINT)
    wait(lambda: node.said("stopping"), 5, "stopping")
    begun = time.monotonic()
    node.signal(signal.SIGINT)
    node.ends(HURRIED_S)
    assert time.monotonic() - begun < HURRIED_S
    assert node.leftovers() == []


def test_sigquit_is_fast_from_the_start(node: Node) -> None:
    node.start()
    node.wait_ready()
    node.signal(signal.SIGQUIT)
    assert node.ends(HURRIED_S) == 0
    assert node.leftovers() == []
    assert node.said("stopping")[0]["urgency"] == "1"


def test_a_frozen_broker_is_killed_in_the_end(node: Node) -> None:
    node.start()
    node.wait_ready()
    os.kill(node.broker_pid, signal.SIGSTOP)
    node.signal(signal.SIGTERM)
    assert node.ends(BUDGET_S) == 0
    assert node.leftovers() == []


@pytest.mark.journey
@pytest.mark.parametrize("kind", ["task", "thread"])
def test_a_component_that_hangs_is_forced_and_the_process_goes(node: Node, kind: str) -> None:
    node.start("tests.fakes.stubborn_agent", kind)
    node.wait_ready()
    node.signal(signal.SIGTERM)
    assert node.ends(BUDGET_S) == 1, "it could not end in order"
    assert node.leftovers() == []
    results = {line["name"]: line["result"] for line in node.said("component stopped")}
    assert results.pop("stubborn") == ("abandoned" if kind == "task" else "ok")
    assert set(results.values()) == {"ok"}, "the others ended as if nothing were"


@pytest.mark.journey
def test_an_agent_that_is_sick_ends_in_order_and_says_why(node: Node) -> None:
    note = node.files.directory / "data" / "health-stop"
    node.start("tests.fakes.stubborn_agent", "sick")
    try:
        assert node.ends(READY_S) == 9
        assert json.loads(note.read_text()) == {"check": "test", "times": 1}
    finally:
        note.unlink(missing_ok=True)
    assert node.leftovers() == []
    why = "test was critical for too long: nothing works"
    assert node.said("stopping")[0]["reason"] == f"health: {why}"
    assert {line["result"] for line in node.said("component stopped")} == {"ok"}
    command = [sys.executable, "-m", "bzzz_core.cli", "audit", "query", "--json"]
    audit = subprocess.run(
        [*command, "--config", str(node.files.config)], stdout=subprocess.PIPE, check=True
    )
    acts = [act for act in json.loads(audit.stdout) if act["what"] == "agent ended for its health"]
    assert [why in json.dumps(act) for act in acts] == [True]


def test_a_third_signal_ends_the_process_where_it_stands(node: Node) -> None:
    node.start("tests.fakes.stubborn_agent", "task")
    node.wait_ready()
    os.kill(node.broker_pid, signal.SIGSTOP)
    for _ in range(2):
        node.signal(signal.SIGTERM)
        time.sleep(0.3)  # Two at once would be one.
    node.signal(signal.SIGTERM)
    assert node.ends(SLACK_S) == 128 + signal.SIGTERM
    wait(lambda: not any(left.startswith("process") for left in node.leftovers()), 5, "gone")


def test_a_killed_agent_leaves_nothing_that_the_next_one_minds(node: Node) -> None:
    node.start()
    node.wait_ready()
    node.signal(signal.SIGKILL)
    assert node.ends(5) == -signal.SIGKILL
    wait(lambda: not any(left.startswith("process") for left in node.leftovers()), 5, "gone")
    assert node.leftovers(), "a killed process cleans nothing up"
    half = node.files.directory / "data" / ".incarnation.0123456789abcdef"
    half.write_text("7")
    os.utime(half, (0, 0))
    node.start()
    node.wait_ready()
    use(node)
    node.signal(signal.SIGTERM)
    assert node.ends(BUDGET_S) == 0
    assert node.leftovers() == []


def test_an_agent_that_is_still_starting_ends_as_well(node: Node) -> None:
    node.start()
    wait(lambda: node.said("agent started"), 30, "started")
    assert node.process is not None
    node.family = psutil.Process(node.process.pid).children(recursive=True)
    node.signal(signal.SIGTERM)
    assert node.ends(BUDGET_S) == 0
    assert node.leftovers() == []
