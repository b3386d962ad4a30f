"""Apps on frozen state: a clock that stands still, a feed and an engine that do as told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import textual.app
import textual.pilot
from textual.screen import Screen

from bzzz_core.api.documents import Status
from bzzz_core.errors import BzzzError
from bzzz_tui.feed.rotation import Pace
from bzzz_tui.monitor.opened import Opened
from bzzz_tui.store import FeedEvent, Link, LinkPhase, Snapshot
from bzzz_tui.terminal import Terminal
from screens.app import BzzzApp
from screens.setup.context import Context
from screens.setup.draft import Draft, parse_hosts
from screens.setup.opening import wizard_of
from screens.setup.session import Session
from screens.setup.wizard import Wizard
from tests.fakes import asked_cluster
from tests.fakes.asked_cluster import AskedCluster
from tests.fakes.engine import FakeEngine
from tests.tui.settled import settled

HOSTS = "10.20.0.11 10.20.0.12 10.20.0.13"


class FrozenClock:
    """Time that moves only when a test moves it."""

    def __init__(self) -> None:
        self.ms = 1_000_000

    def now_ms(self) -> int:
        return self.ms

    async def sleep_ms(self, duration_ms: int) -> None:
        await asyncio.sleep(duration_ms / 1_000)


class HandFeed:
    """A feed that emits what a test puts into it."""

    def __init__(self) -> None:
        self.emit: Callable[[FeedEvent], None] = lambda _event: None
        self.first: list[FeedEvent] = []
        self.hurried = 0
        self.refresh_ms: int | None = None
        self.profile: dict[str, object] = {}
        self.asked: list[tuple[str, str, object, str | None]] = []
        self.refusal: BzzzError | None = None
        self.cluster: AskedCluster | None = None
        """Who answers what views ask for; None: every answer is empty."""

    async def open(self, emit: Callable[[FeedEvent], None]) -> Opened:
        self.emit = emit
        return Opened(feed=self, **self.profile)  # type: ignore[arg-type]

    async def run(self) -> None:
        for event in self.first:
            self.emit(event)
        await asyncio.Event().wait()

    def hurry(self) -> None:
        self.hurried += 1

    def set_refresh_ms(self, refresh_ms: int) -> None:
        self.refresh_ms = refresh_ms

    async def call(
        self, method: str, path: str, body: object | None = None, *, host: str | None = None
    ) -> object:
        self.asked.append((method, path, body, host))
        if self.refusal is not None:
            raise self.refusal
        if self.cluster is not None:
            return await self.cluster.call(method, path, body, host=host)
        return {}


def snapshot(status: Status, clock: FrozenClock, source: str = "bzzz-1") -> Snapshot:
    return Snapshot(source=source, status=status, received_ms=clock.ms)


def connected(clock: FrozenClock, host: str = "bzzz-1") -> Link:
    return Link(phase=LinkPhase.CONNECTED, host=host, since_ms=clock.ms)


def terminal(theme: str = "bzzz-dark", *, ascii_only: bool = False) -> Terminal:
    return Terminal(plain=False, theme=theme, mouse=False, ascii=ascii_only, remote=False)


def app_with(
    first: Callable[[BzzzApp], Screen[None]],
    clock: FrozenClock,
    *,
    write: bool = False,
    **how: object,
) -> BzzzApp:
    return BzzzApp(
        terminal=terminal(**how),  # type: ignore[arg-type]
        clock=clock,
        pace=Pace(),
        first=first,
        write=write,
    )


@pytest.fixture(autouse=True)
def _pauses_end_when_all_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (textual.app, textual.pilot):
        monkeypatch.setattr(module, "wait_for_idle", settled)


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
def feed() -> HandFeed:
    return HandFeed()


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every test out of the operator's own directory, and its environment neutral."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("NO_COLOR", "SSH_CONNECTION", "COLORTERM", "TEXTUAL_THEME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def overview_app(feed: HandFeed, clock: FrozenClock) -> Callable[..., BzzzApp]:
    def make(*events: FeedEvent, **how: object) -> BzzzApp:
        feed.first = list(events)
        return app_with(lambda app: app.watch_cluster(feed.open), clock, **how)

    return make


@pytest.fixture
def nodes_app(feed: HandFeed, clock: FrozenClock) -> Callable[..., BzzzApp]:
    """The monitor, with the nodes view first."""

    def make(*events: FeedEvent, query: str = "", **how: object) -> BzzzApp:
        feed.first = list(events)

        def first(app: BzzzApp) -> Screen[None]:
            return app.watch_cluster(feed.open, view="nodes", query=query)

        return app_with(first, clock, **how)

    return make


@pytest.fixture
def view_app(feed: HandFeed, clock: FrozenClock) -> Callable[..., BzzzApp]:
    """The monitor with any view first, of a cluster that answers what it asks for."""

    def make(view: str, *events: FeedEvent, query: str = "", **how: object) -> BzzzApp:
        feed.cluster = feed.cluster or AskedCluster()
        feed.first = list(events) or [asked_cluster.told(clock.ms), connected(clock)]

        def first(app: BzzzApp) -> Screen[None]:
            return app.watch_cluster(feed.open, view=view, query=query)

        return app_with(first, clock, **how)

    return make


@pytest.fixture
def wizard_app(engine: FakeEngine, clock: FrozenClock, tmp_path: Path) -> Callable[..., BzzzApp]:
    def make(*, hosts: str = HOSTS, kept: Session | None = None, **how: object) -> BzzzApp:
        draft = Draft(hosts=parse_hosts(hosts, ()))

        def first(app: BzzzApp) -> Wizard:
            context = Context(
                draft=draft,
                engine=engine,
                clock=clock,
                glyphs=app.glyphs,
                session=tmp_path / "session.json",
            )
            return wizard_of(context, kept)

        return app_with(first, clock, **how)

    return make
