"""The operator's own keys: what is wrong is told and left out, the rest holds."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bzzz_tui.actions import ACTIONS, action
from bzzz_tui.keymap import Keymap, keymap_of, load
from bzzz_tui.widgets.toned import Paragraph
from tests.tui.conftest import FrozenClock
from tests.tui.test_overview import fed


def mapped(**keys: object) -> Keymap:
    return keymap_of({name.replace("_", "."): v for name, v in keys.items()}, ACTIONS, place="k")


def test_a_key_is_taken_as_people_write_it() -> None:
    keymap = mapped(view_pause="p", list_filter=["f", "ctrl+g", ";"])
    assert keymap.keys["view.pause"] == "p"
    assert keymap.keys["list.filter"] == "f,ctrl+g,semicolon"
    assert keymap.shown(action("view.pause")) == "p"
    assert not [each for each in keymap.problems if "view.pause" in each]


def test_a_key_that_another_action_has_is_refused_and_names_both() -> None:
    keymap = mapped(view_pause="d")
    assert not keymap.keys
    (problem,) = keymap.problems
    assert "the key d would mean" in problem
    assert "view.pause" in problem
    assert "list.describe" in problem
    assert "left as before" in problem


def test_a_key_may_move_to_another_action_if_it_is_taken_from_the_first() -> None:
    keymap = mapped(view_pause="W", list_wide="e")
    assert not keymap.problems
    assert keymap.keys == {"view.pause": "W", "list.wide": "e"}


def test_giving_back_a_key_can_clash_again_and_is_found() -> None:
    # `z` goes to describe because pause gives it up; pause's own wish clashes with sort.
    keymap = mapped(view_pause="S", list_describe="z")
    assert not keymap.keys
    assert len(keymap.problems) == 2


def test_no_key_at_all_is_a_choice() -> None:
    keymap = mapped(change_halt="")
    assert not keymap.problems
    assert keymap.of(action("change.halt")) == ""
    assert keymap.shown(action("change.halt")) == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("view.unheard-of", "p"),
        ("view.pause", 3),
        ("view.pause", ["a"] * 9),
        ("view.pause", {"a": 1}),
        ("view.pause", "two words"),
    ],
)
def test_what_cannot_be_is_told_and_left_out(name: str, value: object) -> None:
    keymap = keymap_of({name: value}, ACTIONS, place="keys.yaml")
    assert not keymap.keys
    assert keymap.problems[0].startswith("keys.yaml: ")


def test_a_file_that_is_no_yaml_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    assert load(path, ACTIONS) == Keymap()
    path.write_text("a: [", encoding="utf-8")
    assert load(path, ACTIONS).problems
    path.write_text("view.pause: p\n", encoding="utf-8")
    assert load(path, ACTIONS).keys == {"view.pause": "p"}


def test_own_keys_work_and_are_shown(
    nodes_app,  # noqa: ANN001
    clock: FrozenClock,
    tmp_path: Path,
) -> None:
    del clock
    directory = tmp_path / "config" / "bzzz"
    directory.mkdir(parents=True)
    (directory / "keys.yaml").write_text("view.pause: Q\nlist.sort: d\n", encoding="utf-8")
    app = nodes_app()

    async def run() -> None:
        async with app.run_test(size=(100, 30)) as pilot:
            await fed(pilot)
            await pilot.press("z")
            assert app.shell.session.paused_ms is None, "the old key is free"
            await pilot.press("Q")
            assert app.shell.session.paused_ms is not None
            assert app.keymap.problems
            await pilot.press("d")
            assert not app.screen.query_one("#note", Paragraph).text

    asyncio.run(run())
