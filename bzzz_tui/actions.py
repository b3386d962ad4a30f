"""Everything the program can be told to do, once.

Bindings, the hint line, `?`, the palette, the `:` command line and docs/keys.md are made from this
registry. What is not in it cannot be bound.

The same key means the same thing everywhere: Esc goes back and never quits, `q` goes back and quits
at the root, Ctrl+C quits. In the monitor a key, a command and an entry of the palette are three
ways to one method (`MonitorView.perform`), which also refuses what is not ready or not allowed.
"""

from __future__ import annotations

from typing import Final

from textual.binding import Binding

from bzzz_tui.action_kinds import PERFORMED, Action, Scope
from bzzz_tui.monitor.actions import MONITOR_ACTIONS
from bzzz_tui.parts import Hint
from bzzz_tui.setup_actions import SETUP_ACTIONS

__all__ = ["ACTIONS", "Action", "Scope", "action", "bindings", "hints", "of"]

ACTIONS: Final[tuple[Action, ...]] = (*MONITOR_ACTIONS, *SETUP_ACTIONS)
_BY_ID: Final = {action.id: action for action in ACTIONS}


def action(id: str) -> Action:  # noqa: A002
    """Return an action by its id."""
    return _BY_ID[id]


def bindings(*scopes: Scope) -> list[Binding]:
    """Return Textual's bindings for all actions of these scopes.

    In the monitor those that are still to come are bound, too: they answer "not yet".
    """
    return [
        Binding(
            action.keys,
            f"act({action.id!r})" if action.scope in PERFORMED else action.does,
            action.label or action.help,
            show=False,
            priority=action.priority,
            id=action.id,
        )
        for action in of(*scopes)
        if action.keys
        and (action.ready or action.scope in PERFORMED)
        and action.does not in {"none", "focus_next"}
    ]


def of(*scopes: Scope) -> list[Action]:
    """Return the actions of these scopes, in the order of the registry."""
    return [action for action in ACTIONS if action.scope in scopes]


def hints(*scopes: Scope) -> list[Hint]:
    """Return what the hint line may show; the first scope's come first."""
    return [
        Hint(action.key, action.label, action.rank)
        for scope in scopes
        for action in of(scope)
        if action.label and action.ready
    ]
