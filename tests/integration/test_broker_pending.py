"""Values that wait for a restart, and a hindered disk, keep nothing else from the broker."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from bzzz_core.clock import SystemClock
from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.sources import load_agent_config, with_values
from bzzz_core.demo.layout import free_ports, lay_out
from bzzz_core.errors import BrokerHindered
from bzzz_core.fabric import binary
from bzzz_core.fabric.link import BrokerAddress, BrokerLink
from bzzz_core.fabric.problem import ProblemNote
from bzzz_core.fabric.server import BrokerServer
from bzzz_core.model import NodeId
from bzzz_core.trust.secrets_directory import SecretsDirectory
from bzzz_core.trust.tls import client_context
from tests.fakes.fabric_units import FabricUnits, play

pytestmark = pytest.mark.integration
REVOKED_S_MAX = 2.0
"""What is promised."""
SLACK_S = 0.0 if os.environ.get("BZZZ_TEST_FULL") else 4.0
"""What a loaded machine may add. In a full run the promise itself has to hold."""
READY_MS = 60_000


async def link(units: FabricUnits, node: int) -> BrokerLink:
    """Open a connection of a node's own to the broker of node 0."""
    mine, home = units.configs[node], units.configs[0].me
    return await BrokerLink.open(
        BrokerAddress(NodeId(home.id), home.address, home.fabric_client),
        node=NodeId(mine.me.id),
        context=client_context(SecretsDirectory(Path(mine.security.directory))),
        counters=Counter(),
    )


def test_a_revocation_is_not_kept_waiting_by_what_waits_for_a_restart(tmp_path: Path) -> None:
    """Each leaf stays changed while the next node is let go; at the end the broker dies, too."""
    units = FabricUnits(tmp_path / "cluster", nodes=8, voters=1)
    (ports,) = free_ports(1)
    new = tmp_path / "new"
    leaves: tuple[tuple[str, object], ...] = (
        ("network.ports.fabric_monitor", ports.fabric_monitor),
        ("network.ports.fabric_client", ports.fabric_client),
        ("security.directory", "/nonexistent"),
        ("resources.store_bytes_max", 300_000_000),
        ("resources.paths.logs", str(new / "logs")),
        ("cluster.name", "renamed"),
        ("resources.paths.data", str(new / "data")),
    )

    async def scenario(group: asyncio.TaskGroup) -> None:
        units.start(0, group)
        await units.ready(0)
        server, name, pid = units.units[0].server, units.name(0), units.pid(0)
        assert server is not None
        links = {number: await link(units, number) for number in range(1, 8)}
        for number, (key, value) in enumerate(leaves, start=1):
            units.configs[0] = with_values(units.configs[0], {key: value})
            units.units[0].refresh()
            begun = time.monotonic()
            units.expel(number)
            async with asyncio.timeout(30):
                await links[number].closed.wait()
            took = time.monotonic() - begun
            assert took < REVOKED_S_MAX + SLACK_S, f"{key}: cut after {took:.2f} s"
            assert (units.pid(0), server.problem) == (pid, ""), key
        units.signal(0, signal.SIGKILL)
        await units.until(lambda: server.starts == 2)
        await server.wait_ready(READY_MS)
        assert units.name(0) == name, "it is the broker it was, on the store it had"
        assert not new.exists()

    play(units, scenario)


def alone(tmp_path: Path) -> AgentConfig:
    """Return the configuration of the only node of a cluster."""
    return load_agent_config(lay_out(tmp_path / "cluster", agents=1).agents[0].config, {})


def directory_of(config: AgentConfig) -> Path:
    return Path(config.resources.paths.data) / "broker"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(READY_MS / 1_000):
        while not condition():  # noqa: ASYNC110  nobody sets an event of ours
            await asyncio.sleep(0.02)


def test_a_broker_that_refuses_a_reload_is_started_anew_with_it(tmp_path: Path) -> None:
    """The registry names another port of this very node: nats-server -t passes it, a reload not."""
    config = alone(tmp_path)
    (ports,) = free_ports(1)
    me = config.me.model_copy(update={"fabric_client": ports.fabric_client})
    server = BrokerServer(config, clock=SystemClock())

    async def scenario() -> None:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(server.run_supervised())
            await server.wait_ready(READY_MS)
            first = server.pid
            await server.reload((me,))
            assert "refused to reload" in server.problem
            await until(lambda: server.pid not in (first, None))
            await server.wait_ready(READY_MS)
            _, writer = await asyncio.open_connection(me.address, me.fabric_client)
            writer.close()
            await until(lambda: not server.problem)
            running.cancel()

    asyncio.run(scenario())


@pytest.mark.journey
def test_a_broker_that_is_paused_has_refused_nothing(tmp_path: Path) -> None:
    """It is neither killed nor believed; the unit asks again, and meanwhile says so."""
    units = FabricUnits(tmp_path / "cluster", nodes=2, voters=1)
    note = ProblemNote(Path(units.configs[0].resources.paths.data))

    async def scenario(group: asyncio.TaskGroup) -> None:
        units.start(0, group)
        await units.ready(0)
        pid, revoked = units.pid(0), await link(units, 1)
        units.signal(0, signal.SIGSTOP)
        units.expel(1)
        await units.until(lambda: "does not say whether it took" in note.read())
        assert units.pid(0) == pid
        units.signal(0, signal.SIGCONT)
        await units.until(lambda: not note.read())
        async with asyncio.timeout(10):
            await revoked.closed.wait()
        assert units.pid(0) == pid

    play(units, scenario)


@pytest.mark.journey
def test_what_cannot_be_written_does_not_end_the_supervisor(tmp_path: Path) -> None:
    """A directory where a file has to go stands for a full disk, at each place of a broker's life.

    At the first start, at a restart with its companion, and when the cluster's size is noted.
    """
    config = alone(tmp_path)
    server, directory = BrokerServer(config, clock=SystemClock()), directory_of(config)
    candidate, size = directory / "nats.conf.new", directory / "size"

    async def scenario() -> None:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(server.run_supervised())
            await until(lambda: "cannot be started" in server.problem)
            candidate.rmdir()
            await server.wait_ready(READY_MS)
            await until(lambda: not server.problem)

            candidate.mkdir()
            with pytest.raises(IsADirectoryError):
                await server.reload(config.cluster.nodes)
            assert server.pid is not None
            kept = size.rename(directory / "kept")
            size.mkdir()
            await until(lambda: "could not do its part" in server.problem)

            size.rmdir()
            kept.rename(size)
            process = server.pid
            signal_to(process, signal.SIGKILL)
            await until(lambda: "cannot be started" in server.problem)
            candidate.rmdir()
            await server.wait_ready(READY_MS)
            assert server.starts == 2
            running.cancel()

    candidate.mkdir(parents=True, mode=0o700)
    directory.chmod(0o700)
    asyncio.run(scenario())


def test_a_log_that_cannot_be_written_to_is_named_and_waited_for(tmp_path: Path) -> None:
    """It is another user's, say; nats-server ends at once then, and a new voter never votes."""
    config = alone(tmp_path)
    server, log = BrokerServer(config, clock=SystemClock()), Path(config.resources.paths.logs)
    log /= "nats.log"

    async def scenario() -> None:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(server.run_supervised())
            await until(lambda: f"log {log} cannot be written to" in server.problem)
            log.rmdir()
            await server.wait_ready(READY_MS)
            await until(lambda: not server.problem)
            running.cancel()

    log.mkdir(parents=True)
    asyncio.run(scenario())


def test_a_companion_that_cannot_be_started_is_waited_for(tmp_path: Path) -> None:
    """Without it a lone broker would not come up; a later try finds the disk with room again."""
    config = alone(tmp_path)
    server, directory = BrokerServer(config, clock=SystemClock()), directory_of(config)

    async def scenario() -> None:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(server.run_supervised())
            await server.wait_ready(READY_MS)
            conf = directory / "companion" / "nats.conf"
            conf.unlink()
            conf.mkdir()
            signal_to(server.pid, signal.SIGKILL)
            await until(lambda: "could not be run" in server.problem)
            conf.rmdir()
            await server.wait_ready(READY_MS)
            running.cancel()

    asyncio.run(scenario())


def test_a_broker_gets_nothing_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Secrets may be in it (`env:NAME`), and whoever may read a process's may read them."""
    monkeypatch.setenv("BZZZ_AI_KEY", "not for the broker")
    server = BrokerServer(alone(tmp_path), clock=SystemClock())

    async def scenario() -> None:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(server.run_supervised())
            await server.wait_ready(READY_MS)
            assert variables_of(server.pid) <= {b"PATH", b"GOMAXPROCS", b"GOMEMLIMIT"}
            running.cancel()

    asyncio.run(scenario())


def test_a_check_that_takes_too_long_may_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy machine is no refusal: whoever supervises tries again."""
    monkeypatch.setattr(binary, "_RUN_MS_MAX", 200)
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 30\n")
    slow.chmod(0o700)
    with pytest.raises(BrokerHindered, match="did not end"):
        asyncio.run(binary.check_config(slow, tmp_path / "any"))


def variables_of(pid: int | None) -> set[bytes]:
    """Return the names in a process's environment."""
    entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return {entry.partition(b"=")[0] for entry in entries if entry}


def signal_to(pid: int | None, what: signal.Signals) -> None:
    assert pid is not None
    os.kill(pid, what)
