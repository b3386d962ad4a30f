"""What the hosts suggest where nobody answered."""

from __future__ import annotations

import msgspec

from bzzz_core.deploy.defaults import Detected, detected
from bzzz_core.deploy.facts.host import Disk, Listener
from tests.fakes.deploy_goals import fresh


def test_hosts_that_take_the_defaults_suggest_nothing() -> None:
    assert detected({"bzzz-1": fresh(1)}) == ()
    assert detected({}) == ()


def test_a_port_that_another_program_has_is_avoided_on_all_hosts() -> None:
    taken = (Listener("::", 8080, process="nginx"), Listener("::", 8082, process="other"))
    facts = {"a": fresh(1), "b": msgspec.structs.replace(fresh(2), listeners=taken)}
    assert detected(facts) == (Detected("network.ports.api", 8083, "8080 is taken on b by nginx"),)


def test_a_detected_port_is_none_of_the_others() -> None:
    taken = tuple(Listener("::", port, process="x") for port in range(6222, 8222))
    facts = {"a": msgspec.structs.replace(fresh(1), listeners=taken)}
    ports = [one.value for one in detected(facts) if one.key.startswith("network.ports")]
    assert len(set(ports)) == len(ports)


def test_our_own_services_take_no_port_from_us() -> None:
    own = (Listener("::", 4222, unit="bzzz-fabric.service"),)
    assert detected({"a": msgspec.structs.replace(fresh(1), listeners=own)}) == ()


def test_the_broker_takes_a_quarter_of_a_small_disk() -> None:
    disks = (Disk("/opt", 2_000_000_000, 100_000, "/"),)
    facts = {"a": fresh(1), "b": msgspec.structs.replace(fresh(2), disks=disks)}
    (found,) = detected(facts)
    assert (found.key, found.value) == ("resources.store_bytes_max", 448_000_000)
    assert found.words == "b has 2.0 GB free"
