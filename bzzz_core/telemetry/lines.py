"""Files of lines that only grow: a line is there whole, or torn at the end and left behind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

MODE: Final = 0o640


def append(path: Path, lines: bytes) -> None:
    """Append lines and return once they are durable, behind a newline if the last one is torn.

    Raises:
        OSError: They are not. What was written of them stays, and the next call leaves it behind.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, MODE)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        left = memoryview(b"\n" + lines if torn else lines)
        while left:
            left = left[os.write(descriptor, left) :]  # A full disk takes a part before it refuses.
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
