"""`completion`: lets a shell complete the words of a program.

The scripts and the way they ask are click's own (`click.shell_completion`): the shell runs the
program with the words typed so far in its environment and reads what may come next. So a key that
is pressed costs one start of the program: what suggests words reads small files at most, and never
asks an agent.
"""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import Final

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    get_completion_class,
    shell_complete,
)

from bzzz_core.commands.program import completion_variable

SHELLS: Final = ("bash", "fish", "zsh")
_STANDARD_ERROR: Final = 2


@add_completion_class
class _Bash(BashComplete):
    """Bash, which gives `--view=nodes` as three words."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one that is completed, and that one."""
        args, incomplete = super().get_completion_args()
        return [word for word in args if word != "="], incomplete


class _InOneWord(ShellComplete):
    """A shell that puts in what it is given for all of `--view=no`, not for what is behind `=`."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """Return whole words."""
        found = super().get_completions(args, incomplete)
        option, equals, _ = incomplete.partition("=")
        if not (equals and option.startswith("-")):
            return found
        return [
            CompletionItem(f"{option}={item.value}", help=item.help)
            for item in found
            if item.type == "plain"
        ]


@add_completion_class
class _Zsh(_InOneWord, ZshComplete):
    """Zsh."""


@add_completion_class
class _Fish(_InOneWord, FishComplete):
    """Fish."""


def answer(program: click.Group, asked: str) -> int:
    """Print what a shell asked for, and return the exit code.

    While somebody types, nothing that goes wrong may be written across their line: not the reason,
    no traceback, not even that of Ctrl+C.
    """
    if asked.endswith("_complete"):
        os.dup2(os.open(os.devnull, os.O_WRONLY), _STANDARD_ERROR)
    name = str(program.name)
    return shell_complete(program, {}, name, completion_variable(name), asked)


def completion_of(program: str) -> click.Command:
    """Return the command `completion` of a program."""

    @click.command("completion", help=_HELP.format(program=program))
    @click.argument("shell", type=click.Choice(SHELLS), required=False)
    @click.pass_context
    def completion(context: click.Context, *, shell: str | None) -> None:
        kind = get_completion_class(shell or _present_shell())
        assert kind is not None
        root = context.find_root().command
        click.echo(kind(root, {}, program, completion_variable(program)).source(), nl=False)

    return completion


_HELP: Final = """Print the script by which a shell completes words.

It completes commands, options, names and files. Without SHELL it is for the one that $SHELL names.
One line installs it for all shells to come:

\b
bash   echo 'eval "$({program} completion bash)"' >> ~/.bashrc
zsh    echo 'eval "$({program} completion zsh)"' >> ~/.zshrc
fish   {program} completion fish > ~/.config/fish/completions/{program}.fish

In zsh, `compinit` has to have run before that line.
"""


def _present_shell() -> str:
    name = PurePath(os.environ.get("SHELL", "")).name
    if name not in SHELLS:
        raise click.UsageError(f"name a shell: {', '.join(SHELLS)}")
    return name


completion: Final = completion_of("bzzz-agent")
