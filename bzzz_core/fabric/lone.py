"""The broker that was left last because it stood alone, and for how long that counts.

Perhaps all of them stand alone: then a node must not go from one to the next for ever, so the one
it went to is kept for a while. The one that was left is not: nobody in the cluster is heard there.
It is the last that is tried for a new connection, and it may be left again at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bzzz_core.fabric.link import BrokerAddress

STAY_MS: Final = 30_000
"""Least time between two brokers that are left because they stand alone."""


class LoneBroker:
    """What one node remembers of the broker that it left."""

    def __init__(self) -> None:
        """Start with none."""
        self._broker: BrokerAddress | None = None
        self._until_ms = 0

    def leave(self, broker: BrokerAddress, now_ms: int) -> None:
        """Note that a broker is left."""
        self._broker, self._until_ms = broker, now_ms + STAY_MS

    def rejoin(self) -> None:
        """Note that it was seen to belong to the others again; the next one is kept all the same.

        Or routes that come and go would move this node each time.
        """
        self._broker = None

    def keeps(self, broker: BrokerAddress, now_ms: int) -> bool:
        """Return whether the broker in use is not to be left yet."""
        return now_ms < self._until_ms and broker != self._broker

    def order(
        self, brokers: Sequence[BrokerAddress], lost: BrokerAddress | None, now_ms: int
    ) -> list[BrokerAddress]:
        """Return in which order to try brokers, given by preference.

        The one just lost comes late: if it is paused, trying it costs seconds. Last comes the one
        that was left because it stands alone: it would take us, and is of no use.
        """
        left = self._broker if now_ms < self._until_ms else None
        return sorted(brokers, key=lambda broker: (broker == left, broker == lost))
