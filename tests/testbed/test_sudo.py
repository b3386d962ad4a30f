"""Becoming root on a real host: without a password, with one, with a wrong one, and not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from bzzz_core.config.secrets import Secret
from bzzz_core.deploy.remote import Sudo
from bzzz_core.deploy.ssh.host_keys import KnownHosts
from bzzz_core.deploy.ssh.login import Login
from bzzz_core.deploy.ssh.session import SshHost, session
from bzzz_core.errors import AuthenticationFailed
from tests.testbed import cli, docker_daemon
from tests.testbed.docker_daemon import Docker
from tests.testbed.state import State

pytestmark = [pytest.mark.testbed, pytest.mark.journey, pytest.mark.timeout(300)]
PASSWORD = "canary-Pa55word"  # noqa: S105  looked for everywhere it must not be
USERS = f"""
set -eu
for user in asker stranger terminal; do
  useradd --create-home --shell /bin/bash "$user"
  printf '%s:%s\\n' "$user" '{PASSWORD}' | chpasswd
  install -d -m 700 -o "$user" "/home/$user/.ssh"
  install -m 600 -o "$user" /home/operator/.ssh/authorized_keys "/home/$user/.ssh/"
done
printf 'asker ALL=(ALL) ALL\\n' >/etc/sudoers.d/asker
printf 'terminal ALL=(ALL) NOPASSWD: ALL\\nDefaults:terminal requiretty\\n' >/etc/sudoers.d/terminal
"""


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[State]:
    state = State(tmp_path_factory.mktemp("sudo"))
    cli.up(state, count=1, name="one", suite="bookworm")
    on_host(state, USERS)
    yield state
    cli.down(state)


def on_host(bed: State, script: str) -> str:
    docker: Docker = docker_daemon.find_or_start()
    return docker.text("exec", bed.hosts()[0].container, "sh", "-c", script)


def login(bed: State, user: str, password: str | None) -> Login:
    return Login(
        name="one-1",
        address=bed.hosts()[0].address,
        port=22,
        user=user,
        key=bed.key,
        sudo_password=None if password is None else Secret(password),
    )


def with_session(bed: State, user: str, password: str | None) -> tuple[Sudo, str, bytes]:
    """Log in; return how root was reached, who root is, and what a payload would have read."""

    async def go(host: SshHost) -> tuple[Sudo, str, bytes]:
        who = await host.run("id -u", what="ask who")
        read = await host.run("cat; echo end", what="read standard input")
        return host.greeting.sudo, who.text, read.stdout

    async def run() -> tuple[Sudo, str, bytes]:
        async with session(login(bed, user, password), KnownHosts(bed.known_hosts)) as host:
            return await go(host)

    return asyncio.run(run())


def test_a_password_that_is_not_needed_is_not_sent(bed: State) -> None:
    """Otherwise it would be the first line of whatever the command reads."""
    assert with_session(bed, "operator", PASSWORD) == (Sudo.FREE, "0", b"end\n")


def test_a_password_reaches_sudo_and_nobody_else(bed: State) -> None:
    assert with_session(bed, "asker", PASSWORD) == (Sudo.PASSWORD, "0", b"end\n")
    assert on_host(bed, f"grep -rl '{PASSWORD}' /etc /home /tmp /var /run 2>/dev/null; true") == ""
    assert on_host(bed, f"journalctl --no-pager | grep -c '{PASSWORD}'; true") == "0"


def test_a_wrong_password_is_tried_once(bed: State) -> None:
    """Three tries on every run would lock the account."""
    count = "journalctl --no-pager -t sudo | grep -c 'incorrect password attempt' || true"
    before = int(on_host(bed, count))
    with pytest.raises(AuthenticationFailed, match="tried once"):
        with_session(bed, "asker", "wrong-Pa55word")
    assert int(on_host(bed, count)) == before + 1
    assert "1 incorrect password attempt" in on_host(bed, "journalctl --no-pager -t sudo")


def test_a_user_who_may_not_is_told_from_one_who_was_not_asked(bed: State) -> None:
    with pytest.raises(AuthenticationFailed, match="may not use sudo"):
        with_session(bed, "stranger", PASSWORD)
    with pytest.raises(AuthenticationFailed, match="sudo refuses"):
        with_session(bed, "asker", None)


def test_a_sudo_that_wants_a_terminal_is_told_from_a_wrong_password(bed: State) -> None:
    with pytest.raises(AuthenticationFailed, match=r"requiretty.*Defaults:terminal !requiretty"):
        with_session(bed, "terminal", None)


def test_staged_files_are_gone_when_the_session_ends(bed: State, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(b"x" * 100_000)

    async def run() -> None:
        async with session(login(bed, "operator", None), KnownHosts(bed.known_hosts)) as host:
            await host.stage(b"secret")
            await host.upload(large, lambda _sent, _total: None)

    asyncio.run(run())
    assert on_host(bed, "ls -d /var/tmp/bzzz-* 2>/dev/null; true") == ""
