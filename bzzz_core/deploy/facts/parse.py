"""Reads the output of the probe, which is untrusted, into `HostFacts`.

The rooms beside this file each read a few sections: `machine` and `installed` what a plan rests on,
the others what a person wants to know before trusting a host with work. A section that failed, is
missing, cut off or malformed leaves its facts None ("not known"), and so does a room that stumbles
over what it reads; only an output without a single section is an error.
"""

from __future__ import annotations

import importlib.resources
import ipaddress
import re
from typing import Final

import msgspec

from bzzz_core.deploy.facts.ai_servers import read_ai_servers
from bzzz_core.deploy.facts.containers import read_docker, read_podman
from bzzz_core.deploy.facts.firewall import read_firewall
from bzzz_core.deploy.facts.gpus import Gpu, GpuDriver, read_cards
from bzzz_core.deploy.facts.gpus_amd import read_amd
from bzzz_core.deploy.facts.gpus_nvidia import read_nvidia
from bzzz_core.deploy.facts.hardware import read_cpu, read_devices, read_memory
from bzzz_core.deploy.facts.host import HostFacts, Listener
from bzzz_core.deploy.facts.installed import read_places, with_installed
from bzzz_core.deploy.facts.logins import read_login
from bzzz_core.deploy.facts.machine import read_machine
from bzzz_core.deploy.facts.model_hosting import read_model_hosting
from bzzz_core.deploy.facts.network import read_interfaces
from bzzz_core.deploy.facts.openings import read_openings, read_ports
from bzzz_core.deploy.facts.routes import read_proxies, read_resolver, read_routing
from bzzz_core.deploy.facts.sections import (
    Sections,
    attempt,
    pairs,
    read_lines,
    read_text,
    split_sections,
    text_of,
)
from bzzz_core.deploy.facts.system import read_system, read_time_source
from bzzz_core.errors import ProbeUnreadable

SCRIPTS: Final = (
    *("frame.sh", "machine.sh", "installed.sh"),
    *(
        "hardware.sh",
        "network.sh",
        "system.sh",
        "openings.sh",
        "logins.sh",
        "gpus.sh",
        "containers.sh",
        "models.sh",
    ),
)
"""In their order: what a plan rests on comes first, for the probe's time is limited as a whole."""


def probe_script() -> str:
    """Return the script.

    It takes a random word, the data and the log directory, what `$SSH_CONNECTION` says to the login
    itself, the login's name, and where models of a new server would lie.
    """
    files = importlib.resources.files("bzzz_core.deploy.facts")
    texts = [files.joinpath(name).read_text(encoding="utf-8") for name in SCRIPTS]
    return "\n".join([*texts, "exit 0\n"])


def parse(output: bytes, word: str) -> HostFacts:
    """Return what a probe found.

    Args:
        output: What the script printed.
        word: The random word it was given.

    Raises:
        ProbeUnreadable: There is not one complete section in the output.
    """
    sections = split_sections(output.decode("utf-8", errors="replace"), word)
    if not sections:
        raise ProbeUnreadable("the probe printed no section; is /bin/sh on the host a POSIX shell?")
    machine = attempt(lambda: read_machine(sections)) or HostFacts()
    facts = attempt(lambda: with_installed(machine, sections)) or machine
    gpus, drivers = _gpus(sections)
    ports = read_text(sections, "ports", read_ports)
    through = attempt(lambda: _through(sections))
    ssh_ports = attempt(lambda: _ssh_ports(facts.listeners, through)) or set()
    return msgspec.structs.replace(
        facts,
        cpu=attempt(lambda: read_cpu(sections)),
        memory=attempt(lambda: read_memory(sections)),
        devices=read_text(sections, "block", read_devices),
        interfaces=attempt(lambda: read_interfaces(sections)),
        routing=read_text(sections, "route", read_routing),
        resolver=read_text(sections, "resolver", read_resolver),
        proxies=read_lines(sections, "proxy", read_proxies),
        firewall=read_text(sections, "firewall", lambda text: read_firewall(text, ssh_ports)),
        places=read_lines(sections, "places", read_places),
        own_rules=read_text(sections, "openings", read_openings),
        ephemeral_ports=ports.ephemeral if ports else None,
        reserved_ports=ports.reserved if ports else None,
        forwarded_ports=ports.forwarded if ports else None,
        login=read_text(sections, "login", read_login),
        ssh_port=through[1] if through else None,
        ssh_peer=through[0] if through else None,
        time_source=attempt(lambda: read_time_source(sections)),
        system=attempt(lambda: read_system(sections)),
        gpus=gpus,
        gpu_drivers=drivers,
        docker=read_text(sections, "docker", read_docker),
        podman=read_text(sections, "podman", read_podman),
        ai_servers=read_text(sections, "ai", read_ai_servers),
        model_hosting=read_text(sections, "models", read_model_hosting),
    )


def _gpus(sections: Sections) -> tuple[tuple[Gpu, ...] | None, tuple[GpuDriver, ...] | None]:
    on_bus = read_text(sections, "gpu", read_cards)
    if on_bus is None:
        return None, None
    # Of a tool that cannot be understood nothing is taken; the cards on the bus stay.
    told, nvidia = attempt(lambda: read_nvidia(sections, on_bus)) or (on_bus, None)
    cards, amd = attempt(lambda: read_amd(sections, told)) or (told, None)
    return cards, tuple(driver for driver in (nvidia, amd) if driver is not None)


def _through(sections: Sections) -> tuple[str, int] | None:
    """Return our own address and the port of sshd, as the host sees our connection."""
    said = pairs(text_of(sections, "firewall") or "").get("through", "")
    found = re.fullmatch(r"(\S+) \d+ \S+ (\d{1,5})", said)
    if found is None:
        return None
    return str(ipaddress.ip_address(found[1].partition("%")[0])), int(found[2])


def _ssh_ports(listeners: tuple[Listener, ...] | None, through: tuple[str, int] | None) -> set[int]:
    """Return where sshd listens; empty if that cannot be told."""
    found = {
        listener.port
        for listener in listeners or ()
        if listener.unit in {"ssh.service", "sshd.service"}
        or (listener.process or "").startswith("sshd ")
    }
    # Where systemd listens in its place, only our own connection knows.
    return found | ({through[1]} if through else set())
