"""Every key of the program, once. Bindings, the hint line, `?` and the docs are made from this.

The same key means the same thing everywhere: Esc goes back and never quits, `q` goes back and quits
at the root, Ctrl+C quits. An action that is not in this registry cannot be bound.

`Action.ready` is False for keys that are reserved for what is still to come: help shows them as
"not yet", nothing binds them, and nothing else may take them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from textual.binding import Binding


class Scope(StrEnum):
    """Where a key works."""

    EVERYWHERE = "everywhere"
    TABLE = "tables"
    START = "start"
    OVERVIEW = "overview"
    SETUP = "setup"
    HOSTS = "setup: hosts"
    TRUST = "setup: host keys"
    DEPLOY = "setup: deployment"
    CHECKS = "setup: checks"
    DIALOG = "dialogs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing a key does."""

    scope: Scope
    keys: str
    """Textual's names, the first one is shown; several are separated by commas."""
    does: str
    """Name of the `action_` method."""
    label: str
    """One or two words for the hint line; empty: not shown there."""
    help: str
    show: str = ""
    """How the key is written for people, if not like its first name."""
    ready: bool = True
    priority: bool = False
    """Works even while a field has the focus."""

    @property
    def key(self) -> str:
        """Return the key as people write it."""
        return self.show or self.keys.split(",")[0].replace("question_mark", "?")


def _action(scope: Scope, keys: str, does: str, label: str, text: str, **more: object) -> Action:
    return Action(scope=scope, keys=keys, does=does, label=label, help=text, **more)  # type: ignore[arg-type]


_S = Scope
ACTIONS: Final[tuple[Action, ...]] = (
    _action(_S.EVERYWHERE, "question_mark,f1", "show_keys", "keys", "Show the keys of this view"),
    _action(_S.EVERYWHERE, "escape", "back", "", "Back; never quits", show="Esc"),
    _action(_S.EVERYWHERE, "q", "leave", "quit", "Back; at the first screen, quit"),
    _action(_S.EVERYWHERE, "ctrl+c", "quit", "", "Quit", show="Ctrl+C", priority=True),
    _action(_S.TABLE, "down,j", "cursor(1)", "", "Next row", show="↓ j"),
    _action(_S.TABLE, "up,k", "cursor(-1)", "", "Previous row", show="↑ k"),
    _action(_S.TABLE, "pagedown,ctrl+d,ctrl+f", "page(1)", "", "Page down", show="PgDn"),
    _action(_S.TABLE, "pageup,ctrl+u,ctrl+b", "page(-1)", "", "Page up", show="PgUp"),
    _action(_S.TABLE, "home,g", "edge(-1)", "", "First row", show="g"),
    _action(_S.TABLE, "end,G", "edge(1)", "", "Last row", show="G"),
    _action(_S.OVERVIEW, "ctrl+r,r", "refresh_now", "refresh", "Ask the cluster now", show="r"),
    _action(_S.OVERVIEW, "z", "pause", "pause", "Pause and resume painting"),
    _action(_S.OVERVIEW, "slash", "filter", "", "Filter", show="/", ready=False),
    _action(_S.OVERVIEW, "S", "sort", "", "Sort by a column", ready=False),
    _action(_S.OVERVIEW, "enter", "drill", "", "Open the node", show="Enter", ready=False),
    _action(_S.OVERVIEW, "y", "raw", "", "Show as JSON", ready=False),
    _action(_S.OVERVIEW, "colon", "command", "", "Command line", show=":", ready=False),
    _action(_S.OVERVIEW, "s", "shell", "", "Shell on the node", ready=False),
    _action(_S.START, "down,j", "choose(1)", "", "Next", show="↓ j"),
    _action(_S.START, "up,k", "choose(-1)", "", "Previous", show="↑ k"),
    _action(_S.START, "enter", "open", "open", "Open", show="Enter"),
    _action(_S.START, "1", "pick(0)", "", "Setup"),
    _action(_S.START, "2", "pick(1)", "", "Monitor"),
    _action(_S.START, "3", "pick(2)", "", "Demo"),
    _action(
        _S.SETUP,
        "ctrl+n",
        "next",
        "next",
        "Check this step, go to the next",
        show="Ctrl+N",
        priority=True,
    ),
    _action(
        _S.SETUP,
        "escape",
        "back",
        "back",
        "Leave the field; on the rail, one step back",
        show="Esc",
    ),
    _action(_S.SETUP, "tab", "focus_next", "field", "Next field", show="Tab"),
    _action(_S.SETUP, "1,2,3,4,5,6,7,8", "none", "", "Go to a step (on the rail)", show="1-8"),
    _action(_S.SETUP, "y", "show_yaml", "yaml", "Answers as YAML, and the command that uses them"),
    _action(_S.SETUP, "q", "leave", "", "Leave setup; the answers are kept"),
    _action(_S.SETUP, "b", "bundle", "", "Support bundle", ready=False),
    _action(_S.HOSTS, "enter", "edit_host", "edit", "Edit the host under the cursor", show="Enter"),
    _action(_S.HOSTS, "delete,D", "remove_host", "remove", "Remove the host", show="Del"),
    _action(_S.HOSTS, "p", "probe", "probe", "Look at all hosts now"),
    _action(_S.HOSTS, "t", "trust", "trust", "Trust the host key shown"),
    _action(_S.HOSTS, "T", "trust_all", "", "Trust all host keys shown"),
    _action(_S.TRUST, "t", "trust", "trust", "Trust this host key"),
    _action(_S.TRUST, "T", "trust_all", "trust all", "Trust all host keys shown"),
    _action(_S.TRUST, "p", "probe", "ask again", "Ask the hosts for their keys again"),
    _action(_S.DEPLOY, "a", "apply", "apply", "Apply the plan that is shown"),
    _action(_S.DEPLOY, "p", "plan", "plan", "Make the plan anew"),
    _action(_S.DEPLOY, "R", "retry", "retry", "Run again what failed"),
    _action(_S.DEPLOY, "x", "stop", "stop", "Stop after the running action"),
    _action(_S.CHECKS, "enter", "check_one", "again", "Run this check again", show="Enter"),
    _action(_S.CHECKS, "r", "check_all", "all again", "Run all checks again"),
    _action(_S.DIALOG, "y", "yes", "yes", "Yes"),
    _action(_S.DIALOG, "n", "no", "no", "No"),
)


def bindings(*scopes: Scope) -> list[Binding]:
    """Return Textual's bindings for all actions of these scopes that are ready."""
    return [
        Binding(
            action.keys,
            action.does,
            action.label or action.help,
            show=False,
            priority=action.priority,
            id=f"{action.scope.value}/{action.does}",
        )
        for action in of(*scopes)
        if action.ready and action.does not in {"none", "focus_next"}
    ]


def of(*scopes: Scope) -> list[Action]:
    """Return the actions of these scopes, in the order of the registry."""
    return [action for action in ACTIONS if action.scope in scopes]


def hints(*scopes: Scope) -> list[tuple[str, str]]:
    """Return (key, label) pairs for the hint line; the first scope's come first."""
    return [
        (action.key, action.label)
        for scope in scopes
        for action in of(scope)
        if action.label and action.ready
    ]
