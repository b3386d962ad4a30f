"""`bzzz-tui setup --answers FILE` with a mode: from the command line to the deploy engine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bzzz_core.config.schema import ClusterSpec
from bzzz_core.config.sources import load_answers
from bzzz_core.deploy import headless, last_answers
from bzzz_core.deploy.detached.place import live_runs
from bzzz_core.deploy.detached.start import refuse_second
from bzzz_core.errors import ConfigError
from bzzz_tui import attaching

if TYPE_CHECKING:
    from bzzz_core.deploy.headless import Mode
    from bzzz_core.deploy.wishes import Wishes


def run(
    answers: Path, *, mode: Mode, yes: bool, as_json: bool, detach: bool, wishes: Wishes
) -> int:
    """Run setup without a screen and return the exit code; keep the answers of a good run.

    Raises:
        PreconditionFailed: A run of the cluster goes on by itself.
        ConfigError: The answers want to be asked for in part, and nobody can be asked here.
    """

    def confirm(question: str) -> bool:
        return click.confirm(question, err=True)

    spec = _readable(answers)
    if spec is not None and spec.interactive_sections:
        raise ConfigError(
            "interactive_sections are asked by the wizard: leave out --check, --plan and --apply,"
            " or take them out of the answers"
        )
    if spec is not None and mode == "apply":
        live = live_runs(cluster=spec.cluster.name)
        if live and sys.stdin.isatty() and confirm(f"Run {live[0].id} is at work; follow it?"):
            return attaching.watch(live[0], as_json=as_json)
        refuse_second(spec.cluster.name)
    if detach and spec is not None:
        return attaching.start_and_watch(spec, wishes, as_json=as_json)
    code = headless.main(
        answers,
        mode=mode,
        yes=yes,
        as_json=as_json,
        confirm=confirm if sys.stdin.isatty() else None,
        wishes=wishes,
    )
    if mode == "apply" and code == 0 and spec is not None:
        last_answers.keep(spec)
    return code


def _readable(answers: Path) -> ClusterSpec | None:
    """Return the answers, or None: the engine then says what is wrong, as an event too."""
    try:
        return load_answers(answers)
    except ConfigError:
        return None
