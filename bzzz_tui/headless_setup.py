"""`bzzz-tui setup --answers FILE` with a mode: from the command line to the deploy engine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from bzzz_core.config.schema import ClusterSpec
from bzzz_core.config.sources import load_answers
from bzzz_core.deploy import headless
from bzzz_core.deploy.detached.place import live_runs
from bzzz_core.deploy.detached.start import refuse_second
from bzzz_core.errors import ConfigError
from bzzz_tui import attaching

if TYPE_CHECKING:
    from bzzz_core.deploy.detached.place import Run
    from bzzz_core.deploy.headless import Mode
    from bzzz_core.deploy.report import Report
    from bzzz_core.deploy.wishes import Wishes

_LINE_BYTES: Final = 4_096
"""What a terminal takes for one line at most."""


def run(
    answers: Path, report: Report, *, mode: Mode, yes: bool, detach: bool, wishes: Wishes
) -> int:
    """Run setup without a screen and return the exit code.

    What speaks against it, a run of the cluster that goes on by itself say, is told as all else.
    """

    def begin() -> int:
        spec = _readable(answers)
        if spec is not None and spec.interactive_sections:
            raise ConfigError(
                "interactive_sections are asked by the wizard: leave out --check, --plan and"
                " --apply, or take them out of the answers"
            )
        if spec is not None and mode == "apply":
            live = live_runs(cluster=spec.cluster.name)
            if live and somebody_there() and _follows(live[0]):
                return attaching.watch(live[0], report)
            refuse_second(spec.cluster.name)
        if detach and spec is not None:
            return attaching.start_and_watch(spec, wishes, report)
        asks = confirm if somebody_there() else None
        return headless.main(answers, report, mode=mode, yes=yes, confirm=asks, wishes=wishes)

    return report.framed(begin)


def somebody_there() -> bool:
    """Return whether a person can be asked; a service manager may have closed standard input."""
    return sys.stdin is not None and sys.stdin.isatty()


def confirm(question: str) -> bool:
    """Ask the person; one who ends the input does not agree.

    Read without the interpreter's buffer: its lock, held by a thread that still waits here when the
    process ends, would be a crash.

    Raises:
        OSError: Nobody reads where the question is printed, or the terminal is gone.
    """
    if sys.stderr is None:  # click would ask nobody, and we wait for the answer
        raise OSError("standard error is closed")
    while True:
        click.echo(f"{question} [y/N]: ", nl=False, err=True)
        line = os.read(sys.stdin.fileno(), _LINE_BYTES)
        match line.decode("utf-8", errors="replace").strip().lower():
            case "y" | "yes":
                return True
            case "" | "n" | "no":
                return False
            case _:
                click.echo("Error: invalid input", err=True)


def _follows(run: Run) -> bool:
    """Return whether the person wants to follow a run instead."""
    try:
        return confirm(f"Run {run.id} is at work; follow it?")
    except OSError:
        return False


def _readable(answers: Path) -> ClusterSpec | None:
    """Return the answers, or None: the engine then says what is wrong, as an event too."""
    try:
        return load_answers(answers)
    except ConfigError:
        return None
