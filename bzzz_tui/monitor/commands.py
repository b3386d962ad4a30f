"""The command line: what `:no state=down cpu>80` means, and what could be meant by half of it.

A line is a command and its argument, one blank between. Commands, their aliases and what may stand
behind them come from the registry of actions; only completion has to know what there is.

Rules: pure.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bzzz_tui.action_kinds import Action, Argument

LINE_MAX: Final = 600
Choices = Mapping[Argument, Callable[[str], Sequence[str]]]
"""Kind of argument -> from what is typed of it to what it may become."""


class CommandError(ValueError):
    """What was typed is no command here."""


@dataclass(frozen=True, slots=True)
class Command:
    """What was typed."""

    action: Action
    argument: str


def parse(line: str, actions: Sequence[Action]) -> Command:
    """Return the action and its argument.

    Raises:
        CommandError: No action that works here has this name, or it takes no argument.
    """
    if len(line) > LINE_MAX:
        raise CommandError(f"longer than {LINE_MAX} characters")
    name, _, argument = line.strip().partition(" ")
    found = _named(name, actions)
    if found is None:
        names = [each for action in actions for each in action.commands]
        near = difflib.get_close_matches(name, names, n=1)
        raise CommandError(
            f"no command is called {name!r} here{f'; did you mean :{near[0]}?' if near else ''}"
        )
    argument = argument.strip()
    if argument and not found.argument:
        raise CommandError(f":{found.commands[0]} takes nothing behind it")
    return Command(found, argument)


def completions(line: str, actions: Sequence[Action], choices: Choices) -> list[str]:
    """Return lines that `line` may be meant to become, the likeliest first."""
    name, blank, argument = line.lstrip().partition(" ")
    if blank:
        found = _named(name, actions)
        complete = choices.get(found.argument) if found else None
        return [f"{name} {each}" for each in complete(argument.lstrip())] if complete else []
    ready = [action for action in actions if action.ready and action.commands]
    full = [action.commands[0] for action in ready if action.commands[0].startswith(name)]
    short = [
        each
        for action in ready
        for each in action.commands[1:]
        if each.startswith(name) and action.commands[0] not in full
    ]
    return full + short


def _named(name: str, actions: Sequence[Action]) -> Action | None:
    return next((action for action in actions if name in action.commands), None)
