"""Ways to a host that are not straight: jump hosts, and the operator's own SSH configuration.

Real sshd servers on the loopback: one is the host, the others lie before it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bzzz_core.config.profile import ProfileHost, SshAccess
from bzzz_core.deploy.ssh.forward import forward
from bzzz_core.deploy.ssh.host_keys import KnownHosts
from bzzz_core.deploy.ssh.login import Login, Pace
from bzzz_core.deploy.ssh.session import session
from bzzz_core.deploy.ssh.user_config import routed
from bzzz_core.errors import AuthenticationFailed, HostUnreachable
from tests.fakes.loopback_sshd import PROGRAM, LoopbackSshd

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(PROGRAM is None, reason="sshd is not installed"),
    pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed"),
]
QUICK = Pace(connect_s=3, login_s=5, keepalive_s=0.5, keepalives_max=2)
AGENT_S_MAX = 10


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[LoopbackSshd]:
    with LoopbackSshd(tmp_path / "host") as server:
        yield server


@pytest.fixture
def jump(tmp_path: Path) -> Iterator[LoopbackSshd]:
    with LoopbackSshd(tmp_path / "jump") as server:
        admit(server, tmp_path / "host")
        yield server


def admit(server: LoopbackSshd, other: Path) -> None:
    """Let a server take the key of another's login too."""
    with (server.directory / "authorized_keys").open("a") as file:
        file.write((other / "login.pub").read_text())


def straight(server: LoopbackSshd) -> Login:
    return Login(
        name="host-1",
        address="127.0.0.1",
        port=server.port,
        user=server.user,
        key=server.key,
        accept_new_host_key=True,
    )


def own(server: LoopbackSshd) -> KnownHosts:
    return KnownHosts(server.directory / "known_hosts")


def place(server: LoopbackSshd) -> str:
    return f"{server.user}@127.0.0.1:{server.port}"


async def test_a_jump_host_is_gone_through(host: LoopbackSshd, jump: LoopbackSshd) -> None:
    login = routed(straight(host), config=None, jump=place(jump))
    async with session(login, own(host), QUICK) as reached:
        done = await reached.run("echo here", what="say something", timeout_s=10)
        assert done.stdout == b"here\n"
        assert "Accepted publickey" in jump.log.read_text()
        jump.freeze()
        with pytest.raises(HostUnreachable):
            await reached.run("echo here", what="say something", timeout_s=10)


async def test_jump_hosts_follow_each_other(
    host: LoopbackSshd, jump: LoopbackSshd, tmp_path: Path
) -> None:
    with LoopbackSshd(tmp_path / "first") as first:
        admit(first, host.directory)
        hops = f"{place(first)},{place(jump)}"
        async with session(routed(straight(host), config=None, jump=hops), own(host), QUICK):
            # Seen from the second one, the connection comes out of the first's process.
            assert "Accepted publickey" in first.log.read_text()
            assert "Accepted publickey" in jump.log.read_text()


async def test_a_jump_host_nobody_trusts_yet_is_told_nothing(
    host: LoopbackSshd, jump: LoopbackSshd
) -> None:
    """The fingerprint of the one before must never be taken for that of the host behind."""
    careful = dataclasses.replace(straight(host), accept_new_host_key=False)
    login = routed(careful, config=None, jump=place(jump))
    host.forget_probe()
    with pytest.raises(HostUnreachable, match=r"jump host .* log in to it once"):
        async with session(login, own(host), QUICK):
            pass
    assert "Accepted" not in jump.log.read_text()
    assert "Connection from" not in host.log.read_text()


async def test_a_jump_host_that_refuses_is_named(host: LoopbackSshd, jump: LoopbackSshd) -> None:
    (jump.directory / "authorized_keys").write_text("")
    login = routed(straight(host), config=None, jump=place(jump))
    with pytest.raises(AuthenticationFailed, match=r"jump host 127\.0\.0\.1"):
        async with session(login, own(host), QUICK):
            pass


async def test_what_the_jump_host_does_not_reach_is_said(
    host: LoopbackSshd, jump: LoopbackSshd
) -> None:
    login = routed(straight(host), config=None, jump=place(jump))
    host.stop()
    with pytest.raises(HostUnreachable, match=r"the jump host, does not reach it"):
        async with session(login, own(host), QUICK):
            pass


def configured(host: LoopbackSshd, *lines: str) -> tuple[Login, str]:
    """Return a login that says nothing but a name, and a configuration that knows the rest."""
    config = host.directory / "ssh_config"
    text = ["Host alpha", "HostName 127.0.0.1", f"Port {host.port}", f"User {host.user}", *lines]
    config.write_text("\n".join(text) + "\n")
    bare = Login(name="host-1", address="alpha", port=22, user="root", accept_new_host_key=True)
    return bare, str(config)


async def test_what_ssh_knows_setup_knows(host: LoopbackSshd, jump: LoopbackSshd) -> None:
    login, config = configured(
        host, f"IdentityFile {host.key}", f"ProxyJump {place(jump)}", "ForwardAgent yes"
    )
    async with session(routed(login, config=config, jump=None), own(host), QUICK) as reached:
        assert reached.greeting.host_key_sha256 == host.fingerprint
    assert "Accepted publickey" in jump.log.read_text()


async def test_a_proxy_command_leads_to_the_host(host: LoopbackSshd, jump: LoopbackSshd) -> None:
    options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
    command = f"ssh -F none {options} -i {host.key} -p {jump.port} {jump.user}@127.0.0.1 -W %h:%p"
    login, config = configured(host, f"IdentityFile {host.key}", f"ProxyCommand {command}")
    async with session(routed(login, config=config, jump=None), own(host), QUICK) as reached:
        assert reached.greeting.host_key_sha256 == host.fingerprint
    assert "Accepted publickey" in jump.log.read_text()


@pytest.fixture
def agent(host: LoopbackSshd) -> Iterator[Path]:
    """Yield the socket of an agent that holds the login key, whose file is locked by now."""
    socket = host.directory / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + AGENT_S_MAX
    while not socket.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    key = str(host.key)
    add = ["ssh-add", "-q", key]
    subprocess.run(add, check=True, env={**os.environ, "SSH_AUTH_SOCK": str(socket)})
    lock = ["ssh-keygen", "-q", "-p", "-N", "not this one", "-f", key]
    subprocess.run(lock, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    yield socket
    agent.send_signal(signal.SIGTERM)
    agent.wait()


async def test_a_locked_key_of_the_configuration_leaves_it_to_the_agent(
    host: LoopbackSshd, agent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login, config = configured(host, f"IdentityFile {host.key}")
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
    async with session(routed(login, config=config, jump=None), own(host), QUICK):
        pass


async def test_a_public_key_of_the_configuration_leaves_it_to_the_agent(
    host: LoopbackSshd, agent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So people choose one of the keys that a token or a password manager holds."""
    login, config = configured(host, f"IdentityFile {host.key}.pub")
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
    async with session(routed(login, config=config, jump=None), own(host), QUICK):
        pass


async def test_the_monitor_takes_the_same_way(host: LoopbackSshd, jump: LoopbackSshd) -> None:
    login, config = configured(host, f"IdentityFile {host.key}", f"ProxyJump {place(jump)}")
    async with session(routed(login, config=config, jump=None), own(host), QUICK):
        pass  # setup has pinned both keys

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    jump.log.write_text("")
    async with server:
        access = SshAccess(
            user="root", known_hosts=str(host.directory / "known_hosts"), config=config
        )
        port = server.sockets[0].getsockname()[1]
        there = ProfileHost(name="host-1", address="alpha", api_port=port)
        async with forward(access, there) as local:
            reader, writer = await asyncio.open_connection("127.0.0.1", local)
            assert await reader.read() == b"hello"
            writer.close()
    assert "Accepted publickey" in jump.log.read_text()
