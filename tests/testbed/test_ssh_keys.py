"""Keys and sshd on a real host: a login by password gets a key, and then passwords end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from bzzz_core.config.secrets import Secret
from bzzz_core.deploy import made, phases
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.ssh.host_keys import KnownHosts
from bzzz_core.deploy.ssh.login import Login
from bzzz_core.deploy.ssh.session import session
from bzzz_core.errors import AuthenticationFailed
from tests.testbed import cli, docker_daemon
from tests.testbed.operators import Operator
from tests.testbed.state import State

pytestmark = [pytest.mark.testbed, pytest.mark.journey, pytest.mark.timeout(400)]
PASSWORD = "canary-0dd-Pa55word"  # noqa: S105  looked for everywhere it must not be
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGq1q1q1q1q1q1q1q1q1q1q1q1q1q1q1q1q1q1q1q1q1"
ODD = f"""
set -eu
useradd --create-home --shell /bin/bash odd
printf 'odd:%s\\n' '{PASSWORD}' | chpasswd
printf 'odd ALL=(ALL) NOPASSWD:ALL\\n' >/etc/sudoers.d/odd
sed -i 's/^PasswordAuthentication no/PasswordAuthentication yes/' \\
  /etc/ssh/sshd_config.d/testbed.conf
systemctl reload ssh
install -d -m 775 -o odd -g odd /home/odd/.ssh
printf '%s\\n%s' '# a remark' \\
  'no-pty,command="echo \\"ssh-ed25519 AAAA\\"" {OTHER} of somebody else' \\
  >/home/odd/.ssh/authorized_keys
chown odd:odd /home/odd/.ssh/authorized_keys
"""
KEYS = "/home/odd/.ssh/authorized_keys"


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    bed = State(tmp_path_factory.mktemp("keys"))
    cli.up(bed, count=1, name="odd", suite="bookworm")
    one = Operator(bed, tmp_path_factory.mktemp("home"))
    secret = one.home / "password"
    secret.touch(mode=0o600)
    secret.write_text(PASSWORD)
    text = bed.answers.read_text()
    key = next(line for line in text.splitlines() if line.strip().startswith("key:"))
    text = text.replace(f"{key}\n", f"    password: file:{secret}\n    install_key: generate\n")
    bed.answers.write_text(text.replace("user: operator", "user: odd\n    harden: true"))
    as_root(bed, ODD)
    yield one
    cli.down(bed)


@pytest.fixture(scope="module")
def installed(operator: Operator) -> list[dict[str, Any]]:
    code, events = operator.setup("--apply", "--yes")
    assert code == 0, [e for e in events if e.get("status") == "failed"] or events[-3:]
    return events


def as_root(bed: State, script: str) -> str:
    """Run a script that holds the password; not over SSH, for sudo writes down what it runs."""
    docker = docker_daemon.find_or_start()
    return docker.text("exec", bed.host("1").container, "sh", "-c", script)


def key_of(operator: Operator) -> Path:
    """Return the key that setup made."""
    return next(operator.home.rglob("id_ed25519"))


def logged_in(
    operator: Operator,
    action: Callable[[RemoteHost], Awaitable[Any]],
    *,
    key: Path | None = None,
    password: str | None = None,
) -> Any:
    """Do something over a session with the host that came about in this way alone."""
    login = Login(
        name="odd-1",
        address=operator.bed.host("1").address,
        port=22,
        user="odd",
        key=key,
        password=Secret(password) if password else None,
    )

    async def run() -> Any:
        async with session(login, KnownHosts(operator.bed.known_hosts)) as host:
            return await action(cast("RemoteHost", host))

    return asyncio.run(run())


async def who(host: RemoteHost) -> str:
    """Return as whom commands run."""
    return (await host.run("id -un", what="ask who", root=False)).text


@pytest.mark.usefixtures("installed")
def test_the_key_is_one_more_line_and_the_others_are_untouched(operator: Operator) -> None:
    lines = operator.on("1", f"cat {KEYS}").splitlines()
    assert lines[:2] == [
        "# a remark",
        f'no-pty,command="echo \\"ssh-ed25519 AAAA\\"" {OTHER} of somebody else',
    ]
    assert lines[2:] == [key_of(operator).with_suffix(".pub").read_text().strip()]
    modes = operator.on("1", f"stat -c '%a %U' {KEYS} /home/odd/.ssh")
    assert modes.splitlines() == ["600 odd", "700 odd"]


@pytest.mark.usefixtures("installed")
def test_keys_come_in_and_passwords_no_longer(operator: Operator) -> None:
    assert logged_in(operator, who, key=key_of(operator)) == "odd"
    with pytest.raises(AuthenticationFailed):
        logged_in(operator, who, password=PASSWORD)
    assert as_root(operator.bed, f"grep -rl '{PASSWORD}' /etc /home /tmp /var /run; true") == ""


@pytest.mark.usefixtures("installed")
def test_a_second_run_comes_in_by_the_key_and_changes_nothing(operator: Operator) -> None:
    code, events = operator.setup("--apply", "--yes")
    assert (code, [host["changes"] for host in events[-1]["hosts"]]) == (0, [0])
    assert operator.monitor()["leader"] == "odd-1", "the monitor has the key from the profile"


@pytest.mark.usefixtures("installed")
def test_a_configuration_that_sshd_refuses_is_taken_back(operator: Operator) -> None:
    """Somebody else's broken file: the reload would end sshd, so nothing is reloaded."""
    broken = "/etc/ssh/sshd_config.d/zz-broken.conf"
    operator.on("1", f"rm /etc/ssh/sshd_config.d/00-bzzz.conf; echo Nonsense yes >{broken}")
    code, events = operator.setup("--apply", "--yes")
    operator.on("1", f"rm {broken}")
    failed = [e for e in events if e.get("status") == "failed"]
    assert code != 0 or failed, events[-1]
    assert operator.on("1", "ls /etc/ssh/sshd_config.d") == "testbed.conf"
    code, events = operator.setup("--apply", "--yes")
    assert code == 0, [e for e in events if e.get("status") == "failed"] or events[-3:]


@pytest.mark.usefixtures("installed")
def test_what_was_made_is_removed(operator: Operator) -> None:
    async def leave(host: RemoteHost) -> None:
        for entry in await made.noted(host):
            await phases.REMOVERS[entry.phase](host, entry)
            await made.forget(host, entry)

    logged_in(operator, leave, key=key_of(operator))
    assert len(operator.on("1", f"cat {KEYS}").splitlines()) == 2
    assert logged_in(operator, who, password=PASSWORD) == "odd"
    assert operator.on("1", "ls /etc/ssh/sshd_config.d") == "testbed.conf"
