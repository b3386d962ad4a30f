"""The monitor's shell as an operator meets it: the way, the command line, what is kept."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot
from textual.worker import WorkerFailed

from bzzz_core.config.profile import ClusterProfile, ProfileHost, save_profile
from bzzz_core.config.profile_places import profile_path
from bzzz_core.errors import ConfigError, RequestTimeout
from bzzz_core.model import MemberState
from bzzz_tui.monitor.changes import drain
from bzzz_tui.monitor.opened import Opened
from bzzz_tui.monitor.views import VIEWS
from bzzz_tui.widgets.prompt import Prompt, PromptInput
from bzzz_tui.widgets.toned import Paragraph
from bzzz_tui.widgets.top_line import TopLine
from screens.app import BzzzApp
from screens.dialogs import Question, TypedQuestion
from screens.monitor.frame import Frame
from screens.monitor.nodes import NodesView
from screens.monitor.overview import Overview
from screens.start import StartScreen
from tests.fakes import statuses
from tests.tui.conftest import FrozenClock, HandFeed, app_with, connected, snapshot
from tests.tui.settled import LIMIT_S
from tests.tui.test_every_action import by_command
from tests.tui.test_overview import fed, shown_lines

Body = Callable[[Pilot[int]], Awaitable[None]]


def drive(app: BzzzApp, body: Body, size: tuple[int, int] = (100, 30)) -> None:
    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await fed(pilot)
            await body(pilot)

    asyncio.run(run())


def note(app: BzzzApp) -> str:
    return app.screen.query_one("#note", Paragraph).text


def notices(app: BzzzApp) -> list[str]:
    """Return the list that what the app notifies of is added to from now on, whenever it goes."""
    told: list[str] = []
    notify = app.notify

    def tell(message: str, **how: Any) -> None:
        told.append(message)
        notify(message, **how)

    app.notify = tell  # type: ignore[method-assign]
    return told


def rows(app: BzzzApp, name: str) -> list[str]:
    return [line for line in shown_lines(app) if line.startswith(f" {name} ")]


async def until(pilot: Pilot[int], condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await pilot.pause(0.01)


@pytest.fixture
def app(overview_app, clock: FrozenClock) -> BzzzApp:  # noqa: ANN001
    made: BzzzApp = overview_app(snapshot(statuses.status(), clock), connected(clock))
    return made


@pytest.mark.parametrize("view", ["election", "audit"])
def test_a_view_that_has_no_answer_does_not_say_that_there_is_nothing(
    app: BzzzApp, view: str
) -> None:
    """Whoever looks whether anybody has ever led must not read a no that nobody gave."""

    async def body(pilot: Pilot[int]) -> None:
        await pilot.press("colon", *view, "enter")
        await until(pilot, lambda: view == app.screen.VIEW)
        await until(pilot, lambda: any("not known" in line for line in shown_lines(app)[3:]))
        assert not any("nobody has led" in line for line in shown_lines(app))

    drive(app, body)


def test_a_digit_opens_a_view_over_home_and_escape_goes_back(app: BzzzApp) -> None:
    async def body(pilot: Pilot[int]) -> None:
        assert isinstance(app.screen, Overview)
        await pilot.press("2")
        await pilot.pause()
        assert isinstance(app.screen, NodesView)
        assert not isinstance(app.screen, Overview)
        assert "overview → nodes" in shown_lines(app)[1]
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, Overview)
        await pilot.press("minus")
        await pilot.pause()
        assert app.screen.VIEW == "nodes", "the last view again"
        await pilot.press("1")
        await pilot.pause()
        assert app.screen.VIEW == "overview"
        assert app.shell is not None
        assert app.shell.way() == ["overview"]

    drive(app, body)


def test_q_goes_back_and_quits_at_the_first_view(app: BzzzApp) -> None:
    async def body(pilot: Pilot[int]) -> None:
        await pilot.press("2", "q")
        await pilot.pause()
        assert isinstance(app.screen, Overview)
        await pilot.press("q")
        await pilot.pause()
        assert app.return_code == 0

    drive(app, body)


def test_a_command_opens_a_view_with_a_filter(app: BzzzApp) -> None:
    async def body(pilot: Pilot[int]) -> None:
        await by_command(pilot, "no cpu>20 state=up")
        assert app.screen.VIEW == "nodes"
        text = "\n".join(shown_lines(app))
        assert "2 of 3" in text
        assert not rows(app, "bzzz-1")
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen.VIEW == "nodes", "the filter is cleared first"
        assert rows(app, "bzzz-1")
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen.VIEW == "overview"

    drive(app, body)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nodess", "did you mean :nodes"),
        ("zzz", "no command is called"),
        ("pause now", "takes nothing"),
        ("no cpx>1", "did you mean cpu"),
        ("set refresh soon", "write seconds"),
        ("set refresh 0", "1 to 3600 seconds"),
        ("set colour red", "no setting"),
        ("theme pink", "no theme named"),
        ("ctx nowhere", "no cluster is called"),
        ("export pdf", "no format"),
        ("cols nonsense", "no column is called"),
        ("sort nonsense", "nothing is called"),
        ("tasks", "not yet"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_lost(
    app: BzzzApp, line: str, words: str
) -> None:
    async def body(pilot: Pilot[int]) -> None:
        await by_command(pilot, line)
        assert words in note(app)
        assert app.is_running

    drive(app, body)


def test_the_command_line_completes_and_remembers(app: BzzzApp) -> None:
    async def body(pilot: Pilot[int]) -> None:
        await pilot.press("colon", "n", "o")
        await pilot.pause()
        assert "nodes" in note(app)
        field = app.screen.query_one(PromptInput)
        await pilot.press("tab")
        assert field.value == "nodes"
        await pilot.press("escape")
        await by_command(pilot, "sort cpu")
        await by_command(pilot, "theme bzzz-hc")
        await pilot.press("colon", "x", "up")
        assert field.value == "theme bzzz-hc"
        await pilot.press("up", "up", "up")
        assert field.value == "sort cpu"
        await pilot.press("down", "down")
        assert field.value == "x", "what was begun is not lost"
        field.value = "theme bzzz-l"
        await pilot.press("tab")
        assert field.value == "theme bzzz-light"
        field.value = "cols +gp"
        await pilot.press("tab")
        assert field.value == "cols +gpus"
        field.value = "nodes state=d"
        await pilot.press("tab")
        assert field.value == "nodes state=dead"
        await pilot.press("escape")
        assert not app.screen.query_one(Prompt).has_class("-open")

    drive(app, body)


def test_a_view_finds_its_cursor_filter_and_order_again(app: BzzzApp) -> None:
    async def body(pilot: Pilot[int]) -> None:
        await by_command(pilot, "no bzzz")
        await by_command(pilot, "sort cpu")
        await pilot.press("g", "j")
        view = app.screen
        assert isinstance(view, NodesView)
        cursor = view.table.cursor
        assert cursor == statuses.node_id(2), "the largest first, then the next"
        await pilot.press("1", "2")
        await pilot.pause()
        again = app.screen
        assert isinstance(again, NodesView)
        assert again is not view
        assert again.table.cursor == cursor
        assert again.state.filter == "bzzz"
        assert again.arrangement.sort == ("cpu", True)

    drive(app, body)


def test_a_hidden_view_is_not_told_and_does_not_paint(
    app: BzzzApp, clock: FrozenClock, feed: HandFeed
) -> None:
    async def body(pilot: Pilot[int]) -> None:
        overview = app.screen
        assert isinstance(overview, Overview)
        await pilot.press("2")
        await pilot.pause()
        painted: list[str] = []
        overview.changed = lambda _changes: painted.append("changed")  # type: ignore[method-assign]
        overview.aged = lambda: painted.append("aged")  # type: ignore[method-assign]
        feed.emit(snapshot(statuses.with_state(statuses.status(), 3, MemberState.DEAD), clock))
        await pilot.pause()
        overview._tick()
        assert not painted
        assert "✖ dead" in "\n".join(shown_lines(app))
        await pilot.press("escape")
        await pilot.pause()
        assert "✖ dead" in "\n".join(shown_lines(app)), "it is up to date when it comes back"

    drive(app, body)


def test_nothing_is_told_while_a_box_lies_over_the_view(
    app: BzzzApp, clock: FrozenClock, feed: HandFeed
) -> None:
    async def body(pilot: Pilot[int]) -> None:
        await pilot.press("question_mark")
        await pilot.pause()
        assert app.shell is not None
        assert app.shell.session._listener is None
        feed.emit(snapshot(statuses.with_state(statuses.status(), 3, MemberState.DEAD), clock))
        await pilot.press("escape")
        await pilot.pause()
        assert "✖ dead" in "\n".join(shown_lines(app))

    drive(app, body)


def test_themes_change_at_once_and_wrap_around(app: BzzzApp) -> None:
    async def body(pilot: Pilot[int]) -> None:
        await by_command(pilot, "theme light")
        assert app.theme == "bzzz-light"
        assert not app.current_theme.dark
        seen = set()
        for _ in range(5):
            await pilot.press("T")
            await pilot.pause()
            seen.add(app.theme)
        assert {"bzzz-dark", "bzzz-light", "bzzz-ansi", "bzzz-hc", "bzzz-cb"} == seen

    drive(app, body)


def test_a_theme_of_the_operators_is_taken_up_again_when_its_file_changes(
    app: BzzzApp, tmp_path: Path
) -> None:
    directory = tmp_path / "config" / "bzzz" / "themes"
    directory.mkdir(parents=True)
    mine = directory / "mine.yaml"
    shipped = Path(__file__).parents[2] / "themes" / "bzzz-dark.yaml"
    mine.write_text(shipped.read_text().replace("#131418", "#101010"))

    async def body(pilot: Pilot[int]) -> None:
        await by_command(pilot, "theme mine")
        assert app.theme == "mine"
        assert app.watch_theme_file() == "", "nothing has changed"
        mine.write_text(shipped.read_text().replace("#131418", "#0a0b0c"))
        assert app.watch_theme_file() == ""
        await pilot.pause()
        assert app.screen.styles.background.hex.lower() == "#0a0b0c"
        mine.write_text("name: [")
        assert "not valid YAML" in app.watch_theme_file()
        assert app.watch_theme_file() == "", "it is told once"
        assert app.screen.styles.background.hex.lower() == "#0a0b0c", "the old colours stay"
        await by_command(pilot, "theme dark")
        mine.write_text(shipped.read_text())
        assert app.watch_theme_file() == "", "a shipped theme's file is not looked at"

    drive(app, body)


def test_the_refresh_time_is_set_and_old_data_goes_by_it(
    app: BzzzApp, clock: FrozenClock, feed: HandFeed
) -> None:
    async def body(pilot: Pilot[int]) -> None:
        await by_command(pilot, "set refresh 5")
        assert feed.refresh_ms == 5_000
        clock.ms += 6_000
        app.screen._tick()  # type: ignore[attr-defined]
        await pilot.pause()
        assert "STALE" not in "\n".join(shown_lines(app))
        clock.ms += 10_000
        app.screen._tick()  # type: ignore[attr-defined]
        await pilot.pause()
        assert "STALE" in "\n".join(shown_lines(app))

    drive(app, body)


def test_the_mouse_is_given_back_and_taken(app: BzzzApp) -> None:
    async def body(pilot: Pilot[int]) -> None:
        await pilot.press("M")
        await pilot.pause()
        assert "mouse is the program's" in note(app)
        await pilot.press("M")
        await pilot.pause()
        assert "mouse is the terminal's" in note(app)

    drive(app, body)


def test_a_note_goes_by_itself(app: BzzzApp, clock: FrozenClock) -> None:
    async def body(pilot: Pilot[int]) -> None:
        await by_command(pilot, "zzz")
        assert note(app)
        clock.ms += 9_000
        app.screen._tick()  # type: ignore[attr-defined]
        await pilot.pause()
        assert not note(app)

    drive(app, body)


# ---- changes


@pytest.fixture
def writing(nodes_app, clock: FrozenClock) -> BzzzApp:  # noqa: ANN001
    made: BzzzApp = nodes_app(snapshot(statuses.status(), clock), connected(clock), write=True)
    return made


def test_a_change_is_confirmed_with_its_name_and_answered(writing: BzzzApp, feed: HandFeed) -> None:
    async def body(pilot: Pilot[int]) -> None:
        assert "RW" in shown_lines(writing)[0]
        await pilot.press("L")
        await pilot.pause()
        assert isinstance(writing.screen, Question)
        assert "hands over to bzzz-1" in "\n".join(shown_lines(writing))
        await pilot.press("n")
        await pilot.pause()
        assert not feed.asked
        assert "nothing was changed" in note(writing)
        await pilot.press("L")
        await pilot.pause()
        await pilot.press("y")
        await until(pilot, lambda: bool(feed.asked) and "asked the leader" in note(writing))
        body_of = {"by": "monitor", "to": "bzzz-1"}
        assert feed.asked == [("POST", "/v1/leader/transfer", body_of, None)]
        assert feed.hurried

    drive(writing, body)


@pytest.mark.parametrize(
    ("line", "method", "path", "host"),
    [
        ("level debug", "PUT", "/v1/logs/level", "bzzz-1"),
        ("drain", "POST", "/v1/leave", "bzzz-1"),
        ("undrain", "DELETE", "/v1/leave", "bzzz-1"),
        ("remove", "POST", "/v1/nodes/bzzz-1/revoke", None),
        ("halt", "POST", "/v1/halt", None),
        ("resume", "DELETE", "/v1/halt", None),
    ],
)
def test_each_change_asks_for_its_operation(  # noqa: PLR0917  parameters
    writing: BzzzApp, feed: HandFeed, line: str, method: str, path: str, host: str | None
) -> None:
    async def body(pilot: Pilot[int]) -> None:
        await by_command(pilot, line)
        assert isinstance(writing.screen, Question)
        await pilot.press("y")
        await until(pilot, lambda: bool(feed.asked))
        asked = feed.asked[0]
        assert (asked[0], asked[1], asked[3]) == (method, path, host)

    drive(writing, body)


@pytest.mark.parametrize(
    ("voter", "nodes", "said"),
    [
        (True, 3, "One voter will be left: the cluster stands and falls with it."),
        (True, 4, "A voter is replaced first; until then it goes on."),
        (True, 5, "3 voters will be left, of which 1 may be lost."),
        (False, 6, ""),
    ],
)
def test_a_drain_says_what_it_costs_the_others(voter: bool, nodes: int, said: str) -> None:  # noqa: FBT001
    leaving = msgspec.structs.replace(statuses.member(1), voter=voter)
    assert " ".join(drain(leaving, nodes).question[1:]) == said


def test_in_production_what_destroys_wants_the_typed_name(writing: BzzzApp, feed: HandFeed) -> None:
    feed.profile = {"production": True, "context": "honeycomb", "color": "red"}

    async def body(pilot: Pilot[int]) -> None:
        await pilot.press("X")
        await pilot.pause()
        assert isinstance(writing.screen, TypedQuestion)
        await pilot.press(*"honey", "enter")
        await pilot.pause()
        assert isinstance(writing.screen, TypedQuestion)
        assert not feed.asked
        await pilot.press(*"comb", "enter")
        await until(pilot, lambda: bool(feed.asked))
        assert feed.asked[0][1] == "/v1/halt"
        await pilot.press("L")
        await pilot.pause()
        assert isinstance(writing.screen, Question), "handing over destroys nothing"

    drive(writing, body)


def test_a_refusal_is_the_answer(writing: BzzzApp, feed: HandFeed) -> None:
    feed.refusal = RequestTimeout("bzzz-1: no answer within 20 s")

    async def body(pilot: Pilot[int]) -> None:
        await pilot.press("u")
        await pilot.pause()
        await pilot.press("y")
        await until(pilot, lambda: "no answer within" in note(writing))

    drive(writing, body)


def test_a_node_that_cannot_lead_is_not_asked_to(
    nodes_app,  # noqa: ANN001
    clock: FrozenClock,
) -> None:
    members = (statuses.member(1, voter=False), statuses.member(2), statuses.member(3))
    app = nodes_app(snapshot(statuses.status(members), clock), write=True)

    async def body(pilot: Pilot[int]) -> None:
        await pilot.press("L")
        await pilot.pause()
        assert "bzzz-1 cannot lead" in note(app)

    drive(app, body)


def test_the_profile_allows_changes_and_colours_its_name(
    nodes_app,  # noqa: ANN001
    clock: FrozenClock,
    feed: HandFeed,
) -> None:
    feed.profile = {"write": True, "context": "prod-eu", "color": "red"}
    app = nodes_app(snapshot(statuses.status(), clock), connected(clock))

    async def body(pilot: Pilot[int]) -> None:
        top = shown_lines(app)[0]
        assert top.startswith(" prod-eu ")
        assert "RW" in top
        line = app.screen.query_one(TopLine).render_line(0)
        style = next(iter(line)).style
        assert style is not None
        assert style.bgcolor is not None
        assert style.bgcolor.name == "red"
        await pilot.press("u")
        await pilot.pause()
        assert isinstance(app.screen, Question)

    drive(app, body)


def test_a_shell_needs_a_way_in(nodes_app, clock: FrozenClock, feed: HandFeed) -> None:  # noqa: ANN001
    app = nodes_app(snapshot(statuses.status(), clock))

    async def body(pilot: Pilot[int]) -> None:
        await pilot.press("s")
        await pilot.pause()
        assert "no way to log in to bzzz-1" in note(app)

    drive(app, body)
    feed.profile = {"ssh": {"bzzz-1": ("ssh", "--", "10.20.0.11")}}
    app = nodes_app(snapshot(statuses.status(), clock))

    async def again(pilot: Pilot[int]) -> None:
        await pilot.press("s")
        await pilot.pause()
        assert "cannot be given away" in note(app), "a test's terminal"

    drive(app, again)


# ---- clusters


def _profile(name: str) -> None:
    host = ProfileHost(name="n1", address="127.0.0.1", api_port=1, api_url="http://127.0.0.1:9")
    save_profile(
        profile_path(name),
        ClusterProfile(
            name=name,
            cluster_id=f"{name}-id",
            ca_sha256="0" * 64,
            api_token=f"file:/nowhere/{name}",
            hosts=(host,),
            color="green",
        ),
    )


def test_another_cluster_is_watched_and_the_first_one_let_go(app: BzzzApp) -> None:
    _profile("east")
    _profile("west")

    async def body(pilot: Pilot[int]) -> None:
        before = app.shell
        assert before is not None
        await by_command(pilot, "ctx")
        assert "east, west" in note(app)
        await pilot.press("2")
        await by_command(pilot, "ctx west")
        await until(pilot, lambda: app.shell is not before and app.shell.session.started)
        await pilot.pause()
        assert isinstance(app.screen, Overview)
        assert app.shell is not None
        assert app.shell.session.context == "west"
        assert app.shell.session.history == ["ctx", "ctx west"]
        await until(pilot, lambda: before._service is not None and before._service.done())
        assert len([s for s in app.screen_stack if isinstance(s, Frame)]) == 1
        await pilot.press("q")
        await pilot.pause()
        assert app.return_code == 0

    drive(app, body)


def test_leaving_the_monitor_ends_its_session(feed: HandFeed, clock: FrozenClock) -> None:
    app = app_with(lambda a: StartScreen(a.glyphs), clock)

    async def run() -> None:
        async with app.run_test(size=(100, 30)) as pilot:
            app.push_screen(app.watch_cluster(feed.open))
            await fed(pilot)
            shell = app.shell
            assert shell is not None
            await pilot.press("q")
            await until(pilot, lambda: isinstance(app.screen, StartScreen))
            await until(pilot, lambda: shell._service is not None and shell._service.done())
            assert app.shell is None

    asyncio.run(run())


async def _late(_emit: object) -> Opened:
    await asyncio.Event().wait()
    raise ConfigError("never")


def test_nothing_can_be_asked_before_there_is_a_connection(clock: FrozenClock) -> None:
    app = app_with(lambda a: a.watch_cluster(_late, view="nodes"), clock, write=True)

    async def run() -> None:
        async with app.run_test(size=(100, 30)) as pilot:
            await pilot.pause()
            for line in ("halt", "d", "refresh", "pause", "set refresh 2"):
                await by_command(pilot, line)
                if isinstance(app.screen, Question):
                    await pilot.press("y")
                    await until(pilot, lambda: "not connected" in note(app))
            await pilot.press("d", "y", "c", "C", "space", "asterisk", "U", "enter", "u")
            await pilot.pause()
            assert app.is_running

    asyncio.run(run())


# ---- sizes


def test_below_sixty_by_fifteen_there_is_one_line_of_status(app: BzzzApp) -> None:
    async def body(pilot: Pilot[int]) -> None:
        for size in ((59, 30), (100, 14), (20, 5)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            text = "\n".join(shown_lines(app))
            assert "healthy" in text
            assert "NODE" not in text
        await pilot.resize_terminal(60, 15)
        await pilot.pause()
        assert "NODE" in "\n".join(shown_lines(app))

    drive(app, body)


def test_no_size_breaks_any_view(app: BzzzApp) -> None:
    """From a sliver to a wall, with boxes and prompts open; seeded, so that it can be repeated."""
    dice = random.Random(20)
    sizes = [(20, 5), (300, 100), (80, 24), (59, 15), (60, 14), (60, 15)]
    sizes += [(dice.randint(20, 300), dice.randint(5, 100)) for _ in range(24)]
    keys = [
        "2",
        "1",
        "3",
        "7",
        "9",
        "0",
        "A",
        "Y",
        "enter",
        "n",
        "v",
        "slash",
        "escape",
        "colon",
        "escape",
        "S",
        "escape",
        "question_mark",
    ]
    keys += ["escape", "ctrl+p", "escape", "d", "escape", "W", "l", "l", "h", "space", "T"]

    async def body(pilot: Pilot[int]) -> None:
        for size in sizes:
            await pilot.resize_terminal(*size)
            await pilot.press(dice.choice(keys))
            await pilot.pause()
            assert len(shown_lines(app)) == size[1]
        await pilot.press("escape", "escape", "escape")

    drive(app, body)


def test_what_is_typed_quickly_behind_a_colon_is_never_taken_for_keys(app: BzzzApp) -> None:
    """`q` quits; a paste of `:quit` must not."""

    async def body(pilot: Pilot[int]) -> None:
        app.screen.perform(app.screen.actions()[0])  # type: ignore[attr-defined]
        app.screen.action_command()  # type: ignore[attr-defined]
        assert isinstance(app.focused, PromptInput), "at once, not a moment later"
        await pilot.press(*"qzX")
        assert app.screen.query_one(PromptInput).value == "qzX"
        app.screen.close_prompt()  # type: ignore[attr-defined]
        assert not isinstance(app.focused, PromptInput)

    drive(app, body)


@pytest.mark.parametrize("view", [view.name for view in VIEWS if view.place])
def test_no_size_breaks_a_view_with_something_in_it(view_app, view: str) -> None:  # noqa: ANN001
    """Every view in sizes from a sliver to a wall; seeded, so that it can be repeated."""
    dice = random.Random(view)
    sizes = [(20, 5), (300, 100), (60, 15), (80, 24)]
    sizes += [(dice.randint(20, 300), dice.randint(5, 100)) for _ in range(5)]
    app = view_app(view)

    async def body(pilot: Pilot[int]) -> None:
        await pilot.pause(0.02)
        for size in sizes:
            await pilot.resize_terminal(*size)
            await pilot.press(dice.choice(["j", "G", "d", "escape", "slash", "escape", "T"]))
            await pilot.pause()
            assert len(shown_lines(app)) == size[1]

    drive(app, body)


@pytest.mark.parametrize("how", ["start_service", "run_worker"])
def test_a_fault_of_what_runs_beside_is_in_the_report(
    app: BzzzApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    async def body(pilot: Pilot[int]) -> None:
        async def work() -> None:
            raise RuntimeError("a fault of ours")

        getattr(app, how)(work())
        await until(pilot, lambda: app.crash_report is not None)

    with pytest.raises((RuntimeError, WorkerFailed)):
        drive(app, body)
    assert app.crash_report is not None
    told = app.crash_report.read_text()
    assert "a fault of ours" in told
    assert "in work" in told
