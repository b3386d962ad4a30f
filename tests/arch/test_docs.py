"""The documentation says what there is: every command, exit code, error code, script and link.

Where it should be said: commands and exit codes in README.md or docs/, scripts in README.md or
CONTRIBUTING.md.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from bzzz_core import errors
from bzzz_core.commands.exit_codes import EXIT_CODES
from tests.arch.tree import ROOT

OPTIONS_OF_MANY = {"--config", "--set", "--theme", "--ascii"}
"""docs/commands.md says these once for all commands that take them."""
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs")


def pages() -> dict[Path, str]:
    """Return path -> text of every page of documentation."""
    paths = [path for page in PAGES for path in (ROOT / page, *sorted((ROOT / page).rglob("*.md")))]
    return {path: path.read_text(encoding="utf-8") for path in paths if path.is_file()}


def commands(program: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """Yield every command below `command`, with the words that call it."""
    yield program, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=program)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None, f"{program} {name} is listed, but cannot be loaded"
            if not inner.hidden:
                yield from commands(f"{program} {name}", inner)


def all_commands() -> dict[str, click.Command]:
    """Return the commands of both programs."""
    found: dict[str, click.Command] = {}
    for program, place in (("bzzz-agent", "bzzz_core.cli"), ("bzzz-tui", "bzzz_tui.cli")):
        main = importlib.import_module(place).main
        assert isinstance(main, click.Command), f"{place}.main is no click command"
        found.update(commands(program, main))
    return found


def test_every_command_is_documented() -> None:
    text = re.sub(r"\s+", " ", " ".join(pages().values()))
    missing = [name for name in all_commands() if not re.search(rf"\b{name}\b", text)]
    assert not missing, f"say what these do in README.md or docs/: {missing}"


def described_options() -> dict[str, set[str]]:
    """Return command -> the options that its rows in docs/commands.md show."""
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `bzzz-")]
    found: dict[str, set[str]] = {name: set() for name in all_commands()}
    for row in rows:
        for span in re.findall(r"`(bzzz-[^`]+)`", row):
            called = [name for name in found if f"{span} ".startswith(f"{name} ")]
            assert called, f"docs/commands.md shows `{span}`, which is no command"
            found[max(called, key=len)] |= set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", span))
    return found


def test_every_option_is_documented_and_every_documented_option_is_there() -> None:
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert all(f"`{option}" in text for option in OPTIONS_OF_MANY)
    wrong = []
    for name, shown in described_options().items():
        options = {
            parameter.opts[0]
            for parameter in all_commands()[name].params
            if isinstance(parameter, click.Option)
        }
        wrong += [f"{name}: say what {one} is for" for one in options - shown - OPTIONS_OF_MANY]
        wrong += [f"{name}: there is no {one}" for one in shown - options]
    assert not wrong, sorted(wrong)


def test_every_command_and_option_explains_itself() -> None:
    silent = [name for name, command in all_commands().items() if not command.help]
    silent += [
        f"{name} {parameter.opts[0]}"
        for name, command in all_commands().items()
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.help
    ]
    assert not silent, f"give these a help text: {silent}"


@pytest.mark.parametrize("code", EXIT_CODES)
def test_exit_code_is_documented(code: int) -> None:
    rows = [line for text in pages().values() for line in text.splitlines() if line.startswith("|")]
    assert any(re.match(rf"\|\s*`?{code}`?\s*\|", row) for row in rows), (
        f"give exit code {code} a row in the table of exit codes"
    )


def error_classes() -> list[type[errors.BzzzError]]:
    """Return every kind of failure but the base."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    return [k for k in kinds if issubclass(k, errors.BzzzError) and k is not errors.BzzzError]


def test_every_error_code_is_documented_with_its_exit_code() -> None:
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", text, re.MULTILINE))
    assert rows == {kind.code: str(kind.exit_code) for kind in error_classes()}


def test_what_may_be_tried_again_ends_a_command_in_one_way() -> None:
    """Whoever scripts commands repeats on 3; after a timeout it must read back first."""
    again = {kind for kind in error_classes() if kind.retryable}
    assert {k for k in again if k.exit_code != errors.UNDONE} == {errors.RequestTimeout}


def test_every_script_is_documented() -> None:
    text = " ".join(text for path, text in pages().items() if path.parent == ROOT)
    names = [path.name for path in (ROOT / "scripts").iterdir() if path.is_file()]
    missing = sorted(name for name in names if f"scripts/{name}" not in text)
    assert not missing, f"name these in README.md or CONTRIBUTING.md: {missing}"


def test_every_link_leads_somewhere() -> None:
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path, text in pages().items()
        for target in re.findall(r"\]\(([^)\s]+)\)", text)
        if not re.match(r"[a-z]+:|#", target)
        and not (path.parent / target.partition("#")[0]).exists()
    ]
    assert not broken, broken


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"])
def test_page_is_there(page: str) -> None:
    assert (ROOT / page).is_file()


@pytest.mark.parametrize("page", ["architecture", "codebase-guide", "glossary", "threat-model"])
def test_document_is_there(page: str) -> None:
    assert (ROOT / "docs" / f"{page}.md").is_file()


def test_decision_records_have_the_four_parts() -> None:
    records = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
    parts = ("## Context", "## Decision", "## Consequences", "## What would change our mind")
    thin = [
        f"{record.name}: {part}"
        for record in records
        for part in parts
        if part not in record.read_text(encoding="utf-8")
    ]
    assert records
    assert not thin, thin
