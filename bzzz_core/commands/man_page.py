"""The manual page of a program, made from its commands, so that it says what they do.

What commands cannot say of themselves (files, environment, examples) is an `About`. An option that
three commands or more have in the same words is described once, ahead of them; each command still
names it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import click

from bzzz_core import __version__
from bzzz_core.commands import roff
from bzzz_core.commands.exit_codes import EXIT_CODES

_MANY: Final = 3
_OPTION: Final = re.compile(r"(--?[A-Za-z][\w-]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a page says besides what the commands say."""

    description: str
    """Paragraphs, with an empty line between; words between backticks are what is typed."""
    examples: tuple[tuple[str, str], ...]
    """Command line -> what it does."""
    files: tuple[tuple[str, str], ...]
    """Path -> what is in it."""
    environment: tuple[tuple[str, str], ...]
    """Variable -> what it does."""
    see_also: tuple[str, ...]
    """Other pages, as `name(section)`."""


@dataclass(frozen=True, slots=True)
class _Described:
    """A command with the words that call it."""

    words: str
    command: click.Command
    context: click.Context

    @property
    def options(self) -> list[tuple[str, str]]:
        """Return names and help of its options, as its help page shows them."""
        records = (
            one.get_help_record(self.context)
            for one in self.command.params
            if isinstance(one, click.Option)
        )
        return [record for record in records if record is not None]

    @property
    def arguments(self) -> list[str]:
        """Return its arguments as its usage shows them."""
        return [
            one.make_metavar(self.context)
            for one in self.command.params
            if isinstance(one, click.Argument)
        ]


def man_page(program: click.Group, about: About) -> str:
    """Return the page of a program as roff."""
    main, *commands = _described(program)
    counted = Counter(option for each in commands for option in each.options)
    of_many = [option for option, count in counted.items() if count >= _MANY]
    name, summary = main.words, _first_sentence(main.command)
    return roff.page(
        [
            rf".\" Made by: {name} man. A test compares.",
            roff.title(name, version=__version__),
            *roff.PLAINLY,
            roff.heading("NAME"),
            rf"{roff.escaped(name)} \- {roff.escaped(summary)}",
            roff.heading("SYNOPSIS"),
            _synopsis(main),
            roff.heading("DESCRIPTION"),
            *roff.paragraphs(about.description),
            roff.heading("OPTIONS"),
            *_items(option for option in main.options if option not in of_many),
            *roff.item(f"{roff.bold('-h')}, {roff.bold('--help')}", _HELP),
            roff.subheading("Of many commands"),
            *_items(of_many),
            roff.heading("COMMANDS"),
            *(line for each in commands for line in _command(each, of_many)),
            *_pairs("EXIT STATUS", ((str(code), text) for code, text in EXIT_CODES.items())),
            *_pairs("FILES", about.files),
            *_pairs("ENVIRONMENT", about.environment),
            *_pairs("EXAMPLES", about.examples),
            roff.heading("SEE ALSO"),
            ",\n".join(_reference(page) for page in about.see_also),
        ]
    )


_HELP: Final = "Show the help of the program or of a command, and end."


def _described(program: click.Group) -> Iterator[_Described]:
    """Yield the program itself, then every command that is no secret, groups before what is in."""
    waiting = [_Described(str(program.name), program, click.Context(program))]
    while waiting:
        each = waiting.pop()
        yield each
        if isinstance(each.command, click.Group):
            found = []
            for name in each.command.list_commands(each.context):
                inner = each.command.get_command(each.context, name)
                if inner is not None and not inner.hidden:
                    context = click.Context(inner, parent=each.context, info_name=name)
                    found.append(_Described(f"{each.words} {name}", inner, context))
            waiting += reversed(found)


def _first_sentence(command: click.Command) -> str:
    """Return what a command does, as the line NAME wants it."""
    sentence = " ".join((command.help or "").split()).partition(". ")[0].rstrip(".")
    return sentence[:1].lower() + sentence[1:]


def _synopsis(main: _Described) -> str:
    pieces = main.command.collect_usage_pieces(main.context)
    return " ".join([roff.bold(main.words), *(roff.italic(piece) for piece in pieces)])


def _command(each: _Described, of_many: list[tuple[str, str]]) -> Iterator[str]:
    words = each.words.partition(" ")[2]
    yield roff.subheading(" ".join([words, *each.arguments]))
    yield from roff.paragraphs(each.command.help or "")
    yield from _items(option for option in each.options if option not in of_many)
    also = [names.partition(" ")[0] for names, text in each.options if (names, text) in of_many]
    if also:
        yield ".PP"
        yield f"Also {', '.join(roff.bold(name) for name in also)}."


def _items(options: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> Iterator[str]:
    for names, text in options:
        yield from roff.item(_term(names), text)


def _term(names: str) -> str:
    """Return the names of an option bold, and what it takes in italics."""
    parts = (part.strip(" ") for part in _OPTION.split(names))
    marked = (
        roff.bold(part) if _OPTION.fullmatch(part) else part if part == "," else roff.italic(part)
        for part in parts
        if part
    )
    return " ".join(marked).replace(" ,", ",")


def _pairs(head: str, pairs: Iterator[tuple[str, str]] | tuple[tuple[str, str], ...]) -> list[str]:
    lines = [line for term, text in pairs for line in roff.item(roff.bold(term), text)]
    return [roff.heading(head), *lines]


def _reference(page: str) -> str:
    name, _, section = page.partition("(")
    return rf"{roff.bold(name)}({section}"
