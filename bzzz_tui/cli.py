"""`bzzz-tui`: setup, monitor and demo from an operator's terminal.

Imports happen inside the commands: `--help` loads click alone (120 ms of CPU at most), plain-text
modes load no Textual, and the terminal is judged before Textual is imported.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import click

from bzzz_core import __version__
from bzzz_core.commands.program import Program
from bzzz_core.deploy import core_dumps
from bzzz_core.errors import BzzzError, ConfigError
from bzzz_tui import (
    attaching,
    day_two,
    generating,
    headless,
    releasing,
    setup_ways,
    suggestions,
    writing_answers,
)

if TYPE_CHECKING:
    from textual.screen import Screen

    from bzzz_tui.feed.rotation import Pace
    from bzzz_tui.recording.format import Recording
    from bzzz_tui.terminal import Terminal
    from screens.app import BzzzApp, First

P = ParamSpec("P")
_FILE = click.Path(path_type=Path, dir_okay=False)
_DIRECTORY = click.Path(path_type=Path, file_okay=False)
_THEME = click.option(
    "--theme",
    shell_complete=suggestions.themes,
    help="Colours: bzzz-dark, -light, -hc, -cb or -ansi.",
)
_ASCII = click.option("--ascii", "ascii_only", is_flag=True, help="Draw with ASCII only.")


def _reports_errors(command: Callable[P, int]) -> Callable[P, None]:
    """Exit with the command's code; an expected failure is one line, a bug keeps its traceback."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            code = command(*args, **kwargs)
        except BzzzError as exc:
            click.echo(f"bzzz-tui: {exc}", err=True)
            code = exc.exit_code
        except BrokenPipeError:
            code = _reader_gone()
        except ExceptionGroup as group:
            if group.split(BrokenPipeError)[1] is not None:
                raise
            code = _reader_gone()
        sys.exit(code)

    return run


def _reader_gone() -> int:
    """Return 0: whoever read our lines (`head`, say) has enough of them.

    Python flushes once more at exit, and would complain about that to the terminal.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


@click.group(
    "bzzz-tui",
    cls=Program,
    lazy={
        "completion": "bzzz_tui.shell_commands:completion",
        "kit": "bzzz_tui.kit_commands:kit",
        "man": "bzzz_tui.shell_commands:man",
        "support-bundle": "bzzz_tui.support:support_bundle",
    },
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="bzzz-tui")
@_THEME
@_ASCII
@click.pass_context
def main(context: click.Context, *, theme: str | None, ascii_only: bool) -> None:
    """Install a BZZZ cluster over SSH, watch it live, or try one on this machine.

    Without a command a start screen offers the three.
    """
    if context.invoked_subcommand is None:
        _start(theme=theme, ascii_only=ascii_only)


@_reports_errors
def _start(*, theme: str | None, ascii_only: bool) -> int:
    def first(app: BzzzApp) -> Screen[None]:
        from screens.start import StartScreen

        return StartScreen(app.glyphs)

    return _run_app(first, theme=theme, ascii_only=ascii_only)


@main.command()
@click.option("--answers", type=_FILE, help="Answers file (YAML); without it the wizard asks.")
@headless.modes
@click.option("--name", help="Name of the cluster, instead of the answers file's.")
@releasing.releasing
@click.option("--express", is_flag=True, help="Ask only for hosts, login and AI.")
@writing_answers.writing_answers
@generating.generating
@day_two.parting
@attaching.attaching
@_THEME
@_ASCII
@_reports_errors
def setup(
    *,
    answers: Path | None,
    mode: str | None,
    name: str | None,
    express: bool,
    kind: str | None,
    theme: str | None,
    ascii_only: bool,
    **options: Any,
) -> int:
    """Install a cluster on your hosts: the wizard, or headless with --answers and a mode."""
    core_dumps.forbid()
    way = setup_ways.take(
        setup_ways.Asked(answers=answers, mode=mode, name=name, express=express, kind=kind),
        options,
    )
    if isinstance(way, int):
        return way

    def first(app: BzzzApp) -> Screen[None]:
        from screens.setup.opening import open_attached, open_wizard

        if way is not None:
            return open_attached(app, way.run)
        return open_wizard(app, answers=answers, name=name, express=express)

    return _run_app(first, theme=theme, ascii_only=ascii_only)


@main.command()
@click.option(
    "--cluster",
    shell_complete=suggestions.clusters,
    help="Name of a cluster that setup installed.",
)
@click.option("--profile", type=_FILE, help="A cluster profile elsewhere.")
@click.option("--demo-state", type=_DIRECTORY, help="Directory of a running demo.")
@click.option("--once", is_flag=True, help="Print the present state and end; 3 if nobody answers.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one document a line.")
@click.option("--plain", is_flag=True, help="Print lines instead of taking over the screen.")
@click.option(
    "--view",
    default="overview",
    show_default=True,
    shell_complete=suggestions.views,
    help="The view to begin with.",
)
@click.option("--filter", "query", default="", help="Show only what this finds: state=down cpu>80.")
@click.option("--write", "allow_changes", is_flag=True, help="Allow changes of the cluster.")
@click.option(
    "--refresh",
    type=click.FloatRange(1, 3600),
    default=1.0,
    show_default=True,
    help="Seconds between two questions.",
)
@click.option("--record", type=_FILE, help="Write down what is watched, for --replay.")
@click.option("--replay", type=_FILE, help="Show a recording instead of a cluster.")
@click.option(
    "--speed",
    type=click.FloatRange(0.1, 1000),
    default=1.0,
    show_default=True,
    help="With --replay: how many times as fast as it was.",
)
@_THEME
@_ASCII
@_reports_errors
def monitor(
    *,
    cluster: str | None,
    profile: Path | None,
    demo_state: Path | None,
    once: bool,
    as_json: bool,
    plain: bool,
    view: str,
    query: str,
    allow_changes: bool,
    refresh: float,
    record: Path | None,
    replay: Path | None,
    speed: float,
    theme: str | None,
    ascii_only: bool,
) -> int:
    """Watch a cluster live, or a recording. It only reads, unless it is told --write."""
    from bzzz_tui.feed.opening import Target
    from bzzz_tui.feed.rotation import Pace

    if sum(given is not None for given in (cluster, profile, demo_state, replay)) > 1:
        raise ConfigError("give one of --cluster, --profile, --demo-state and --replay")
    if record is not None and (replay is not None or once):
        raise ConfigError("--record is for watching a live cluster: not with --replay or --once")
    target = Target(cluster=cluster, profile=profile, demo_state=demo_state, record=record)
    recording = None if replay is None else _recording(replay)
    pace = Pace(refresh_ms=round(refresh * 1_000))
    terminal = _terminal(theme=theme, plain=plain or once or as_json, ascii_only=ascii_only)
    if terminal.plain:
        from bzzz_core.clock import SystemClock
        from bzzz_tui import plain as text

        if as_json and (query or view != "overview"):
            raise ConfigError("--json prints the whole status; it takes no --view and no --filter")
        how = text.How(once=once, as_json=as_json, view=view, query=query)
        clock = SystemClock()
        if recording is not None:
            return text.replay(
                recording, clock=clock, pace=pace, speed=speed, how=how, write=click.echo
            )
        return text.run(target, clock=clock, pace=pace, how=how, write=click.echo)
    from bzzz_tui.monitor.views import known_view

    known_view(view)

    def first(app: BzzzApp) -> Screen[None]:
        if recording is not None:
            return app.replay(recording, speed=speed, view=view, query=query)
        return app.monitor(target, view=view, query=query)

    return _run_app(first, theme=theme, ascii_only=ascii_only, pace=pace, write=allow_changes)


@main.command()
@click.option(
    "--agents",
    type=click.IntRange(1, 32),
    default=3,
    show_default=True,
    help="How many nodes; 1, 3 or 5 of them vote.",
)
@click.option("--headless", is_flag=True, help="No screen: print what happens.")
@click.option("--for", "seconds", type=click.FloatRange(min=0), help="End after SECONDS.")
@click.option("--do", "script", help="Break and heal nodes by a script; with --headless.")
@click.option("--state-dir", type=_DIRECTORY, help="Keep the cluster's files here.")
@click.option("--record", type=_FILE, help="Write down what is watched, for monitor --replay.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
@_THEME
@_ASCII
@_reports_errors
def demo(
    *,
    agents: int,
    headless: bool,
    seconds: float | None,
    script: str | None,
    state_dir: Path | None,
    record: Path | None,
    as_json: bool,
    theme: str | None,
    ascii_only: bool,
) -> int:
    """Run a real cluster on this machine's loopback, watch it, and break it on purpose."""
    from bzzz_core.demo.faults import parse

    steps = () if script is None else parse(script)
    terminal = _terminal(theme=theme, plain=headless or as_json, ascii_only=ascii_only)
    if terminal.plain:
        if record is not None:
            raise ConfigError(
                "demo --record is for the screen; record a headless demo with: monitor --record"
            )
        from bzzz_core.demo.headless import run_headless

        return run_headless(
            agents=agents, seconds=seconds, state_dir=state_dir, as_json=as_json, steps=steps
        )
    if steps:
        raise ConfigError("--do needs --headless; on the screen there are keys for it")

    def first(app: BzzzApp) -> Screen[None]:
        from screens.demo import demo_monitor

        return demo_monitor(app, agents=agents, seconds=seconds, state_dir=state_dir, record=record)

    return _run_app(first, theme=theme, ascii_only=ascii_only)


def _recording(path: Path) -> Recording:
    from bzzz_tui.recording.format import load

    return load(path)


@main.command()
@click.option("--markdown", is_flag=True, help="Print docs/keys.md, without your own keys.")
@_reports_errors
def keys(*, markdown: bool) -> int:
    """List all keys and commands, and what is wrong with your keys.yaml."""
    from bzzz_core.config.profile_places import home
    from bzzz_tui import key_list, keymap
    from bzzz_tui.actions import ACTIONS

    if markdown:
        click.echo(key_list.markdown(), nl=False)
        return 0
    mine = keymap.load(home() / keymap.FILE, ACTIONS)
    for line in key_list.lines(mine):
        click.echo(line)
    return 2 if mine.problems else 0


def _terminal(*, theme: str | None, plain: bool, ascii_only: bool) -> Terminal:
    from bzzz_tui import terminal as terminals

    if theme is not None:
        from bzzz_tui.theme_choice import named

        theme = named(theme).name
    return terminals.decide(
        os.environ,
        is_tty=sys.stdin.isatty() and sys.stdout.isatty(),
        theme=theme,
        plain=plain,
        ascii_only=ascii_only,
        encoding=sys.stdout.encoding,
    )


def _run_app(
    first: First,
    *,
    theme: str | None,
    ascii_only: bool,
    pace: Pace | None = None,
    write: bool = False,
) -> int:
    from bzzz_tui import terminal as terminals

    terminal = _terminal(theme=theme, plain=False, ascii_only=ascii_only)
    if terminal.plain:
        raise ConfigError(
            f"this needs a terminal, but {terminal.reason}; "
            "use: setup --answers FILE --apply, monitor --plain, demo --headless"
        )
    terminals.apply(terminal, os.environ)
    from bzzz_core.clock import SystemClock
    from bzzz_tui.feed.rotation import Pace
    from screens.app import BzzzApp

    app = BzzzApp(
        terminal=terminal,
        clock=SystemClock(),
        pace=pace or Pace(),
        first=first,
        write=write,
    )
    return app.run(mouse=terminal.mouse) or app.return_code or 0


if __name__ == "__main__":
    main()
