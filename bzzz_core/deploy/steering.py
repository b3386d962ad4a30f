"""How a run is told, while it works, to stop, to leave a host out, or to try one again.

One small object between whoever watches a run (a screen, a signal, another process) and the drive.
Orders are values that can be sent as JSON. They count from the next step on: a step is never cut
off. While `hold` is set, a run waits at the end of each group of phases for a word about each host
that failed there; otherwise it goes on without them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

import msgspec


class Stop(msgspec.Struct, frozen=True, tag="stop", tag_field="order"):
    """Finish the steps that are being done, and begin no other."""


class Skip(msgspec.Struct, frozen=True, tag="skip", tag_field="order"):
    """Leave a host out of what remains."""

    host: str


class Retry(msgspec.Struct, frozen=True, tag="retry", tag_field="order"):
    """Take a host that has failed in again, from the group of phases in which it failed."""

    host: str


class Cut(msgspec.Struct, frozen=True, tag="cut", tag_field="order"):
    """Let go of what is being done, too; whoever runs the drive sees to that."""


Order = Stop | Skip | Retry | Cut


class Steering:
    """The orders of one run; all calls come from its event loop."""

    def __init__(self, *, hold: bool = False) -> None:
        """Start without orders.

        Args:
            hold: Whether the run waits for a word about hosts that failed.
        """
        self.hold = hold
        self.relay: Callable[[Order], None] | None = None
        """Where each order goes besides: to the engine of a run in another process."""
        self._stopping = False
        self._skipped: set[str] = set()
        self._again: set[str] = set()
        self._changed = asyncio.Event()

    @property
    def stopping(self) -> bool:
        """Return whether no further step may begin."""
        return self._stopping

    def skips(self, host: str) -> bool:
        """Return whether a host is to be left out."""
        return host in self._skipped

    def take(self, order: Order) -> None:
        """Take an order; the same one twice is as good as once."""
        match order:
            case Stop() | Cut():
                self._stopping = True
            case Skip(host):
                self._skipped.add(host)
                self._again.discard(host)
            case Retry(host):
                self._skipped.discard(host)
                self._again.add(host)
        self._changed.set()
        if self.relay is not None:
            self.relay(order)

    def release(self) -> None:
        """Wait no longer for words about hosts that failed: nobody is there to give any."""
        self.hold = False
        self._changed.set()

    async def to_retry(self, failed: Collection[str]) -> list[str]:
        """Return which of the hosts that failed are tried again; each order counts once.

        With `hold` it waits until there is a word about every one of them, or to stop.
        """
        while self.hold and not self._stopping:
            open_ = [name for name in failed if name not in self._again | self._skipped]
            if not open_:
                break
            self._changed.clear()
            await self._changed.wait()
        if self._stopping:
            return []
        again = [name for name in failed if name in self._again]
        self._again.difference_update(again)
        return again
