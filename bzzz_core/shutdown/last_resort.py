"""Ends the process for certain: from a thread of its own, whatever the event loop does.

An orderly end depends on an event loop that runs and on threads that return. A disk or a driver
that hangs can hold a thread for ever, and the interpreter waits for its threads. So whoever begins
an end arms this first: when the time is over, it writes down where every thread stands and the
process is gone. The kernel then frees what the process held: locks, sockets, and by their
parent-death signal its children.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
from typing import Final

STATUS: Final = 1
"""Exit status of a process that had to be ended this way."""


class LastResort:
    """One timer for the whole process."""

    def __init__(self) -> None:
        """Arm nothing."""
        self._timer: threading.Timer | None = None

    def arm(self, within_ms: int) -> None:
        """End the process in `within_ms`, unless `disarm` or another `arm` comes first."""
        self.disarm()
        timer = threading.Timer(within_ms / 1000, end_at_once, args=(STATUS,))
        timer.daemon = True
        timer.name = "last-resort"
        timer.start()
        self._timer = timer

    def disarm(self) -> None:
        """Let the process live."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def end_at_once(status: int) -> None:
    """Say where every thread stands, and end the process without any further step."""
    # The logger may be what hangs; a trace holds names of files and functions, no values.
    faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
    os._exit(status)
