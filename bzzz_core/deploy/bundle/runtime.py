"""A standalone Python in a bundle: taken from its makers' archive and put into a fixed form.

What is expected is the form of python-build-standalone's `install_only` archives: one directory
with `bin/python3.N` and `lib/python3.N` below it. Any CPython that finds its library by its own
place will do. The files are kept as they are; their order, times and owners are not, and symbolic
links stay links.

Rules: an archive comes with a SHA-256 from whoever asked for it, or it is not opened. Nothing in it
may lead out of it.
"""

from __future__ import annotations

import gzip
import hashlib
import posixpath
import re
import tarfile
import tempfile
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.error import URLError

from bzzz_core.deploy.archive_paths import inside, through_link
from bzzz_core.errors import ReleaseError

_DOWNLOAD_S: Final = 60
_BYTES_MAX: Final = 500_000_000
_FILES_MAX: Final = 50_000
_PYTHON: Final = re.compile(r"(?P<root>.*?)/?bin/python(?P<minor>3\.\d{1,2})")
_PATCH_LEVEL: Final = re.compile(rb'#define\s+PY_VERSION\s+"(\d+\.\d+\.\d+)')
_GLIBC: Final = re.compile(rb"GLIBC_(\d+)\.(\d+)")
_ELF: Final = b"\x7fELF"
_MACHINES: Final = {0x3E: "x86_64", 0xB7: "aarch64"}
"""`e_machine` of an ELF file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltRuntime:
    """A runtime in our form."""

    name: str
    version: str
    arch: str
    glibc: str
    """The oldest GNU C library that has everything its programs name; "" if they name none."""
    archive: Path
    source_sha256: str


def fetch(source: str, sha256: str, target: Path) -> None:
    """Copy an archive from a file or an address, if it is the one that is meant.

    Raises:
        ReleaseError: It cannot be had, or is another one.
    """
    try:
        if re.match(r"https?://", source):
            with urllib.request.urlopen(source, timeout=_DOWNLOAD_S) as answer:  # noqa: S310
                _copy(answer, target)
        else:
            with Path(source).expanduser().open("rb") as file:
                _copy(file, target)
    except (OSError, URLError, HTTPException, ValueError) as exc:
        raise ReleaseError(f"runtime {source}: {exc}") from exc
    found = hashlib.sha256(target.read_bytes()).hexdigest()
    if found != sha256.lower():
        raise ReleaseError(f"runtime {source}: its SHA-256 is {found}, not {sha256}; not used")


def convert(source: Path, source_sha256: str, target: Path) -> BuiltRuntime:
    """Write a runtime in our form and return what it is.

    Raises:
        ReleaseError: It is no archive of a Python for one of our machine types.
    """
    try:
        with tarfile.open(source) as tar:
            members = _safe_members(tar)
            root, minor = _find_python(members)
            _check_links(members, root)
            arch = _machine(tar, members[f"{root}bin/python{minor}"])
            version = _version(tar, members, root, minor)
            glibc = _glibc(tar, (m for name, m in members.items() if name.startswith(root)))
            _repack(tar, members, root, minor, target)
    except (tarfile.TarError, OSError, EOFError, KeyError) as exc:
        raise ReleaseError(
            f"runtime {source.name}: cannot be read as a tar archive: {exc}"
        ) from exc
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    return BuiltRuntime(
        name=f"cpython-{version}-{arch}-{digest[:12]}",
        version=version,
        arch=arch,
        glibc=glibc,
        archive=target,
        source_sha256=source_sha256,
    )


def build(source: str, sha256: str, target: Path) -> BuiltRuntime:
    """Fetch and convert.

    Raises:
        ReleaseError: As those.
    """
    with tempfile.TemporaryDirectory(prefix=".runtime-", dir=target.parent) as scratch:
        archive = Path(scratch) / "source"
        fetch(source, sha256, archive)
        return convert(archive, sha256.lower(), target)


def _copy(source: Any, target: Path) -> None:
    come = 0
    with target.open("wb") as file:
        while block := source.read(1 << 20):
            come += len(block)
            if come > _BYTES_MAX:
                raise ReleaseError(f"runtime: more than {_BYTES_MAX} bytes; not used")
            file.write(block)


def _safe_members(tar: tarfile.TarFile) -> dict[str, tarfile.TarInfo]:
    found: dict[str, tarfile.TarInfo] = {}
    size = 0
    for member in tar:
        name = posixpath.normpath(member.name)
        size += member.size
        if name.startswith(("/", "..")) or len(found) >= _FILES_MAX or size > _BYTES_MAX:
            raise ReleaseError(f"runtime: not taken: {member.name[:80]!r} leads out, or too large")
        if member.issym() or member.islnk():
            base = posixpath.dirname(name) if member.issym() else ""
            leads = posixpath.normpath(posixpath.join(base, member.linkname))
            if leads.startswith(("/", "..")):
                raise ReleaseError(f"runtime: {member.name[:80]!r} is a link that leads out of it")
        elif not (member.isreg() or member.isdir()):
            continue  # a device has no place in a Python
        found[name] = member
    return found


def _find_python(members: dict[str, tarfile.TarInfo]) -> tuple[str, str]:
    for name in sorted(members, key=len):
        found = _PYTHON.fullmatch(name)
        if found and members[name].isreg():
            root = f"{found['root']}/" if found["root"] else ""
            if f"{root}lib/python{found['minor']}/os.py" in members:
                return root, found["minor"]
    raise ReleaseError("runtime: no bin/python3.N with lib/python3.N/os.py beside it")


def _check_links(members: dict[str, tarfile.TarInfo], root: str) -> None:
    """Refuse what leads out of the directory that will be the runtime, by whatever links."""
    links = {name[len(root) :] for name, member in members.items() if member.issym()}
    for name, member in members.items():
        if not name.startswith(root):
            continue
        short = name[len(root) :]
        way = f"{posixpath.dirname(short)}/{member.linkname}".lstrip("/") if member.issym() else ""
        if through_link(short, links) or not inside(way) or through_link(way, links):
            raise ReleaseError(f"runtime: {name[:80]!r} leads out of it, or past a link")


def _machine(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = tar.extractfile(member)
    head = file.read(20) if file else b""
    machine = _MACHINES.get(int.from_bytes(head[18:20], "little"))
    if head[:4] != _ELF or machine is None:
        raise ReleaseError(f"runtime: {member.name} is no program for x86_64 or aarch64 Linux")
    return machine


def _glibc(tar: tarfile.TarFile, members: Iterable[tarfile.TarInfo]) -> str:
    """Return the newest version of a symbol of the C library that a program or library asks for."""
    needed: set[tuple[int, ...]] = set()
    for member in members:
        file = tar.extractfile(member) if member.isreg() else None
        if file is not None and file.read(4) == _ELF:
            needed |= {tuple(map(int, found)) for found in _GLIBC.findall(file.read())}
    return ".".join(map(str, max(needed))) if needed else ""


def _version(
    tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo], root: str, minor: str
) -> str:
    """Return the full version, from the header that every CPython ships; else the minor's first."""
    header = members.get(f"{root}include/python{minor}/patchlevel.h")
    file = tar.extractfile(header) if header is not None and header.isreg() else None
    found = _PATCH_LEVEL.search(file.read()) if file else None
    return found[1].decode() if found else f"{minor}.0"


def _repack(
    tar: tarfile.TarFile,
    members: dict[str, tarfile.TarInfo],
    root: str,
    minor: str,
    target: Path,
) -> None:
    with (
        target.open("wb") as file,
        gzip.GzipFile(fileobj=file, mode="wb", mtime=0, compresslevel=6, filename="") as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as out,
    ):
        kept = sorted(n for n in members if n.startswith(root) and n != root.rstrip("/"))
        for name in kept:
            member, short = members[name], name[len(root) :]
            if "__pycache__" in short.split("/") or short in {"bin/python3", "bin/python", "."}:
                continue
            # A second name of a file becomes a second file: no order to keep, no link to follow.
            data = members[posixpath.normpath(member.linkname)] if member.islnk() else member
            entry = tarfile.TarInfo(short)
            entry.type = tarfile.REGTYPE if member.islnk() else member.type
            entry.mode = 0o755 if member.isdir() or data.mode & 0o100 else 0o644
            entry.linkname = member.linkname if member.issym() else ""
            content = tar.extractfile(data) if data.isreg() else None
            entry.size = data.size if content else 0
            out.addfile(entry, content)
        link = tarfile.TarInfo("bin/python3")
        link.type, link.linkname = tarfile.SYMTYPE, f"python{minor}"
        out.addfile(link)
