"""Apps on frozen state: a clock that stands still, a feed and an engine that do as told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.screen import Screen

from bzzz_core.api.documents import Status
from bzzz_tui.feed.rotation import Pace
from bzzz_tui.store import FeedEvent, Link, LinkPhase, Snapshot
from bzzz_tui.terminal import Terminal
from screens.app import BzzzApp
from screens.monitor.overview import Overview
from screens.setup.context import Context
from screens.setup.draft import Draft, parse_hosts
from screens.setup.opening import wizard_of
from screens.setup.session import Session
from screens.setup.wizard import Wizard
from tests.fakes.engine import FakeEngine

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

    async def open(self, emit: Callable[[FeedEvent], None]) -> HandFeed:
        self.emit = emit
        return self

    async def run(self) -> None:
        for event in self.first:
            self.emit(event)
        await asyncio.Event().wait()

    def hurry(self) -> None:
        self.hurried += 1


def snapshot(status: Status, clock: FrozenClock, source: str = "bzzz-1") -> Snapshot:
    return Snapshot(source=source, status=status, received_ms=clock.ms)


def connected(clock: FrozenClock, host: str = "bzzz-1") -> Link:
    return Link(phase=LinkPhase.CONNECTED, host=host, since_ms=clock.ms)


def terminal(theme: str = "bzzz-dark", *, ascii_only: bool = False) -> Terminal:
    return Terminal(plain=False, theme=theme, mouse=False, ascii=ascii_only, remote=False)


def app_with(
    first: Callable[[BzzzApp], Screen[None]], clock: FrozenClock, **how: object
) -> BzzzApp:
    return BzzzApp(terminal=terminal(**how), clock=clock, pace=Pace(), first=first)  # type: ignore[arg-type]


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

        def first(app: BzzzApp) -> Overview:
            return Overview(feed.open, clock=clock, glyphs=app.glyphs)

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
