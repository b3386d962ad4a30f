"""The demo on screen: a real cluster on loopback, watched by the same overview as any other.

The cluster lives inside the feed: when the screen or the program ends, the feed is cancelled, and
with it every process of the cluster ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bzzz_core.demo.cluster import DemoCluster
from bzzz_core.errors import plainly
from bzzz_core.ports import Clock
from bzzz_tui.feed.opening import of_profile
from bzzz_tui.feed.rotation import Pace, Rotation
from bzzz_tui.store import FeedEvent, Link, LinkPhase
from screens.monitor.overview import Feed, Overview

if TYPE_CHECKING:
    from screens.app import BzzzApp

_POLL_MS: Final = 100


class DemoFeed:
    """Starts the cluster, then asks it like any other."""

    def __init__(
        self,
        *,
        agents: int,
        state_dir: Path | None,
        clock: Clock,
        pace: Pace,
        emit: Callable[[FeedEvent], None],
    ) -> None:
        """Start nothing yet."""
        self._cluster = DemoCluster(agents=agents, state_dir=state_dir, clock=clock)
        self._agents = agents
        self._clock = clock
        self._pace = pace
        self._emit = emit
        self._rotation: Rotation | None = None

    def hurry(self) -> None:
        """Ask now instead of at the next turn."""
        if self._rotation is not None:
            self._rotation.hurry()

    async def run(self) -> None:
        """Run the cluster and watch it until cancelled.

        Raises:
            BzzzError: The cluster could not be started or did not elect a leader.
        """
        words = f"starting {self._agents} agents on this machine"
        now_ms = self._clock.now_ms()
        self._emit(Link(phase=LinkPhase.CONNECTING, host=None, since_ms=now_ms, reason=words))
        with plainly():
            async with self._cluster as cluster, asyncio.TaskGroup() as group:
                group.create_task(cluster.elected())
                while not await cluster.statuses():
                    await self._clock.sleep_ms(_POLL_MS)
                self._rotation = Rotation(
                    of_profile(cluster.profile),
                    clock=self._clock,
                    pace=self._pace,
                    emit=self._emit,
                )
                group.create_task(self._rotation.run())


def demo_overview(
    app: BzzzApp, *, agents: int = 3, seconds: float | None = None, state_dir: Path | None = None
) -> Overview:
    """Return the live screen of a new local cluster; the app ends after `seconds`."""

    async def open_feed(emit: Callable[[FeedEvent], None]) -> Feed:
        return DemoFeed(
            agents=agents, state_dir=state_dir, clock=app.clock, pace=app.pace, emit=emit
        )

    if seconds is not None:
        app.set_timer(seconds, lambda: app.exit(0))
    return Overview(open_feed, clock=app.clock, glyphs=app.glyphs)
