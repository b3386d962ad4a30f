"""The archive of a model server: fetched once, compared, looked through, made fit for every host.

Hosts get no link to the world for it: this machine fetches the file, or it lies here, and it is
uploaded as releases are. What hosts unpack is a gzipped tar, because they need not have zstd; a
file that is a program itself becomes one with that program in it.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from bzzz_core.config.sections import ModelServersAnswers
from bzzz_core.deploy.archive_paths import inside, through_link
from bzzz_core.errors import PreconditionFailed
from bzzz_core.integrations.http import download

FILES_MAX: Final = 20_000
UNPACKED_BYTES_MAX: Final = 40_000_000_000
DOWNLOAD_S_MAX: Final = 3_600
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_WEB: Final = ("http://", "https://")
_PROGRAMS: Final = (b"\x7fELF", b"#!")
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramArchive:
    """What is uploaded."""

    path: Path
    sha256: str
    """Of the file at `path`, which need not be the one that the answers name."""
    entry: str
    """Where in it the program is."""
    unpacked_bytes: int


async def provide(
    servers: ModelServersAnswers, directory: Path, progress: Progress
) -> ProgramArchive:
    """Return the archive that the answers name.

    Args:
        servers: With source and checksum.
        directory: Where what was fetched or packed anew is kept.
        progress: Told how much of a download has come.

    Raises:
        PreconditionFailed: It is not there, another one, or no such archive.
        TransportError: It could not be fetched, or not be kept here.
    """
    assert servers.source is not None, "asked only with a source"
    assert servers.sha256 is not None, "a source has a checksum"
    source = _place(servers.source, servers.sha256, directory)
    if servers.source.startswith(_WEB) and not source.exists():
        await download(
            servers.source,
            source,
            timeout_s=DOWNLOAD_S_MAX,
            bytes_max=UNPACKED_BYTES_MAX,
            progress=progress,
        )
    return await asyncio.to_thread(prepare, source, servers.sha256, servers.program, directory)


def _place(source: str, sha256: str, directory: Path) -> Path:
    """Return where a source is on this machine, or will be once it is fetched."""
    if not source.startswith(_WEB):
        return Path(source).expanduser()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise PreconditionFailed(f"downloads cannot be kept: {directory}: {exc.strerror}") from exc
    return directory / sha256


def prepare(source: Path, sha256: str, program: str, directory: Path) -> ProgramArchive:
    """Compare a file with its checksum, look through it, and return what is uploaded.

    Raises:
        PreconditionFailed: It is not there, another one, or no such archive.
    """
    try:
        with source.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            head = file.read(4)
    except OSError as exc:
        raise PreconditionFailed(f"ai.servers.source {source}: {exc.strerror}") from exc
    if found != sha256:
        if source.parent == directory:
            with suppress(OSError):
                source.unlink()  # Fetched: perhaps it comes whole the next time.
        raise PreconditionFailed(
            f"ai.servers.source {source} has the SHA-256 {found}, not ai.servers.sha256"
        )
    try:
        if head.startswith(_PROGRAMS):
            packed = _packed(source, program, directory / f"{sha256}.tar.gz")
        elif head.startswith(_ZSTD):
            packed = _from_zstd(source, directory / f"{sha256}.tar.gz")
        elif head.startswith(_GZIP):
            packed = source
        else:
            raise PreconditionFailed(f"{source} is no .tgz, .tar.gz, .tar.zst and no program")
        entry, unpacked = look_through(packed, program)
        with packed.open("rb") as file:
            uploaded = hashlib.file_digest(file, "sha256").hexdigest()
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as exc:
        raise PreconditionFailed(f"{source} cannot be read as an archive: {exc}") from exc
    return ProgramArchive(path=packed, sha256=uploaded, entry=entry, unpacked_bytes=unpacked)


def look_through(path: Path, program: str) -> tuple[str, int]:
    """Return where the program is in a gzipped tar, and how large all of it is unpacked.

    Raises:
        PreconditionFailed: Something in it would leave its directory, leads through a link, is a
            device, or there is too much; or the program is not in it as a file.
        tarfile.TarError: It is no tar.
    """
    files: set[str] = set()
    links: set[str] = set()
    ways: list[tuple[str, str]] = []
    total = 0
    with tarfile.open(path, "r:gz") as tar:
        for count, member in enumerate(tar):
            total += max(0, member.size)
            if count >= FILES_MAX or total > UNPACKED_BYTES_MAX:
                raise PreconditionFailed(f"{path}: too much in one archive")
            fault = _fault(member)
            if fault:
                raise PreconditionFailed(f"{path}: {member.name!r} {fault}; nothing was installed")
            name = str(PurePosixPath(member.name))
            ways += [(name, way) for way in _ways(member)]
            if member.issym():
                links.add(name)
            elif member.isfile() and not member.islnk():
                files.add(name)
    detour = next((name for name, way in ways if through_link(way, links)), None)
    if detour is not None:
        raise PreconditionFailed(
            f"{path}: {detour!r} leads through a link of the archive; nothing was installed"
        )
    for entry in (f"bin/{program}", program, "bin/ollama", "ollama"):
        if entry in files and entry not in links:
            return entry, total
    raise PreconditionFailed(f"{path}: neither bin/{program} nor {program} is in it")


def _fault(member: tarfile.TarInfo) -> str:
    if not inside(member.name) or ".." in PurePosixPath(member.name).parts:
        return "would be written outside of its directory"
    if member.issym():
        return "" if inside(_leads(member)) else "is a link to the outside"
    if member.islnk():
        return "" if inside(member.linkname) else "is a link to the outside"
    return "" if member.isfile() or member.isdir() else "is neither file, directory nor link"


def _ways(member: tarfile.TarInfo) -> list[str]:
    """Return the paths by which something is written."""
    if member.issym():
        return [member.name, _leads(member)]
    # A second name of a link would be a link that nobody has judged.
    return [member.name, f"{member.linkname}/itself"] if member.islnk() else [member.name]


def _leads(member: tarfile.TarInfo) -> str:
    """Return where a symbolic link leads, from the archive's own directory."""
    if member.linkname.startswith("/"):
        return member.linkname
    return f"{PurePosixPath(member.name).parent}/{member.linkname}"


def _packed(source: Path, program: str, target: Path) -> Path:
    """Return an archive with a single program in it."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (
        _whole(target) as part,
        part.open("wb") as file,
        gzip.GzipFile("", "wb", 6, file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        member = tarfile.TarInfo(f"bin/{program}")
        content = source.read_bytes()
        member.size, member.mode = len(content), 0o755
        tar.addfile(member, io.BytesIO(content))
    return target


def _from_zstd(source: Path, target: Path) -> Path:
    """Return the same archive, packed as hosts can unpack it."""
    if sys.version_info >= (3, 14):
        from compression.zstd import ZstdError, ZstdFile  # noqa: PLC0415
    else:  # Only the operator's machine has it, and only this needs it.
        from backports.zstd import ZstdError, ZstdFile  # noqa: PLC0415

    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    total = 0
    try:
        with (
            ZstdFile(source, "rb") as plain,
            _whole(target) as part,
            part.open("wb") as file,
            gzip.GzipFile("", "wb", 1, file, mtime=0) as packed,
        ):
            while block := plain.read(1 << 20):
                total += len(block)
                if total > UNPACKED_BYTES_MAX:
                    raise PreconditionFailed(f"{source}: too much in one archive")
                packed.write(block)
    except ZstdError as exc:
        raise PreconditionFailed(f"{source} cannot be read as an archive: {exc}") from exc
    return target


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """Yield a file beside `target` that takes its place, or goes if it does not get whole."""
    part = target.with_suffix(".part")
    try:
        yield part
        part.replace(target)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
