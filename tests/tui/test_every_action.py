"""Each action of the monitor can be reached in three ways: key, palette and command line."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from bzzz_tui.action_kinds import PERFORMED, Action
from bzzz_tui.actions import Scope, of
from bzzz_tui.widgets.prompt import PromptInput
from bzzz_tui.widgets.toned import Paragraph
from screens.monitor.nodes import NodesView
from screens.palette import Palette
from tests.fakes import statuses
from tests.tui.conftest import FrozenClock, HandFeed, connected, snapshot
from tests.tui.test_overview import fed

IN_NODES = of(*NodesView.SCOPES)
READY = [action for action in IN_NODES if action.ready]
NOT_YET = [action for action in IN_NODES if not action.ready]
ELSEWHERE = {
    Scope.NODE: "node",
    Scope.ROW: "alerts",
    Scope.AUDIT: "audit",
    Scope.LOGS: "logs",
    Scope.DEMO: "election",
    Scope.REPLAY: "checks",
}
"""Scopes that the nodes view does not have -> a view that does."""


def named(action: Action) -> str:
    return action.id


async def by_command(pilot: Pilot[int], line: str) -> None:
    await pilot.press("colon")
    pilot.app.screen.query_one(PromptInput).value = line
    await pilot.press("enter")
    await pilot.pause()


async def by_palette(pilot: Pilot[int], action: Action) -> Palette:
    await pilot.press("ctrl+p")
    await pilot.pause()
    palette = pilot.app.screen
    assert isinstance(palette, Palette)
    palette.query_one(Input).value = action.commands[0]
    await pilot.pause()
    return palette


@pytest.mark.parametrize("action", READY, ids=named)
def test_key_palette_and_command_lead_to_the_same_method(
    nodes_app,  # noqa: ANN001
    clock: FrozenClock,
    monkeypatch: pytest.MonkeyPatch,
    action: Action,
) -> None:
    app = nodes_app(snapshot(statuses.status(), clock), connected(clock), write=True)
    name, fixed = action.call
    called: list[tuple[Any, ...]] = []
    # The ways to the line and to the palette are walked for real.
    way = {"command", "palette"}

    async def run() -> None:
        async with app.run_test(size=(100, 30)) as pilot:
            await fed(pilot)
            if name not in way:
                monkeypatch.setattr(
                    NodesView, f"action_{name}", lambda _view, *given: called.append(given)
                )
            keys = [key for key in action.keys.split(",") if key]
            if action.id != "view.quit":  # Ctrl+C is a test of its own: it ends the program.
                for key in keys:
                    await pilot.press(key)
                    await pilot.pause()
                    if name in way:
                        called.append(fixed)
                        await pilot.press("escape")
                        await pilot.pause()
            else:
                keys = []
            assert len(called) == len(keys)
            await by_command(pilot, action.commands[-1])
            if name in way:
                await pilot.press("escape")
                await pilot.pause()
                return
            assert len(called) == len(keys) + 1
            await by_palette(pilot, action)
            await pilot.press("enter")
            await pilot.pause()
            assert len(called) == len(keys) + 2
            if action.argument:
                await by_command(pilot, f"{action.commands[0]} some words")
                assert called.pop()[-1] == "some words"
            assert all(given[: len(fixed)] == fixed for given in called)

    asyncio.run(run())


class Unbroken:
    """A demo of which nothing is broken."""

    ready = True

    def conditions(self) -> dict[str, str]:
        return {}


class Still:
    """A recording that stands still."""

    at = "12:00:00"

    def describe(self) -> str:
        return "REPLAY 12:00:00"


def test_no_scope_of_the_monitor_is_forgotten() -> None:
    assert set(PERFORMED) <= set(ELSEWHERE) | set(NodesView.SCOPES)


@pytest.mark.parametrize(("scope", "view"), ELSEWHERE.items(), ids=list(ELSEWHERE.values()))
def test_what_only_some_views_have_is_reached_in_three_ways_too(
    view_app,  # noqa: ANN001
    feed: HandFeed,
    monkeypatch: pytest.MonkeyPatch,
    scope: Scope,
    view: str,
) -> None:
    if scope is Scope.DEMO:
        feed.profile = {"breaking": Unbroken()}
    elif scope is Scope.REPLAY:
        feed.profile = {"replay": Still()}
    app = view_app(view, write=True)
    called: list[tuple[str, tuple[Any, ...]]] = []

    def taking(name: str) -> Callable[..., None]:
        return lambda _view, *given: called.append((name, given))

    async def run() -> None:
        async with app.run_test(size=(100, 30)) as pilot:
            await fed(pilot)
            screen = type(app.screen)
            assert scope in app.screen.scopes
            for action in of(scope):
                monkeypatch.setattr(screen, f"action_{action.call[0]}", taking(action.call[0]))
            for action in of(scope):
                name, fixed = action.call
                keys = [key for key in action.keys.split(",") if key]
                called.clear()
                for key in keys:
                    await pilot.press(key)
                    await pilot.pause()
                await by_command(pilot, action.commands[-1])
                await by_palette(pilot, action)
                await pilot.press("enter")
                await pilot.pause()
                more = ("",) if action.argument else ()
                assert called == [(name, fixed + more)] * (len(keys) + 2), action.id

    asyncio.run(run())


@pytest.mark.parametrize("action", NOT_YET, ids=named)
def test_what_is_not_ready_says_so_and_is_not_in_the_palette(
    nodes_app,  # noqa: ANN001
    clock: FrozenClock,
    action: Action,
) -> None:
    app = nodes_app(snapshot(statuses.status(), clock), connected(clock))

    async def run() -> None:
        async with app.run_test(size=(100, 30)) as pilot:
            await fed(pilot)
            note = app.screen.query_one("#note", Paragraph)
            if action.keys:
                await pilot.press(action.keys.split(",")[0])
                await pilot.pause()
                assert "not yet" in note.text
            await by_command(pilot, action.commands[0])
            assert "not yet" in note.text
            assert isinstance(app.screen, NodesView)
            palette = await by_palette(pilot, action)
            assert action not in palette._found

    asyncio.run(run())


def test_changes_are_refused_and_not_offered_where_the_monitor_only_reads(
    nodes_app,  # noqa: ANN001
    clock: FrozenClock,
) -> None:
    app = nodes_app(snapshot(statuses.status(), clock), connected(clock))

    async def run() -> None:
        async with app.run_test(size=(100, 30)) as pilot:
            await fed(pilot)
            for action in of(Scope.WRITE):
                await pilot.press(action.keys.split(",")[0])
                await pilot.pause()
                assert isinstance(app.screen, NodesView), action.id
                assert "read-only" in app.screen.query_one("#note", Paragraph).text
                await by_command(pilot, action.commands[0])
                assert "read-only" in app.screen.query_one("#note", Paragraph).text
            await pilot.press("ctrl+p")
            await pilot.pause()
            assert isinstance(app.screen, Palette)
            assert not [each for each in app.screen._actions if each.mutates]

    asyncio.run(run())
