"""Subnet and interface: what is found, what collides, and what is refused."""

from __future__ import annotations

import msgspec
import pytest

from bzzz_core.deploy import surroundings
from bzzz_core.deploy.facts.containers import Docker, DockerNetwork
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.facts.network import Interface, InterfaceKind
from bzzz_core.deploy.facts.routes import Route, Routing
from tests.fakes.deploy_goals import spec

ETH = Interface(
    name="eth0", kind=InterfaceKind.PHYSICAL, state="up", carrier=True, addresses=("10.0.0.1/24",)
)
DOWN = Interface(name="eth1", kind=InterfaceKind.PHYSICAL, state="down", addresses=())
BRIDGE = Interface(
    name="docker0",
    kind=InterfaceKind.DOCKER,
    state="up",
    carrier=True,
    addresses=("172.17.0.1/16",),
)
FACTS = HostFacts(
    addresses=("10.0.0.1",),
    interfaces=(ETH, DOWN, BRIDGE),
    routing=Routing(
        routes=(
            Route(destination="0.0.0.0/0", gateway="10.0.0.254", interface="eth0"),
            Route(destination="10.0.0.0/24", interface="eth0"),
            Route(destination="192.168.7.0/24", gateway="10.0.0.9", interface="eth0"),
            Route(destination="10.99.0.0/16", interface="wg0"),
        )
    ),
    docker=(Docker(networks=(DockerNetwork("bridge", "bridge", ("172.17.0.0/16",)),)),),
)


def test_the_subnet_is_the_one_that_all_addresses_are_in() -> None:
    other = msgspec.structs.replace(
        FACTS, interfaces=(msgspec.structs.replace(ETH, addresses=("10.0.0.2/24",)),)
    )
    hosts = [("10.0.0.1", FACTS), ("10.0.0.2", other)]
    assert str(surroundings.shared_subnet(hosts)) == "10.0.0.0/24"


def test_an_unseen_host_leaves_the_subnet_unknown() -> None:
    assert surroundings.shared_subnet([("10.0.0.1", FACTS), ("10.0.0.2", None)]) is None


@pytest.mark.parametrize(
    ("subnet", "words"),
    [
        ("10.0.0.0/24", ()),
        ("172.17.4.0/24", ("Docker's network bridge has 172.17.0.0/16",)),
        ("10.99.1.0/24", ("10.99.0.0/16 is routed to wg0",)),
        ("10.0.0.0/8", ("10.99.0.0/16 is routed to wg0",)),
        ("fd00::/64", ()),
    ],
)
def test_a_subnet_collides_with_routes_and_docker(subnet: str, words: tuple[str, ...]) -> None:
    assert surroundings.conflicts(subnet, FACTS) == words


def test_the_interface_to_the_world_comes_first_and_a_container_bridge_never() -> None:
    assert [one.name for one in surroundings.candidates(FACTS)] == ["eth0"]
    assert surroundings.candidates(FACTS, "192.0.2.0/24") == ()


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ({}, []),
        ({"subnet": "10.0.0.0/24", "interface": "eth0"}, []),
        ({"subnet": "10.5.0.0/24"}, ["10.0.0.1 is not in network.subnet 10.5.0.0/24"]),
        ({"interface": "eth9"}, ["there is no interface eth9"]),
        ({"interface": "eth1"}, ["eth1 is down"]),
        ({"interface": "docker0"}, ["docker0 does not hold 10.0.0.1"]),
    ],
)
def test_what_the_operator_asks_for_must_be_so(network: dict[str, str], words: list[str]) -> None:
    answers = spec(1, network=network)
    found = list(surroundings.check(answers, answers.hosts[0], FACTS))
    assert [finding.message for finding in found] == words
    assert all(finding.fix for finding in found)


def test_what_is_not_known_is_no_fault() -> None:
    answers = spec(1, network={"subnet": "10.0.0.0/24", "interface": "eth0"})
    assert list(surroundings.check(answers, answers.hosts[0], HostFacts())) == []


def test_signs_of_a_special_network_are_named() -> None:
    wired = msgspec.structs.replace(
        FACTS,
        interfaces=(ETH, Interface(name="wg0", kind=InterfaceKind.VPN)),
        addresses=("10.0.0.1",),
    )
    assert surroundings.notes({"a": wired}) == ("a: a VPN, behind NAT",)


def test_the_network_that_a_host_is_in_is_compared_too_as_a_warning() -> None:
    routes = (Route(destination="10.0.0.128/25", gateway="192.0.2.1", interface="tun0"),)
    facts = msgspec.structs.replace(FACTS, routing=Routing(routes=routes))
    answers = spec(1)
    (found,) = surroundings.check(answers, answers.hosts[0], facts)
    assert found.severity == "warning"
    assert "its network 10.0.0.0/24 is in use elsewhere too" in found.message
    assert "10.0.0.128/25 is routed to tun0 by 192.0.2.1" in found.message
    assert found.fix
