"""One registry of keys: no clash, nothing reachable by a Ctrl chord alone."""

from __future__ import annotations

import itertools

import pytest

from bzzz_tui.actions import ACTIONS, Scope, bindings, hints, of

TOGETHER = (
    (Scope.OVERVIEW, Scope.TABLE),
    (Scope.START,),
    (Scope.SETUP, Scope.HOSTS, Scope.TABLE),
    (Scope.SETUP, Scope.TRUST, Scope.TABLE),
    (Scope.SETUP, Scope.DEPLOY),
    (Scope.SETUP, Scope.CHECKS, Scope.TABLE),
)
"""Scopes that are in force at the same time."""
BY_BUTTON = {"next"}
"""Actions that a button offers too."""


@pytest.mark.parametrize("scopes", TOGETHER)
def test_no_key_means_two_things_on_one_screen(scopes: tuple[Scope, ...]) -> None:
    keys = list(itertools.chain(*(action.keys.split(",") for action in of(*scopes))))
    assert len(keys) == len(set(keys))


def test_a_key_that_works_everywhere_is_only_taken_over_for_the_same_purpose() -> None:
    everywhere = {k: a.does for a in of(Scope.EVERYWHERE) for k in a.keys.split(",")}
    for action in ACTIONS:
        for key in action.keys.split(","):
            assert everywhere.get(key, action.does) == action.does, f"{key} in {action.scope}"


def test_nothing_is_reachable_by_a_ctrl_chord_alone() -> None:
    for action in ACTIONS:
        chords_only = all(key.startswith("ctrl+") for key in action.keys.split(","))
        assert not chords_only or action.does in BY_BUTTON | {"quit"}, action.help


@pytest.mark.parametrize("key", ["ctrl+z", "ctrl+s", "ctrl+q", "ctrl+a"])
def test_keys_that_belong_to_the_terminal_are_left_alone(key: str) -> None:
    assert all(key not in action.keys.split(",") for action in ACTIONS)


def test_what_is_not_ready_is_listed_but_not_bound() -> None:
    waiting = [action for action in ACTIONS if not action.ready]
    assert waiting
    bound = {binding.action for scope in Scope for binding in bindings(scope)}
    assert not bound & {action.does for action in waiting}


def test_every_action_has_help_and_hints_have_short_words() -> None:
    assert all(action.help for action in ACTIONS)
    assert all(len(label) <= 12 for scope in Scope for _, label in hints(scope))
