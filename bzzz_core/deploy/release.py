"""Builds what hosts run: a tree of packages that needs nothing but the host's own Python.

A release is made on the operator's machine for one Python minor version and one machine type: every
package of `agent.lock` by its hash, plus `bzzz_core` itself as it is installed here. Hosts get it
as one archive and need no pip, venv or internet.

Contents of the archive:

    site/...        the packages; `site/bin/nats-server` is the broker
    SHA256SUMS      of every file below site/, for `sha256sum -c` on the host
    manifest.json   version, Python minor, machine, and the same sums

Rules: the same inputs give the same bytes (sorted names, time 0, owner 0, no pyc files). The
version ends with a hash of the content, so two releases never share a name. `pip` runs with a
cleaned environment: its own settings and proxies, no secrets. Scripts in `bin/` other than the
broker are dropped: they name this machine's interpreter.
"""

from __future__ import annotations

import asyncio
import fcntl
import gzip
import hashlib
import importlib.resources
import os
import re
import shutil
import stat
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

import msgspec

import bzzz_core
from bzzz_core.deploy.goal import ReleaseRef
from bzzz_core.deploy.remote import printable
from bzzz_core.errors import ReleaseError

ARCHES: Final = ("x86_64", "aarch64")
GLIBC_OLDEST: Final = (2, 28)
PIP_S_MAX: Final = 600
CACHED_MAX: Final = 12
"""About 20 MB each; hosts of different kinds need one each."""
_ARCHIVE: Final = "archive.tar.gz"
_BROKER: Final = "bin/nats-server"
_PLATFORM_MARKER: Final = re.compile(
    r"sys_platform|platform_machine|python_(full_)?version|os_name"
)
_PIP_ENVIRONMENT: Final = re.compile(
    r"(PIP_.*|PATH|HOME|LANG|TMPDIR|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|XDG_.*"
    r"|(https?|no|all)_proxy|(HTTPS?|NO|ALL)_PROXY)"
)


class Manifest(msgspec.Struct, frozen=True):
    """What is in a release."""

    version: str
    python: str
    """Minor version: "3.11"."""
    arch: str
    files: dict[str, str]
    """Path below site/ -> SHA-256."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A release that lies in the cache, ready to be sent."""

    ref: ReleaseRef
    archive: Path
    python: str
    arch: str
    runtime: Path | None = None
    """Archive of the Python that it runs on, if that is not one of the host's."""
    envelope: bytes = b""
    """Signed manifest of the bundle it came from; empty: it was built here."""
    keys: bytes = b""
    """Release keys for a node that trusts none yet."""


def cache_directory() -> Path:
    """Return where built releases are kept: `$XDG_CACHE_HOME/bzzz/releases`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "bzzz" / "releases"


def kept(version: str) -> Release:
    """Return a release of which nothing is needed, for the host has it."""
    ref = ReleaseRef(version=version, size_bytes=0, archive_sha256="", manifest_sha256="")
    return Release(ref=ref, archive=Path(), python="", arch="")


async def build(*, python: str, arch: str, cache: Path | None = None) -> Release:
    """Return the release for a Python minor version and machine type, building it if needed.

    Raises:
        ReleaseError: pip failed, or there is no wheel for that Python or machine.
    """
    assert arch in ARCHES, arch
    lock = agent_lock()
    place = cache or cache_directory()
    source = await asyncio.to_thread(_read_source, Path(bzzz_core.__file__).parent)
    key = _input_key(lock, source, python, arch)
    entry = place / key
    if not (entry / _ARCHIVE).exists():
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".build-", dir=place) as scratch:
            work = Path(scratch)
            (work / "agent.lock").write_text(lock, encoding="utf-8")
            await _pip_install(work / "agent.lock", work / "site", python=python, arch=arch)
            await asyncio.to_thread(_finish, work, source, python, arch)
            await asyncio.to_thread(_put, work / "done", entry)
    else:
        os.utime(entry)  # what is used is not the oldest
    return await asyncio.to_thread(load, entry, python, arch)


def agent_lock() -> str:
    """Return the lock file of what a node needs.

    Raises:
        ReleaseError: A requirement depends on the platform, which pip would judge by *this* one.
    """
    files = importlib.resources.files("bzzz_core.deploy")
    lock = files.joinpath("agent.lock").read_text(encoding="utf-8")
    for line in lock.splitlines():
        if _PLATFORM_MARKER.search(line.partition(";")[2]):
            raise ReleaseError(f"agent.lock: a requirement depends on the platform: {line}")
    return lock


def pack(directory: Path) -> bytes:
    """Return a tar.gz of a directory that depends on names, contents and execute bits alone."""
    buffer = BytesIO()
    # Level 6 takes a third of level 9's time for 1 % more bytes.
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0, compresslevel=6, filename="") as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in sorted(directory.rglob("*"), key=lambda p: p.relative_to(directory).parts):
            entry = tarfile.TarInfo(path.relative_to(directory).as_posix())  # owner 0, time 0
            if path.is_dir():
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(entry)
                continue
            executable = path.stat().st_mode & stat.S_IXUSR
            entry.size, entry.mode = path.stat().st_size, 0o755 if executable else 0o644
            with path.open("rb") as file:
                tar.addfile(entry, file)
    return buffer.getvalue()


def sums_sha256(archive: Path) -> str:
    """Return the hash of the list of hashes in a release; it is the archive's first file.

    Raises:
        ReleaseError: It is no archive of a release.
    """
    try:
        with tarfile.open(archive) as tar:
            entry = tar.next()
            file = None if entry is None or entry.name != "SHA256SUMS" else tar.extractfile(entry)
            content = None if file is None else file.read()
    except (tarfile.TarError, OSError, EOFError) as exc:
        raise ReleaseError(f"{archive} is damaged; remove it and try again") from exc
    if content is None:
        raise ReleaseError(f"{archive} is no release")
    return hashlib.sha256(content).hexdigest()


async def _pip_install(lock: Path, target: Path, *, python: str, arch: str) -> None:
    arguments = [
        *(sys.executable, "-I", "-m", "pip", "install", "--quiet", "--no-input"),
        *("--disable-pip-version-check", "--no-deps", "--no-compile", "--require-hashes"),
        *("--only-binary", ":all:", "--implementation", "cp", "--python-version", python),
        *(f"--abi={abi}" for abi in (f"cp{python.replace('.', '')}", "abi3", "none")),
        *(f"--platform={tag}" for tag in _platform_tags(arch)),
        *("--target", str(target), "--requirement", str(lock)),
    ]
    process = await asyncio.create_subprocess_exec(
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=_pip_environment(os.environ),
    )
    try:
        async with asyncio.timeout(PIP_S_MAX):
            output, _ = await process.communicate()
    except TimeoutError as exc:
        raise ReleaseError(f"pip took longer than {PIP_S_MAX} s") from exc
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode != 0:
        said = output.decode("utf-8", errors="replace")
        errors = [line for line in said.splitlines() if line.startswith("ERROR")] or [said[-400:]]
        raise ReleaseError(
            f"cannot build the release for Python {python} on {arch}: pip: "
            + printable(" ".join(errors))[:600]
        )


def _pip_environment(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if _PIP_ENVIRONMENT.fullmatch(name)}


def _platform_tags(arch: str) -> Iterator[str]:
    """Yield every platform that a glibc of our floor runs; pip takes each tag literally."""
    for minor in range(GLIBC_OLDEST[1], 16, -1):
        yield f"manylinux_2_{minor}_{arch}"
    yield f"manylinux2014_{arch}"
    if arch == "x86_64":
        for minor in range(16, 4, -1):
            yield f"manylinux_2_{minor}_{arch}"
        yield from (f"manylinux2010_{arch}", f"manylinux1_{arch}")


def _read_source(package: Path) -> dict[str, bytes]:
    """Return the files of a package at one moment: what is hashed is what is packed."""
    return {path.relative_to(package).as_posix(): path.read_bytes() for path in _files(package)}


def _files(directory: Path) -> list[Path]:
    found = (p for p in directory.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return sorted(found, key=lambda path: path.relative_to(directory).parts)


def _input_key(lock: str, source: Mapping[str, bytes], python: str, arch: str) -> str:
    sha = hashlib.sha256(f"bzzz release 1\0{python}\0{arch}\0{lock}\0".encode())
    for name, content in source.items():
        sha.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    return f"{python}-{arch}-{sha.hexdigest()[:32]}"


def _finish(work: Path, source: Mapping[str, bytes], python: str, arch: str) -> None:
    """Turn what pip installed into `done/`: archive, manifest and reference."""
    site = work / "site"
    _prune(site)
    for name, content in source.items():
        target = site / "bzzz_core" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    seal(work, bzzz_core.__version__, python, arch)


def seal(work: Path, version: str, python: str, arch: str) -> None:
    """Turn the tree in `work/site` into a release of that version, in `work/done`."""
    site = work / "site"
    files = {
        path.relative_to(site).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in _files(site)
    }
    sums = "".join(f"{sha}  {name}\n" for name, sha in files.items())
    digest = hashlib.sha256(sums.encode()).hexdigest()
    manifest = Manifest(version=f"{version}+{digest[:12]}", python=python, arch=arch, files=files)
    tree = work / "tree"
    tree.mkdir()
    site.rename(tree / "site")
    (tree / "SHA256SUMS").write_text(sums, encoding="utf-8")
    encoded = msgspec.json.format(msgspec.json.encode(manifest, order="sorted")) + b"\n"
    (tree / "manifest.json").write_bytes(encoded)
    done = work / "done"
    done.mkdir()
    (done / "manifest.json").write_bytes(encoded)
    (done / _ARCHIVE).write_bytes(pack(tree))


def _prune(site: Path) -> None:
    """Drop what hosts do not need and what would differ from one machine to the next."""
    for path in (site / "bin").iterdir():
        if path.relative_to(site).as_posix() != _BROKER:
            path.unlink()
    if not (site / _BROKER).exists():
        raise ReleaseError(f"the release holds no {_BROKER}")
    (site / _BROKER).chmod(0o755)
    for directory in site.glob("*.dist-info"):
        # RECORD lists the dropped scripts; REQUESTED and direct_url.json tell how pip was called.
        for name in ("RECORD", "REQUESTED", "direct_url.json", "INSTALLER"):
            (directory / name).unlink(missing_ok=True)
    for cache in [*site.rglob("__pycache__")]:
        shutil.rmtree(cache)


def _put(done: Path, entry: Path) -> None:
    """Put a release under its name and drop the oldest, one process of this cache at a time.

    One that another process has put there meanwhile stays: it is the same, and is perhaps being
    sent to hosts.
    """
    with (entry.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (entry / _ARCHIVE).exists():
            if entry.exists():  # damaged; it goes with the rest of the build
                entry.rename(done.with_name("damaged"))
            done.rename(entry)
        _forget_old(entry.parent)


def _forget_old(cache: Path) -> None:
    """Keep the newest releases; the others can be built again."""
    entries = [path for path in cache.iterdir() if not path.name.startswith(".")]
    newest_first = sorted(entries, key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in newest_first[CACHED_MAX:]:
        shutil.rmtree(path, ignore_errors=True)


def load(entry: Path, python: str, arch: str) -> Release:
    """Return a release that was built.

    Raises:
        ReleaseError: It is damaged.
    """
    archive = entry / _ARCHIVE
    try:
        encoded = (entry / "manifest.json").read_bytes()
        manifest = msgspec.json.decode(encoded, type=Manifest)
    except (OSError, msgspec.DecodeError) as exc:
        raise ReleaseError(f"{entry} is damaged; remove it and try again") from exc
    packed = archive.read_bytes()
    return Release(
        ref=ReleaseRef(
            version=manifest.version,
            size_bytes=len(packed),
            archive_sha256=hashlib.sha256(packed).hexdigest(),
            manifest_sha256=hashlib.sha256(encoded).hexdigest(),
        ),
        archive=archive,
        python=python,
        arch=arch,
    )
