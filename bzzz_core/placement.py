"""Keeps the control stream's leader off the machine of the cluster's leader.

If both were lost at once, the new leader's first write would wait for the brokers' own election,
which takes 4 to 9 s and cannot be configured; with the stream led elsewhere a lost leader costs
detection, ballots and one write. So whoever leads looks now and then, and where it finds the stream
led by its own broker asks for another one, which takes some 20 ms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from bzzz_core.errors import BzzzError
from bzzz_core.fabric.store import node_of
from bzzz_core.model import NodeId
from bzzz_core.ports import Clock
from bzzz_core.telemetry import logs

LOOK_MS = 250


class Stream(Protocol):
    """What is asked of the control stream."""

    async def stream_leader(self) -> str | None:
        """Return the server name of the broker that leads the stream."""
        ...

    async def move_stream_leader(self, preferred: str) -> None:
        """Ask the stream's leader to hand over to the broker `preferred`."""
        ...


class StreamPlacement:
    """Watches where the stream is led, and moves it while this node leads."""

    def __init__(
        self,
        *,
        me: NodeId,
        stream: Stream,
        clock: Clock,
        leads: Callable[[], bool],
        choices: Callable[[], list[str]],
    ) -> None:
        """Take every dependency by name.

        Args:
            me: This node.
            stream: The control stream.
            clock: For the waits.
            leads: Whether this node leads and serves now.
            choices: Server names of the other voters' brokers that are alive.
        """
        self._me = me
        self._stream = stream
        self._clock = clock
        self._leads = leads
        self._choices = choices
        self._log = logs.get("placement")
        self.led_by: NodeId | None = None
        """Whose broker led the stream when last looked; None if unknown."""

    async def run(self) -> None:
        """Look and move until cancelled."""
        while True:
            try:
                await self._look()
            except BzzzError as exc:
                self.led_by = None
                self._log.debug("stream leader unknown", reason=str(exc))
            await self._clock.sleep_ms(LOOK_MS)

    async def _look(self) -> None:
        name = await self._stream.stream_leader()
        self.led_by = node_of(name) if name else None
        if self.led_by != self._me or not self._leads():
            return
        choices = self._choices()
        if choices:
            await self._stream.move_stream_leader(choices[0])
            self._log.info("stream leadership moved", to=choices[0])
