"""A program and its table of commands; both `bzzz-agent` and `bzzz-tui` are one.

A command's module is loaded when the command is called, completed, or its help is asked for. The
program has one name, however it was started: usage, messages and completion say `bzzz-agent` also
where a host runs it as `python3 -m bzzz_core.cli`.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

import click


class Program(click.Group):
    """A group whose commands are known by name and place, besides those that are its own."""

    def __init__(self, *args: Any, lazy: Mapping[str, str], **how: Any) -> None:
        """Take the commands to load later: name -> "module:attribute"."""
        super().__init__(*args, **how)
        assert self.name is not None
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help page."""
        return sorted({*super().list_commands(ctx), *self._lazy})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one command."""
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self._lazy[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def main(self, *args: Any, **how: Any) -> Any:
        """Run the command that was called, or answer a shell that completes a word."""
        asked = os.environ.get(completion_variable(str(self.name)))
        if asked:
            self._complete(asked)
        how.setdefault("prog_name", self.name)
        return super().main(*args, **how)

    def _complete(self, asked: str) -> NoReturn:
        from bzzz_core.commands.completion import answer

        sys.exit(answer(self, asked))


def completion_variable(program: str) -> str:
    """Return the environment variable by which a shell asks a program to complete a word."""
    return f"_{program}_COMPLETE".replace("-", "_").upper()
