"""Tells systemd's watchdog that the agent lives, as long as it does.

It is told from the event loop, so a loop that hangs tells nothing, and an agent that knows itself
to be sick keeps silent: systemd then ends it and starts it anew (`WatchdogSec=` of the unit).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Final

from bzzz_core.ports import Clock
from bzzz_core.telemetry.notify import notify

_PARTS: Final = 3
"""Three times in its period: one that is late is no reason to be killed."""


def period_ms(environment: Mapping[str, str], *, pid: int) -> int | None:
    """Return how often to tell it, by what systemd says; None: there is no watchdog for us."""
    if environment.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    said = environment.get("WATCHDOG_USEC", "")
    if not said.isascii() or not said.isdigit() or not 0 < int(said) < 1 << 62:
        return None
    return max(1, int(said) // 1_000 // _PARTS)


async def tell_watchdog(
    alive: Callable[[], bool],
    *,
    clock: Clock,
    tell: Callable[[str], None] = notify,
    every_ms: int | None = None,
) -> None:
    """Tell it until cancelled; return at once where there is no watchdog.

    Args:
        alive: Whether this process knows of nothing that a new start would mend.
        clock: For the waits.
        tell: Sends a word to the service manager.
        every_ms: How often; None: as the environment says.
    """
    every_ms = every_ms or period_ms(os.environ, pid=os.getpid())
    if every_ms is None:
        return
    while True:
        if alive():
            tell("WATCHDOG=1")
        await clock.sleep_ms(every_ms)
