"""Words completed by a shell, asked for as the scripts of `completion` ask: by the environment.

What is suggested where is tried without a shell; that a real bash understands it, with bash.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import bzzz_core.cli
import bzzz_tui.cli
from bzzz_core.commands.completion import SHELLS
from bzzz_core.config.key_names import KEYS
from bzzz_core.config.leaf import Leaf, catalogue
from bzzz_core.config.schema import AgentConfig
from bzzz_core.telemetry.components import ALL
from tests.arch.tree import ROOT

PROGRAMS = {"bzzz-agent": bzzz_core.cli.main, "bzzz-tui": bzzz_tui.cli.main}
MODULES = {"bzzz-agent": "bzzz_core.cli", "bzzz-tui": "bzzz_tui.cli"}
HEAVY = ("asyncio", "cryptography", "httpx", "nats", "pydantic", "ssl", "textual")


def environment(config: Path, **more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name != "SHELL"}
    return {**inherited, "PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(config), **more}


def asked(
    shell: str, words: str, config: Path, **override: str
) -> subprocess.CompletedProcess[str]:
    """Ask as the script of a shell does, with the cursor behind `words`."""
    program = words.split(maxsplit=1)[0]
    before = words.split()
    if words.endswith(" "):
        before.append("")
    last = before[-1] if shell == "fish" else str(len(before) - 1)
    said = {"COMP_WORDS": words, "COMP_CWORD": last}
    variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
    return subprocess.run(
        [sys.executable, "-m", MODULES[program]],
        env=environment(config, **(said | override), **{variable: f"{shell}_complete"}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def suggested(words: str, config: Path) -> list[str]:
    """Return the words that bash is given, or the kind of path it shall look for itself."""
    done = asked("bash", words, config)
    assert (done.returncode, done.stderr) == (0, "")
    pairs = [line.partition(",") for line in done.stdout.splitlines() if line]
    return [value if kind == "plain" else kind for kind, _, value in pairs]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """An operator's directory with two clusters, an unfinished one, and a theme."""
    for place in ("clusters/prod/profile.yaml", "clusters/test/profile.yaml", "themes/mine.yaml"):
        (tmp_path / "bzzz" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "bzzz" / place).touch()
    (tmp_path / "bzzz" / "clusters" / "begun").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("bzzz-tui mo", ["monitor"]),
        ("bzzz-tui monitor --re", ["--refresh", "--record", "--replay"]),
        ("bzzz-tui monitor --cluster ", ["prod", "test"]),
        ("bzzz-tui monitor --once --cluster p", ["prod"]),
        ("bzzz-tui monitor --view al", ["alerts"]),
        ("bzzz-tui --theme bzzz-h", ["bzzz-hc"]),
        ("bzzz-tui demo --theme m", ["mine"]),
        ("bzzz-tui monitor --profile ", ["file"]),
        ("bzzz-tui monitor --demo-state ", ["dir"]),
        ("bzzz-agent lea", ["leader", "leave"]),
        ("bzzz-agent leader t", ["transfer"]),
        ("bzzz-agent status --config ", ["file"]),
        ("bzzz-agent logs show --level w", ["warning"]),
        ("bzzz-agent logs show --component he", ["health"]),
        ("bzzz-agent logs level le", ["leadership"]),
        ("bzzz-agent logs level r", ["registry", "renewal", "roster", "reset"]),
        ("bzzz-agent logs level fabric ", ["debug", "info", "warning", "error", "reset"]),
        ("bzzz-agent config show resources.l", ["resources.log_level"]),
        ("bzzz-agent config set services.prof", ["services.profile"]),
        ("bzzz-agent config set services.profile s", ["staging"]),
        ("bzzz-agent config set services.profile staging cluster.fail", ["cluster.failover"]),
        ("bzzz-agent dht use h", ["hybrid"]),
        ("bzzz-agent completion ", list(SHELLS)),
        ("bzzz-agent config set no.such.key ", []),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_suggested(words: str, expected: list[str], config: Path) -> None:
    assert suggested(words, config) == expected


def test_every_view_that_there_is_and_no_other_is_suggested(config: Path) -> None:
    found = suggested("bzzz-tui monitor --view ", config)
    assert found[:3] == ["overview", "nodes", "peers"]
    assert not {"tasks", "node"} & set(found)


def test_every_component_is_suggested_with_what_it_writes_about(config: Path) -> None:
    done = asked("zsh", "bzzz-agent logs show --component ", config)
    lines = done.stdout.splitlines()
    assert dict(zip(lines[1::3], lines[2::3], strict=True)) == ALL


def test_fish_is_given_words_and_what_they_mean(config: Path) -> None:
    done = asked("fish", "bzzz-agent logs level fabric re", config)
    assert done.stdout == "plain,reset\tas configured again\n"


@pytest.mark.parametrize("shell", ["fish", "zsh"])
def test_a_value_behind_its_option_is_completed_as_one_word(shell: str, config: Path) -> None:
    """Zsh would put the bare value in the place of option and value."""
    done = asked(shell, "bzzz-tui monitor --view=al", config)
    assert "--view=alerts" in done.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_nothing_is_written_across_the_line_that_somebody_types(shell: str, config: Path) -> None:
    """Whatever the shell says of the words, and however it may have changed since."""
    for wrong in (
        {"COMP_WORDS": ""},
        {"COMP_CWORD": "x"},
        {"COMP_WORDS": "bzzz-agent no --x "},
        {"COMP_WORDS": 'bzzz-agent "open'},
    ):
        done = asked(shell, "bzzz-agent status ", config, **wrong)
        assert done.stderr == ""
    (config / "bzzz" / "themes" / "mine.yaml").unlink()
    (config / "bzzz" / "themes").rmdir()
    (config / "bzzz" / "themes").write_text("no directory")
    done = asked(shell, "bzzz-tui --theme bzzz-d", config)
    assert (done.returncode, done.stderr) == (0, "")
    assert "bzzz-dark" in done.stdout


OF_ALL_COMMANDS = f"""
import os, sys
def refuse(event, arguments):
    if event.startswith(("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn")):
        print(event, file=sys.stderr, flush=True)
        os._exit(1)
sys.addaudithook(refuse)
import click
from bzzz_core.cli import main as agent
from bzzz_tui.cli import main as tui
waiting = [(main, click.Context(main)) for main in (agent, tui)]
count = 0
for command, context in waiting:
    count += sum(len(one.shell_complete(context, "")) for one in command.params)
    for name in command.list_commands(context) if isinstance(command, click.Group) else ():
        inner = command.get_command(context, name)
        waiting.append((inner, click.Context(inner, parent=context, info_name=name)))
print(count, *(name for name in {HEAVY} if name in sys.modules))
"""


def test_no_word_of_any_command_is_suggested_by_asking_somebody() -> None:
    """All of them in one process, which a socket or a new process ends."""
    done = subprocess.run(
        [sys.executable, "-c", OF_ALL_COMMANDS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    count, *heavy = done.stdout.split()
    assert int(count) > len(KEYS)
    assert heavy == []


def words_of(leaf: Leaf) -> tuple[str, ...]:
    if bool in leaf.kinds:
        return ("true", "false")
    return tuple(choice for choice in leaf.choices if isinstance(choice, str))


def test_the_copied_keys_are_those_of_the_schema() -> None:
    wanted = {key: words_of(leaf) for key, leaf in catalogue(AgentConfig).items()}
    text = "\n".join(f'    "{key}": {words},' for key, words in wanted.items())
    assert wanted == KEYS, f"write into bzzz_core/config/key_names.py, and format it:\n{text}"
    assert [*wanted] == [*KEYS]


def in_bash(directory: Path, line: str) -> list[str]:
    """Return what bash would offer, or put in, at the end of a line."""
    program, *_ = words = [*line.split(), *([""] if line.endswith(" ") else [])]
    started = directory / program
    started.write_text(f'#!/bin/sh\nexec {sys.executable} -m {MODULES[program]} "$@"\n')
    started.chmod(0o755)
    script = f"""
        source <({program} completion bash)
        COMP_WORDS=({" ".join(shlex.quote(word) for word in words)})
        COMP_CWORD={len(words) - 1}
        function=$(complete -p {program} | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
        $function {program}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    path = f"{directory}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env=environment(directory, PATH=path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("bzzz-agent lead", ["leader"]),
        ("bzzz-agent logs level fabric ", ["debug", "info", "warning", "error", "reset"]),
        ("bzzz-tui monitor --view = al", ["alerts"]),
        ("bzzz-tui monitor --view =", ["overview", "nodes"]),
        ("bzzz-tui --theme bzzz-d", ["bzzz-dark"]),
    ],
)
def test_bash_itself_completes(line: str, expected: list[str], tmp_path: Path) -> None:
    """`--view=al` comes as three words from bash, which breaks lines at `=`."""
    assert in_bash(tmp_path, line)[: len(expected)] == expected


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_is_for_its_shell_and_program(
    program: str, shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHELL", f"/usr/bin/{shell}")
    named, present = (
        CliRunner().invoke(PROGRAMS[program], ["completion", *words]) for words in ([shell], [])
    )
    assert named.exit_code == 0
    assert named.stdout == present.stdout
    assert f"_{program.replace('-', '_').upper()}_COMPLETE={shell}_complete" in named.stdout
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=named.stdout, text=True, check=True, timeout=60)


def test_an_unknown_shell_has_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/csh")
    done = CliRunner().invoke(PROGRAMS["bzzz-tui"], ["completion"])
    assert done.exit_code == 2
    assert "bash, fish, zsh" in done.stderr


def test_a_program_has_one_name_however_it_is_started() -> None:
    for program, module in MODULES.items():
        done = subprocess.run(
            [sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=True
        )
        assert done.stdout.startswith(f"Usage: {program} [OPTIONS]")
