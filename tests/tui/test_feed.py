"""The feed on a real HTTP server: it goes on to the next host, backs off, and lets go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bzzz_core.clock import SystemClock
from bzzz_core.config.profile import ClusterProfile, ProfileHost, profile_path, save_profile
from bzzz_core.errors import ConfigError, TransportError
from bzzz_tui.feed.opening import Target, sources_of
from bzzz_tui.feed.rotation import Pace, Rotation
from bzzz_tui.feed.source import Source
from bzzz_tui.store import FeedEvent, Link, LinkPhase, Snapshot
from tests.fakes import statuses
from tests.fakes.status_server import StatusServer, write_demo_state

FAST = Pace(refresh_ms=50, answer_ms=200, connect_ms=200)


class Watcher:
    """Collects events and waits for one that fits."""

    def __init__(self) -> None:
        self.events: list[FeedEvent] = []
        self._news = asyncio.Event()

    def emit(self, event: FeedEvent) -> None:
        self.events.append(event)
        self._news.set()

    async def until(self, fits: Callable[[FeedEvent], bool], seconds: float = 5) -> FeedEvent:
        seen = 0
        async with asyncio.timeout(seconds):
            while True:
                for event in self.events[seen:]:
                    if fits(event):
                        return event
                seen = len(self.events)
                self._news.clear()
                await self._news.wait()


def watching(
    directory: Path, body: Callable[[list[StatusServer], Watcher, Rotation], Awaitable[None]]
) -> None:
    """Run a feed on three servers."""

    async def run() -> None:
        async with AsyncExitStack() as stack:
            servers = [
                await stack.enter_async_context(StatusServer(statuses.status())) for _ in range(3)
            ]
            write_demo_state(directory, {f"bzzz-{n + 1}": s.url for n, s in enumerate(servers)})
            watcher = Watcher()
            sources = sources_of(Target(demo_state=directory))
            feed = Rotation(sources, clock=SystemClock(), pace=FAST, emit=watcher.emit)
            running = asyncio.ensure_future(feed.run())
            try:
                await body(servers, watcher, feed)
            finally:
                running.cancel()
                await asyncio.wait({running})
            assert running.cancelled()

    asyncio.run(run())


def from_host(name: str) -> Callable[[FeedEvent], bool]:
    return lambda event: isinstance(event, Snapshot) and event.source == name


def lost(event: FeedEvent) -> bool:
    return isinstance(event, Link) and event.phase is LinkPhase.LOST and bool(event.retry_at_ms)


def test_a_paused_host_is_left_for_the_next_within_its_deadline(tmp_path: Path) -> None:
    async def body(servers: list[StatusServer], watcher: Watcher, _feed: Rotation) -> None:
        await watcher.until(from_host("bzzz-1"))
        servers[0].paused = True
        paused_s = time.monotonic()
        await watcher.until(from_host("bzzz-2"))
        assert time.monotonic() - paused_s < 1.5

    watching(tmp_path, body)


def test_when_nobody_answers_the_feed_says_until_when_it_waits_and_comes_back(
    tmp_path: Path,
) -> None:
    async def body(servers: list[StatusServer], watcher: Watcher, _feed: Rotation) -> None:
        await watcher.until(from_host("bzzz-1"))
        for server in servers:
            server.paused = True
        link = await watcher.until(lost)
        assert isinstance(link, Link)
        assert link.attempt == 3
        assert "no answer within" in link.reason
        watcher.events.clear()
        for server in servers:
            server.paused = False
        await watcher.until(lambda event: isinstance(event, Snapshot))

    watching(tmp_path, body)


def test_hurrying_ends_the_wait(tmp_path: Path) -> None:
    async def body(servers: list[StatusServer], watcher: Watcher, feed: Rotation) -> None:
        for server in servers:
            server.paused = True
        await watcher.until(lost)
        for server in servers:
            server.paused = False
        feed.hurry()
        await watcher.until(lambda event: isinstance(event, Snapshot), seconds=2)

    watching(tmp_path, body)


def test_a_refused_token_is_told_and_not_the_end(tmp_path: Path) -> None:
    async def body(_servers: list[StatusServer], watcher: Watcher, _feed: Rotation) -> None:
        (tmp_path / "api-token").write_text("another")
        link = await watcher.until(lost)
        assert isinstance(link, Link)
        assert "refused the token" in link.reason

    watching(tmp_path, body)


def test_sources_come_from_a_profile_in_its_order() -> None:
    hosts = tuple(
        ProfileHost(name=f"bzzz-{n}", address="127.0.0.1", api_port=1, api_url="http://127.0.0.1:1")
        for n in (3, 1)
    )
    reference = "env:TOKEN"
    profile = ClusterProfile(
        name="lab", cluster_id="c", ca_sha256="0" * 64, api_token=reference, hosts=hosts
    )
    save_profile(profile_path("lab"), profile)
    assert [source.name for source in sources_of(Target())] == ["bzzz-3", "bzzz-1"]


def test_without_a_cluster_the_operator_is_told_what_to_do() -> None:
    with pytest.raises(ConfigError, match="bzzz-tui setup"):
        sources_of(Target())


def test_a_demo_state_that_points_elsewhere_is_refused(tmp_path: Path) -> None:
    write_demo_state(tmp_path, {"bzzz-1": "http://192.0.2.1:80"})
    with pytest.raises(ConfigError, match="not the state of a demo"):
        sources_of(Target(demo_state=tmp_path))


def test_closing_is_not_waited_for() -> None:
    """A host that is gone does not say goodbye; the next one must not wait for that."""

    class Stuck:
        name = "stuck"
        prompt = True

        async def fetch(self) -> None:
            raise TransportError("gone")

        async def close(self) -> None:
            await asyncio.sleep(60)

    class Well:
        name = "well"
        prompt = True

        async def fetch(self) -> object:
            return statuses.status()

        async def close(self) -> None:
            return

    async def run() -> None:
        watcher = Watcher()
        sources: list[Source] = [Stuck(), Well()]  # type: ignore[list-item]
        feed = Rotation(sources, clock=SystemClock(), pace=FAST, emit=watcher.emit)
        running = asyncio.ensure_future(feed.run())
        await watcher.until(from_host("well"), seconds=2)
        # The stuck close would hold the end up too, so it is cancelled twice, as a loop does.
        running.cancel()
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait({running}, timeout=2)

    asyncio.run(run())
