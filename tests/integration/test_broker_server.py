"""The supervisor of one broker: it starts, watches, reloads and ends a real nats-server."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bzzz_core.clock import SystemClock
from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.sources import load_agent_config
from bzzz_core.demo.layout import AgentFiles, lay_out
from bzzz_core.errors import BrokerError, BzzzError
from bzzz_core.fabric import binary
from bzzz_core.fabric.nats import NatsFabric
from bzzz_core.fabric.records import NatsRecords
from bzzz_core.fabric.server import BrokerServer
from bzzz_core.model import Revision
from bzzz_core.ports import Guard
from bzzz_core.trust.secrets_directory import SecretsDirectory

pytestmark = pytest.mark.integration
READY_MS = 60_000
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def files(tmp_path: Path) -> AgentFiles:
    return lay_out(tmp_path / "cluster", agents=1).agents[0]


@pytest.fixture
def config(files: AgentFiles) -> AgentConfig:
    return load_agent_config(files.config, {})


def supervised(
    config: AgentConfig, scenario: Callable[[BrokerServer], Awaitable[None]]
) -> BrokerServer:
    server = BrokerServer(config, clock=SystemClock())

    async def play() -> None:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(server.run_supervised())
            await server.wait_ready(READY_MS)
            await scenario(server)
            running.cancel()

    asyncio.run(play())
    return server


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state != "Z"


async def write(config: AgentConfig, at: int) -> int:
    fabric = NatsFabric.from_agent_config(config, clock=SystemClock())
    records = NatsRecords(fabric, replicas=1, clock=SystemClock())
    async with asyncio.TaskGroup() as group:
        running = group.create_task(fabric.run())
        await records.open()
        revision = await records.write("_term", b"", Guard("_term", Revision(at)))
        assert [replica.leader for replica in await records.replicas()] == [True]
        running.cancel()
    return revision


def test_a_killed_broker_is_started_again_with_its_data(config: AgentConfig) -> None:
    async def scenario(server: BrokerServer) -> None:
        first = server.pid
        assert first is not None
        revision = await write(config, at=0)
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(20):
            while server.pid in (first, None):  # noqa: ASYNC110  the kernel sets no event of ours
                await asyncio.sleep(0.01)
        await server.wait_ready(READY_MS)
        assert server.starts == 2
        assert await write(config, at=revision) == revision + 1

    server = supervised(config, scenario)
    assert server.pid is None, "cancelling the supervisor ends the broker"


def test_reloading_keeps_the_process(config: AgentConfig) -> None:
    async def scenario(server: BrokerServer) -> None:
        pid = server.pid
        await server.reload(config.cluster.nodes)
        await server.wait_ready(READY_MS)
        assert server.pid == pid

    supervised(config, scenario)


def test_a_refused_configuration_leaves_the_broker_running(config: AgentConfig) -> None:
    async def scenario(server: BrokerServer) -> None:
        pid = server.pid
        certificate = SecretsDirectory(Path(config.security.directory)).node_certificate
        kept = certificate.rename(certificate.with_suffix(".away"))
        with pytest.raises(BrokerError, match="refuses"):
            await server.reload(config.cluster.nodes)
        kept.rename(certificate)
        assert server.pid == pid
        await server.wait_ready(READY_MS)

    supervised(config, scenario)


def test_files_of_the_broker_are_private(config: AgentConfig) -> None:
    async def scenario(_: BrokerServer) -> None:
        store = Path(config.resources.paths.data) / "broker"
        assert store.stat().st_mode & 0o777 == 0o700
        for name in ("nats.conf", "server-name", "shape"):
            assert (store / name).stat().st_mode & 0o777 == 0o600

    supervised(config, scenario)


def test_a_broker_that_cannot_start_says_why(config: AgentConfig) -> None:
    """The port is taken: the supervisor goes on trying, whoever waits hears the reason."""

    async def scenario() -> None:
        host, port = config.me.address, config.me.fabric_client
        taken = await asyncio.start_server(lambda *_: None, host, port)
        server = BrokerServer(config, clock=SystemClock())
        async with taken, asyncio.TaskGroup() as group:
            running = group.create_task(server.run_supervised())
            with pytest.raises(BzzzError, match="address already in use"):
                await server.wait_ready(8_000)
            running.cancel()

    asyncio.run(scenario())


def test_a_killed_supervisor_takes_its_broker_along(files: AgentFiles, config: AgentConfig) -> None:
    """Else the next start would find its ports taken by an orphan."""
    code = f"""
        import asyncio
        from pathlib import Path
        from bzzz_core.clock import SystemClock
        from bzzz_core.config.sources import load_agent_config
        from bzzz_core.fabric.server import BrokerServer

        config = load_agent_config(Path({str(files.config)!r}), {{}})
        asyncio.run(BrokerServer(config, clock=SystemClock()).run_supervised())
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT)
    pid_file = Path(config.resources.paths.data) / "nats.pid"
    try:
        wait_for(lambda: pid_file.exists() and pid_file.read_text().strip().isdigit())
        broker = int(pid_file.read_text())
        assert is_alive(broker)
    finally:
        parent.kill()
        parent.wait()
    wait_for(lambda: not is_alive(broker))


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_who_is_ended_while_a_configuration_is_checked_leaves_none_behind(
    config: AgentConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = Path(config.resources.paths.data)
    checking = asyncio.Event()

    def left() -> list[Path]:
        return list(directory.rglob("nats.conf.new"))

    async def check(_program: Path, _candidate: Path) -> None:
        checking.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(binary, "check_config", check)

    async def story() -> None:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(BrokerServer(config, clock=SystemClock()).run_supervised())
            await checking.wait()
            assert left()
            running.cancel()

    asyncio.run(story())
    assert not left()
