"""What a host is: system, address, interpreters, space, and who listens on which port."""

from __future__ import annotations

import ipaddress
import re

from bzzz_core.deploy.facts.host import Disk, HostFacts, Listener, Python
from bzzz_core.deploy.facts.sections import (
    Sections,
    blocks,
    digits,
    each,
    kilobytes,
    number,
    pairs,
    read_lines,
    text_of,
)


def read_machine(sections: Sections) -> HostFacts:
    """Return the facts that every plan rests on; those of other rooms are left unknown."""
    machine = pairs(text_of(sections, "machine") or "")
    os_release = _os_release(text_of(sections, "os"))
    return HostFacts(
        uid=number(machine.get("uid")),
        hostname=machine.get("hostname"),
        os_id=os_release.get("ID"),
        os_version=os_release.get("VERSION_ID"),
        os_name=os_release.get("PRETTY_NAME"),
        arch=machine.get("arch"),
        kernel=machine.get("kernel"),
        libc="musl" if machine.get("musl") and not machine.get("libc") else machine.get("libc"),
        init=machine.get("init"),
        systemd=machine.get("systemd"),
        machine_id=machine.get("machine_id"),
        boot_id=machine.get("boot_id"),
        cgroup=machine.get("cgroup"),
        cpus=number(machine.get("cpus")),
        memory_total_bytes=kilobytes(machine.get("memory_total_kb")),
        memory_available_bytes=kilobytes(machine.get("memory_available_kb")),
        pythons=read_lines(sections, "python", _pythons),
        disks=read_lines(sections, "disk", lambda lines: each(lines, _disk)),
        addresses=read_lines(sections, "address", lambda lines: each(lines, _address)),
        listeners=_listeners(sections),
    )


def _os_release(text: str | None) -> dict[str, str]:
    return {key: value.strip("\"'") for key, value in pairs(text or "").items()}


def _pythons(lines: list[str]) -> tuple[Python, ...]:
    found: list[Python] = []
    for block in blocks(lines, "path"):
        version = re.fullmatch(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})", block.get("version", [""])[0])
        if version is None or "done" not in block:
            continue  # an interpreter that does not run is none
        found.append(
            Python(
                path=block["path"][0],
                version=(int(version[1]), int(version[2]), int(version[3])),
                implementation=block.get("implementation", ["?"])[0],
                missing=tuple(block.get("missing", ())),
            )
        )
    return tuple(found)


def _disk(line: str) -> Disk:
    path, free_kb, free_inodes, mount, options = line.split(maxsplit=4)
    flags = set(options.split(","))
    return Disk(
        path=path,
        free_bytes=digits(free_kb) * 1024,
        free_inodes=None if free_inodes == "-" else digits(free_inodes),
        mount=mount,
        noexec="noexec" in flags,
        readonly="ro" in flags,
    )


def _address(line: str) -> str:
    return str(ipaddress.ip_address(line.strip().partition("%")[0]))


def _listeners(sections: Sections) -> tuple[Listener, ...] | None:
    groups: dict[str, str] = {}
    for line in (text_of(sections, "owner") or "").splitlines():
        pid, _, group = line.partition(" ")
        unit = re.search(r"/([^/]+\.service)(/|$)", group)
        if unit:
            groups[pid] = unit[1]
    return read_lines(
        sections, "listen", lambda lines: each(lines, lambda one: _listener(one, groups))
    )


def _listener(line: str, groups: dict[str, str]) -> Listener:
    words = line.split()
    address, _, port = words[3].rpartition(":")
    owner = re.search(r'\(\("([^"]*)",pid=(\d+)', line)
    uid = re.search(r"\buid:(\d{1,10})\b", line)
    return Listener(
        address=address.strip("[]").partition("%")[0],
        port=digits(port),
        process=f"{owner[1]} (process {owner[2]})" if owner else None,
        unit=groups.get(owner[2]) if owner else None,
        uid=int(uid[1]) if uid else 0,  # `ss` leaves the root user out
    )
