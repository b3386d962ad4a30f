"""One registry: no clash, nothing reachable by a Ctrl chord alone, docs that say the same."""

from __future__ import annotations

import inspect
import itertools
from pathlib import Path

import pytest

from bzzz_tui import key_list, keymap
from bzzz_tui.action_kinds import PERFORMED
from bzzz_tui.actions import ACTIONS, Scope, bindings, hints, of
from bzzz_tui.monitor.views import VIEWS, load
from screens.monitor.base import MonitorView

ROOT = Path(__file__).parents[2]
BY_BUTTON = {"next"}
"""Actions that a button offers too."""
FLOW_CONTROL = {"list.export", "logs.save"}
"""May use a key that a terminal could keep for itself, because their command is the other way."""


def test_no_key_means_two_things_on_one_screen() -> None:
    assert not keymap.clashes(ACTIONS, {})


def test_ids_and_commands_are_unique() -> None:
    ids = [action.id for action in ACTIONS]
    commands = list(itertools.chain(*(action.commands for action in ACTIONS)))
    assert len(ids) == len(set(ids))
    assert len(commands) == len(set(commands))


def test_a_key_that_works_everywhere_is_only_taken_over_for_the_same_purpose() -> None:
    everywhere = {k: a.does for a in of(Scope.EVERYWHERE) for k in a.keys.split(",")}
    for action in ACTIONS:
        for key in action.keys.split(","):
            assert everywhere.get(key, action.does) == action.does, f"{key} in {action.scope}"


def test_nothing_is_reachable_by_a_ctrl_chord_alone() -> None:
    for action in ACTIONS:
        chords_only = all(key.startswith("ctrl+") for key in action.keys.split(","))
        other_ways = bool(action.commands) or action.does in BY_BUTTON | {"quit"}
        assert not chords_only or other_ways, action.help


@pytest.mark.parametrize("key", ["ctrl+z", "ctrl+s", "ctrl+q", "ctrl+a"])
def test_keys_that_belong_to_the_terminal_are_left_alone(key: str) -> None:
    taken = {action.id for action in ACTIONS if key in action.keys.split(",")}
    assert taken <= FLOW_CONTROL


def test_in_the_monitor_everything_has_a_command_and_nearly_everything_a_key() -> None:
    for action in of(*PERFORMED, Scope.TABLE):
        assert action.commands, action.id
        assert action.keys or action.id == "view.node", action.id


def test_what_is_not_ready_is_listed_and_bound_only_where_it_can_say_so() -> None:
    waiting = [action for action in ACTIONS if not action.ready]
    assert waiting
    bound = {binding.id for scope in Scope for binding in bindings(scope)}
    assert bound & {action.id for action in waiting if action.scope in PERFORMED and action.keys}
    assert not bound & {action.id for action in waiting if action.scope not in PERFORMED}


def test_every_action_has_help_and_hints_have_short_words() -> None:
    assert all(action.help for action in ACTIONS)
    assert all(
        len(label) <= 12 for scope in Scope for label in (hint.label for hint in hints(scope))
    )


@pytest.mark.parametrize("view", [view for view in VIEWS if view.place], ids=lambda v: v.name)
def test_every_view_has_a_method_for_each_of_its_actions(view) -> None:  # noqa: ANN001
    screen: type[MonitorView] = load(view.place)
    assert view.name == screen.VIEW
    assert Scope.VIEW in screen.SCOPES
    for action in of(*screen.SCOPES):
        if not action.ready:
            continue
        name, fixed = action.call
        method = getattr(screen, f"action_{name}", None)
        assert method is not None, f"{view.name}: {action.id}"
        more = ("x",) if action.argument else ()
        inspect.signature(method).bind(None, *fixed, *more)


@pytest.mark.parametrize("view", [view for view in VIEWS if view.text], ids=lambda v: v.name)
def test_every_view_that_says_so_has_a_text(view) -> None:  # noqa: ANN001
    assert callable(load(view.text))


def test_the_page_of_keys_says_what_the_registry_says() -> None:
    """Write it anew with: bzzz-tui keys --markdown > docs/keys.md."""
    assert (ROOT / "docs" / "keys.md").read_text(encoding="utf-8") == key_list.markdown()
