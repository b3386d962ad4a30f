"""The wish that a process ends: who has it, why, and how urgent it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bzzz_core.shutdown.plan import Urgency


class StopRequest:
    """Begins as no wish; the first one tells the reason, later ones only make it more urgent.

    For the event loop's thread only.
    """

    def __init__(self) -> None:
        """Wish nothing yet."""
        self._asked = asyncio.Event()
        self._watchers: list[Callable[[Urgency], None]] = []
        self.urgency: Urgency | None = None
        """None: nobody asked."""
        self.reason = ""
        self.because: BaseException | None = None
        """What the process fails with, once it has ended in order; None: nothing is wrong."""

    def ask(
        self,
        reason: str,
        *,
        because: BaseException | None = None,
        urgency: Urgency = Urgency.ORDERLY,
    ) -> None:
        """Ask for the end.

        Args:
            reason: In words, for the log and the audit.
            because: The failure that the process ends with.
            urgency: How much time it is given; what was asked for before is never slowed down.
        """
        if self.urgency is None:
            self.reason, self.because = reason, because
        self._rise(max(urgency, self.urgency or Urgency.ORDERLY))

    def watch(self, watcher: Callable[[Urgency], None]) -> None:
        """Tell `watcher` of every change of the urgency from now on; it must not block."""
        self._watchers.append(watcher)

    async def wait(self) -> None:
        """Return once somebody has asked."""
        await self._asked.wait()

    def _rise(self, urgency: Urgency) -> None:
        if urgency == self.urgency:
            return
        self.urgency = urgency
        self._asked.set()
        for watcher in self._watchers:
            watcher(urgency)
