"""What an action is, and where one works. The actions themselves are in `bzzz_tui.actions`."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_CALL: Final = re.compile(r"(\w+)(?:\((.*)\))?")
_SHOWN: Final = {
    "question_mark": "?",
    "slash": "/",
    "colon": ":",
    "minus": "-",
    "comma": ",",
    "asterisk": "*",
    "ampersand": "&",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "left_curly_bracket": "{",
    "right_curly_bracket": "}",
    "at": "@",
    "space": "Space",
    "enter": "Enter",
    "escape": "Esc",
    "tab": "Tab",
    "down": "↓",
    "up": "↑",
    "left": "←",
    "right": "→",
    "home": "Home",
    "end": "End",
    "pagedown": "PgDn",
    "pageup": "PgUp",
    "delete": "Del",
}


class Scope(StrEnum):
    """Where a key works."""

    EVERYWHERE = "everywhere"
    VIEW = "monitor"
    LIST = "lists"
    NODES = "nodes"
    ROW = "rows"
    HERE = "a node"
    NODE = "one node"
    AUDIT = "audit"
    WRITE = "changes"
    DEMO = "demo: break it"
    REPLAY = "a recording"
    LOGS = "logs"
    TABLE = "tables"
    START = "start"
    SETUP = "setup"
    HOSTS = "setup: hosts"
    TRUST = "setup: host keys"
    DEPLOY = "setup: deployment"
    CHECKS = "setup: checks"
    DIALOG = "dialogs"


PERFORMED: Final = (
    Scope.VIEW,
    Scope.LIST,
    Scope.NODES,
    Scope.ROW,
    Scope.HERE,
    Scope.NODE,
    Scope.AUDIT,
    Scope.WRITE,
    Scope.DEMO,
    Scope.REPLAY,
    Scope.LOGS,
)
"""Scopes of the monitor: key, command and palette lead to one method, `perform`."""


class Argument(StrEnum):
    """What may be written behind an action's command; completion goes by it."""

    NONE = ""
    FILTER = "filter"
    SORT = "column [desc]"
    COLUMNS = "columns"
    THEME = "theme"
    CONTEXT = "cluster"
    EXPORT = "csv|json|txt|svg [!] [file]"
    SETTING = "refresh SECONDS"
    LEVEL = "debug|info|warning|error"
    WORDS = "words"
    NODE = "node"
    NODES = "node [node...] | leader | follower | edge"
    TIME = "12:03:21 | +30s | -2m"
    SPEED = "times as fast"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing the program can be told to do."""

    id: str
    """Names it in a keymap file: `scope.word`."""
    scope: Scope
    keys: str
    """Textual's names, the first one is shown; several are separated by commas. May be empty."""
    does: str
    """Name of the `action_` method, with its arguments if they are fixed."""
    label: str
    """One or two words for the hint line; empty: not shown there."""
    help: str
    rank: int = 2
    """Which labels leave the hint line first where room is short; see `parts.Hint`."""
    show: str = ""
    """How the key is written for people, if not like its first name."""
    ready: bool = True
    """False: reserved for what is still to come; help says "not yet"."""
    priority: bool = False
    """Works even while a field has the focus."""
    commands: tuple[str, ...] = ()
    """Its names on the command line, the full one first."""
    argument: Argument = Argument.NONE
    mutates: bool = False
    """Changes the cluster: refused where the monitor only reads."""

    @property
    def key(self) -> str:
        """Return the key as people write it."""
        return self.show or shown_key(self.keys.split(",")[0])

    @property
    def call(self) -> tuple[str, tuple[object, ...]]:
        """Return name and arguments of the method."""
        match = _CALL.fullmatch(self.does)
        assert match, self.does
        return match[1], ast.literal_eval(f"({match[2]},)") if match[2] else ()


def shown_key(key: str) -> str:
    """Return a key's name as people write it: `ctrl+p` is Ctrl+P."""
    if key in _SHOWN:
        return _SHOWN[key]
    if key.startswith("ctrl+"):
        inner = key.removeprefix("ctrl+")
        return "Ctrl+" + {"backslash": "\\"}.get(inner, inner.upper())
    return key.upper() if re.fullmatch(r"f\d+", key) else key
