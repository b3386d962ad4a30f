"""Whether the brokers that answer refuse this node, and for how long.

A broker that a node reaches and that does not know its identity ends the connection. Right after a
join, or while a list of nodes is on its way, that passes within seconds. If it lasts, this node was
most likely revoked: the brokers can tell it nothing, nor can the leader through them, so its own
status has to say it. It goes on trying, but rarely; nobody else can bring it back without a try.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from bzzz_core.errors import BrokerRefused
from bzzz_core.fabric.link import BrokerAddress, BrokerLink
from bzzz_core.model import NodeId

STEADY_MS: Final = 10_000
"""Refusals that have lasted this long are no delay of a list of nodes."""
_RARELY_MS: Final = 15_000
_FORGOTTEN_MS: Final = 30_000
"""One that was not repeated for so long says nothing of the next; brokers were asked meanwhile."""


class Look:
    """One look at brokers beside the one in use: whether any took this node, or refused it.

    The node's own does not count: it takes the node whatever the others say.
    """

    def __init__(
        self, open_link: Callable[[BrokerAddress], Awaitable[BrokerLink]], node: NodeId
    ) -> None:
        """Take what opens a link, and which node looks."""
        self._open_link = open_link
        self._node = node
        self.taken = self.refused = False

    async def open_link(self, broker: BrokerAddress) -> BrokerLink:
        """Open a link; raises as it does."""
        try:
            link = await self._open_link(broker)
        except BrokerRefused:
            self.refused = True
            raise
        if broker.node != self._node:
            self.taken = True
        return link


class Refusals:
    """What became of one node's attempts to reach a broker."""

    def __init__(self) -> None:
        """Start without an attempt."""
        self._since_ms: int | None = None
        self._last_ms = 0
        self._looked_ms = -_RARELY_MS
        self._steady = False

    @property
    def alarm(self) -> str | None:
        """Return what is wrong, in words, while refusals last."""
        if not self._steady:
            return None
        return "the brokers refuse this node: was it revoked? `bzzz-agent node list` on a voter"

    def note(self, now_ms: int, *, refused: bool) -> None:
        """Note how a round through all brokers ended: was this node refused, and by nobody taken.

        A round in which no broker could be reached at all says nothing about this node.
        """
        if refused:
            if self._since_ms is None or not self.stand(now_ms):
                self._since_ms = now_ms
            self._last_ms = now_ms
            self._steady = self._steady or now_ms - self._since_ms >= STEADY_MS

    def note_look(self, now_ms: int, look: Look) -> None:
        """Note what other brokers said while one of ours takes this node.

        A revoked voter's own broker does so for ever if it was shut out before the news came.
        """
        self._looked_ms = now_ms
        if look.taken:
            self.taken()
        else:
            self.note(now_ms, refused=look.refused)

    def stand(self, now_ms: int) -> bool:
        """Return whether this node was refused lately, or has an alarm, and was not taken since."""
        if self._since_ms is None:
            return False
        return self._steady or now_ms - self._last_ms <= _FORGOTTEN_MS

    def may_look(self, now_ms: int) -> bool:
        """Return whether it is time for a look at other brokers: rarely while refusals last."""
        return now_ms - self._looked_ms >= self.delay_ms_max(0)

    def taken(self) -> None:
        """Note that a broker has taken this node."""
        self._since_ms, self._steady = None, False

    def delay_ms_max(self, usual_ms: int) -> int:
        """Return how long the wait between two rounds or looks may grow."""
        return _RARELY_MS if self._steady else usual_ms
