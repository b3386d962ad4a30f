"""Measures how late the event loop is: whoever blocks it sends no heartbeats meanwhile.

A task sleeps and looks how much longer that took. Twice a second costs nothing that can be
measured, and finds every delay that is longer than the pause between two looks, and most shorter
ones that last.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

LOOK_S: Final = 0.5
KEPT_S: Final = 15.0
"""As long as the usual interval between two scrapes, so that no delay falls between them."""
STALL_S: Final = 0.1
"""Half a heartbeat."""


class LoopLag:
    """The delays of one event loop."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._lags: deque[float] = deque(maxlen=int(KEPT_S / LOOK_S))
        self._worst_s = 0.0
        self.stalls = 0

    @property
    def longest_s(self) -> float:
        """Return the longest delay of the last `KEPT_S`."""
        return max(self._lags, default=0.0)

    def take_worst_ms(self) -> int:
        """Return the longest delay since this was asked last; for one asker."""
        worst_s, self._worst_s = self._worst_s, 0.0
        return round(1_000 * worst_s)

    async def run(self) -> None:
        """Look until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            await asyncio.sleep(LOOK_S)
            self.note(max(0.0, loop.time() - began_s - LOOK_S))

    def note(self, lag_s: float) -> None:
        """Take one delay."""
        self._lags.append(lag_s)
        self._worst_s = max(self._worst_s, lag_s)
        self.stalls += lag_s >= STALL_S
