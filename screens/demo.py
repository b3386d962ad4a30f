"""The demo on screen: a real cluster on loopback, watched by the same views as any other.

Its nodes can be broken on purpose from any view. While one is cut off from the others, the monitor
does not watch through it: what it believes is no longer what the cluster does.

The cluster lives inside the feed: when the screen or the program ends, the feed is cancelled, and
with it every process of the cluster ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from textual.screen import Screen

from bzzz_core.api.documents import Status
from bzzz_core.api.event_documents import Message
from bzzz_core.api.event_stream import Follow
from bzzz_core.demo.cluster import DemoCluster
from bzzz_core.demo.damage import Damage
from bzzz_core.demo.faults import Act, Done
from bzzz_core.errors import TransportError, plainly
from bzzz_core.ports import Clock
from bzzz_tui.feed.opening import of_profile, recorded, recorder_of
from bzzz_tui.feed.rotation import Pace, Rotation
from bzzz_tui.feed.source import Source
from bzzz_tui.monitor.opened import Opened
from bzzz_tui.store import FeedEvent, Link, LinkPhase

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
        self._cluster = DemoCluster(agents=agents, state_dir=state_dir, clock=clock, doors=True)
        self._damage = Damage(self._cluster)
        self._agents = agents
        self._clock = clock
        self._pace = pace
        self._emit = emit
        self._rotation: Rotation | None = None

    def hurry(self) -> None:
        """Ask now instead of at the next turn."""
        if self._rotation is not None:
            self._rotation.hurry()

    def set_refresh_ms(self, refresh_ms: int) -> None:
        """Ask this often from now on."""
        self._pace = replace(self._pace, refresh_ms=refresh_ms)
        if self._rotation is not None:
            self._rotation.set_refresh_ms(refresh_ms)

    async def call(
        self, method: str, path: str, body: object | None = None, *, host: str | None = None
    ) -> Any:
        """Ask one of the agents for an operation; see `Rotation.call`.

        Raises:
            BzzzError: It does not run yet, or it refused.
        """
        if self._rotation is None:
            raise TransportError("the demo is still starting")
        return await self._rotation.call(method, path, body, host=host)

    async def act(self, act: Act, targets: Sequence[str], view: Status | None) -> Done:
        """Break nodes, or make them whole; see `Damage.act`.

        Raises:
            ConfigError: It cannot be done to them now.
            BrokerError: What connects the nodes has ended.
        """
        return await self._damage.act(act, targets, view)

    @property
    def ready(self) -> bool:
        """Return whether nodes can be broken; see `Damage.ready`."""
        return self._damage.ready

    def conditions(self) -> dict[str, str]:
        """Return {node: what is wrong with it} for all that something was done to."""
        return self._damage.conditions()

    def hosts(self) -> Sequence[Source]:
        """Return a way of its own to each node, those that are cut off too."""
        return of_profile(self._cluster.profile)

    def _apart(self, name: str) -> bool:
        """Return whether a node is cut off while others are not."""
        cut = {node for node, what in self.conditions().items() if "partitioned" in what}
        return name in cut and len(cut) < self._agents

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
                    [SidedSource(each, self._apart) for each in of_profile(cluster.profile)],
                    clock=self._clock,
                    pace=self._pace,
                    emit=self._emit,
                )
                group.create_task(self._rotation.run())


class SidedSource:
    """A node of a demo as something to watch through, unless it is cut off from the others."""

    def __init__(self, source: Source, apart: Callable[[str], bool]) -> None:
        """Take the way to the node, and what says whether it is cut off."""
        self._source = source
        self._apart = apart

    @property
    def name(self) -> str:
        """Return the node's name."""
        return self._source.name

    @property
    def prompt(self) -> bool:
        """Return whether an answer is a matter of milliseconds."""
        return self._source.prompt

    async def fetch(self) -> Status:
        """Ask for the status.

        Raises:
            TransportError: It is cut off, or does not answer.
        """
        self._check()
        return await self._source.fetch()

    async def follow(self, asked: Follow) -> AsyncGenerator[Message, None]:
        """Yield what it tells, until it is cut off.

        Raises:
            TransportError: It is cut off, or does not answer.
        """
        self._check()
        async with aclosing(self._source.follow(asked)) as messages:
            async for message in messages:
                self._check()
                yield message

    async def call(self, method: str, path: str, body: object | None = None) -> Any:
        """Ask for an operation, even of a node that is cut off: an operator stands beside it.

        Raises:
            BzzzError: As `Source.call`.
        """
        return await self._source.call(method, path, body)

    async def close(self) -> None:
        """Drop the connection."""
        await self._source.close()

    def _check(self) -> None:
        if self._apart(self.name):
            raise TransportError(f"{self.name} is cut off; the others are watched")


def demo_monitor(
    app: BzzzApp,
    *,
    agents: int = 3,
    seconds: float | None = None,
    state_dir: Path | None = None,
    record: Path | None = None,
) -> Screen[None]:
    """Return the first view of a new local cluster; the app ends after `seconds`.

    Args:
        app: Whose screen it is.
        agents: How many nodes.
        seconds: After which the app ends; None: it goes on.
        state_dir: Where the cluster's files stay.
        record: Where to write down what is watched.
    """

    async def open_it(emit: Callable[[FeedEvent], None]) -> Opened:
        recorder = None if record is None else recorder_of(record, clock=app.clock, emit=emit)
        feed = DemoFeed(
            agents=agents,
            state_dir=state_dir,
            clock=app.clock,
            pace=app.pace,
            emit=emit if recorder is None else recorder.take,
        )
        watched = feed if recorder is None else recorded(feed, recorder)
        return Opened(feed=watched, hosts=feed.hosts, breaking=feed)

    if seconds is not None:
        app.set_timer(seconds, lambda: app.exit(0))
    return app.watch_cluster(open_it)
