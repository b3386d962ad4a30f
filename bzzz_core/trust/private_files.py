"""Files that only their owner may read, written so that no reader ever sees half of one.

Both writers go through a temporary file in the same directory, made 0600 before the first byte, and
fsync file and directory before they return. (`replace` can be told another mode and owner, for a
file that others are meant to read.) They differ in what happens to an older file: `replace`
takes its place in one step, `create` refuses.

Directories are made 0700. One that is there is tightened only where that takes nothing from
anybody: its owner's alone, not shared on purpose, and nothing in it that others can read. Any other
belongs to somebody (`/tmp`, a home, a web root) and is refused as it is.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
from pathlib import Path
from typing import BinaryIO

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


def replace(
    path: Path, content: bytes, *, mode: int = 0o600, owner: tuple[int, int] | None = None
) -> None:
    """Write a file or take the place of the old one, durable on return.

    Args:
        path: The file.
        content: All of it.
        mode: Who may read and write it.
        owner: User and group; None leaves it to the caller's own.
    """
    temporary = _write_beside(path, content)
    try:
        if owner is not None:
            os.chown(temporary, *owner)
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def append(path: Path) -> BinaryIO:
    """Open a file to write at its end, made where it is missing; one that is there becomes private.

    Raises:
        OSError: It cannot be opened, or belongs to somebody else.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
    except BaseException:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "ab")


def append_whole(descriptor: int, content: bytes) -> None:
    """Write at the end of a file that nobody else writes to: all of it, or nothing.

    A disk that gets full takes a part first, and half a line would spoil the next one.

    Raises:
        OSError: It cannot be written.
    """
    end = os.lseek(descriptor, 0, os.SEEK_END)
    left = memoryview(content)
    try:
        while left:
            left = left[os.write(descriptor, left) :]
    except OSError:
        os.ftruncate(descriptor, end)
        raise


def lock(path: Path, *, wait: bool = False) -> BinaryIO:
    """Lock a file of our own, made where it is missing; closing what is returned unlocks it.

    So does the death of this process, and no child that it starts inherits the lock.

    Args:
        path: The file.
        wait: Whether to wait while another process holds it.

    Raises:
        BlockingIOError: Another process holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


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
    """Make a directory 0700, or tighten one that is there and is nobody else's.

    Raises:
        TrustError: It cannot be made or is in others' use, or the name belongs to something else.
    """
    refuse_shared(path)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.stat().st_mode & _OPEN_TO_OTHERS:
            path.chmod(0o700)
    except OSError as exc:
        raise TrustError(f"directory {path}: {exc.strerror}") from exc


def refuse_shared(path: Path) -> None:
    """Return if `private_directory` would take a path; nothing is changed.

    Raises:
        TrustError: Others use the directory, or it is none.
    """
    try:
        found = path.stat()
        if not found.st_mode & _OPEN_TO_OTHERS:
            return
        shared = found.st_mode & stat.S_ISVTX or _others_read_something_in(path, found.st_uid)
    except FileNotFoundError:
        return
    except OSError as exc:
        raise TrustError(f"directory {path}: {exc.strerror}") from exc
    if shared:
        raise TrustError(
            f"directory {path} is open to others ({stat.S_IMODE(found.st_mode):04o}) and in use;"
            " choose a new one, or make this one private yourself"
        )


def _others_read_something_in(directory: Path, owner: int) -> bool:
    with os.scandir(directory) as entries:
        for entry in entries:
            found = entry.stat(follow_symlinks=False)
            if found.st_uid != owner or found.st_mode & _OPEN_TO_OTHERS:
                return True
    return False


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
