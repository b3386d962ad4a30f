"""The file itself: a plain tar of the manifest, its signature, and the parts in their order.

The parts are compressed already. Whoever opens a bundle sees nothing of it before its manifest is
admitted, and no part before its size and SHA-256 are the manifest's. Names in the tar are compared
with the manifest, never used as paths.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

from bzzz_core.deploy.bundle.manifest import (
    MANIFEST,
    MANIFEST_BYTES_MAX,
    SIGNATURE,
    Envelope,
    Manifest,
    Part,
    admit,
    envelope_of,
    signature_file,
)
from bzzz_core.errors import BundleRefused

_BLOCK_BYTES: Final = 1 << 20
_TORN: Final = "is not whole; it was cut off on its way, or is no bundle: get it again"


def write(path: Path, envelope: Envelope, parts: Mapping[str, Path | bytes]) -> None:
    """Write a bundle in one step: until it is complete, nothing has its name.

    Args:
        path: Where to.
        envelope: The signed manifest.
        parts: Name -> file or content, in the manifest's order.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file, tarfile.open(fileobj=file, mode="w") as tar:
            _add(tar, MANIFEST, envelope.manifest.encode())
            _add(tar, SIGNATURE, signature_file(envelope))
            for name, source in parts.items():
                _add(tar, name, source)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_envelope(path: Path) -> Envelope:
    """Return the signed manifest of a bundle, unchecked.

    Raises:
        BundleRefused: There is no such file, or it is no bundle.
    """
    with _opened(path) as tar:
        return _envelope(path, tar)


def check(path: Path, keys: Mapping[str, bytes], *, now_s: int) -> tuple[Envelope, Manifest]:
    """Return the manifest of a bundle that is whole, trusted and in force.

    Raises:
        BundleRefused: It is not.
    """
    with _opened(path) as tar:
        envelope = _envelope(path, tar)
        manifest = admit(envelope, keys, now_s=now_s)
        for part in manifest.parts:
            for _ in _blocks(path, tar, part):
                pass
        if _next(path, tar) is not None:
            raise BundleRefused(f"{path} holds more than its manifest says")
    return envelope, manifest


def extract(path: Path, part: Part, target: Path) -> None:
    """Write one part of a bundle to a file, which has its name only once it is right.

    Raises:
        BundleRefused: The part is not what the manifest says.
    """
    beside = target.with_name(f".{target.name}.part")
    try:
        with _opened(path) as tar, beside.open("wb") as file:
            for entry in tar:
                if entry.name == part.name:
                    for block in _content(path, tar, entry, part):
                        file.write(block)
                    break
            else:
                raise BundleRefused(f"{path} holds no {part.name}")
        beside.replace(target)
    except (tarfile.TarError, EOFError) as exc:
        raise BundleRefused(f"{path} {_TORN}") from exc
    finally:
        beside.unlink(missing_ok=True)


def part_of(name: str, source: Path | bytes) -> Part:
    """Return how a manifest names a file."""
    sha, size = hashlib.sha256(), 0
    with _reading(source) as file:
        while block := file.read(_BLOCK_BYTES):
            sha.update(block)
            size += len(block)
    return Part(name=name, size_bytes=size, sha256=sha.hexdigest())


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(path, mode="r:") as tar:
            yield tar
    except OSError as exc:
        raise BundleRefused(f"{path}: {exc.strerror or exc}") from exc
    except (tarfile.TarError, EOFError) as exc:
        raise BundleRefused(f"{path} {_TORN}") from exc


def _envelope(path: Path, tar: tarfile.TarFile) -> Envelope:
    contents = []
    for name in (MANIFEST, SIGNATURE):
        entry = _next(path, tar)
        if entry is None or entry.name != name or entry.size > MANIFEST_BYTES_MAX:
            raise BundleRefused(f"{path} is no bundle: it does not begin with {name}")
        file = tar.extractfile(entry)
        contents.append(b"" if file is None else file.read())
    return envelope_of(*contents)


def _blocks(path: Path, tar: tarfile.TarFile, part: Part) -> Iterator[bytes]:
    entry = _next(path, tar)
    if entry is None or entry.name != part.name:
        raise BundleRefused(f"{path} {_TORN} ({part.name} is missing)")
    yield from _content(path, tar, entry, part)


def _content(
    path: Path, tar: tarfile.TarFile, entry: tarfile.TarInfo, part: Part
) -> Iterator[bytes]:
    """Yield a part; raise at its end if it was not the one that the manifest means."""
    file = tar.extractfile(entry) if entry.isreg() else None
    if file is None or entry.size != part.size_bytes:
        raise BundleRefused(f"{path}: {part.name} has not the size that the manifest says")
    sha = hashlib.sha256()
    left = entry.size
    while left and (block := file.read(min(_BLOCK_BYTES, left))):
        sha.update(block)
        left -= len(block)
        yield block
    if left:
        raise BundleRefused(f"{path} {_TORN} ({part.name} ends early)")
    if sha.hexdigest() != part.sha256:
        raise BundleRefused(
            f"{path}: {part.name} is damaged or was tampered with; its SHA-256 is not the"
            " manifest's"
        )


def _next(path: Path, tar: tarfile.TarFile) -> tarfile.TarInfo | None:
    try:
        return tar.next()
    except tarfile.TarError as exc:
        raise BundleRefused(f"{path} {_TORN}") from exc


@contextmanager
def _reading(source: Path | bytes) -> Iterator[BinaryIO]:
    if isinstance(source, bytes):
        yield BytesIO(source)
        return
    with source.open("rb") as file:
        yield file


def _add(tar: tarfile.TarFile, name: str, source: Path | bytes) -> None:
    entry = tarfile.TarInfo(name)  # owner 0, time 0, 0644
    entry.size = len(source) if isinstance(source, bytes) else source.stat().st_size
    with _reading(source) as file:
        tar.addfile(entry, file)
