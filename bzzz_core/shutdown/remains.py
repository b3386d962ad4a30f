"""What a process may leave on the disk, and how it is taken away.

Files of a moment are removed by whoever made them, so something is left only where a process was
killed: a temporary file beside the one it was to become (`private_files`), the note of a process id
or of ports by a nats-server, the probe of a health check. Locks need nothing: the kernel frees them
with the process, and the files that carry them stay, for to remove one would let two have it.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from bzzz_core.clock import utc_instant

STALE_S: Final = 60.0
"""A temporary file is renamed within moments; one that is older has nobody."""
_TEMPORARY: Final = re.compile(r"\.[\w.-]+\.[0-9a-f]{16}")
_PORTS: Final = re.compile(r"nats-server_(\d{1,10})\.ports")
_PID_BYTES_MAX: Final = 20


def remove(directories: Iterable[Path], *, brokers: Iterable[Path] = ()) -> list[Path]:
    """Remove what nobody can need any more, and return what that was.

    Args:
        directories: Where this node keeps its files; what lies below them is not looked at.
        brokers: Directories in which the brokers of this process leave notes about themselves. None
            of them may be about to start.
    """
    found = [path for directory in directories for path in _temporary(directory)]
    found += [path for directory in brokers for path in _notes(directory)]
    removed = []
    for path in found:
        with contextlib.suppress(OSError):
            path.unlink()
            removed.append(path)
    return removed


def _temporary(directory: Path) -> list[Path]:
    return [path for path in _files(directory, _TEMPORARY) if _age_s(path) > STALE_S]


def _notes(directory: Path) -> list[Path]:
    notes = [
        path
        for path in _files(directory, _PORTS)
        if (said := _PORTS.fullmatch(path.name)) and not _lives(int(said[1]))
    ]
    pid = directory / "nats.pid"
    with contextlib.suppress(OSError, ValueError):
        with pid.open("rb") as file:
            number = int(file.read(_PID_BYTES_MAX))
        if not _lives(number):
            notes.append(pid)
    return notes


def _files(directory: Path, name: re.Pattern[str]) -> list[Path]:
    try:
        return sorted(path for path in directory.iterdir() if name.fullmatch(path.name))
    except OSError:
        return []


def _age_s(path: Path) -> float:
    """Return for how long nobody has written a file; file systems know wall-clock time alone."""
    try:
        written_s = path.lstat().st_mtime
    except OSError:
        return 0.0
    return utc_instant().timestamp() - written_s


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # It is somebody's.
    return True
