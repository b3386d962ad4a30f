"""A recording on the screen: to and fro by key and command, with the same views as live."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot

from bzzz_tui.monitor.opened import Replaying
from bzzz_tui.recording.format import load
from screens.app import BzzzApp
from screens.keys import KeysScreen
from screens.monitor.overview import Overview
from tests.fakes import statuses
from tests.tui.conftest import FrozenClock, app_with, connected, snapshot
from tests.tui.test_every_action import by_command
from tests.tui.test_overview import shown_lines
from tests.tui.test_shell import drive, note

FAILOVER = Path(__file__).parent.parent / "fixtures" / "recordings" / "failover.bzzzrec"
"""A demo of three nodes from 11:20:09 on, whose leader, bzzz-3, was killed after 10 s."""


@pytest.fixture
def app(clock: FrozenClock) -> BzzzApp:
    recording = load(FAILOVER)
    return app_with(lambda app: app.replay(recording), clock)


def replay(app: BzzzApp) -> Replaying:
    assert app.shell is not None
    assert app.shell.session.replay is not None
    return app.shell.session.replay


def top(app: BzzzApp) -> str:
    return shown_lines(app)[0]


def test_before_during_and_after_a_failover(app: BzzzApp) -> None:
    async def body(pilot: Pilot[int]) -> None:
        await by_command(pilot, "seek 11:20:15")
        assert "leader bzzz-3 (term 1)" in top(app)
        assert "healthy" in "\n".join(shown_lines(app))
        await by_command(pilot, "seek +12s")
        text = "\n".join(shown_lines(app))
        assert "leader bzzz-1 (term 2)" in top(app)
        assert "bzzz-3 dead" in text
        assert "bzzz-3 is held to be dead" in text
        await by_command(pilot, "seek -12s")
        text = "\n".join(shown_lines(app))
        assert "leader bzzz-3 (term 1)" in top(app)
        assert "held to be dead" not in text, "what is to come is not told"
        assert "REPLAY 11:20:15 of 11:20:09-11:20:53" in text
        assert "REPLAY 11:20:15" in top(app)

    drive(app, body, size=(120, 32))


def test_keys_step_skip_and_hold(app: BzzzApp, clock: FrozenClock) -> None:
    async def body(pilot: Pilot[int]) -> None:
        await pilot.press("right_square_bracket")
        await pilot.pause()
        first = replay(app).position_ms
        assert replay(app).paused
        await pilot.press("right_square_bracket", "right_square_bracket", "left_square_bracket")
        await pilot.pause()
        assert replay(app).position_ms >= first
        await pilot.press("right_curly_bracket")
        await pilot.pause()
        assert replay(app).position_ms == replay(app).duration_ms, "it is shorter than a minute"
        assert "bzzz-3 dead" in "\n".join(shown_lines(app))
        await pilot.press("left_curly_bracket")
        await pilot.pause()
        assert replay(app).position_ms == 0
        assert "paused" in "\n".join(shown_lines(app))
        await pilot.press("z")
        await pilot.pause()
        assert not replay(app).paused
        clock.ms += 3_000
        await pilot.press("z")
        await pilot.pause()
        assert replay(app).position_ms == 3_000, "the recording is held, not the picture alone"
        assert app.shell is not None
        assert app.shell.session.paused_ms is None

    drive(app, body)


def test_the_speed_is_said_and_set(app: BzzzApp) -> None:
    async def body(pilot: Pilot[int]) -> None:
        await pilot.press("Z", "z")
        await pilot.pause()
        assert "REPLAY 11:20:09 of 11:20:09-11:20:53, x2, paused" in "\n".join(shown_lines(app))
        await pilot.press("Z", "Z", "Z")
        assert replay(app).speed == 16
        await pilot.press("Z")
        assert replay(app).speed == 1
        await by_command(pilot, "speed x40")
        assert replay(app).speed == 40

    drive(app, body, size=(80, 24))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("seek soon", "write a time such as 12:03:21"),
        ("seek 25:00", "no day has such a time"),
        ("speed fast", "write how many times as fast"),
        ("speed -1", "write how many times as fast"),
        ("speed nan", "write how many times as fast"),
    ],
)
def test_what_cannot_be_done_is_said(app: BzzzApp, line: str, words: str) -> None:
    async def body(pilot: Pilot[int]) -> None:
        await by_command(pilot, line)
        assert words in note(app)

    drive(app, body)


def test_at_writes_a_time_on_the_command_line(app: BzzzApp) -> None:
    async def body(pilot: Pilot[int]) -> None:
        await pilot.press("at", *"20s", "enter")
        await pilot.pause()
        assert replay(app).position_ms == 20_000

    drive(app, body)


@pytest.mark.parametrize("view", ["peers", "election", "audit", "node", "alerts", "logs"])
def test_every_view_opens_over_a_recording(app: BzzzApp, view: str) -> None:
    """What a view asks for is not in it, and it says so."""

    async def body(pilot: Pilot[int]) -> None:
        await by_command(pilot, "seek 20s")
        await by_command(pilot, view)
        await pilot.pause(0.02)
        text = "\n".join(shown_lines(app))
        assert "REPLAY 11:20:29" in text
        if view in {"election", "audit"}:
            assert "a recording answers nothing" in text
        await pilot.press("left_square_bracket", "left_curly_bracket")
        await pilot.pause()
        assert replay(app).position_ms == 0

    drive(app, body, size=(120, 32))


def test_its_keys_are_in_the_help_and_only_there_where_they_work(
    app: BzzzApp,
    overview_app,  # noqa: ANN001
    clock: FrozenClock,
) -> None:
    async def body(pilot: Pilot[int]) -> None:
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(pilot.app.screen, KeysScreen)
        lines = pilot.app.screen.query_one("#keys-list").lines  # type: ignore[attr-defined]
        said = "\n".join("".join(text for text, _ in line) for line in lines)
        assert ("A RECORDING" in said) == (pilot.app is app)

    drive(app, body)
    live = overview_app(snapshot(statuses.status(), clock), connected(clock))
    drive(live, body)

    async def refused(pilot: Pilot[int]) -> None:
        for key in ("left_square_bracket", "right_curly_bracket", "at", "Z"):
            await pilot.press(key)
            await pilot.pause()
            assert "only in a recording" in note(pilot.app)  # type: ignore[arg-type]
        assert isinstance(pilot.app.screen, Overview)

    drive(overview_app(snapshot(statuses.status(), clock), connected(clock)), refused)
