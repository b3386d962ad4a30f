"""How commands find this machine's agent, and how they end when it cannot be asked."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner, Result

from bzzz_core.api.auth import Doorkeeper
from bzzz_core.api.http import build_app
from bzzz_core.api.operations import Call, Operation
from bzzz_core.api.place import Place, present
from bzzz_core.api.server import AgentApi
from bzzz_core.cli import main
from bzzz_core.clock import SystemClock
from bzzz_core.commands.options import reports_errors
from bzzz_core.config.schema import AgentConfig
from bzzz_core.config.secrets import Secret, resolve
from bzzz_core.config.sources import load_agent_config
from bzzz_core.enrolment.cache import RegistryCache
from bzzz_core.enrolment.founder import Founding, found
from bzzz_core.enrolment.home import Home
from bzzz_core.enrolment.joiner import Newcomer
from bzzz_core.enrolment.registry import NodeState, Registry, genesis
from bzzz_core.model import ClusterId
from bzzz_core.trust.secrets_directory import SecretsDirectory
from tests.fakes import statuses

ASKING = (
    ("status",),
    ("node", "list"),
    ("node", "revoke", "one", "--yes"),
    ("node", "renew"),
    ("token", "list"),
    ("token", "create"),
    ("leader", "show"),
    ("leader", "elect"),
    ("dht", "status"),
    ("dht", "get", "key"),
    ("config", "history"),
    ("config", "show", "--running"),
    ("leave",),
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A node's file; nobody listens on its port."""
    founding = Founding(cluster_name="home", leaf_s=3_600, ca_directory=tmp_path / "ca")
    home = Home.below(tmp_path / "one")
    newcomer = Newcomer.described("one", "127.0.0.1", [f"api={free_port()}"])
    found(newcomer, founding, home=home)
    return home.config


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def command(file: Path, *words: str) -> Result:
    depth = 2 if words[0] in {"node", "token", "leader", "dht", "config"} else 1
    line = [*words[:depth], "--config", str(file), *words[depth:]]
    return CliRunner().invoke(main, line, catch_exceptions=False)


async def nothing(_call: Call) -> dict[str, object]:
    return {"nodes": [], "revision": "r", "applied": [], "waiting": [], "refused": "", "notes": []}


@contextmanager
def running(config: AgentConfig, token: str | None = None) -> Iterator[None]:
    """Serve the agent's API in a thread: commands have event loops of their own."""
    app = build_app(
        doorkeeper=Doorkeeper.of_one(
            Secret(token) if token else resolve(config.security.api_token)
        ),
        status=statuses.status,
        not_ready=tuple,
        operations=(
            Operation("GET", "/v1/nodes", nothing, "nodes:read", "Nothing"),
            Operation("POST", "/v1/config/reload", nothing, "config:write", "Nothing"),
        ),
    )
    server = AgentApi(app, config, clock=SystemClock())
    with in_thread(server.run, lambda: server.started):
        yield


@contextmanager
def in_thread(serve: Callable[[], Awaitable[None]], started: Callable[[], bool]) -> Iterator[None]:
    ready, stop, loop = threading.Event(), asyncio.Event(), asyncio.new_event_loop()

    async def run() -> None:
        task = asyncio.ensure_future(serve())
        while not started():  # noqa: ASYNC110  uvicorn tells by a flag
            await asyncio.sleep(0)
        ready.set()
        await stop.wait()
        task.cancel()
        await asyncio.wait([task])

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    try:
        assert ready.wait(60)
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@pytest.mark.parametrize("words", ASKING, ids=" ".join)
def test_every_command_ends_alike_without_an_agent(file: Path, words: tuple[str, ...]) -> None:
    ended = command(file, *words)
    assert (ended.exit_code, ended.stdout) == (3, "")
    assert "does not answer" in ended.stderr
    assert "does it run?" in ended.stderr


def test_an_interrupted_command_says_so_by_its_code() -> None:
    @click.command()
    @reports_errors
    def interrupted() -> None:
        raise KeyboardInterrupt

    assert CliRunner().invoke(interrupted).exit_code == 130


@pytest.mark.parametrize("words", [("status",), ("node", "list"), ("leave",)], ids=" ".join)
def test_every_command_ends_alike_when_the_token_is_refused(
    file: Path, words: tuple[str, ...]
) -> None:
    with running(load_agent_config(file, {}), token="another"):  # noqa: S106
        ended = command(file, *words)
    assert (ended.exit_code, "the API refused the token" in ended.stderr) == (1, True)


@pytest.mark.parametrize("words", [("status",), ("token", "create")], ids=" ".join)
def test_who_was_asked_and_did_not_answer_may_have_done_it(
    file: Path, words: tuple[str, ...]
) -> None:
    """Code 3 promises that nothing was done; here nobody can."""
    config = load_agent_config(file, {})
    listening: list[asyncio.Server] = []

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(hang_up, "127.0.0.1", config.network.ports.api)
        listening.append(server)
        async with server:
            await server.serve_forever()

    with in_thread(serve, lambda: bool(listening)):
        ended = command(file, *words)
    assert (ended.exit_code, "was asked and did not answer" in ended.stderr) == (1, True)


def revoked(config: AgentConfig) -> Registry:
    """Return a registry in which another node votes and this one was revoked."""
    registry = genesis(config)
    ended = msgspec.structs.replace(
        registry.nodes[0], state=NodeState.REVOKED, voter=False, ended_at="2026-01-01T00:00:00Z"
    )
    return msgspec.structs.replace(registry, version=2, nodes=(ended,))


@pytest.mark.parametrize("words", ASKING, ids=" ".join)
def test_every_command_says_that_the_node_was_revoked(file: Path, words: tuple[str, ...]) -> None:
    config = load_agent_config(file, {})
    cluster = ClusterId(config.cluster.id)
    RegistryCache(Path(config.resources.paths.data), cluster=cluster).store(revoked(config))
    ended = command(file, *words)
    assert (ended.exit_code, "was revoked 2026" in ended.stderr) == (7, True)


SPOILT = """
ai: {endpoint: {base_url: 7, modle: x}}
resources_: 1
services: {profile: nonsense}
"""


def test_a_fault_elsewhere_in_the_file_is_a_warning(file: Path) -> None:
    config = load_agent_config(file, {})
    text = file.read_text(encoding="utf-8")
    kept = "\n".join(line for line in text.splitlines() if not line.startswith("services"))
    file.write_text(kept.replace("  broker: child\n", "") + SPOILT, encoding="utf-8")
    with running(config):
        for words in (("status", "--json"), ("node", "list", "--json")):
            told = command(file, *words)
            assert told.exit_code == 0, told.output
            json.loads(told.stdout)
            for fault in ("ai.endpoint.modle: unknown key", "resources_: unknown key", "profile"):
                assert fault in told.stderr
            assert f"warning: {file}:" in told.stderr
            assert "would not start" in told.stderr
    assert command(file, "config", "validate").exit_code == 2


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("network", "  prots: {api: 1}"),
        ("network", "  api_host: [1]"),
        ("security", "  api_tokn: 'env:X'"),
    ],
)
def test_a_fault_in_where_the_agent_is_stays_an_error(file: Path, section: str, line: str) -> None:
    """A default there would send the token to whoever listens at it."""
    text = file.read_text(encoding="utf-8").replace(f"\n{section}:\n", f"\n{section}:\n{line}\n")
    file.write_text(text, encoding="utf-8")
    ended = command(file, "status")
    assert (ended.exit_code, "warning" in ended.stderr) == (2, False)


def test_a_changed_port_does_not_cut_commands_off(file: Path) -> None:
    old, (one, two) = load_agent_config(file, {}), (free_port(), free_port())
    with running(old):
        for port in (one, two):
            told = command(file, "config", "set", "network.ports.api", str(port))
            assert (told.exit_code, told.stdout) == (0, f"written to {file}\n")
            assert load_agent_config(file, {}).network.ports.api == port
            assert command(file, "status").exit_code == 0
    ended = command(file, "status")
    assert (ended.exit_code, f":{two} " in ended.stderr) == (3, True)
    with running(load_agent_config(file, {})):
        assert command(file, "status").exit_code == 0


def test_nobody_else_can_say_where_the_agent_is(file: Path, tmp_path: Path) -> None:
    """What is not private, not a plain file, or not held by a living process is passed over."""
    config = load_agent_config(file, {})
    configured = Place("127.0.0.1", config.network.ports.api)
    path = SecretsDirectory(Path(config.security.directory)).api_place

    def said(content: bytes = b'{"host": "192.0.2.66", "port": 1}', mode: int = 0o600) -> Place:
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
        with path.open("rb") as holder:
            fcntl.flock(holder, fcntl.LOCK_EX)
            return present(config)

    assert said() == Place("192.0.2.66", 1)
    assert present(config) == configured, "its writer is dead"
    assert said(mode=0o644) == configured
    assert said(b"{") == configured
    assert said(b'{"host": "192.0.2.66", "port": 0}') == configured

    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with path.open("rb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        assert present(config) == configured
    path.unlink()
    os.mkfifo(path, 0o600)
    assert present(config) == configured


def test_the_file_goes_with_the_agent(file: Path) -> None:
    config = load_agent_config(file, {})
    path = SecretsDirectory(Path(config.security.directory)).api_place
    with running(config):
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()
