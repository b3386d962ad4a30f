"""Ports that cannot be had: who has them, and which is free on every host instead."""

from __future__ import annotations

from typing import Any

import msgspec

from bzzz_core.deploy import port_use
from bzzz_core.deploy.facts.host import Listener
from tests.fakes.deploy_goals import fresh, spec

SQUATTER = Listener(address="*", port=4222, process="nats (process 7)", unit="nats.service")


def said(**of_first: Any) -> list[tuple[str, str]]:
    answers = spec(2)
    facts = {host.name: fresh(number) for number, host in enumerate(answers.hosts, 1)}
    facts["bzzz-1"] = msgspec.structs.replace(facts["bzzz-1"], **of_first)
    facts["bzzz-2"] = msgspec.structs.replace(
        facts["bzzz-2"], listeners=(Listener(address="::", port=4223),)
    )
    return [
        (f"{f.severity} {f.host} {f.message}", f.fix) for f in port_use.findings(answers, facts)
    ]


def test_the_owner_is_named_and_a_port_that_is_free_everywhere_is_offered() -> None:
    ((message, fix),) = said(listeners=(SQUATTER,))
    assert message == (
        "error bzzz-1 port 4222 (fabric_client) is taken by nats (process 7) of nats.service"
    )
    assert "4224 is free on each" in fix, "4223 is taken on the other host"


def test_what_our_own_services_hold_is_free() -> None:
    own = Listener(
        address="::", port=4222, process="python3 (process 9)", unit="bzzz-fabric.service"
    )
    assert said(listeners=(own,)) == []


def test_a_published_port_of_a_container_shows_no_listener() -> None:
    ((message, _),) = said(forwarded_ports=(6222, 8080))
    assert "6222 (fabric_cluster) is taken by a forwarding" in message


def test_a_port_that_the_kernel_hands_out_is_a_risk() -> None:
    found = said(ephemeral_ports=(8000, 60_999), reserved_ports=(8443,))
    numbers = [message.split()[3] for message, _ in found]
    assert numbers == ["8080", "8222"], "8443 is reserved, the others lie below"
    assert all(message.startswith("warning") for message, _ in found)
