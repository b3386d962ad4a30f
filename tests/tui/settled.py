"""When a screen under test has done all that there was to do, on a machine of any speed."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from textual import _wait

LIMIT_S: Final = 60
"""So long a test waits for what has to come, while other work may take most of the machine."""
_wait_for_idle: Final = _wait.wait_for_idle
_QUIET_ROUNDS: Final = 3


async def settled(min_sleep: float = _wait.SLEEP_GRANULARITY, max_sleep: float = 1) -> None:
    """Wait until the process rests, and the event loop, too, has nothing left to do.

    Textual takes a process that used no time for 20 ms for one that is done. On a machine that
    does not let it run it has only not begun, and a test looks at a screen that is not painted.
    So the callbacks that are ready are counted as well: none for a few rounds in a row, which
    also takes in the timers that are due.
    """
    await _wait_for_idle(min_sleep, max_sleep)
    loop: Any = asyncio.get_running_loop()
    until, quiet = time.monotonic() + LIMIT_S, 0
    while quiet < _QUIET_ROUNDS and time.monotonic() < until:
        await asyncio.sleep(0)
        quiet = 0 if loop._ready else quiet + 1
