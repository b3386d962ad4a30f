"""The operator's own keys: `keys.yaml`, from an action's id to keys.

    view.pause: p
    list.filter: [f, ctrl+g]
    change.halt: ""          # no key at all; the command stays

What is wrong with the file is told and left out; the rest holds. Two actions that work at the same
time may not have one key, so a key that is given to another action has to be taken from the first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bzzz_core.errors import ConfigError
from bzzz_tui.action_kinds import Action, Scope, shown_key

FILE: Final = "keys.yaml"
NO_KEY: Final = "f24"
"""Stands for no key in Textual's keymap, which knows no empty entry; no keyboard has it."""
_KEYS_MAX: Final = 8
_NAME: Final = re.compile(r"(ctrl\+|shift\+|alt\+)*([a-z0-9_]+|.)")
_MONITOR: Final = (Scope.VIEW, Scope.TABLE, Scope.DEMO, Scope.REPLAY)
"""In force in every view, the last two where there is a demo or a recording."""
_TOGETHER: Final = (
    (*_MONITOR, Scope.LIST, Scope.NODES, Scope.HERE, Scope.WRITE),
    (*_MONITOR, Scope.NODE, Scope.HERE, Scope.WRITE),
    (*_MONITOR, Scope.LIST, Scope.ROW, Scope.AUDIT),
    (*_MONITOR, Scope.LOGS),
    (Scope.START,),
    (Scope.SETUP, Scope.HOSTS, Scope.TABLE),
    (Scope.SETUP, Scope.TRUST, Scope.TABLE),
    (Scope.SETUP, Scope.DEPLOY),
    (Scope.SETUP, Scope.CHECKS, Scope.TABLE),
    (Scope.DIALOG,),
)
"""Scopes that are in force at the same time."""
_CHARACTERS: Final = {
    "?": "question_mark",
    "/": "slash",
    ":": "colon",
    "-": "minus",
    "*": "asterisk",
    "<": "less_than_sign",
    ">": "greater_than_sign",
    "[": "left_square_bracket",
    "]": "right_square_bracket",
    "{": "left_curly_bracket",
    "}": "right_curly_bracket",
    "@": "at",
    ",": "comma",
    ".": "full_stop",
    "+": "plus",
    "=": "equals_sign",
    "!": "exclamation_mark",
    "#": "number_sign",
    "$": "dollar_sign",
    "%": "percent_sign",
    "&": "ampersand",
    ";": "semicolon",
    "|": "vertical_line",
    "~": "tilde",
    "_": "underscore",
    "'": "apostrophe",
    '"': "quotation_mark",
    "\\": "backslash",
    "(": "left_parenthesis",
    ")": "right_parenthesis",
    " ": "space",
}


@dataclass(frozen=True, slots=True)
class Keymap:
    """Keys that differ from the registry's."""

    keys: Mapping[str, str] = field(default_factory=dict)
    """Action id -> Textual's names, separated by commas."""
    problems: tuple[str, ...] = ()
    """What is wrong with the file, one sentence each."""

    def of(self, action: Action) -> str:
        """Return the keys of an action in Textual's names; empty if it has none."""
        keys = self.keys.get(action.id, action.keys)
        return "" if keys == NO_KEY else keys

    def shown(self, action: Action) -> str:
        """Return the key of an action as people write it."""
        if action.id not in self.keys:
            return action.key
        return shown_key(self.of(action).split(",")[0])


def load(path: Path, actions: Sequence[Action]) -> Keymap:
    """Read a keymap file; a file that is not there changes nothing."""
    if not path.exists():
        return Keymap()
    from bzzz_core.config.document import parse, read_text  # noqa: PLC0415  seldom there

    try:
        data = parse(read_text(path), path.name).data
    except ConfigError as exc:
        return Keymap(problems=(str(exc),))
    return keymap_of(data, actions, place=path.name)


def keymap_of(data: Mapping[str, Any], actions: Sequence[Action], *, place: str) -> Keymap:
    """Return the keymap that a document says, without what is wrong with it."""
    known = {action.id: action for action in actions}
    keys: dict[str, str] = {}
    problems: list[str] = []
    for name, value in data.items():
        given = [value] if isinstance(value, str) else value
        if name not in known:
            problems.append(f"{place}: no action is called {str(name)[:60]!r}; see docs")
        elif (
            not isinstance(given, list)
            or len(given) > _KEYS_MAX
            or not all(isinstance(key, str) and (not key or _NAME.fullmatch(key)) for key in given)
        ):
            problems.append(f"{place}: {name}: expected a key such as p, ctrl+g or f5, or several")
        else:
            keys[name] = ",".join(_textual(key) for key in given if key) or NO_KEY
    # A key that is given back may clash again, with a key that was given because it was free.
    while found := [clash for clash in clashes(actions, keys) if set(clash.ids) & set(keys)]:
        ours = [each for each in found[0].ids if each in keys]
        problems.append(f"{place}: {found[0]}; {' and '.join(ours)} left as before")
        for each in ours:
            del keys[each]
    return Keymap(keys, tuple(problems))


@dataclass(frozen=True, slots=True)
class Clash:
    """One key that means two things at the same time."""

    key: str
    ids: tuple[str, ...]

    def __str__(self) -> str:
        """Say it."""
        return f"the key {shown_key(self.key)} would mean {' and '.join(self.ids)}"


def clashes(actions: Iterable[Action], keys: Mapping[str, str]) -> list[Clash]:
    """Return the keys that mean more than one thing among actions that work together."""
    everything = list(actions)
    found: dict[tuple[str, tuple[str, ...]], Clash] = {}
    for scopes in _TOGETHER:
        taken: dict[str, list[str]] = {}
        for action in everything:
            if action.scope in scopes:
                for key in keys.get(action.id, action.keys).split(","):
                    if key and key != NO_KEY:
                        taken.setdefault(key, []).append(action.id)
        for key, ids in taken.items():
            if len(ids) > 1:
                found[key, tuple(ids)] = Clash(key, tuple(ids))
    return list(found.values())


def _textual(key: str) -> str:
    head, plus, last = key.rpartition("+") if key != "+" else ("", "", "+")
    return f"{head}{plus}{_CHARACTERS.get(last, last)}"
