"""Setup on what operators really have: other shells, chatty logins, Debian 13, IPv6 alone."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.testbed import cli, docker_daemon
from tests.testbed.operators import Operator, changes, failures
from tests.testbed.state import Host, State

pytestmark = [pytest.mark.testbed, pytest.mark.journey, pytest.mark.timeout(420)]
PASSWORD = "canary-Pa55word"  # noqa: S105  looked for where it must not be
LOGINS = f"""
set -eu
user() {{
  useradd --create-home --shell "$2" "$1"
  printf '%s:%s\\n' "$1" '{PASSWORD}' | chpasswd
  install -d -m 700 -o "$1" "/home/$1/.ssh"
  install -m 600 -o "$1" /home/operator/.ssh/authorized_keys "/home/$1/.ssh/"
  printf '%s ALL=(ALL) ALL\\n' "$1" >"/etc/sudoers.d/$1"
}}
user fishy /usr/bin/fish
user zetta /usr/bin/zsh
user noisy /bin/bash
user brazil /bin/bash
user leaver /bin/bash
user barred /usr/sbin/nologin
printf '%s\\n' 'echo Welcome' 'echo a complaint >&2' 'sleep 0.2' >/home/noisy/.bashrc
printf 'export LANG=pt_BR.UTF-8 LC_ALL=pt_BR.UTF-8\\n' >/home/brazil/.bashrc
printf 'exit 0\\n' >/home/leaver/.bashrc
printf 'set -x greeting hello; echo "welcome to fish"\\n' >/etc/fish/config.fish
printf 'PermitRootLogin prohibit-password\\n' >/etc/ssh/sshd_config.d/a-root.conf
install -d -m 700 ~root/.ssh
install -m 600 /home/operator/.ssh/authorized_keys ~root/.ssh/
systemctl reload ssh
"""


@pytest.fixture(scope="module")
def logins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[State]:
    bed = State(tmp_path_factory.mktemp("logins"))
    cli.up(bed, count=1, name="login", suite="bookworm")
    docker_daemon.find_or_start().text("exec", bed.hosts()[0].container, "sh", "-c", LOGINS)
    yield bed
    cli.down(bed)


def logging_in(bed: State, home: Path, user: str) -> Operator:
    """Return an operator who logs in as a user, with a sudo password in a file."""
    secret = home / "sudo-password"
    secret.touch(mode=0o600)
    secret.write_text(PASSWORD + "\n")
    operator = Operator(bed, home / "config", home / "answers.yaml")
    ssh = {
        "user": user,
        "key": str(bed.key.resolve()),
        "known_hosts": str(bed.known_hosts.resolve()),
        "sudo_password": None if user == "root" else f"file:{secret}",
    }
    operator.answer([host.name for host in bed.hosts()], security={"ssh": ssh})
    return operator


@pytest.mark.parametrize("user", ["root", "zetta", "noisy", "brazil"])
def test_any_login_that_can_become_root_will_do(logins: State, tmp_path: Path, user: str) -> None:
    code, events = logging_in(logins, tmp_path, user).setup("--check")
    assert code == 0, failures(events)


@pytest.mark.parametrize(
    ("user", "words"),
    [("leaver", "look for `exit` in its start files"), ("barred", "runs no commands")],
)
def test_a_login_that_runs_nothing_is_told_what_is_wrong(
    logins: State, tmp_path: Path, user: str, words: str
) -> None:
    code, events = logging_in(logins, tmp_path, user).setup("--check")
    assert code == 3
    assert words in str(failures(events))


def test_a_whole_installation_through_fish_with_a_password(logins: State, tmp_path: Path) -> None:
    operator = logging_in(logins, tmp_path, "fishy")
    assert operator.apply()[-1]["leader"] == "login-1"
    assert changes(operator.apply()) == {"login-1": 0}
    # Not by `operator.on`: sudo writes the commands that it is given into the journal.
    found = docker_daemon.find_or_start().text(
        *("exec", logins.hosts()[0].container, "sh", "-c"),
        f"grep -rlF '{PASSWORD}' /etc /opt /home /root /tmp /var /run 2>/dev/null;"
        f" journalctl --no-pager | grep -cF '{PASSWORD}'; true",
    )
    assert found.strip() == "0"
    mine = [path for path in operator.home.rglob("*") if path.is_file()]
    assert mine
    assert not [path for path in mine if PASSWORD.encode() in path.read_bytes()]


@pytest.fixture(scope="module")
def trixie(tmp_path_factory: pytest.TempPathFactory) -> Iterator[State]:
    """Debian 13, after its hosts have lost their IPv4 addresses."""
    bed = State(tmp_path_factory.mktemp("trixie"))
    cli.up(bed, count=3, name="six", suite="trixie")
    docker = docker_daemon.find_or_start()
    for host in bed.hosts():
        docker.text("exec", host.container, "ip", "-4", "address", "flush", "dev", "eth0")
    yield bed
    cli.down(bed)


def test_debian_13_without_ipv4_becomes_a_cluster(trixie: State, tmp_path: Path) -> None:
    operator = Operator(trixie, tmp_path / "config", tmp_path / "answers.yaml")
    names = [host.name for host in trixie.hosts()]
    operator.answer(names)
    text = operator.answers.read_text()
    for host in trixie.hosts():
        text = text.replace(f"address: {host.address}\n", f"address: {host.address6}\n")
    operator.answers.write_text(text)
    begun = time.monotonic()
    events = operator.apply()
    assert events[-1]["leader"] in names
    assert time.monotonic() - begun < 120
    assert set(changes(operator.apply()).values()) == {0}
    for host in trixie.hosts():
        assert _listens_by_ipv6_alone(host)


def _listens_by_ipv6_alone(host: Host) -> bool:
    script = "ss -Hltn 'sport = :6222 or sport = :4222' | awk '{print $4}'"
    said = docker_daemon.find_or_start().text("exec", host.container, "sh", "-c", script)
    addresses = [line.rpartition(":")[0].strip("[]") for line in said.split()]
    return bool(addresses) and all(
        address == "*" or ipaddress.ip_address(address).version == 6 for address in addresses
    )
