"""Whether the brokers that answer refuse this node, and for how long.

A broker that a node reaches and that does not know its identity ends the connection. Right after a
join, or while a list of nodes is on its way, that passes within seconds. If it lasts, this node was
most likely revoked: the brokers can tell it nothing, nor can the leader through them, so its own
status has to say it. It goes on trying, but rarely; nobody else can bring it back without a try.
"""

from __future__ import annotations

from typing import Final

STEADY_MS: Final = 10_000
"""Refusals that have lasted this long are no delay of a list of nodes."""
_RARELY_MS: Final = 15_000


class Refusals:
    """What became of one node's attempts to reach a broker."""

    def __init__(self) -> None:
        """Start without an attempt."""
        self._since_ms: int | None = None
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
            self._since_ms = now_ms if self._since_ms is None else self._since_ms
            self._steady = now_ms - self._since_ms >= STEADY_MS

    def taken(self) -> None:
        """Note that a broker has taken this node."""
        self._since_ms, self._steady = None, False

    def delay_ms_max(self, usual_ms: int) -> int:
        """Return how long the wait between two rounds may grow."""
        return _RARELY_MS if self._steady else usual_ms
