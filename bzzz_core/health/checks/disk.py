"""Disks: is there room, and does the disk take what is written?

Reading a file system's figures may hang as long as the file system does (a dead NFS server), so
both looks happen in a thread of their own.
"""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path
from typing import Final

from bzzz_core.health.check import Check, Finding, above, below, critical, ok, warning
from bzzz_core.health.own_thread import OwnThread

_ROOM_MS: Final = 30_000
_WRITE_MS: Final = 300_000
"""A write that is synced wears a disk, and a disk that fails is noticed by others too."""
_TIMEOUT_MS: Final = 10_000
_GIB: Final = 1 << 30
_PERCENT: Final = 100
_WARN_PERCENT, _FAIL_PERCENT = 10.0, 3.0
_WARN_BYTES, _FAIL_BYTES = 5 * _GIB, _GIB // 2
"""Little has to be left by both measures: a tenth of a large disk is plenty, and so is all of a
small one that is nearly empty."""
_SLOW_MS: Final = 2_000
_PROBE: Final = ".health-probe"
_PROBE_BYTES: Final = b"bzzz " * 100


def room(name: str, directory: Path) -> Check:
    """Return the check of how much room a directory's file system has, in bytes and in inodes."""
    thread = OwnThread(f"check-{name}")
    return Check(
        name=name,
        look=lambda: thread.do(partial(look_at_room, directory)),
        interval_ms=_ROOM_MS,
        timeout_ms=_TIMEOUT_MS,
    )


def writable(name: str, directory: Path) -> Check:
    """Return the check of whether a directory takes a file and makes it durable."""
    thread = OwnThread(f"check-{name}")
    return Check(
        name=name,
        look=lambda: thread.do(partial(write, directory)),
        interval_ms=_WRITE_MS,
        timeout_ms=_TIMEOUT_MS,
        needed=True,
        failures=1,
    )


def look_at_room(directory: Path) -> Finding:
    """Return what is left of a file system.

    Raises:
        OSError: It cannot be asked.
    """
    found = os.statvfs(directory)
    free, total = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    worst = judge_room(free, total, directory)
    if found.f_files and worst.state == "ok":
        percent = found.f_favail * _PERCENT / found.f_files
        inodes = f"{percent:.0f} % of the inodes are free on the file system of {directory}"
        few = below(percent, warn=_WARN_PERCENT, fail=_FAIL_PERCENT, words=inodes)
        worst = worst if few.state == "ok" else few
    return worst


def judge_room(free: int, total: int, directory: Path) -> Finding:
    """Judge how many bytes are left; what the superuser keeps back does not count."""
    percent = free * _PERCENT / total if total else 0.0
    words = f"{free / _GIB:.1f} of {total / _GIB:.1f} GiB ({percent:.0f} %) free for {directory}"
    if percent <= _FAIL_PERCENT and free <= _FAIL_BYTES:
        return critical(f"{words}: make room, or votes and the audit cannot be written")
    if percent <= _WARN_PERCENT and free <= _WARN_BYTES:
        return warning(f"{words}: make room")
    return ok(words)


def write(directory: Path) -> Finding:
    """Write a file, make it durable, and take it away; return how long that took.

    Raises:
        OSError: It cannot be done.
    """
    path = directory / _PROBE
    begun_s = time.monotonic()
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    try:
        os.write(descriptor, _PROBE_BYTES)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
        path.unlink(missing_ok=True)
    took_ms = (time.monotonic() - begun_s) * 1000
    return above(
        took_ms,
        warn=_SLOW_MS,
        fail=float("inf"),
        words=f"a synced write to {directory} took {took_ms:.0f} ms",
    )
