"""A table of the monitor: order, columns, marks, describe, copies and files."""

from __future__ import annotations

import csv
import io
import json
import stat
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot

from bzzz_core.model import MemberState
from bzzz_tui.widgets.live_table import LiveTable
from bzzz_tui.widgets.prompt import PromptInput
from bzzz_tui.widgets.toned import Lines
from screens.app import BzzzApp
from screens.dialogs import Reading
from screens.monitor.node import NodeView
from screens.monitor.nodes import NodesView
from tests.fakes import statuses
from tests.tui.conftest import FrozenClock, HandFeed, connected, snapshot
from tests.tui.test_every_action import by_command
from tests.tui.test_overview import shown_lines
from tests.tui.test_shell import drive, note, until


@pytest.fixture
def many(nodes_app, clock: FrozenClock) -> Callable[..., BzzzApp]:  # noqa: ANN001
    """Three hundred nodes, the n-th with n percent of a third of CPU."""

    def make(count: int = 300, **how: object) -> BzzzApp:
        members = tuple(
            statuses.member(n, voter=n < 6, cpu=n % 100 + 0.5) for n in range(1, count + 1)
        )
        made: BzzzApp = nodes_app(
            snapshot(statuses.status(members), clock), connected(clock), **how
        )
        return made

    return make


def view(app: BzzzApp) -> NodesView:
    assert isinstance(app.screen, NodesView)
    return app.screen


def shown(app: BzzzApp) -> list[str]:
    rows = view(app).session.store.rows
    return [rows[i].member.name for i in view(app).arrangement.shown]


async def type_filter(pilot: Pilot[int], text: str) -> None:
    await pilot.press("slash")
    pilot.app.screen.query_one(PromptInput).value = text
    await pilot.pause()


def test_a_filter_is_seen_to_work_while_it_is_written(many) -> None:  # noqa: ANN001
    app = many()

    async def body(pilot: Pilot[int]) -> None:
        await type_filter(pilot, "cpu>97")
        assert "9 of 300" in note(app)
        assert len(shown(app)) == 9
        await pilot.press("enter")
        await pilot.pause()
        assert "/cpu>97  9 of 300" in shown_lines(app)[1]
        await type_filter(pilot, "cpu>9x")
        assert "expected a percentage" in note(app)
        assert "(at 5)" in note(app)
        assert len(shown(app)) == 9, "the last filter that made sense"
        await pilot.press("escape")
        await pilot.pause()
        assert view(app).state.filter == "cpu>97"
        await pilot.press("escape")
        await pilot.pause()
        assert len(shown(app)) == 300

    drive(app, body)


def test_the_letter_of_a_column_sorts_and_again_reverses(many) -> None:  # noqa: ANN001
    app = many(12)

    async def body(pilot: Pilot[int]) -> None:
        await pilot.press("S")
        await pilot.pause()
        assert "c cpu" in note(app)
        await pilot.press("c")
        await pilot.pause()
        assert shown(app)[0] == "bzzz-12", "numbers begin with the largest"
        assert "CPU↓" in "\n".join(shown_lines(app))
        await pilot.press("S", "c")
        await pilot.pause()
        assert shown(app)[0] == "bzzz-1"
        await pilot.press("S", "n")
        await pilot.pause()
        assert shown(app)[:2] == ["bzzz-1", "bzzz-2"]
        assert shown(app)[-1] == "bzzz-12", "by number, not by letter"
        await pilot.press("S", "%")
        await pilot.pause()
        assert "no column has the letter" in note(app)
        await pilot.press("greater_than_sign")
        assert view(app).arrangement.sort == ("state", False)
        await pilot.press("less_than_sign", "less_than_sign")
        assert view(app).arrangement.sort[0] == view(app).SPEC.sortable()[-1].key  # type: ignore[index]
        await by_command(pilot, "sort cpu desc")
        assert view(app).arrangement.sort == ("cpu", True)
        await by_command(pilot, "sort none")
        assert view(app).arrangement.sort is None

    drive(app, body)


def test_a_click_on_a_title_sorts_and_two_on_a_row_open_it(many) -> None:  # noqa: ANN001
    app = many(12)

    async def body(pilot: Pilot[int]) -> None:
        table = app.screen.query_one(LiveTable)
        at = "".join(segment.text for segment in table.render_line(0)).index("CPU")
        await pilot.click(LiveTable, offset=(at + 1, 0))
        await pilot.pause()
        assert shown(app)[0] == "bzzz-12"
        await pilot.click(LiveTable, offset=(3, 4))
        await pilot.pause()
        assert table.cursor == view(app).arrangement.shown[3]
        await pilot.click(LiveTable, offset=(3, 4), times=2)
        await pilot.pause()
        assert isinstance(app.screen, NodeView)

    drive(app, body)


def test_what_is_not_known_comes_last_whichever_way(nodes_app, clock: FrozenClock) -> None:  # noqa: ANN001
    dead = statuses.with_state(statuses.status(), 2, MemberState.DEAD)
    app = nodes_app(snapshot(dead, clock))

    async def body(pilot: Pilot[int]) -> None:
        await by_command(pilot, "sort cpu desc")
        assert shown(app) == ["bzzz-3", "bzzz-1", "bzzz-2"]
        await by_command(pilot, "sort cpu asc")
        assert shown(app) == ["bzzz-1", "bzzz-3", "bzzz-2"]

    drive(app, body)


def test_nothing_moves_while_the_operator_moves(
    many,  # noqa: ANN001
    clock: FrozenClock,
    feed: HandFeed,
) -> None:
    app = many(12)

    async def body(pilot: Pilot[int]) -> None:
        await by_command(pilot, "sort cpu desc")
        clock.ms += 2_000
        await pilot.press("j")
        before = shown(app)
        members = tuple(statuses.member(n, voter=n < 6, cpu=100 - n) for n in range(1, 13))
        feed.emit(snapshot(statuses.status(members), clock))
        await pilot.pause()
        assert shown(app) == before
        assert " 99%" in "\n".join(shown_lines(app)), "what it says is new all the same"
        clock.ms += 3_001
        view(app)._tick()
        await pilot.pause()
        assert shown(app)[0] == "bzzz-1"
        feed.emit(snapshot(statuses.status(members[::-1]), clock))
        await pilot.pause()
        assert view(app).arrangement._dirty is False, "the same values again change no order"

    drive(app, body)


def test_columns_are_chosen_scrolled_and_kept(many, tmp_path: Path) -> None:  # noqa: ANN001
    app = many(12)
    kept = tmp_path / "config" / "bzzz" / "views.yaml"

    def titles() -> list[str]:
        return [placed.column.title for placed in app.screen.query_one(LiveTable).placed]

    async def body(pilot: Pilot[int]) -> None:
        narrow = titles()
        assert "LANGUAGES" not in narrow
        await pilot.press("W")
        await pilot.pause()
        assert titles()[:5] == ["NODE", "STATE", "ROLE", "CPU", "MEMORY"]
        for _ in range(30):
            await pilot.press("l")
        await pilot.pause()
        assert titles() == ["NODE", "HEARD"], "the first one stays, the last one can be reached"
        await pilot.press(*["h"] * 30)
        await pilot.press("W")
        await pilot.pause()
        assert titles() == narrow
        await by_command(pilot, "cols name,cpu, models")
        assert titles() == ["NODE", "CPU", "MODELS"]
        await by_command(pilot, "cols +languages -cpu")
        assert titles() == ["NODE", "MODELS", "LANGUAGES"]
        await by_command(pilot, "sort load asc")
        await until(pilot, lambda: kept.exists() and "load" in kept.read_text())
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600

    drive(app, body)
    again = many(12)

    async def later(pilot: Pilot[int]) -> None:
        assert titles_of(again) == ["NODE", "MODELS", "LANGUAGES"]
        assert view(again).arrangement.sort == ("load", False)
        await by_command(pilot, "cols reset")
        assert len(titles_of(again)) > 5

    def titles_of(app: BzzzApp) -> list[str]:
        return [placed.column.title for placed in app.screen.query_one(LiveTable).placed]

    drive(again, later)


@pytest.mark.parametrize("text", ["nodes: [", "[]", "nodes: {columns: 3, sort: {}, wide: maybe}"])
def test_kept_choices_that_make_no_sense_are_passed_over(
    many,  # noqa: ANN001
    tmp_path: Path,
    text: str,
) -> None:
    path = tmp_path / "config" / "bzzz" / "views.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    app = many(3)

    async def body(_pilot: Pilot[int]) -> None:
        assert view(app).state.columns == ()
        assert len(shown(app)) == 3

    drive(app, body)


def test_marks_are_what_copies_and_files_are_about(
    many,  # noqa: ANN001
    tmp_path: Path,
) -> None:
    app = many(12)
    path = tmp_path / "some nodes.csv"

    async def body(pilot: Pilot[int]) -> None:
        await pilot.press("space", "space")
        await pilot.pause()
        assert "2 marked" in shown_lines(app)[1]
        marked = [line for line in shown_lines(app) if line.startswith("*bzzz-")]
        assert len(marked) == 2
        await pilot.press("c")
        assert app.clipboard == "bzzz-1\nbzzz-2"
        await by_command(pilot, f"export csv {path}")
        await until(pilot, lambda: "wrote" in note(app))
        with path.open(encoding="utf-8", newline="") as file:
            read = list(csv.DictReader(file))
        assert [row["name"] for row in read] == ["bzzz-1", "bzzz-2"]
        assert read[0]["memory_bytes"].isdigit()
        await pilot.press("asterisk")
        assert len(view(app).state.marks) == 12
        await pilot.press("U")
        assert not view(app).state.marks
        await pilot.press("C")
        assert app.clipboard.startswith("bzzz-3\t● alive\t")

    drive(app, body)


def test_a_file_is_its_owners_and_replaces_nothing_unless_told(
    many,  # noqa: ANN001
    tmp_path: Path,
) -> None:
    app = many(3)
    path = tmp_path / "nodes.json"
    link = tmp_path / "link.csv"
    link.symlink_to(tmp_path / "elsewhere.csv")

    async def body(pilot: Pilot[int]) -> None:
        await by_command(pilot, f"export json {path}")
        await until(pilot, lambda: "wrote" in note(app))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [each["name"] for each in json.loads(path.read_text())] == [
            "bzzz-1",
            "bzzz-2",
            "bzzz-3",
        ]
        path.write_text("precious")
        await by_command(pilot, f"export json {path}")
        await until(pilot, lambda: "is there already" in note(app))
        assert path.read_text() == "precious"
        await by_command(pilot, f"export json! {path}")
        await until(pilot, lambda: path.read_text() != "precious")
        await by_command(pilot, f"export csv {link}")
        await until(pilot, lambda: "is there already" in note(app))
        assert not (tmp_path / "elsewhere.csv").exists()
        for kind in ("txt", "svg"):
            await by_command(pilot, f"export {kind} {tmp_path / kind}")
            await until(pilot, lambda kind=kind: (tmp_path / kind).exists())  # type: ignore[misc]
        assert "3 of 3 nodes" in (tmp_path / "txt").read_text()
        assert "<svg" in (tmp_path / "svg").read_text()
        await by_command(pilot, "export csv /nowhere/at/all.csv")
        await until(pilot, lambda: "/nowhere/at/all.csv" in note(app))

    drive(app, body)


def test_a_file_without_a_name_gets_one(
    many,  # noqa: ANN001
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    app = many(3)

    async def body(pilot: Pilot[int]) -> None:
        await pilot.press("ctrl+s")
        await until(pilot, lambda: bool(list(tmp_path.glob("bzzz-nodes-*.csv"))))

    drive(app, body)


def test_a_name_that_a_spreadsheet_would_reckon_is_disarmed(
    nodes_app,  # noqa: ANN001
    clock: FrozenClock,
    tmp_path: Path,
) -> None:
    evil = msgspec.structs.replace(statuses.member(1), name="=cmd()", models=("@x",))
    app = nodes_app(snapshot(statuses.status((evil,), leader=None), clock))
    path = tmp_path / "x.csv"

    async def body(pilot: Pilot[int]) -> None:
        await by_command(pilot, f"export csv {path}")
        await until(pilot, path.exists)
        await pilot.pause()
        (row,) = list(csv.DictReader(io.StringIO(path.read_text())))
        assert row["name"] == "'=cmd()"
        assert row["models"] == "'@x"

    drive(app, body)


def test_too_much_for_the_clipboard_is_refused(many) -> None:  # noqa: ANN001
    app = many(2_000)

    async def body(pilot: Pilot[int]) -> None:
        await pilot.press("asterisk", "C")
        await pilot.pause()
        assert "too much for a terminal's clipboard" in note(app)
        assert not app.clipboard

    drive(app, body)


def test_a_row_is_described_and_shown_as_json(many) -> None:  # noqa: ANN001
    app = many(3)

    async def body(pilot: Pilot[int]) -> None:
        for key, words in (("d", "node id"), ("y", '"node_id"')):
            await pilot.press(key)
            await pilot.pause()
            assert isinstance(app.screen, Reading)
            text = "\n".join(
                "".join(part for part, _ in line) for line in app.screen.query_one(Lines).lines
            )
            assert words in text
            assert statuses.node_id(1) in text
            await pilot.press("escape")
            await pilot.pause()
        assert isinstance(app.screen, NodesView)

    drive(app, body)


def test_a_hostile_node_reaches_the_terminal_nowhere(nodes_app, clock: FrozenClock) -> None:  # noqa: ANN001
    evil = msgspec.structs.replace(
        statuses.member(1),
        name="\x1b[2J\u202e",
        address="\r\n",
        models=("\x9b31m",),
        node_roles=("\x07",),
        languages=("\u2028",),
    )
    app = nodes_app(snapshot(statuses.status((evil, statuses.member(2))), clock))

    async def body(pilot: Pilot[int]) -> None:
        for keys in ((), ("W",), ("l", "l", "l", "l"), ("d",), ("escape", "y")):
            await pilot.press(*keys)
            await pilot.pause()
            assert all(line.isprintable() for line in shown_lines(app))

    drive(app, body, size=(200, 40))


def test_rows_that_go_away_take_their_marks_and_leave_the_cursor(
    many,  # noqa: ANN001
    clock: FrozenClock,
    feed: HandFeed,
) -> None:
    app = many(6)

    async def body(pilot: Pilot[int]) -> None:
        await pilot.press("space", "j", "j")
        fewer = tuple(statuses.member(n) for n in (2, 3, 4))
        feed.emit(snapshot(statuses.status(fewer), clock))
        await pilot.pause()
        assert not view(app).state.marks
        assert view(app).table.cursor == statuses.node_id(4)
        feed.emit(snapshot(statuses.status((statuses.member(9),), leader=None), clock))
        await pilot.pause()
        assert view(app).table.cursor == statuses.node_id(9)

    drive(app, body)


def test_a_filter_from_the_command_line_of_the_program_is_in_force(nodes_app, clock) -> None:  # noqa: ANN001
    app = nodes_app(snapshot(statuses.status(), clock), query="cpu>20")

    async def body(_pilot: Pilot[int]) -> None:
        assert shown(app) == ["bzzz-2", "bzzz-3"]

    drive(app, body)
    wrong = nodes_app(snapshot(statuses.status(), clock), query="cpx>20")

    async def told(pilot: Pilot[int]) -> None:
        await until(pilot, lambda: "nothing is called" in note(wrong))
        assert len(shown(wrong)) == 3

    drive(wrong, told)
