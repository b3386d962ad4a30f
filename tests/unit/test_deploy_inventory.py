"""Hosts from files that others keep, and from a network; what is not understood is said."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bzzz_core.deploy import inventory, sweep
from bzzz_core.errors import ConfigError

INI = """\
# our machines
mail.example.org ansible_user=ops
[gpu]
node[01:03].lab ansible_port=2222  # three of them
[store]
s1 ansible_host=10.0.0.9 ansible_ssh_pass=never-read
node01.lab
[gpu:vars]
ansible_user = 'admin'
[all:vars]
ansible_port=22
[both:children]
gpu
store
"""
YAML = """\
all:
  vars: {ansible_user: ops}
  hosts:
    a.lab: {ansible_host: 10.0.0.1}
  children:
    gpu:
      hosts:
        b.lab: {ansible_port: 2222, ansible_user: root}
        a.lab:
"""
OURS = """\
version: 1
hosts:
  - {name: one, address: 10.0.0.1, port: 2200, user: me}
  - 10.0.0.2
"""


def rows(text: str) -> list[tuple[str, str, str, str]]:
    found = inventory.read(text, what="hosts")
    return [(host.name, host.address, host.port, host.user) for host in found]


def test_groups_variables_and_ranges_of_an_ini_inventory_are_read() -> None:
    assert rows(INI) == [
        ("mail", "mail.example.org", "22", "ops"),
        ("node01", "node01.lab", "22", "admin"),
        ("node02", "node02.lab", "2222", "admin"),
        ("node03", "node03.lab", "2222", "admin"),
        ("s1", "10.0.0.9", "22", ""),
    ]


def test_a_yaml_inventory_hands_variables_down_to_its_children() -> None:
    assert rows(YAML) == [
        ("a", "10.0.0.1", "", "ops"),
        ("b", "b.lab", "2222", "root"),
    ]


def test_our_own_answers_file_is_an_inventory_too() -> None:
    assert rows(OURS) == [("one", "10.0.0.1", "2200", "me"), ("10-0-0-2", "10.0.0.2", "", "")]


def test_the_pin_and_the_roles_in_our_answers_are_kept() -> None:
    pin = "SHA256:" + "a" * 43
    text = f"hosts: [{{name: a, address: a.lab, host_key_sha256: '{pin}', roles: [storage]}}]"
    (host,) = inventory.read(text, what="hosts")
    assert (host.host_key_sha256, host.roles) == (pin, ("storage",))


def test_hosts_of_two_domains_stay_two_hosts() -> None:
    assert rows("web1.dc1.example.com\nweb1.dc2.example.com ansible_user=ops\nweb2.dc1\n") == [
        ("web1-dc1-example-com", "web1.dc1.example.com", "", ""),
        ("web1-dc2-example-com", "web1.dc2.example.com", "", "ops"),
        ("web2", "web2.dc1", "", ""),
    ]
    with pytest.raises(ConfigError, match="would both be called web-1-lab; rename one"):
        inventory.read("web-1.lab\nweb.1.lab\nweb.lab\nweb-1.org\n", what="hosts")


def test_variables_of_a_parent_group_reach_the_hosts_of_its_children() -> None:
    text = """\
[gpu]
a.lab
[site:children]
gpu
[everything:children]
site
everything
[everything:vars]
ansible_user=far
ansible_port=2200
[site:vars]
ansible_user=near
"""
    assert rows(text) == [("a", "a.lab", "2200", "near")]


def test_a_plain_list_is_the_simplest_inventory() -> None:
    assert rows("10.0.0.1\nweb.lab:2222\n") == [
        ("10-0-0-1", "10.0.0.1", "", ""),
        ("web", "web.lab", "2222", ""),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no hosts in it"),
        ("[gpu\nx", "hosts:1: not a section"),
        ("[gpu:vars]\nnonsense", "hosts:2: not a variable"),
        ("all:\n  - [", "YAML|hosts"),
        ("hosts:\n  - {name: x}", "host 1 has no address"),
        ("n[1:5000]", "at most 500"),
    ],
)
def test_what_is_not_understood_is_said(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        inventory.read(text, what="hosts")


def test_a_password_of_an_inventory_is_nowhere_in_what_is_read() -> None:
    assert "never-read" not in repr(inventory.read(INI, what="hosts"))


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = inventory.read(text, what="hosts")
    except ConfigError:
        return
    assert all(host.name for host in found)


@pytest.mark.parametrize(
    ("network", "count", "first"),
    [("10.0.0.0/30", 2, "10.0.0.1"), ("127.0.0.1/32", 1, "127.0.0.1"), ("10.0.0.0/22", 1022, None)],
)
def test_a_network_is_its_machines(network: str, count: int, first: str | None) -> None:
    found = sweep.addresses(network)
    assert len(found) == count
    assert first in {None, found[0]}


@pytest.mark.parametrize("network", ["10.0.0.0/21", "fd00::/64", "nonsense", "0.0.0.0/0"])
def test_a_network_that_is_too_large_is_refused(network: str) -> None:
    with pytest.raises(ConfigError):
        sweep.addresses(network)


class StillClock:
    """Counts how long was slept."""

    def __init__(self) -> None:
        self.slept_ms = 0

    def now_ms(self) -> int:
        return self.slept_ms

    async def sleep_ms(self, duration_ms: int) -> None:
        self.slept_ms += duration_ms
        await asyncio.sleep(0)


def test_few_are_tried_at_once_and_each_address_once() -> None:
    tried: list[str] = []
    now: list[int] = [0, 0]

    async def connects(address: str, _port: int) -> bool:
        tried.append(address)
        now[0] += 1
        now[1] = max(now)
        for _ in range(50):
            await asyncio.sleep(0)
        now[0] -= 1
        return address.endswith(".7")

    clock = StillClock()
    wanted = sweep.addresses("10.0.0.0/24")
    found = asyncio.run(sweep.sweep(wanted, 22, clock=clock, connects=connects))
    assert found == ("10.0.0.7",)
    assert sorted(tried) == sorted(wanted)
    assert now[1] <= sweep.AT_ONCE
    assert clock.slept_ms == len(wanted) * sweep.EVERY_MS


def test_a_listener_on_loopback_is_found_and_a_closed_port_is_not() -> None:
    async def run() -> tuple[bool, bool]:
        server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        here = await sweep.takes_connections("127.0.0.1", port)
        server.close()
        await server.wait_closed()
        return here, await sweep.takes_connections("127.0.0.1", port)

    assert asyncio.run(run()) == (True, False)
