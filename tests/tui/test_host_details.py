"""The lines that say what a host is: unknown never passes for absent, nor absent for known."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.facts.parse import parse
from bzzz_tui.wording import UNICODE, Tone
from screens.setup.host_details import LABEL, LINES_MAX, details
from tests.fakes.probe_outputs import NAMES, WORD, recorded


def lines(facts: HostFacts) -> dict[str, list[str]]:
    """Return the texts by label."""
    found: dict[str, list[str]] = {}
    label = ""
    for text, _ in details(facts, UNICODE):
        label = text[:LABEL].strip() or label
        found.setdefault(label, []).append(text[LABEL:])
    return found


def of(name: str) -> dict[str, list[str]]:
    return lines(parse(recorded(name), WORD))


def test_what_is_not_known_is_said() -> None:
    said = lines(HostFacts())
    assert said["CPU"] == ["n/a"]
    assert said["Network"] == ["n/a"]
    assert said["GPU"] == ["n/a"]
    assert said["Docker"] == ["n/a"]
    assert said["System"] == ["firewall n/a"]
    assert "swap n/a" in said["Memory"][0]
    assert "Models" not in said


def test_what_is_not_there_is_said() -> None:
    facts = HostFacts(gpus=(), docker=(), podman="", interfaces=(), ai_servers=())
    said = lines(facts)
    assert (said["GPU"], said["Docker"]) == (["none"], ["none"])
    assert "Network" not in said


@pytest.mark.parametrize(
    ("name", "label", "words"),
    [
        ("server", "CPU", "64 cores"),
        ("server", "CPU", "2 NUMA nodes"),
        ("server", "Memory", "swap 8.0 GiB"),
        ("server", "Network", "eno1 · physical · up · 1 Gbit/s · 10.0.0.11/24"),
        ("server", "Docker", "27.3.1 · cgroups by systemd · can use NVIDIA's cards"),
        ("server", "Models", "ollama 0.5.7 · on 127.0.0.1:11434 · 1 model · 1 loaded"),
        ("server", "System", "apt-get (process 4711) holds the package manager"),
        ("cgroup_v2", "CPU", "may use 0-7 · at most 3.5 at once"),
        ("cgroup_v1", "Memory", "no swap · limited to 4.0 GiB"),
        ("bond_vlan", "Network", "of enp1s0f0, enp1s0f1"),
        ("bond_vlan", "Network", "tag 100 on bond0"),
        ("docker_networks", "Models", "on [::]:11434 · open to others"),
        ("nvidia_mismatch", "GPU", "driver/library mismatch"),
        ("nvidia_nvswitch", "GPU", "8 x NVIDIA H100 80GB HBM3 · working driver · 79.6 GiB"),
        ("nvidia_nvswitch", "GPU", "CUDA 12.4 · linked by NV18"),
        ("nvidia_mig", "GPU", "divided into 3"),
        ("unified_gb10", "GPU", "shares the host's memory"),
        ("old_tools", "System", "clock follows no other"),
        ("lxc", "Docker", "its engine does not answer"),
    ],
)
def test_it_is_told(name: str, label: str, words: str) -> None:
    assert words in "\n".join(of(name)[label])


def test_a_card_that_does_not_work_stands_out() -> None:
    tones = {
        name: {
            tone
            for text, tone in details(parse(recorded(name), WORD), UNICODE)
            if text.startswith("GPU")
        }
        for name in ("nvidia_hung", "nvidia_no_driver", "nvidia_old_driver")
    }
    assert tones == {
        "nvidia_hung": {Tone.BAD},
        "nvidia_no_driver": {Tone.WARN},
        "nvidia_old_driver": {Tone.PLAIN},
    }


def test_many_of_a_kind_are_counted_not_listed() -> None:
    many: list[dict[str, Any]] = [
        {"name": f"eth{n}", "kind": "physical", "addresses": [f"10.0.{n}.1/24"]} for n in range(30)
    ]
    said = lines(msgspec.convert({"interfaces": many}, type=HostFacts))
    assert len(said["Network"]) == LINES_MAX
    assert said["Network"][-1] == "and 25 more"


def test_no_host_steers_the_terminal() -> None:
    hostile = "\x1b[2J\u202e"
    facts = msgspec.convert(
        {
            "cpu": {"model": hostile},
            "interfaces": [{"name": hostile, "kind": "physical", "addresses": [hostile]}],
            "gpus": [{"slot": hostile, "vendor": "amd", "name": hostile}],
            "ai_servers": [{"program": hostile, "port": 1, "address": hostile}],
        },
        type=HostFacts,
    )
    assert all(text.isprintable() for text, _ in details(facts, UNICODE))


@pytest.mark.parametrize("name", NAMES)
def test_every_recorded_host_can_be_shown(name: str) -> None:
    assert of(name)["Memory"]
