"""The feed on a real HTTP server: it goes on to the next host, backs off, and lets go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bzzz_core.api.event_documents import Beat, Delta, Message
from bzzz_core.api.event_documents import Snapshot as Whole
from bzzz_core.api.event_stream import Follow
from bzzz_core.clock import SystemClock
from bzzz_core.config.profile import ClusterProfile, ProfileHost, save_profile
from bzzz_core.config.profile_places import profile_path
from bzzz_core.errors import ConfigError, NotOffered, TransportError
from bzzz_tui.feed.opening import Target, sources_of
from bzzz_tui.feed.rotation import Pace, Rotation
from bzzz_tui.feed.source import Source
from bzzz_tui.store import FeedEvent, Heard, Link, LinkPhase, Snapshot
from tests.fakes import statuses
from tests.fakes.status_server import StatusServer, write_demo_state

FAST = Pace(refresh_ms=50, answer_ms=1_000, connect_ms=1_000)


class Watcher:
    """Collects events and waits for one that fits."""

    def __init__(self) -> None:
        self.events: list[FeedEvent] = []
        self._news = asyncio.Event()

    def emit(self, event: FeedEvent) -> None:
        self.events.append(event)
        self._news.set()

    async def until(self, fits: Callable[[FeedEvent], bool], seconds: float = 20) -> FeedEvent:
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
    return lambda event: isinstance(event, Snapshot | Heard) and event.source == name


def lost(event: FeedEvent) -> bool:
    return isinstance(event, Link) and event.phase is LinkPhase.LOST and bool(event.retry_at_ms)


def test_a_paused_host_is_left_for_the_next_within_its_deadline(tmp_path: Path) -> None:
    async def body(servers: list[StatusServer], watcher: Watcher, _feed: Rotation) -> None:
        await watcher.until(from_host("bzzz-1"))
        servers[0].paused = True
        paused_s = time.monotonic()
        await watcher.until(from_host("bzzz-2"))
        assert time.monotonic() - paused_s < 10

    watching(tmp_path, body)


def test_a_host_is_not_blamed_for_the_time_in_which_the_monitor_slept(tmp_path: Path) -> None:
    """As while a shell has the terminal: nothing is read, and then all of it is there."""

    async def body(_servers: list[StatusServer], watcher: Watcher, _feed: Rotation) -> None:
        await watcher.until(heard(Beat))
        watcher.events.clear()
        time.sleep(2 * FAST.answer_ms / 1_000)  # noqa: ASYNC251  to hold up the loop is the point
        await watcher.until(heard(Beat))
        assert not any(isinstance(event, Link) for event in watcher.events)

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
        await watcher.until(lambda event: isinstance(event, Snapshot | Heard))

    watching(tmp_path, body)


def test_hurrying_ends_the_wait(tmp_path: Path) -> None:
    async def body(servers: list[StatusServer], watcher: Watcher, feed: Rotation) -> None:
        for server in servers:
            server.paused = True
        await watcher.until(lost)
        for server in servers:
            server.paused = False
        feed.hurry()
        await watcher.until(lambda event: isinstance(event, Snapshot | Heard), seconds=10)

    watching(tmp_path, body)


def heard(kind: type) -> Callable[[FeedEvent], bool]:
    return lambda event: isinstance(event, Heard) and isinstance(event.message, kind)


def test_a_change_is_heard_at_once_and_quiet_by_beats(tmp_path: Path) -> None:
    async def body(servers: list[StatusServer], watcher: Watcher, _feed: Rotation) -> None:
        await watcher.until(heard(Whole))
        servers[0].status = statuses.status(leader=3, term=43)
        await watcher.until(heard(Delta))
        await watcher.until(heard(Beat))
        assert servers[0].asked == 1
        assert servers[0].queries[0]["beat_ms"] == "500"

    watching(tmp_path, body)


def test_whoever_hurries_is_told_at_once_from_where_it_stood(tmp_path: Path) -> None:
    async def body(servers: list[StatusServer], watcher: Watcher, feed: Rotation) -> None:
        await watcher.until(heard(Whole))
        watcher.events.clear()
        feed.hurry()
        await watcher.until(heard(Beat))
        assert servers[0].queries[1]["epoch"] == servers[0].epoch
        assert not any(heard(Whole)(event) for event in watcher.events)

    watching(tmp_path, body)


def test_another_life_of_the_agent_tells_everything_anew(tmp_path: Path) -> None:
    async def body(servers: list[StatusServer], watcher: Watcher, feed: Rotation) -> None:
        await watcher.until(heard(Whole))
        watcher.events.clear()
        servers[0].epoch = "another"
        feed.hurry()
        await watcher.until(heard(Whole))

    watching(tmp_path, body)


def test_messages_that_do_not_build_on_each_other_are_followed_by_everything(
    tmp_path: Path,
) -> None:
    async def body(servers: list[StatusServer], watcher: Watcher, _feed: Rotation) -> None:
        await watcher.until(heard(Whole))
        watcher.events.clear()
        servers[0].speak_of = 7
        await watcher.until(heard(Whole))
        assert servers[0].followed == 2
        links = [event for event in watcher.events if isinstance(event, Link)]
        assert not links, "the same host, without a word about it"

    watching(tmp_path, body)


def test_an_agent_that_tells_no_events_is_asked_and_the_link_says_so(tmp_path: Path) -> None:
    async def body(servers: list[StatusServer], watcher: Watcher, _feed: Rotation) -> None:
        servers[0].tells_events = False
        link = await watcher.until(lambda event: isinstance(event, Link) and bool(event.note))
        assert isinstance(link, Link)
        assert link.host == "bzzz-1"
        assert "no events" in link.note
        servers[0].status = statuses.status(leader=3, term=77)
        await watcher.until(lambda e: isinstance(e, Snapshot) and e.status.term == 77)
        servers[0].paused = True
        await watcher.until(lambda e: heard(Whole)(e) and from_host("bzzz-2")(e))
        assert not [e for e in watcher.events if isinstance(e, Link)][-1].note

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

        async def follow(self, _asked: Follow) -> AsyncGenerator[Message, None]:
            raise TransportError("gone")
            yield

        async def close(self) -> None:
            await asyncio.sleep(60)

    class Well:
        name = "well"
        prompt = True

        async def fetch(self) -> object:
            return statuses.status()

        async def follow(self, _asked: Follow) -> AsyncGenerator[Message, None]:
            raise NotOffered("too old")
            yield

        async def close(self) -> None:
            return

    async def run() -> None:
        watcher = Watcher()
        sources: list[Source] = [Stuck(), Well()]  # type: ignore[list-item]
        feed = Rotation(sources, clock=SystemClock(), pace=FAST, emit=watcher.emit)
        running = asyncio.ensure_future(feed.run())
        await watcher.until(from_host("well"), seconds=10)
        # The stuck close would hold the end up too, so it is cancelled twice, as a loop does.
        running.cancel()
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait({running}, timeout=2)

    asyncio.run(run())
