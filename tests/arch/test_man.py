"""The manual pages are those of the commands as they are, and roff that every formatter reads.

`bzzz-agent man > docs/man/bzzz-agent.1` and `bzzz-tui man > docs/man/bzzz-tui.1` write them anew.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import bzzz_core.cli
import bzzz_tui.cli
from bzzz_core.commands import man, roff
from bzzz_core.commands.exit_codes import EXIT_CODES
from bzzz_core.commands.man_page import About, man_page
from bzzz_core.config.leaf import catalogue
from bzzz_core.config.schema import AgentConfig
from bzzz_core.deploy import layout
from bzzz_tui import shell_commands
from tests.arch.test_docs import all_commands, error_classes
from tests.arch.tree import ROOT, modules

PROGRAMS: dict[str, tuple[click.Command, About]] = {
    "bzzz-agent": (bzzz_core.cli.main, man.AGENT),
    "bzzz-tui": (bzzz_tui.cli.main, shell_commands.ABOUT),
}
MACROS = {".TH", ".SH", ".SS", ".PP", ".TP", ".nf", ".fi", ".nh", ".ad"}
ESCAPES = re.compile(r"\\(?:-|&|\((?:rs|aq|ga|ha|ti|dq)|f[BIR])")
CHARACTERS_MAX = 200


def faults(text: str) -> list[str]:
    """Return what a formatter would stumble over, or print otherwise than it is meant."""
    lines = [line for line in text.splitlines() if not line.startswith(r".\" ")]
    single = [f"{fault}: {line}" for line in lines for fault in faults_of(line)]
    return [*single, *faults_of_blocks(lines), *faults_of_fonts(text)]


def macro_of(line: str) -> str:
    return line.split(" ", maxsplit=1)[0] if line.startswith(".") else ""


def faults_of(line: str) -> Iterator[str]:
    """Yield what is wrong with one line, whatever is around it."""
    bare = ESCAPES.sub("", line)
    if line.startswith("'") or (macro_of(line) and macro_of(line) not in MACROS):
        yield "no macro of ours; a text that begins so needs \\& before it"
    if "\\" in bare:
        yield "a backslash that is no escape of ours"
    if set(bare) & set("-'`^~") or ('"' in bare and not macro_of(line)):
        yield "a character that roff prints otherwise"
    if not line.isascii() or line != line.rstrip() or not 0 < len(line) <= CHARACTERS_MAX:
        yield "not ASCII, empty, too long, or with spaces at its end"


def faults_of_blocks(lines: list[str]) -> Iterator[str]:
    """Yield where macros do not follow each other as they must."""
    macros = [macro_of(line) for line in lines]
    kept = [macro for macro in macros if macro in {".nf", ".fi"}]
    if kept != [".nf", ".fi"] * (len(kept) // 2):
        yield ".nf and .fi do not alternate"
    for before, after in pairwise([*macros, ".SH"]):
        if (before == ".TP" and after) or (before == ".PP" and after not in {"", ".nf"}):
            yield f"{before} without a text"
        if after == ".SH" and before in {".SH", ".SS", ".nf"}:
            yield f"{before} with nothing below it"


def faults_of_fonts(text: str) -> Iterator[str]:
    fonts = re.findall(r"\\f([BIR])", text)
    if any(font == "R" for font in fonts[::2]) or any(font != "R" for font in fonts[1::2]):
        yield "fonts do not alternate"
    if len(fonts) % 2:
        yield "a font is not closed"


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_page_is_that_of_the_commands(program: str) -> None:
    main, about = PROGRAMS[program]
    assert isinstance(main, click.Group)
    page = (ROOT / "docs" / "man" / f"{program}.1").read_text(encoding="utf-8")
    assert page == man_page(main, about), f"run: {program} man > docs/man/{program}.1"
    assert page == CliRunner().invoke(main, ["man"]).stdout


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_page_names_every_command_and_option(program: str) -> None:
    page = (ROOT / "docs" / "man" / f"{program}.1").read_text(encoding="utf-8")
    for name, command in all_commands().items():
        if name.partition(" ")[0] == program:
            words = roff.escaped(name.partition(" ")[2])
            assert not words or re.search(rf"^\.SS {re.escape(words)}( |$)", page, re.MULTILINE)
            for one in command.params:
                assert not isinstance(one, click.Option) or roff.bold(one.opts[0]) in page


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_page_is_sound(program: str) -> None:
    path = ROOT / "docs" / "man" / f"{program}.1"
    assert faults(path.read_text(encoding="utf-8")) == []
    if shutil.which("groff"):
        formatted = subprocess.run(
            ["groff", "-ww", "-man", "-Tutf8", path], capture_output=True, text=True, check=True
        )
        assert formatted.stderr == ""


@pytest.mark.parametrize(
    "wrong",
    [
        ".config is a directory",
        "'tis",
        r"a\b",
        "a-b",
        "it's",
        "~/x",
        'say "no"',
        "grün",
        ".nf\n.nf",
        ".fi",
        ".TP\n.PP",
        ".SH A\n.SH B",
        r"\fBbold",
        r"\fBbold\fIand italic\fR",
        "space at the end ",
    ],
)
def test_the_check_finds_what_is_wrong(wrong: str) -> None:
    assert faults(f".SH NAME\n{wrong}\n")


def test_text_is_escaped() -> None:
    wild = ".profile isn't C:\\dir, `--all` is ~one^2\n\n\b\n.kept  as\n  'it' is"
    lines = roff.paragraphs(wild)
    assert lines == [
        r"\&.profile isn\(aqt C:\(rsdir, \fB\-\-all\fR is \(tione\(ha2",
        ".PP",
        ".nf",
        r"\&.kept  as",
        r"  \(aqit\(aq is",
        ".fi",
    ]
    assert faults("\n".join([".SH X", *lines])) == []


def test_every_exit_code_means_the_same_everywhere() -> None:
    rows = re.findall(
        r"^\| (\d+) \| (.+) \|$", (ROOT / "docs" / "commands.md").read_text(), re.MULTILINE
    )
    documented = {int(code): re.sub(r" \(\[\w+\]\([^)]*\)\)", "", text) for code, text in rows}
    assert documented == EXIT_CODES
    assert {kind.exit_code for kind in error_classes()} <= set(EXIT_CODES)


def test_files_are_where_the_page_says() -> None:
    named = {Path(path) for path, _ in man.AGENT.files}
    defaults = catalogue(AgentConfig)
    paths = {Path(defaults[f"resources.paths.{one}"].default) for one in ("data", "logs")}
    paths |= {Path(layout.AGENT_CONFIG), Path(layout.SECRETS), Path(layout.CURRENT)}
    assert all(any(path in {one, one.parent} for one in named) for path in paths)


@pytest.mark.parametrize("program", PROGRAMS)
def test_variables_are_read_by_the_program(program: str) -> None:
    about = PROGRAMS[program][1]
    texts = [
        m.path.read_text()
        for m in modules()
        if m.name not in {man.__name__, shell_commands.__name__}
    ]
    for variable, _ in about.environment:
        assert any(f'"{variable.rstrip("*")}"' in text for text in texts), variable


def test_every_short_name_of_a_variable_is_told() -> None:
    short = {name for leaf in catalogue(AgentConfig).values() for name in leaf.environment[1:]}
    assert short
    assert short <= {variable for variable, _ in man.AGENT.environment}


@pytest.mark.parametrize("program", PROGRAMS)
def test_examples_are_commands_that_there_are(program: str) -> None:
    for line, _ in PROGRAMS[program][1].examples:
        first, *words = shlex.split(line)
        assert first == program
        command = PROGRAMS[program][0]
        while isinstance(command, click.Group):
            inner = command.get_command(click.Context(command), words.pop(0))
            assert inner is not None, line
            command = inner
        command.make_context(line, words)
