"""Packet filters on real hosts: four kinds at once, opened for the nodes, and lockouts undone.

Host 1 has ufw, host 2 nothing (so it gets a table of ours), host 3 iptables that drops by default,
host 4 firewalld.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, cast

import pytest

from bzzz_core.clock import SystemClock
from bzzz_core.deploy import deadman, made, phases
from bzzz_core.deploy.lease import Lease, Owner
from bzzz_core.deploy.remote import RemoteHost
from bzzz_core.deploy.ssh.host_keys import KnownHosts
from bzzz_core.deploy.ssh.login import Login
from bzzz_core.deploy.ssh.session import session
from bzzz_core.errors import ChangeTakenBack
from tests.testbed import cli, docker_daemon, faults
from tests.testbed.operators import Operator
from tests.testbed.state import State

pytestmark = [pytest.mark.testbed, pytest.mark.journey, pytest.mark.timeout(600)]
PORTS = (4222, 6222, 8443)
KINDS = ("ufw", "nftables", "iptables", "firewalld")
UFW = """
ufw default deny incoming && ufw allow 22/tcp comment 'the admin' && ufw deny 9999/tcp
ufw allow proto tcp from 10.99.0.0/16 to any port 4222
ufw --force enable
"""
IPTABLES = """
iptables -A INPUT -i lo -j ACCEPT
iptables -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
iptables -A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
iptables -A INPUT -p icmp -j ACCEPT
iptables -P INPUT DROP
"""
FIREWALLD = """
systemctl unmask --quiet firewalld && systemctl start firewalld
firewall-cmd -q --add-port=9999/udp && firewall-cmd -q --permanent --add-port=9998/udp
"""
NFT = "nft -f - <<'E'\ntable ip admin {\n\tchain count {\n\t\tcounter\n\t}\n}\nE\n"
RULES = {
    "1": "cat /etc/ufw/user.rules /etc/ufw/user6.rules",
    "2": "nft -s list ruleset | grep -v 127.0.0.11",  # the container engine's, by chance
    "3": "iptables -S; ip6tables -S",
    "4": "firewall-cmd --list-all-zones; firewall-cmd --permanent --list-all-zones",
}


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    bed = State(tmp_path_factory.mktemp("firewall"))
    cli.up(bed, count=4, name="fw", suite="bookworm")
    bed.answers.write_text(bed.answers.read_text() + "network: {firewall: {mode: restrict}}\n")
    one = Operator(bed, tmp_path_factory.mktemp("home"))
    for number, script in (("1", UFW), ("2", NFT), ("3", IPTABLES), ("4", FIREWALLD)):
        one.on(number, script)
    yield one
    cli.down(bed)


@pytest.fixture(scope="module")
def before(operator: Operator) -> dict[str, str]:
    """Return the rules of others before anything was done."""
    return {number: operator.on(number, script) for number, script in RULES.items()}


@pytest.fixture(scope="module")
def installed(operator: Operator, before: dict[str, str]) -> list[dict[str, Any]]:
    assert all(before.values())
    code, events = operator.setup("--apply", "--yes")
    assert code == 0, [e for e in events if e.get("status") == "failed"] or events[-3:]
    return events


def on_host(operator: Operator, number: str, action: Callable[[RemoteHost], Awaitable[Any]]) -> Any:
    """Do something over a session with a host, as setup does."""
    bed = operator.bed
    host = bed.host(number)
    login = Login(name=host.name, address=host.address, port=22, user="operator", key=bed.key)

    async def run() -> Any:
        async with session(login, KnownHosts(bed.known_hosts)) as open_host:
            return await action(cast("RemoteHost", open_host))

    return asyncio.run(run())


def reaches(address: str, port: int) -> bool:
    """Return whether this machine, which is no node, gets a connection."""
    try:
        with socket.create_connection((address, port), 2):
            return True
    except OSError:
        return False


def test_a_cluster_forms_through_four_kinds_of_filters(
    operator: Operator, installed: list[dict[str, Any]]
) -> None:
    assert installed[-1]["leader"]
    plan = next(event for event in installed if event["event"] == "plan")
    planned = {
        host: [c["target"] for c in changes if c["phase"] == "open_firewall"]
        for host, changes in plan["hosts"].items()
    }
    assert planned == {
        f"fw-{number}": [f"{backend} {port}/tcp" for port in PORTS]
        for number, backend in enumerate(KINDS, 1)
    }
    assert operator.on("1", "ufw status").count("bzzz:fabric-cluster") == 3
    assert operator.on("2", "nft list table inet bzzz").count("bzzz:fabric-cluster") == 3
    assert operator.on("3", "iptables -S BZZZ").count("bzzz:fabric-cluster") == 3
    for lasting in ("", "--permanent"):
        assert operator.on("4", f"firewall-cmd {lasting} --list-rich-rules").count('"6222"') == 3


@pytest.mark.usefixtures("installed")
def test_nobody_but_the_nodes_comes_in(operator: Operator) -> None:
    """This machine is no node; every filter keeps it out of the route port, and none of SSH."""
    for host in operator.bed.hosts():
        assert not reaches(host.address, 6222), host
        assert reaches(host.address, 22), host


@pytest.mark.usefixtures("installed")
def test_a_second_run_changes_nothing(operator: Operator) -> None:
    code, events = operator.setup("--apply", "--yes")
    assert (code, [host["changes"] for host in events[-1]["hosts"]]) == (0, [0, 0, 0, 0])


@pytest.mark.usefixtures("installed")
def test_a_restart_of_the_host_loads_the_rules_again(operator: Operator) -> None:
    docker = docker_daemon.find_or_start()
    faults.reboot(docker, operator.bed, operator.bed.host("2"))
    operator.on("2", NFT)  # the admin's rules do not outlive a restart
    # For each port one rule for each of the others, and one that refuses the rest.
    assert operator.on("2", "nft list table inet bzzz").count("bzzz:") == len(KINDS) * len(PORTS)
    # Of the admin's ports the one for now is gone, and the one for good has come.
    back = "firewall-cmd -q --add-port=9999/udp && firewall-cmd -q --remove-port=9998/udp"
    operator.on("4", f"systemctl restart firewalld && {back}")
    assert operator.on("4", "firewall-cmd --list-rich-rules").count('"6222"') == 3


@pytest.mark.usefixtures("installed")
def test_a_port_that_others_cannot_reach_undoes_the_change(operator: Operator) -> None:
    """A rule of the admin refuses before ours: ours do not stay, and the message says who."""
    deny = "deny proto tcp from 10.0.0.0/8 to any port 6222"
    operator.on("1", f"ufw insert 1 {deny}")
    kept = operator.on("1", RULES["1"])
    text = operator.bed.answers.read_text()
    wider = text.replace("mode: restrict", "mode: restrict, peers: [10.98.0.0/16]")
    operator.bed.answers.write_text(wider)
    try:
        code, events = operator.setup("--apply", "--yes")
    finally:
        operator.bed.answers.write_text(text)
    failed = [e for e in events if e.get("status") == "failed" and e["phase"] == "open_firewall"]
    assert code != 0
    assert [event["host"] for event in failed] == ["fw-1"]
    assert "fw-2 does not reach fw-1 on port 6222: silent" in failed[0]["detail"]
    assert "it was taken back" in failed[0]["detail"]
    assert operator.on("1", RULES["1"]) == kept
    operator.on("1", f"ufw delete {deny}")


LOCK = deadman.WayBack(
    what="test",
    script='iptables -w -D INPUT -p tcp --dport "$(cat "$1")" -j DROP',
    data=b"22",
)


async def lock_out(host: RemoteHost) -> None:
    """Refuse new logins; this connection goes on, as an established one does."""
    script = (
        "iptables -w -I INPUT -p tcp --dport 22 -j DROP;"
        "iptables -w -I INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT"
    )
    await host.run(script, what="lock ourselves out")


def test_a_lockout_that_is_noticed_is_undone_at_once(operator: Operator) -> None:
    async def go(host: RemoteHost) -> float:
        async def prove() -> None:
            with pytest.raises(OSError, match=r".*"):
                await asyncio.wait_for(asyncio.open_connection(host_of(operator, "3"), 22), 2)
            raise ChangeTakenBack("no fresh login")

        begun = time.monotonic()
        with pytest.raises(ChangeTakenBack, match="it was taken back"):
            await deadman.guarded(host, LOCK, change=lambda: lock_out(host), prove=prove)
        return time.monotonic() - begun

    assert on_host(operator, "3", go) < 20
    assert reaches(host_of(operator, "3"), 22)


@pytest.mark.parametrize(
    ("given", "back_s"),
    [
        pytest.param({"limit_s": 15}, (10, 22), id="shortened"),
        pytest.param({}, (55, 70), id="as it is", marks=pytest.mark.full),
    ],
)
def test_a_lockout_that_nobody_lives_to_notice_is_undone_by_the_host(
    operator: Operator, given: dict[str, int], back_s: tuple[int, int]
) -> None:
    """The operator is gone after the change; the session that stands is of no use to anybody."""
    address = host_of(operator, "3")
    least_s, most_s = back_s

    async def go(host: RemoteHost) -> None:
        never = asyncio.Event()

        async def prove() -> None:
            never_proved.set()
            await never.wait()

        never_proved = asyncio.Event()
        run = deadman.guarded(host, LOCK, change=lambda: lock_out(host), prove=prove, **given)
        async with asyncio.TaskGroup() as group:
            task: asyncio.Task[None] = group.create_task(run)
            await never_proved.wait()
            task.cancel()

    begun = time.monotonic()
    on_host(operator, "3", go)
    assert not reaches(address, 22)
    while not reaches(address, 22):
        assert time.monotonic() - begun < most_s + 10
    assert least_s < time.monotonic() - begun < most_s


def test_a_lockout_that_a_dead_run_left_is_undone_by_who_takes_the_lease(
    operator: Operator,
) -> None:
    """Long before the host would by itself; and the way back is not swept away with litter."""
    address = host_of(operator, "3")

    async def go(host: RemoteHost) -> None:
        proving = asyncio.Event()

        async def prove() -> None:
            proving.set()
            await asyncio.Event().wait()

        async with asyncio.TaskGroup() as group:
            dying = group.create_task(
                deadman.guarded(host, LOCK, change=lambda: lock_out(host), prove=prove)
            )
            await proving.wait()
            dying.cancel()
        assert not await asyncio.to_thread(reaches, address, 22)
        lease = Lease(host, Owner(who="a", host="b", pid=1, run="next", origin="c"))
        await lease.take(SystemClock())
        assert await asyncio.to_thread(reaches, address, 22)
        await lease.free()

    on_host(operator, "3", go)
    left = "ls -d /run/bzzz-install/* 2>/dev/null; systemctl list-units --all -q 'bzzz-install-*'"
    assert operator.on("3", left) == ""


@pytest.mark.usefixtures("installed")
def test_what_was_made_is_removed_and_the_rest_is_as_before(
    operator: Operator, before: dict[str, str]
) -> None:
    async def leave(host: RemoteHost) -> None:
        for entry in await made.noted(host):
            await phases.REMOVERS[entry.phase](host, entry)
            await made.forget(host, entry)

    extra = "while iptables -D INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT; do :; done"
    operator.on("3", extra)
    for number, rules in before.items():
        on_host(operator, number, leave)
        assert operator.on(number, "ls /etc/bzzz/made") == ""
        assert operator.on(number, RULES[number]) == rules


def host_of(operator: Operator, number: str) -> str:
    """Return the address of a host."""
    return operator.bed.host(number).address
