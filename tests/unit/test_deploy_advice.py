"""What setup warns of: each with what to do about it, and none where nothing is amiss."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bzzz_core.deploy import layout
from bzzz_core.deploy.advice import advise
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.facts.parse import parse
from tests.fakes.deploy_goals import fresh, spec
from tests.fakes.probe_outputs import NAMES, WORD, recorded

HOST = spec(1).hosts[0]
UNFIT = {"synchronised": False, "service": ""}
CARD = {"slot": "0000:01:00.0", "vendor": "nvidia", "driver": "nvidia"}
SERVER = {"program": "ollama", "port": 11434, "address": "127.0.0.1"}


def facts(**patch: Any) -> HostFacts:
    return msgspec.convert({**msgspec.to_builtins(fresh()), **patch}, type=HostFacts)


@pytest.mark.parametrize(
    ("patch", "check", "words"),
    [
        ({"firewall": None}, "firewall", "not known"),
        ({"firewall": {"backend": "nftables"}}, "firewall", "not known"),
        (
            {"firewall": {"backend": "ufw", "active": True, "conflicts": ["firewalld"]}},
            "firewall",
            "ufw and firewalld are both active",
        ),
        (
            {"firewall": {"backend": "ufw", "active": True, "ssh_allowed": False}},
            "firewall",
            "refuses new connections",
        ),
        ({"time_source": UNFIT}, "clock", "no time service runs"),
        ({"time_source": {**UNFIT, "service": "chronyd"}}, "clock", "though chronyd runs"),
        (
            {
                "gpus": [{**CARD, "state": "driver/library mismatch"}],
                "gpu_drivers": [{"vendor": "nvidia", "module": "535.1", "library": "535.2"}],
            },
            "gpu",
            "nvidia 0000:01:00.0: driver/library mismatch (module 535.1, library 535.2)",
        ),
        ({"gpus": [{**CARD, "state": "hung", "name": "A100"}]}, "gpu", "A100 0000:01:00.0: hung"),
        ({"gpus": [{**CARD, "state": "driver fails"}]}, "gpu", "driver fails"),
        ({"gpus": [{**CARD, "state": "nouveau"}]}, "gpu", "nouveau"),
        (
            {"gpus": [{**CARD, "slot": f"0000:0{n}:00.0", "state": "no driver"} for n in (1, 2)]},
            "gpu",
            "2 cards: no driver",
        ),
        ({"paths": {layout.COMMAND: {"kind": "file"}}}, "command", "left as it is"),
        ({"ai_servers": [{**SERVER, "address": "*"}]}, "ai", "ollama listens on *:11434"),
    ],
)
def test_it_is_warned_of(patch: dict[str, Any], check: str, words: str) -> None:
    (found,) = advise(HOST, facts(**patch))
    assert (found.severity, found.check, found.host) == ("warning", check, "bzzz-1")
    assert words in found.message
    assert found.fix, "every finding says what to do"


@pytest.mark.parametrize(
    "patch",
    [
        {},
        {"uid": 1000, "firewall": None},
        {"firewall": {"backend": "ufw", "active": True, "ssh_allowed": True}},
        {"firewall": {"backend": "nftables", "active": True}},
        {"time_source": None},
        {"time_source": {"service": ""}},
        {"time_source": UNFIT, "system": {"virtualisation": "lxc"}},
        {"gpus": None},
        {"gpus": [CARD]},
        {"gpus": [{**CARD, "state": "working driver"}]},
        {"gpus": [{**CARD, "state": "vfio-pci"}]},
        {"gpus": [{**CARD, "vendor": "0x1a03", "state": "no driver"}]},
        {"ai_servers": None},
        {"ai_servers": [SERVER, {"program": "parallama"}]},
    ],
)
def test_nothing_is_said_where_nothing_is_amiss(patch: dict[str, Any]) -> None:
    """Above all not where something is merely unknown that nothing rests on."""
    assert list(advise(HOST, facts(**patch))) == []


def test_the_recorded_hosts_are_warned_of_what_they_show() -> None:
    """By the values that a person read: which kinds of warnings each of them gets."""
    found = {}
    for name in NAMES:
        one = msgspec.structs.replace(parse(recorded(name), WORD), firewall=fresh().firewall)
        found[name] = sorted({finding.check for finding in advise(HOST, one)})
    assert {name: checks for name, checks in found.items() if checks} == {
        "amd_instinct": ["gpu"],
        "docker_networks": ["ai"],
        "nvidia_hung": ["gpu"],
        "nvidia_hung_in_kernel": ["gpu"],
        "nvidia_lost": ["gpu"],
        "nvidia_mismatch": ["gpu"],
        "nvidia_no_driver": ["gpu"],
        "old_tools": ["clock"],
    }
