"""Keeps the leaders of the streams that a leader writes off the machine of the cluster's leader.

If both were lost at once, the new leader's first write would wait for the brokers' own election,
which takes 4 to 9 s and cannot be configured; with the streams led elsewhere a lost leader costs
detection, ballots and one write. So whoever leads looks now and then, and where it finds a stream
led by its own broker asks for another one, which takes some 20 ms.

Several streams are spread over the other voters' brokers, so that none of these is worth more than
the others, and the loss of one stops as few streams as possible. A stream that already lies
elsewhere stays: each move is a short pause.

A leader looks as soon as it serves, then often until all streams lie elsewhere, then seldom; others
look seldom, only to show it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from bzzz_core.errors import BzzzError
from bzzz_core.fabric.store import node_of
from bzzz_core.model import NodeId
from bzzz_core.telemetry import logs

LOOK_MS: Final = 250
"""While this node leads and cannot be sure yet that all streams lie elsewhere."""
WATCH_MS: Final = 2_000
"""While they do, or this node follows; each look is one question to the broker for each stream."""


class Stream(Protocol):
    """What is asked of a stream."""

    async def stream_leader(self) -> str | None:
        """Return the server name of the broker that leads the stream."""
        ...

    async def move_stream_leader(self, preferred: str) -> None:
        """Ask the stream's leader to hand over to the broker `preferred`."""
        ...


class StreamPlacement:
    """Watches where streams are led, and moves them while this node leads."""

    def __init__(
        self,
        *,
        me: NodeId,
        streams: Mapping[str, Stream],
        leads: Callable[[], bool],
        choices: Callable[[], list[str]],
    ) -> None:
        """Take every dependency by name.

        Args:
            me: This node.
            streams: The streams that leaders write, by name.
            leads: Whether this node leads and serves now.
            choices: Server names of the other voters' brokers that are alive.
        """
        self._me = me
        self._streams = dict(streams)
        self._leads = leads
        self._choices = choices
        self._log = logs.get("placement")
        self._wanted = asyncio.Event()
        self._brokers: dict[str, str | None] = {}
        self.led_by: dict[str, NodeId | None] = {}
        """Whose broker led each stream when last looked; None if unknown."""

    def look(self) -> None:
        """Look now: this node has begun to lead, or ceased to."""
        self._wanted.set()

    async def run(self) -> None:
        """Look and move until cancelled."""
        while True:
            self._wanted.clear()
            for name in self._streams:
                await self._look(name)
            for name in self._streams:
                await self._place(name)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause_ms() / 1000):
                    await self._wanted.wait()

    def _pause_ms(self) -> int:
        """Return how long nothing needs to be asked, unless this node's leadership changes."""
        away = all(node not in (None, self._me) for node in self.led_by.values())
        return LOOK_MS if self._leads() and not away and self._choices() else WATCH_MS

    async def _look(self, name: str) -> None:
        try:
            broker = await self._streams[name].stream_leader()
        except BzzzError as exc:
            broker = None
            self._log.debug("stream leader unknown", stream=name, reason=str(exc))
        self._brokers[name] = broker
        self.led_by[name] = node_of(broker) if broker else None

    async def _place(self, name: str) -> None:
        """Move a stream to the broker that leads fewest of the others, if it is on mine."""
        if self.led_by[name] != self._me or not self._leads():
            return
        choices = self._choices()
        if not choices:
            return
        load = Counter(self._brokers.values())
        preferred = min(choices, key=lambda broker: (load[broker], broker))
        try:
            await self._streams[name].move_stream_leader(preferred)
        except BzzzError as exc:
            self._log.debug("stream not moved", stream=name, reason=str(exc))
            return
        self._brokers[name], self.led_by[name] = preferred, node_of(preferred)
        self._log.info("stream leadership moved", stream=name, to=preferred)
