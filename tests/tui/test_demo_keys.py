"""The demo's own keys: one breaks the node under the cursor and makes it whole again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from textual.pilot import Pilot

from bzzz_core.demo.faults import Act
from bzzz_core.errors import ConfigError
from bzzz_tui.parts import text_of
from bzzz_tui.widgets.prompt import PromptInput
from bzzz_tui.widgets.toned import Lines, Paragraph
from screens.app import BzzzApp
from screens.keys import KeysScreen
from screens.monitor.base import MonitorView
from tests.fakes import statuses
from tests.fakes.demo_breaking import FakeBreaking
from tests.tui.conftest import FrozenClock, HandFeed, app_with, connected, snapshot
from tests.tui.test_overview import fed
from tests.tui.test_wizard import settle

BREAKS = {"B": Act.KILL, "P": Act.PAUSE, "I": Act.PARTITION}
MENDS = {"B": Act.RESTART, "P": Act.RESUME, "I": Act.HEAL}


class Stage:
    """The overview of a demo that nobody started."""

    def __init__(self, pilot: Pilot[int], breaking: FakeBreaking | None) -> None:
        self.pilot = pilot
        self.breaking = breaking

    @property
    def view(self) -> MonitorView:
        screen = self.pilot.app.screen
        assert isinstance(screen, MonitorView)
        return screen

    @property
    def tries(self) -> str:
        self.view.paint_frame()
        return "".join(text_of(row) for row in self.view.query_one("#try", Lines).lines)

    @property
    def note(self) -> str:
        return self.view.query_one("#note", Paragraph).text

    @property
    def events(self) -> list[str]:
        return [event.text for event in self.view.session.store.events]

    async def press(self, key: str) -> None:
        assert self.breaking is not None
        before = len(self.breaking.acts)
        await self.pilot.press(key)
        await settle(self.pilot, lambda: len(self.breaking.acts) > before)  # type: ignore[union-attr]
        await self.pilot.pause()

    async def command(self, words: str) -> None:
        await self.pilot.press("colon")
        self.view.query_one(PromptInput).value = words
        await self.pilot.press("enter")
        await self.pilot.pause()


def play(
    clock: FrozenClock,
    feed: HandFeed,
    scenario: Callable[[Stage], Awaitable[None]],
    *,
    demo: bool = True,
    view: str = "overview",
) -> None:
    breaking = FakeBreaking() if demo else None
    feed.first = [snapshot(statuses.status(), clock), connected(clock)]
    feed.profile = {"breaking": breaking}

    async def run() -> None:
        app: BzzzApp = app_with(lambda app: app.watch_cluster(feed.open, view=view), clock)
        async with app.run_test(size=(100, 30)) as pilot:
            await fed(pilot)
            await scenario(Stage(pilot, breaking))

    asyncio.run(run())


@pytest.mark.parametrize("key", BREAKS)
def test_a_key_breaks_the_node_under_the_cursor_and_the_same_key_mends_it(
    clock: FrozenClock, feed: HandFeed, key: str
) -> None:
    async def scenario(stage: Stage) -> None:
        assert stage.breaking is not None
        await stage.press("O")
        await stage.pilot.press("j")
        await stage.press(key)
        assert stage.breaking.acts[-1] == (BREAKS[key], ("bzzz-2",))
        assert stage.events[-2:] == [f"you {BREAKS[key]} bzzz-2", "watch: what happens"]
        assert "Watch: what happens" in stage.note
        assert "bzzz-2 " + {"B": "killed", "P": "paused", "I": "partitioned"}[key] in stage.tries
        await stage.press(key)
        assert stage.breaking.acts[-1] == (MENDS[key], ("bzzz-2",))
        assert "heal all" not in stage.tries

    play(clock, feed, scenario)


def test_nothing_is_offered_before_it_can_be_done(clock: FrozenClock, feed: HandFeed) -> None:
    """The monitor may know a leader a moment before all nodes do."""

    async def scenario(stage: Stage) -> None:
        assert stage.breaking is not None
        stage.breaking.ready = False
        assert "try:" not in stage.tries
        assert "starting: nodes can be broken as soon as" in stage.tries
        stage.breaking.ready = True
        assert "try:" in stage.tries

    play(clock, feed, scenario)


def test_the_line_tells_what_to_try_with_this_node(clock: FrozenClock, feed: HandFeed) -> None:
    async def scenario(stage: Stage) -> None:
        leader = stage.view.session.store.status
        assert leader is not None
        assert leader.leader == "bzzz-2"
        assert stage.tries.rstrip().endswith("B kill  P pause  I cut off  bzzz-1")
        await stage.pilot.press("j")
        assert stage.tries.rstrip().endswith("bzzz-2 (leads)")
        await stage.press("I")
        assert "I connect" in stage.tries
        assert "O heal all" in stage.tries

    play(clock, feed, scenario)


def test_a_command_names_nodes_or_roles(clock: FrozenClock, feed: HandFeed) -> None:
    async def scenario(stage: Stage) -> None:
        assert stage.breaking is not None
        await stage.command("partition bzzz-1 bzzz-3")
        await stage.command("kill leader")
        await stage.command("heal")
        assert stage.breaking.acts == [
            (Act.PARTITION, ("bzzz-1", "bzzz-3")),
            (Act.KILL, ("leader",)),
            (Act.HEAL, ()),
        ]

    play(clock, feed, scenario)


def test_a_refusal_is_said_and_is_no_event(clock: FrozenClock, feed: HandFeed) -> None:
    async def scenario(stage: Stage) -> None:
        assert stage.breaking is not None
        stage.breaking.refusal = ConfigError("the demo is still starting")
        before = len(stage.events)
        await stage.press("B")
        assert "still starting" in stage.note
        assert len(stage.events) == before

    play(clock, feed, scenario)


def test_where_there_is_no_demo_nothing_can_be_broken(clock: FrozenClock, feed: HandFeed) -> None:
    async def scenario(stage: Stage) -> None:
        assert stage.tries == ""
        await stage.pilot.press("B")
        await stage.pilot.pause()
        assert "only nodes of a demo" in stage.note
        assert not [action for action in stage.view.actions() if action.id.startswith("demo.")]
        await stage.pilot.press("question_mark")
        await stage.pilot.pause()
        keys = stage.pilot.app.screen
        assert isinstance(keys, KeysScreen)
        words = "\n".join(text_of(row) for row in keys.query_one(Lines).lines)
        assert "kill -9" not in words

    play(clock, feed, scenario, demo=False)


def test_the_demos_keys_stand_among_the_others(clock: FrozenClock, feed: HandFeed) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.pilot.press("question_mark")
        await stage.pilot.pause()
        keys = stage.pilot.app.screen
        words = "\n".join(text_of(row) for row in keys.query_one(Lines).lines)
        assert "kill -9" in words

    play(clock, feed, scenario)


def test_a_view_without_a_node_says_how_to_name_one(clock: FrozenClock, feed: HandFeed) -> None:
    async def scenario(stage: Stage) -> None:
        assert stage.breaking is not None
        assert ":kill leader" in stage.tries
        await stage.pilot.press("B")
        await stage.pilot.pause()
        assert "name a node" in stage.note
        assert stage.breaking.acts == []

    play(clock, feed, scenario, view="logs")
