"""Files that only their owner may read, written so that no reader ever sees half of one.

Both writers go through a temporary file in the same directory, made 0600 before the first byte, and
fsync file and directory before they return. They differ in what happens to an older file: `replace`
takes its place in one step, `create` refuses. Directories are the caller's (0700).
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from bzzz_core.errors import TrustError

_OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_BYTES_MAX = 1_000_000


def create(path: Path, content: bytes) -> None:
    """Write a new file, mode 0600, durable on return.

    Raises:
        FileExistsError: There is one already; it is untouched.
    """
    temporary = _write_beside(path, content)
    try:
        # A hard link, unlike a rename, fails when the name is taken: of two processes one wins.
        os.link(temporary, path)
    finally:
        temporary.unlink()
    sync_directory(path.parent)


def replace(path: Path, content: bytes) -> None:
    """Write a file or take the place of the old one, mode 0600, durable on return."""
    temporary = _write_beside(path, content)
    try:
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def read(path: Path) -> bytes:
    """Return the content of a private file.

    Raises:
        TrustError: It is missing, unreadable, too large, or others may read it.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_BYTES_MAX + 1)
    except OSError as exc:
        raise TrustError(f"{path}: {exc.strerror}") from exc
    if mode & _OPEN_TO_OTHERS:
        raise TrustError(
            f"{path} is open to others ({stat.S_IMODE(mode):04o}); run: chmod 600 {path}"
        )
    if len(content) > _BYTES_MAX:
        raise TrustError(f"{path} is larger than {_BYTES_MAX} bytes: not a key or certificate")
    return content


def private_directory(path: Path) -> None:
    """Make a directory 0700, or tighten one that is there.

    Raises:
        TrustError: It cannot be made, or the name belongs to something else.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.stat().st_mode & _OPEN_TO_OTHERS:
            path.chmod(0o700)
    except OSError as exc:
        raise TrustError(f"directory {path}: {exc.strerror}") from exc


def _write_beside(path: Path, content: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def sync_directory(directory: Path) -> None:
    """Make names that appeared in a directory, or moved, survive a power loss."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
