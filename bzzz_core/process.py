"""Child processes that cannot outlive their parent.

A supervisor that is killed with SIGKILL runs no clean-up, so the kernel has to do it. Linux sends a
signal of our choice when the parent dies; elsewhere nothing is arranged, and a killed supervisor
leaves its children to the operator.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def die_with_parent(number: signal.Signals = signal.SIGKILL) -> Callable[[], None]:
    """Return a `preexec_fn` that ties the child's life to that of the calling process.

    The kernel watches the *thread* that forks, so start such children from a thread that lives as
    long as the process; asyncio's loop in the main thread is one. The default signal is the one
    that also ends a child that is paused.
    """
    if not sys.platform.startswith("linux"):
        return _nothing
    # Loaded before the fork: the child of a threaded process must not import or take locks.
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def arrange() -> None:
        failed = prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        # The parent may have died before the call above, and then no signal ever comes.
        if failed or os.getppid() != parent:
            os._exit(1)

    return arrange


def _nothing() -> None:
    """Arrange nothing."""
