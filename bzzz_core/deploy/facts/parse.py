"""Reads the output of `probe.sh`, which is untrusted, into `HostFacts`.

Sections stand between marks that hold a random word, so nothing a host prints can pass for one. A
section that failed, is missing, cut off or malformed leaves its facts None ("not known"); only an
output without a single section is an error. The rules of a section live in one function each.
"""

from __future__ import annotations

import importlib.resources
import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import msgspec

from bzzz_core.config.sources import parse_untrusted
from bzzz_core.deploy import layout
from bzzz_core.deploy.facts.host import (
    Account,
    Certificate,
    Disk,
    Enrolled,
    EnrolledVoter,
    HostFacts,
    Kind,
    Listener,
    PathFact,
    PciGpu,
    Python,
    Unit,
)
from bzzz_core.errors import ConfigError, ProbeUnreadable, TrustError
from bzzz_core.trust.certificate import describe, requested_key_sha256

T = TypeVar("T")
ITEMS_MAX: Final = 10_000
_ABSENT: Final = 44
"""Exit status of a `content:` section when there is no such file."""
_VENDORS: Final = {"0x10de": "nvidia", "0x1002": "amd", "0x8086": "intel"}
_CERTIFICATES: Final = {
    layout.NODE_CERTIFICATE: "node_csr",
    layout.ROUTE_CERTIFICATE: "route_csr",
    layout.SYSTEM_CERTIFICATE: "system_csr",
    layout.NODE_ISSUER: "",
    layout.FABRIC_ISSUER: "",
}
"""File -> the field of `Enrolled` with the request it answers; an issuer answers none."""
Sections = dict[str, tuple[int, str]]


def probe_script() -> str:
    """Return the script; it takes a random word, the data and the log directory."""
    files = importlib.resources.files("bzzz_core.deploy.facts")
    return files.joinpath("probe.sh").read_text(encoding="utf-8")


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
    machine = _pairs(_text(sections, "machine") or "")
    release = _pairs_list(_text(sections, "release"))
    os_release = _os_release(_text(sections, "os"))
    uid = _number(machine.get("uid"))
    config_text = _content(sections, layout.AGENT_CONFIG) if uid == 0 else None
    cluster_id, voters = _cluster(config_text)
    enrolled = _enrolled(sections) if uid == 0 else None
    return HostFacts(
        uid=uid,
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
        cpus=_number(machine.get("cpus")),
        memory_total_bytes=_kilobytes(machine.get("memory_total_kb")),
        memory_available_bytes=_kilobytes(machine.get("memory_available_kb")),
        pythons=_lines(sections, "python", _pythons),
        disks=_lines(sections, "disk", lambda lines: _each(lines, _disk)),
        addresses=_lines(sections, "address", lambda lines: _each(lines, _address)),
        listeners=_listeners(sections),
        gpus=_lines(sections, "gpu", lambda lines: _each(lines, _gpu)),
        account=_lines(sections, "account", lambda lines: _each(lines, _account)),
        current=_current(release),
        releases=None if release is None else tuple(v for k, v in release if k == "release"),
        paths=_lines(sections, "files", _paths) if uid == 0 else None,
        config_text=config_text,
        cluster_id=cluster_id,
        voters=voters,
        enrolled=enrolled,
        certificates=_certificates(sections, enrolled) if uid == 0 else None,
        units=_units(sections),
    )


def split_sections(text: str, word: str) -> Sections:
    """Return status and text of each complete section."""
    ends = rf"^@@{re.escape(word)} begin (\S+)\n(.*?)\n?^@@{re.escape(word)} end \1 (\d+)$"
    found = re.finditer(ends, text, re.MULTILINE | re.DOTALL)
    return {match[1]: (int(match[3][:4]), match[2]) for match in found}


def _text(sections: Sections, name: str) -> str | None:
    status, text = sections.get(name, (1, ""))
    return text if status == 0 else None


def _lines(sections: Sections, name: str, read: Callable[[list[str]], T]) -> T | None:
    text = _text(sections, name)
    if text is None:
        return None
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > ITEMS_MAX:
        return None
    try:
        return read(lines)
    except (ValueError, IndexError):
        return None


def _each(lines: list[str], read: Callable[[str], T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(read(line) for line in lines))


def _pairs(text: str) -> dict[str, str]:
    split = (line.partition("=") for line in text.splitlines())
    return {key: value.strip() for key, _, value in split if value.strip()}


def _pairs_list(text: str | None) -> list[tuple[str, str]] | None:
    if text is None:
        return None
    split = (line.partition("=") for line in text.splitlines() if "=" in line)
    return [(key, value.strip()) for key, _, value in split]


def _number(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"[0-9]{1,18}", text) else None


def _kilobytes(text: str | None) -> int | None:
    number = _number(text)
    return None if number is None else number * 1024


def _os_release(text: str | None) -> dict[str, str]:
    return {key: value.strip("\"'") for key, value in _pairs(text or "").items()}


def _pythons(lines: list[str]) -> tuple[Python, ...]:
    found: list[Python] = []
    for block in _blocks(lines, "path"):
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


def _blocks(lines: list[str], first: str) -> Iterator[dict[str, list[str]]]:
    block: dict[str, list[str]] = {}
    for line in lines:
        key, _, value = line.partition("=")
        if key == first and block:
            yield block
            block = {}
        block.setdefault(key, []).append(value)
    if first in block:
        yield block


def _disk(line: str) -> Disk:
    path, free_kb, free_inodes, mount, options = line.split(maxsplit=4)
    flags = set(options.split(","))
    return Disk(
        path=path,
        free_bytes=_digits(free_kb) * 1024,
        free_inodes=None if free_inodes == "-" else _digits(free_inodes),
        mount=mount,
        noexec="noexec" in flags,
        readonly="ro" in flags,
    )


def _digits(text: str) -> int:
    number = _number(text)
    if number is None:
        raise ValueError(text)
    return number


def _address(line: str) -> str:
    return str(ipaddress.ip_address(line.strip().partition("%")[0]))


def _listeners(sections: Sections) -> tuple[Listener, ...] | None:
    groups: dict[str, str] = {}
    for line in (_text(sections, "owner") or "").splitlines():
        pid, _, group = line.partition(" ")
        unit = re.search(r"/([^/]+\.service)(/|$)", group)
        if unit:
            groups[pid] = unit[1]
    return _lines(
        sections, "listen", lambda lines: _each(lines, lambda one: _listener(one, groups))
    )


def _listener(line: str, groups: dict[str, str]) -> Listener:
    words = line.split()
    address, _, port = words[3].rpartition(":")
    owner = re.search(r'\(\("([^"]*)",pid=(\d+)', line)
    uid = re.search(r"\buid:(\d{1,10})\b", line)
    return Listener(
        address=address.strip("[]").partition("%")[0],
        port=_digits(port),
        process=f"{owner[1]} (process {owner[2]})" if owner else None,
        unit=groups.get(owner[2]) if owner else None,
        uid=int(uid[1]) if uid else 0,  # `ss` leaves the root user out
    )


def _gpu(line: str) -> PciGpu:
    slot, vendor, device, _class, *driver = line.split()
    return PciGpu(
        slot=slot,
        vendor=_VENDORS.get(vendor, vendor),
        device=device,
        driver=driver[0] if driver else None,
    )


def _account(line: str) -> Account:
    words = line.split(":")
    return Account(uid=_digits(words[2]), home=words[5], shell=words[6])


def _current(release: list[tuple[str, str]] | None) -> str | None:
    if release is None:
        return None
    target = next((value for key, value in release if key == "current"), "")
    return target.rstrip("/").rpartition("/")[2]


def _paths(lines: list[str]) -> dict[str, PathFact]:
    found = {}
    for line in lines:
        kind, mode, owner, group, sha256, path = line.split(" ", maxsplit=5)
        found[path] = PathFact(
            kind=Kind(kind),
            mode=None if mode == "-" else mode,
            owner=None if owner == "-" else owner,
            group=None if group == "-" else group,
            sha256=sha256 if re.fullmatch(r"[0-9a-f]{64}", sha256) else None,
        )
    return found


def _content(sections: Sections, path: str) -> str | None:
    """Return the content of a file; "" if there is none, None if that is not known."""
    status, text = sections.get(f"content:{path}", (1, ""))
    if status == _ABSENT:
        return ""
    return text if status == 0 else None


def _cluster(config_text: str | None) -> tuple[str | None, tuple[EnrolledVoter, ...] | None]:
    if config_text is None:
        return None, None
    if not config_text.strip():
        return "", ()
    try:
        document = parse_untrusted(config_text)
        cluster = document["cluster"]
        voters = tuple(
            EnrolledVoter(str(node["name"]), str(node["id"]), str(node["public_key"]))
            for node in cluster["nodes"]
            if node["voter"]
        )
        return str(cluster["id"]), voters
    except (ConfigError, KeyError, TypeError, ValueError):
        return None, None  # something is there, and we do not know whose


def _enrolled(sections: Sections) -> tuple[Enrolled, ...] | None:
    text = _content(sections, layout.ENROLMENT)
    if text is None:
        return None
    if not text:
        return ()
    try:
        return (msgspec.json.decode(text, type=Enrolled),)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None


def _certificates(
    sections: Sections, enrolled: tuple[Enrolled, ...] | None
) -> dict[str, Certificate | None] | None:
    found: dict[str, Certificate | None] = {}
    for path, field in _CERTIFICATES.items():
        request = getattr(enrolled[0], field) if enrolled and field else ""
        text = _content(sections, path)
        if text is None:
            return None
        found[path] = _certificate(text, request) if text.strip() else None
    return found


def _certificate(pem: str, request: str) -> Certificate | None:
    try:
        said = describe(pem)
    except TrustError:
        return None  # damaged: as good as none, it will be issued anew
    try:
        matches_key = requested_key_sha256(request) == said.key_sha256
    except TrustError:
        matches_key = False
    return Certificate(
        sha256=said.sha256,
        not_before_s=said.not_before_s,
        not_after_s=said.not_after_s,
        names=said.names,
        matches_key=matches_key,
        root_key_id=said.root_key_id,
    )


def _units(sections: Sections) -> dict[str, Unit] | None:
    found = {}
    for name in (layout.FABRIC, layout.AGENT):
        pairs = _pairs_list(_text(sections, f"unit:{name}"))
        if pairs is None:
            return None
        said = dict(pairs)
        inputs = (value.split(maxsplit=1) for key, value in pairs if key == "input")
        release = re.fullmatch(rf"{re.escape(layout.RELEASES)}/([^/]+)/site", said.get("cwd", ""))
        found[name] = Unit(
            loaded=said.get("LoadState") == "loaded",
            active=said.get("ActiveState", "unknown"),
            enabled=said.get("UnitFileState") == "enabled",
            restarts=_number(said.get("NRestarts")),
            needs_reload=said.get("NeedDaemonReload") == "yes",
            release=release[1] if release else None,
            inputs={pair[1]: pair[0] for pair in inputs if len(pair) == 2},  # noqa: PLR2004
        )
    return found
