"""The logs view: each key, and that it stays where the operator looks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from bzzz_core.errors import TransportError
from bzzz_core.telemetry.log_line import LogLine
from bzzz_tui.actions import Scope, of
from bzzz_tui.logs.line_parts import Stamps
from bzzz_tui.parts import text_of
from bzzz_tui.widgets.crumbs import Crumbs
from bzzz_tui.widgets.histogram_bar import HistogramBar
from bzzz_tui.widgets.prompt import PromptInput
from bzzz_tui.widgets.toned import Lines, Paragraph
from screens.app import BzzzApp
from screens.dialogs import Reading
from screens.monitor.logs import LogsView
from screens.monitor.nodes import NodesView
from tests.fakes import statuses
from tests.fakes.log_hosts import FakeLogHost, line
from tests.tui.conftest import FrozenClock, HandFeed, app_with, connected, snapshot
from tests.tui.test_wizard import settle

TRACE = "0af7651916cd43dd8448eb211c80319c"
SIZE = (100, 24)


def lines_of(node: str, count: int = 40) -> tuple[LogLine, ...]:
    """Return a line a second; every tenth an error, every seventh a warning."""
    levels = ["error" if n % 10 == 0 else "warning" if n % 7 == 0 else "info" for n in range(count)]
    return tuple(
        line(
            n + 1,
            node=node,
            second=n,
            level=level,
            component="leadership" if n % 2 else "fabric",
            text=f"{'lost' if n % 10 == 0 else 'kept'} record {n}",
            trace=TRACE if n in {5, 6} else "",
            fields={"peer": "bzzz-9"} if n % 3 == 0 else {},
        )
        for n, level in enumerate(levels)
    )


class Stage:
    """The view with its hosts."""

    def __init__(self, pilot: Pilot[int], hosts: list[FakeLogHost]) -> None:
        self.pilot = pilot
        self.hosts = hosts

    @property
    def view(self) -> LogsView:
        screen = self.pilot.app.screen
        assert isinstance(screen, LogsView)
        return screen

    @property
    def info(self) -> str:
        self.view.paint_frame()
        return text_of(self.view.info())

    @property
    def note(self) -> str:
        return self.view.query_one("#note", Paragraph).text

    @property
    def cursor(self) -> tuple[str, int]:
        cursor = self.view.log_view.cursor
        assert cursor is not None
        return cursor.node, cursor.number

    @property
    def top(self) -> tuple[str, int]:
        entry, _ = self.view.log_view.frame[0]
        return entry.node, entry.number

    @property
    def painted(self) -> list[str]:
        log = self.view.log_view
        return [log.render_line(y).text[:-1].rstrip() for y in range(log.size.height)]

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()
        await settle(self.pilot, self._quiet)

    def _quiet(self) -> bool:
        screen = self.pilot.app.screen
        return not isinstance(screen, LogsView) or screen.lines.progress is None

    async def write(self, host: int, *lines: LogLine) -> None:
        before = len(self.view.lines.book.entries)
        self.hosts[host].write(*lines)
        await settle(self.pilot, lambda: len(self.view.lines.book.entries) == before + len(lines))

    async def type(self, key: str, text: str) -> None:
        await self.pilot.press(key)
        await self.pilot.pause()
        self.view.query_one(PromptInput).value = text
        await self.pilot.pause()
        await self.press("enter")


def play(
    clock: FrozenClock,
    feed: HandFeed,
    scenario: Callable[[Stage], Awaitable[None]],
    *,
    nodes: int = 2,
    size: tuple[int, int] = SIZE,
    query: str = "",
    before: tuple[str, ...] = (),
    **how: object,
) -> None:
    hosts = [FakeLogHost(f"bzzz-{n + 1}", lines_of(f"bzzz-{n + 1}")) for n in range(nodes)]

    async def run() -> None:
        view = "overview" if before else "logs"
        app = logs_app(clock, feed, hosts, query=query, view=view, **how)
        async with app.run_test(size=size) as pilot:
            if before:
                await settle(pilot, lambda: bool(feed.profile))
                await pilot.press(*before)
            stage = Stage(pilot, hosts)
            await settle(pilot, lambda: loaded(app, hosts))
            await scenario(stage)
        assert not any(host.followed for host in hosts), "a stream was left open"

    asyncio.run(run())


def logs_app(
    clock: FrozenClock,
    feed: HandFeed,
    hosts: list[FakeLogHost],
    *,
    query: str = "",
    view: str = "logs",
    **how: object,
) -> BzzzApp:
    feed.first = [snapshot(statuses.status(), clock), connected(clock)]
    feed.profile = {"hosts": lambda: hosts}
    return app_with(lambda app: app.watch_cluster(feed.open, view=view, query=query), clock, **how)


def loaded(app: BzzzApp, hosts: list[FakeLogHost]) -> bool:
    screen = app.screen
    return (
        isinstance(screen, LogsView)
        and len(screen.lines.book.entries)
        == sum(len(h.lines) for h in hosts if h.name in screen.running.hosts)
        and bool(screen.running.hosts)
        and screen.lines.progress is None
        and len(screen.log_view.frame) > 0
    )


def test_lines_of_all_nodes_are_merged_by_time_and_followed(
    clock: FrozenClock, feed: HandFeed
) -> None:
    async def scenario(stage: Stage) -> None:
        entries = stage.view.lines.entries
        assert [(e.node, e.number) for e in entries[:4]] == [
            ("bzzz-1", 1),
            ("bzzz-2", 1),
            ("bzzz-1", 2),
            ("bzzz-2", 2),
        ]
        assert stage.cursor == ("bzzz-2", 40)
        assert "following" in stage.info
        await stage.write(0, line(41, node="bzzz-1", second=41, text="the newest"))
        await settle(stage.pilot, lambda: "the newest" in stage.painted[-1])
        assert stage.cursor == ("bzzz-1", 41)

    play(clock, feed, scenario)


def test_going_up_ends_following_and_what_comes_is_counted(
    clock: FrozenClock, feed: HandFeed
) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.press("k")
        assert stage.cursor == ("bzzz-1", 40)
        top, painted = stage.top, stage.painted
        await stage.write(0, *(line(n, node="bzzz-1", second=n) for n in range(41, 44)))
        assert (stage.top, stage.painted) == (top, painted), "what is read stays where it is"
        assert "paused, 3 new" in stage.info
        await stage.press("f")
        assert stage.cursor == ("bzzz-1", 43)
        assert "following" in stage.info
        await stage.press("f")
        assert "paused" in stage.info

    play(clock, feed, scenario)


def test_late_lines_go_to_their_place_and_move_nothing(clock: FrozenClock, feed: HandFeed) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.press("pageup", "pageup")
        top, painted = stage.top, stage.painted
        await stage.write(1, line(41, node="bzzz-2", second=0.5, text="late"))
        entries = stage.view.lines.entries
        assert entries[-1].text == "late", "a node's lines keep their order"
        other = FakeLogHost("bzzz-3")
        stage.view.lines.add("bzzz-3", [line(1, node="bzzz-3", second=0.5, text="very late")])
        stage.view.log_view.settle()
        at = next(n for n, e in enumerate(stage.view.lines.entries) if e.text == "very late")
        assert at == 2
        assert (stage.top, stage.painted) == (top, painted)
        assert not other.followed

    play(clock, feed, scenario)


def test_moving_by_lines_pages_and_to_the_ends(clock: FrozenClock, feed: HandFeed) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.press("g")
        assert stage.cursor == ("bzzz-1", 1)
        assert stage.top == ("bzzz-1", 1)
        await stage.press("j", "down")
        assert stage.cursor == ("bzzz-1", 2)
        await stage.press("pagedown")
        assert stage.view.log_view.cursor in [e for e, _ in stage.view.log_view.frame]
        assert stage.cursor != ("bzzz-1", 2)
        await stage.press("ctrl+u")
        assert stage.cursor == ("bzzz-1", 2)
        await stage.press("G")
        assert "following" in stage.info

    play(clock, feed, scenario)


def test_errors_before_and_behind_the_cursor(clock: FrozenClock, feed: HandFeed) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.press("E")
        assert stage.cursor == ("bzzz-2", 31)
        await stage.press("E")
        assert stage.cursor == ("bzzz-1", 31)
        await stage.press("e")
        assert stage.cursor == ("bzzz-2", 31)
        await stage.press("e")
        assert "no error below" in stage.note

    play(clock, feed, scenario)


def test_search_marks_counts_and_goes_round(clock: FrozenClock, feed: HandFeed) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.type("slash", "lost")
        assert stage.cursor == ("bzzz-2", 31), "from the newest line upwards"
        assert "lost 8 of 8" in stage.info
        await stage.press("N")
        assert stage.cursor == ("bzzz-1", 31)
        await stage.press("n", "n")
        assert stage.cursor == ("bzzz-1", 1), "behind the last one comes the first"
        await stage.type("slash", "/record 1[02]/")
        assert "/record 1[02]/" in stage.info
        assert "of 4" in stage.info
        await stage.write(0, line(41, node="bzzz-1", second=41, text="record 12"))
        assert "of 5" in stage.info
        await stage.press("escape")
        assert stage.view.lines.match is None

    play(clock, feed, scenario)


def test_a_pattern_that_could_take_for_ever_is_searched_in_a_thread(
    clock: FrozenClock, feed: HandFeed
) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.write(0, line(41, node="bzzz-1", second=41, text="a" * 1_900 + "!"))
        await stage.type("slash", "/(a+)+$/")
        await settle(stage.pilot, lambda: stage.view.lines.progress is None)
        assert "(a+)+" in stage.info
        await stage.type("slash", "/(lo|la)(st)* .*cord.*1/")
        await settle(stage.pilot, lambda: stage.view.lines.progress is None)
        assert "of 2" in stage.info

    play(clock, feed, scenario)


def test_what_cannot_be_searched_for_is_said(clock: FrozenClock, feed: HandFeed) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.press("slash")
        stage.view.query_one(PromptInput).value = "/(?=a)/"
        await stage.pilot.pause()
        assert "not possible" in stage.note
        await stage.press("escape")
        assert stage.view.lines.match is None
        await stage.type("slash", "absent")
        assert "nothing matches absent" in stage.note

    play(clock, feed, scenario)


def test_filters_by_level_component_node_trace_and_words(
    clock: FrozenClock, feed: HandFeed
) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.type("ampersand", "component=leadership record")
        assert len(stage.view.lines.entries) == 40
        assert "40 of 80" in stage.info
        await stage.type("ampersand", "level=warning+ !node=bzzz-2")
        assert {e.level_name for e in stage.view.lines.entries} == {"warning", "error"}
        assert {e.node for e in stage.view.lines.entries} == {"bzzz-1"}
        await stage.write(0, line(41, node="bzzz-1", second=41, level="error", text="passes"))
        await stage.write(0, line(42, node="bzzz-1", second=42, text="does not"))
        assert stage.view.lines.entries[-1].text == "passes"
        await stage.press("escape")
        assert len(stage.view.lines.entries) == 82

    play(clock, feed, scenario)


def test_levels_by_key(clock: FrozenClock, feed: HandFeed) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.press("v", "v")
        assert "warning and above" in stage.info
        await stage.press("v")
        assert {e.level_name for e in stage.view.lines.entries} == {"error"}
        await stage.press("v")
        assert len(stage.view.lines.entries) == 80

    play(clock, feed, scenario)


def test_lines_of_one_request(clock: FrozenClock, feed: HandFeed) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.press("m")
        assert "belongs to no request" in stage.note
        await stage.type("slash", "record 5")
        await stage.press("m")
        assert len(stage.view.lines.entries) == 4
        assert f"trace {TRACE[:8]}" in stage.info
        await stage.press("m")
        assert len(stage.view.lines.entries) == 80

    play(clock, feed, scenario)


def test_a_filter_keeps_the_cursor_on_its_line(clock: FrozenClock, feed: HandFeed) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.press("E")
        await stage.type("ampersand", "lost")
        assert stage.cursor == ("bzzz-2", 31)
        await stage.press("escape")
        assert stage.cursor == ("bzzz-2", 31)

    play(clock, feed, scenario)


def test_a_wrong_filter_changes_nothing(clock: FrozenClock, feed: HandFeed) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.press("ampersand")
        stage.view.query_one(PromptInput).value = "nod=x"
        await stage.pilot.pause()
        assert "did you mean node" in stage.note
        await stage.press("enter")
        assert len(stage.view.lines.entries) == 80
        await stage.press("ampersand")
        stage.view.query_one(PromptInput).value = "/(a+)+$/"
        await stage.pilot.pause()
        assert "repeats no group" in stage.note

    play(clock, feed, scenario)


def test_long_lines_are_cut_scrolled_or_wrapped(clock: FrozenClock, feed: HandFeed) -> None:
    text = "begin " + "x" * 200 + " end"

    async def scenario(stage: Stage) -> None:
        await stage.write(0, line(41, node="bzzz-1", second=41, text=text))
        await settle(stage.pilot, lambda: "begin" in stage.painted[-1])
        for _ in range(11):
            await stage.press("l")
        assert "end" in stage.painted[-1]
        assert "begin" not in stage.painted[-1]
        for _ in range(11):
            await stage.press("left")
        await stage.press("w")
        assert "end" in stage.painted[-1]
        assert any("begin" in row for row in stage.painted[-6:])
        await stage.press("k", "g", "G")
        assert "end" in stage.painted[-1]
        await stage.press("w")
        assert "begin" in stage.painted[-1]

    play(clock, feed, scenario)


def test_times_before_lines(clock: FrozenClock, feed: HandFeed) -> None:
    async def scenario(stage: Stage) -> None:
        assert "12:00:39.000" in stage.painted[-1]
        await stage.press("t")
        assert "03-01 12:00:39.000" in stage.painted[-1]
        await stage.press("t")
        assert stage.view.log_view.form.stamps is Stamps.SINCE
        assert "+0.000" in stage.painted[-1]
        assert "+1.000" in stage.painted[-2]
        await stage.press("t")
        assert "12:00" not in stage.painted[-1]

    play(clock, feed, scenario)


def test_everything_that_a_line_says(clock: FrozenClock, feed: HandFeed) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.press("enter")
        box = stage.pilot.app.screen
        assert isinstance(box, Reading)
        words = " ".join(text_of(row) for row in box.query_one(Lines).lines)
        for part in ("bzzz-2", "info", "leadership", "kept record 39", "peer", "bzzz-9", "40"):
            assert part in words
        await stage.pilot.press("escape")
        await stage.pilot.pause()
        await stage.press("y")
        box = stage.pilot.app.screen
        assert isinstance(box, Reading)
        text = "\n".join(text_of(row) for row in box.query_one(Lines).lines)
        assert json.loads(text)["fields"] == {"peer": "bzzz-9"}

    play(clock, feed, scenario)


def test_a_line_and_a_screen_are_copied(
    clock: FrozenClock, feed: HandFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[str] = []
    monkeypatch.setattr(BzzzApp, "copy_text", lambda _app, text: copied.append(text) or True)

    async def scenario(stage: Stage) -> None:
        await stage.press("c", "C")
        expected = "2026-03-01T12:00:39.000Z bzzz-2 info leadership kept record 39  peer=bzzz-9"
        assert copied[0] == expected
        assert len(copied[1].splitlines()) == len(stage.view.log_view.frame)

    play(clock, feed, scenario)


def test_lines_are_written_into_a_file(clock: FrozenClock, feed: HandFeed, tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        path = tmp_path / "lines.json"
        await stage.type("colon", f"save json {path}")
        await settle(stage.pilot, path.exists)
        assert len(json.loads(path.read_text())) == 80

    play(clock, feed, scenario)


def test_what_could_move_a_cursor_never_reaches_the_terminal(
    clock: FrozenClock, feed: HandFeed
) -> None:
    async def scenario(stage: Stage) -> None:
        evil = line(
            41, node="bzzz-1", second=41, text="\x1b[2J\u202egone\x07\r\n", trace="\x1b]0;x"
        )
        await stage.write(0, evil)
        await settle(stage.pilot, lambda: "gone" in stage.painted[-1])
        assert not set("".join(stage.painted)) & set("\x1b\x07\r\n\u202e")

    play(clock, feed, scenario)


def test_the_bar_shows_when_and_how_bad(clock: FrozenClock, feed: HandFeed) -> None:
    async def scenario(stage: Stage) -> None:
        bar = stage.view.query_one(HistogramBar)
        blocks = "".join(text for text, _ in bar._rows[0])
        assert len(blocks) == 40
        axis = "".join(text for text, _ in bar._rows[1])
        assert "12:00:00" in axis
        assert "1s a block" in axis
        await stage.press("v", "v", "v")
        assert len("".join(text for text, _ in bar._rows[0]).replace(" ", "")) == 4

    play(clock, feed, scenario)


def test_only_the_named_nodes_are_followed(clock: FrozenClock, feed: HandFeed) -> None:
    async def scenario(stage: Stage) -> None:
        assert stage.hosts[0].followed
        assert not stage.hosts[1].asked
        await stage.press("escape")
        await settle(stage.pilot, lambda: stage.hosts[1].followed)

    play(clock, feed, scenario, query="node=bzzz-1")


def test_coming_back_shows_the_lines_at_once_and_goes_on(
    clock: FrozenClock, feed: HandFeed
) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.pilot.press("2")
        await settle(stage.pilot, lambda: isinstance(stage.pilot.app.screen, NodesView))
        await settle(stage.pilot, lambda: not stage.hosts[0].followed)
        stage.hosts[0].lines.append(line(41, node="bzzz-1", second=41))
        await stage.pilot.press("9")
        await settle(stage.pilot, lambda: isinstance(stage.pilot.app.screen, LogsView))
        assert len(stage.view.lines.book.entries) >= 80
        await settle(stage.pilot, lambda: len(stage.view.lines.book.entries) == 81)

    play(clock, feed, scenario, before=("9",))


def test_the_first_view_goes_on_while_another_one_lies_over_it(
    clock: FrozenClock, feed: HandFeed
) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.press("k")
        await stage.pilot.press("2")
        await settle(stage.pilot, lambda: isinstance(stage.pilot.app.screen, NodesView))
        stage.hosts[0].write(line(41, node="bzzz-1", second=41))
        await stage.pilot.press("9")
        await settle(stage.pilot, lambda: isinstance(stage.pilot.app.screen, LogsView))
        await settle(stage.pilot, lambda: "1 new" in stage.info)

    play(clock, feed, scenario)


def test_from_a_node_to_its_log(clock: FrozenClock, feed: HandFeed) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.pilot.press("2")
        await settle(stage.pilot, lambda: isinstance(stage.pilot.app.screen, NodesView))
        await stage.pilot.press("F")
        await settle(stage.pilot, lambda: isinstance(stage.pilot.app.screen, LogsView))
        await settle(stage.pilot, lambda: stage.view.state.filter == "node=bzzz-1")
        await settle(stage.pilot, lambda: stage.view.running.hosts == ("bzzz-1",))

    play(clock, feed, scenario)


def test_a_silent_node_is_named_and_the_others_go_on(clock: FrozenClock, feed: HandFeed) -> None:
    async def scenario(stage: Stage) -> None:
        stage.hosts[1].failure = TransportError("nobody is there")
        stage.hosts[1].end_streams()
        await settle(stage.pilot, lambda: "bzzz-2" in stage.info)
        await stage.write(0, line(41, node="bzzz-1", second=41))

    play(clock, feed, scenario)


def test_while_painting_is_held_lines_wait(clock: FrozenClock, feed: HandFeed) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.press("z")
        painted = stage.painted
        await stage.write(0, line(41, node="bzzz-1", second=41, text="the newest"))
        assert stage.painted == painted
        await stage.press("z")
        assert "the newest" in stage.painted[-1]

    play(clock, feed, scenario)


def test_each_action_is_reached_by_key_and_by_command(
    clock: FrozenClock, feed: HandFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[tuple[str, tuple[object, ...]]] = []
    for name in {action.call[0] for action in of(Scope.LOGS)}:
        monkeypatch.setattr(
            LogsView, f"action_{name}", lambda _v, *given, name=name: called.append((name, given))
        )

    async def scenario(stage: Stage) -> None:
        for action in of(Scope.LOGS):
            assert action in stage.view.valid_now(), "the palette offers it"
            name, fixed = action.call
            bare = (name, (*fixed, *(("",) if action.argument else ())))
            for key in action.keys.split(","):
                await stage.pilot.press(key)
                await stage.pilot.pause()
                assert called.pop() == bare, key
            stage.view.run_line(action.commands[0])
            assert called.pop() == bare
            if action.argument:
                stage.view.run_line(f"{action.commands[-1]} some words")
                assert called.pop() == (name, (*fixed, "some words"))

    play(clock, feed, scenario)


@pytest.mark.parametrize("size", [(20, 5), (80, 24), (60, 15), (300, 100)])
def test_any_size_is_painted(clock: FrozenClock, feed: HandFeed, size: tuple[int, int]) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.pilot.resize_terminal(*size)
        await stage.pilot.pause()
        log = stage.view.log_view
        assert len(log.frame) <= log.size.height or not log.size.height
        for y in range(log.size.height):
            assert log.render_line(y).cell_length == log.size.width
        assert stage.view.query_one(Crumbs)

    play(clock, feed, scenario)
