"""The overview as an operator meets it, driven through the real app on frozen state."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest
from textual.pilot import Pilot

from bzzz_core.errors import ConfigError
from bzzz_core.model import MemberState
from bzzz_tui.monitor.opened import Opened
from bzzz_tui.parts import text_of
from bzzz_tui.store import Link, LinkPhase
from bzzz_tui.widgets.live_table import LiveTable
from bzzz_tui.widgets.toned import Lines
from bzzz_tui.widgets.top_line import Banner, TopLine
from screens.app import BzzzApp
from screens.keys import KeysScreen
from screens.monitor.frame import Frame
from screens.monitor.overview import Overview
from screens.start import StartScreen
from tests.fakes import statuses
from tests.tui.conftest import FrozenClock, HandFeed, app_with, connected, snapshot
from tests.tui.settled import LIMIT_S

Body = Callable[[Pilot[int]], Awaitable[None]]


def drive(app: BzzzApp, body: Body, size: tuple[int, int] = (100, 30)) -> None:
    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await fed(pilot)
            await body(pilot)

    asyncio.run(run())


async def fed(pilot: Pilot[int]) -> None:
    """Wait until the monitor has started its feed and taken in its first events."""
    async with asyncio.timeout(LIMIT_S):
        while not (isinstance(pilot.app.screen, Frame) and pilot.app.screen.session.started):
            await pilot.pause(0.01)
    await pilot.pause()


def shown_lines(app: BzzzApp) -> list[str]:
    """Return the screen as lines of text."""
    width, height = app.size
    app.screen._refresh_layout()  # A busy machine may not have come to it yet.
    strips = app.screen._compositor.render_strips()
    assert len(strips) == height
    lines = [strip.text for strip in strips]
    assert all(len(line) >= width - 1 for line in lines)
    return lines


def test_the_first_answer_fills_the_screen(overview_app, clock: FrozenClock) -> None:  # noqa: ANN001
    app = overview_app(snapshot(statuses.status(), clock), connected(clock))

    async def body(_pilot: Pilot[int]) -> None:
        text = "\n".join(shown_lines(app))
        for words in ("honeycomb", "RO", "bzzz-2", "term 42", "quorum 3/3", "age 1s", "healthy"):
            assert words in text
        assert text.count("alive") >= 3

    drive(app, body)


def test_the_leader_is_marked_in_its_row(overview_app, clock: FrozenClock) -> None:  # noqa: ANN001
    app = overview_app(snapshot(statuses.status(), clock))

    async def body(_pilot: Pilot[int]) -> None:
        (row,) = [line for line in shown_lines(app) if line.startswith(" bzzz-2 ")]
        assert "★ leader" in row

    drive(app, body)


def test_silence_is_seen_to_grow(overview_app, clock: FrozenClock) -> None:  # noqa: ANN001
    app = overview_app(snapshot(statuses.status(), clock), connected(clock))

    async def body(pilot: Pilot[int]) -> None:
        clock.ms += 7_000
        app.screen._tick()  # type: ignore[attr-defined]
        await pilot.pause()
        text = "\n".join(shown_lines(app))
        assert "STALE" in text
        assert "data is 7s old" in text
        assert "age 7s" in text

    drive(app, body)


def test_a_lost_cluster_shows_a_countdown_and_keeps_the_data(
    overview_app,  # noqa: ANN001
    clock: FrozenClock,
    feed: HandFeed,
) -> None:
    app = overview_app(snapshot(statuses.status(), clock), connected(clock))

    async def body(pilot: Pilot[int]) -> None:
        clock.ms += 4_000
        feed.emit(
            Link(
                phase=LinkPhase.LOST,
                host="bzzz-1",
                since_ms=clock.ms,
                retry_at_ms=clock.ms + 8_000,
                reason="bzzz-3: no answer within 1000 ms",
            )
        )
        await pilot.pause()
        lines = shown_lines(app)
        assert "DISCONNECTED" in lines[1]
        assert "next attempt in 8s" in lines[1]
        assert any(line.startswith(" bzzz-3 ") for line in lines)

    drive(app, body)


def test_a_lost_quorum_cannot_be_overlooked(overview_app, clock: FrozenClock) -> None:  # noqa: ANN001
    dead = statuses.with_state(statuses.status(), 1, MemberState.DEAD)
    dead = statuses.with_state(dead, 3, MemberState.DEAD)
    app = overview_app(snapshot(dead, clock), connected(clock))

    async def body(_pilot: Pilot[int]) -> None:
        assert app.screen.query_one(Banner).display
        assert "QUORUM LOST" in shown_lines(app)[1]

    drive(app, body)


def test_the_cursor_stays_on_its_host_when_hosts_come_and_go(
    overview_app,  # noqa: ANN001
    clock: FrozenClock,
    feed: HandFeed,
) -> None:
    document = statuses.status(tuple(statuses.member(n) for n in (2, 3, 4)))
    app = overview_app(snapshot(document, clock))

    async def body(pilot: Pilot[int]) -> None:
        await pilot.press("j")
        table = app.screen.query_one(LiveTable)
        assert table.cursor == statuses.node_id(3)
        more = tuple(statuses.member(n) for n in (1, 2, 3, 4))
        feed.emit(snapshot(statuses.status(more), clock))
        await pilot.pause()
        assert table.cursor == statuses.node_id(3)
        fewer = tuple(statuses.member(n) for n in (1, 2))
        feed.emit(snapshot(statuses.status(fewer), clock))
        await pilot.pause()
        assert table.cursor == statuses.node_id(2), "the nearest one that is left"

    drive(app, body)


def test_the_table_scrolls_with_the_cursor_and_stops_at_both_ends(
    overview_app,  # noqa: ANN001
    clock: FrozenClock,
) -> None:
    document = statuses.status(tuple(statuses.member(n, voter=n < 6) for n in range(1, 201)))
    app = overview_app(snapshot(document, clock))

    async def body(pilot: Pilot[int]) -> None:
        table = app.screen.query_one(LiveTable)
        await pilot.press("G")
        await pilot.pause()
        assert table.cursor == statuses.node_id(200)
        assert any(line.startswith(" bzzz-200 ") for line in shown_lines(app))
        await pilot.press("g", "k", "pagedown")
        assert table.cursor == statuses.node_id(1 + table.page)

    drive(app, body)


def test_pausing_holds_the_picture_and_says_so(
    overview_app,  # noqa: ANN001
    clock: FrozenClock,
    feed: HandFeed,
) -> None:
    app = overview_app(snapshot(statuses.status(), clock))

    async def body(pilot: Pilot[int]) -> None:
        await pilot.press("z")
        feed.emit(snapshot(statuses.with_state(statuses.status(), 3, MemberState.DEAD), clock))
        await pilot.pause()
        lines = shown_lines(app)
        assert "PAUSED" in lines[0]
        assert not any("✖ dead" in line for line in lines)
        await pilot.press("z")
        await pilot.pause()
        assert any("✖ dead" in line for line in shown_lines(app))

    drive(app, body)


def test_asking_for_fresh_data_hurries_the_feed(overview_app, feed: HandFeed) -> None:  # noqa: ANN001
    app = overview_app()

    async def body(pilot: Pilot[int]) -> None:
        await pilot.press("r")
        assert feed.hurried == 1

    drive(app, body)


async def _no_feed(_emit: object) -> Opened:
    raise ConfigError("profile.yaml:3: hosts: this is wrong")


def test_a_wrong_profile_ends_the_program_with_its_reason(
    clock: FrozenClock, capsys: pytest.CaptureFixture[str]
) -> None:
    app = app_with(lambda a: a.watch_cluster(_no_feed), clock)

    async def body(pilot: Pilot[int]) -> None:
        await pilot.pause()

    drive(app, body)
    assert app.return_code == 2
    assert "hosts: this is wrong" in capsys.readouterr().err


def test_a_wrong_profile_over_another_screen_is_said_there(clock: FrozenClock) -> None:
    app = app_with(lambda a: StartScreen(a.glyphs), clock)

    async def run() -> None:
        async with app.run_test(size=(100, 30)) as pilot:
            app.push_screen(app.watch_cluster(_no_feed))
            await fed(pilot)
            assert "hosts: this is wrong" in shown_lines(app)[1]
            await pilot.press("q")
            assert isinstance(app.screen, StartScreen)

    asyncio.run(run())


def test_keys_are_listed_with_those_that_are_still_to_come(overview_app) -> None:  # noqa: ANN001
    app = overview_app()

    async def body(pilot: Pilot[int]) -> None:
        await pilot.press("question_mark")
        assert isinstance(app.screen, KeysScreen)
        lines = app.screen.query_one("#keys-list", Lines).lines
        text = "\n".join(text_of(line) for line in lines)
        assert "Hold the picture still, or go on" in text
        assert "Tasks: work and who does it (not yet)" in text
        assert "Emergency stop: stop all work everywhere (read-only)" in text
        await pilot.press("escape")
        assert isinstance(app.screen, Overview)

    drive(app, body)


def test_escape_never_quits_and_q_does(overview_app) -> None:  # noqa: ANN001
    app = overview_app()

    async def body(pilot: Pilot[int]) -> None:
        await pilot.press("escape")
        assert app.is_running
        await pilot.press("q")
        await pilot.pause()
        assert app.return_code == 0

    drive(app, body)


def test_ascii_only_shows_ascii_only(overview_app, clock: FrozenClock) -> None:  # noqa: ANN001
    dead = statuses.with_state(statuses.status(), 3, MemberState.DEAD)
    app = overview_app(snapshot(dead, clock), connected(clock), ascii_only=True)

    async def body(_pilot: Pilot[int]) -> None:
        assert all(line.isascii() for line in shown_lines(app))

    drive(app, body, size=(120, 40))


def test_a_node_that_says_nothing_of_itself_is_unknown_not_idle(
    overview_app,  # noqa: ANN001
    clock: FrozenClock,
) -> None:
    bare = msgspec.structs.replace(
        statuses.member(1),
        cpu_percent=None,
        load_1m=None,
        memory_used_bytes=None,
        memory_total_bytes=None,
        version=None,
        heard_ms_ago=None,
        uptime_s=None,
        cpu_count=None,
    )
    app = overview_app(snapshot(statuses.status((bare,), leader=1), clock))

    async def body(_pilot: Pilot[int]) -> None:
        (row,) = [
            line for line in shown_lines(app) if line.startswith(" bzzz-1 ") and "alive" in line
        ]
        assert row.count("n/a") >= 4
        assert " 0%" not in row

    drive(app, body, size=(130, 30))


@pytest.mark.parametrize("theme", ["bzzz-dark", "bzzz-light", "bzzz-ansi", "bzzz-hc", "bzzz-cb"])
def test_every_theme_paints_every_band(overview_app, clock: FrozenClock, theme: str) -> None:  # noqa: ANN001
    app = overview_app(snapshot(statuses.status(), clock), connected(clock), theme=theme)

    async def body(_pilot: Pilot[int]) -> None:
        assert "healthy" in "\n".join(shown_lines(app))
        facts = app.screen.query_one(TopLine).facts
        assert text_of(facts[0].long) == "honeycomb"

    drive(app, body)


def test_no_size_crashes_and_every_size_says_who_leads(
    overview_app,  # noqa: ANN001
    clock: FrozenClock,
) -> None:
    """From a sliver to a wall; a dashboard that dies on resize is worse than none."""
    app = overview_app(snapshot(statuses.status(), clock), connected(clock))
    sizes = [
        (20, 5), (300, 100), (21, 6), (80, 24), (40, 12), (120, 40), (39, 30), (200, 8), (60, 15),
        (79, 23), (100, 20), (20, 100), (300, 5), (81, 25), (20, 5),
    ]  # fmt: skip

    async def body(pilot: Pilot[int]) -> None:
        for width, height in sizes:
            await pilot.resize_terminal(width, height)
            await pilot.pause()
            assert app.screen.query_one(TopLine).region.height == 1
            assert "bzzz-2" in shown_lines(app)[0] or width < 40

    drive(app, body)
