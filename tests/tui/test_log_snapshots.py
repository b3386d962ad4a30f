"""Pictures of the logs and of a broken demo from frozen state."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from textual.pilot import Pilot

from bzzz_tui.widgets.prompt import PromptInput
from screens.app import BzzzApp
from screens.monitor.logs import LogsView
from tests.fakes import statuses
from tests.fakes.demo_breaking import FakeBreaking
from tests.fakes.log_hosts import FakeLogHost
from tests.tui.conftest import FrozenClock, HandFeed, app_with, connected, snapshot
from tests.tui.test_logs_view import lines_of, loaded, logs_app
from tests.tui.test_overview import fed
from tests.tui.test_wizard import settle

SIZES = [(80, 24), (120, 40)]
Compare = Callable[..., bool]
Scene = Callable[[Pilot[int]], Awaitable[None]]


def searched(hosts: list[FakeLogHost]) -> Scene:
    """Return what searches once all lines are there, and stops above the newest."""

    async def scene(pilot: Pilot[int]) -> None:
        app = pilot.app
        assert isinstance(app, BzzzApp)
        await settle(pilot, lambda: loaded(app, hosts))
        view = app.screen
        assert isinstance(view, LogsView)
        await pilot.press("slash")
        view.query_one(PromptInput).value = "lost"
        await pilot.pause()
        await pilot.press("enter")
        await settle(pilot, lambda: view.lines.progress is None and not view.log_view.following)
        await pilot.press("N")
        await pilot.pause()

    return scene


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("theme", ["bzzz-dark", "bzzz-ansi"])
def test_logs(
    snap_compare: Compare, feed: HandFeed, clock: FrozenClock, size: tuple[int, int], theme: str
) -> None:
    """Three nodes by time, a search marked, the cursor on a match above the newest line."""
    hosts = [FakeLogHost(f"bzzz-{n}", lines_of(f"bzzz-{n}", 60)) for n in (1, 2, 3)]
    app = logs_app(clock, feed, hosts, theme=theme)
    assert snap_compare(app, terminal_size=size, run_before=searched(hosts))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_demo_with_a_node_cut_off(
    snap_compare: Compare, feed: HandFeed, clock: FrozenClock, size: tuple[int, int]
) -> None:
    """What was done, what to watch for, and how to mend it."""
    feed.first = [snapshot(statuses.status(), clock), connected(clock)]
    feed.profile = {"breaking": FakeBreaking()}

    async def scene(pilot: Pilot[int]) -> None:
        await fed(pilot)
        await pilot.press("j", "I")
        app = pilot.app
        assert isinstance(app, BzzzApp)
        assert app.shell is not None
        events = app.shell.session.store.events
        await settle(pilot, lambda: any("watch" in event.text for event in events))
        await pilot.pause()

    app = app_with(lambda app: app.watch_cluster(feed.open), clock)
    assert snap_compare(app, terminal_size=size, run_before=scene)
