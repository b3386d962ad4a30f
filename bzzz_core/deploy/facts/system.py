"""The ground a host stands on: its clock's source, its guards, and whether it is a machine."""

from __future__ import annotations

from typing import Final

import msgspec

from bzzz_core.deploy.facts.sections import (
    Sections,
    flag,
    pairs,
    parts,
    read_text,
    text_of,
    word,
)

CONTAINERS: Final = frozenset(
    {"lxc", "lxc-libvirt", "docker", "podman", "systemd-nspawn", "openvz", "wsl", "container-other"}
)
"""What `systemd-detect-virt` calls surroundings that share their host's kernel, and its clock."""
_TIME_SERVICES: Final = (
    "systemd-timesyncd",
    "chronyd",
    "chrony",
    "ntpd",
    "ntp",
    "ntpsec",
    "openntpd",
)
"""In the order in which the probe asks for them."""
_SELINUX: Final = {"0": "permissive", "1": "enforcing"}


class TimeSource(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Whether the clock follows another one."""

    synchronised: bool | None = None
    """What the kernel says, whoever sets it."""
    service: str | None = None
    """The one that runs; "": none of those we know."""


class System(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What else decides how a host behaves."""

    virtualisation: str | None = None
    """`systemd-detect-virt`'s word: "none" for a machine, kvm, vmware, lxc, docker ..."""
    selinux: str | None = None
    """enforcing or permissive; "": the kernel runs without it."""
    apparmor: bool | None = None
    package_lock: str | None = None
    """Who holds the package manager: "apt-get (process 7)"; "": nobody."""
    reboot_required: bool | None = None
    """Only Debian and its kin say so."""

    @property
    def container(self) -> bool | None:
        """Return whether it shares its host's kernel."""
        return None if self.virtualisation is None else self.virtualisation in CONTAINERS


def read_time_source(sections: Sections) -> TimeSource | None:
    """Return who sets the clock; None if nothing of it is known."""
    return read_text(sections, "time", _time_source)


def _time_source(text: str) -> TimeSource:
    said = dict(parts(text))
    states = said["services"].split() if "services" in said else []
    running = [
        name for name, state in zip(_TIME_SERVICES, states, strict=False) if state == "active"
    ]
    known = len(states) == len(_TIME_SERVICES)
    return TimeSource(
        synchronised=flag(pairs(said.get("timedatectl", "")).get("NTPSynchronized")),
        service=(running[0] if running else "") if known else None,
    )


def read_system(sections: Sections) -> System | None:
    """Return the guards and the surroundings; None if nothing of them is known."""
    text = text_of(sections, "system")
    if text is None:
        return None
    said = pairs(text)
    return System(
        virtualisation=word(said.get("virtualisation")) or None,
        selinux=_SELINUX.get(said["selinux"]) if "selinux" in said else "",
        apparmor=flag(said.get("apparmor", "no")),
        package_lock=word(said.get("lock")) if said.get("locks") == "read" else None,
        reboot_required=flag(said.get("reboot")),
    )
