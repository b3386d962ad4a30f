"""What this process and its machine have left: memory and file descriptors."""

from __future__ import annotations

import resource
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Memory:
    """Of this process and its machine, in bytes."""

    own_bytes: int
    """Resident."""
    available_bytes: int
    """What the machine could still give without swapping."""
    total_bytes: int


def memory() -> Memory:
    """Return how much there is now."""
    machine = psutil.virtual_memory()
    return Memory(
        own_bytes=psutil.Process().memory_info().rss,
        available_bytes=machine.available,
        total_bytes=machine.total,
    )


def descriptors() -> tuple[int, int | None]:
    """Return how many file descriptors are open and how many may be; None: no limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return psutil.Process().num_fds(), None if soft == resource.RLIM_INFINITY else soft
