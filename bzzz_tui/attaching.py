"""The options of `bzzz-tui setup` for runs that go on without a terminal: start, follow, stop."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from bzzz_core.errors import ConfigError

if TYPE_CHECKING:
    from bzzz_core.config.schema import ClusterSpec
    from bzzz_core.deploy.detached.place import Run
    from bzzz_core.deploy.report import Report
    from bzzz_core.deploy.wishes import Wishes

Command = TypeVar("Command", bound=Callable[..., Any])
_OPTIONS: Final = (
    click.option(
        "--attach",
        is_flag=False,
        flag_value="",
        metavar="[RUN]",
        help="Follow a run that goes on by itself, from its beginning; it need not be named.",
    ),
    click.option(
        "--stop", "stops", is_flag=True, help="With --attach: it stops after what it is doing."
    ),
)


@dataclass(frozen=True, slots=True)
class Attaching:
    """Which run is followed."""

    name: str
    stops: bool
    """Whether it is told to stop."""

    @property
    def run(self) -> Run:
        """Return the run, told to stop if it shall.

        Raises:
            ConfigError: There is none, or there are several.
        """
        from bzzz_core.deploy.detached.orders import give  # noqa: PLC0415  --help need not load it
        from bzzz_core.deploy.detached.place import find_run  # noqa: PLC0415
        from bzzz_core.deploy.steering import Stop  # noqa: PLC0415

        run = find_run(self.name)
        if self.stops:
            give(run, Stop())
        return run

    @property
    def on_screen(self) -> bool:
        """Return whether a person watches it, who has other ways to stop it."""
        streams = (sys.stdin, sys.stdout)  # None: closed before we began
        return not self.stops and all(one is not None and one.isatty() for one in streams)


def attaching(command: Command) -> Command:
    """Give a command these options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def taken_out(options: dict[str, Any]) -> Attaching | None:
    """Take these options out of all those of a command; None: no run is to be followed.

    Raises:
        ConfigError: They do not fit together.
    """
    name, stops = options.pop("attach"), options.pop("stops")
    if name is None and stops:
        raise ConfigError("--stop is for --attach; a run at this terminal is stopped by Ctrl-C")
    return None if name is None else Attaching(name, stops)


def watch(run: Run, report: Report) -> int:
    """Print what a run says from its beginning to its end; return its exit code.

    Ctrl-C ends the watching, not the run.
    """
    import asyncio  # noqa: PLC0415  --help need not load it

    from bzzz_core.clock import SystemClock  # noqa: PLC0415
    from bzzz_core.deploy.detached.follow import death_words, follow  # noqa: PLC0415
    from bzzz_core.deploy.detached.start import attach_command  # noqa: PLC0415
    from bzzz_core.deploy.events import Refusal  # noqa: PLC0415
    from bzzz_core.deploy.exits import EXIT_INTERRUPTED  # noqa: PLC0415
    from bzzz_core.deploy.lines import complain  # noqa: PLC0415

    async def whole() -> int | None:
        async for event in follow(run, SystemClock()):
            if isinstance(event, Refusal):
                report.refuse(event)
            else:
                report(event)
        if report.ended:
            return None
        complain(death_words(run))
        return EXIT_INTERRUPTED

    def begin() -> int | None:
        try:
            return asyncio.run(whole())
        except KeyboardInterrupt:
            command = attach_command(run)
            complain(f"run {run.id} goes on; follow it: {command}; stop it: {command} --stop")
            return EXIT_INTERRUPTED

    return report.framed(begin)


def start_and_watch(spec: ClusterSpec, wishes: Wishes, report: Report) -> int:
    """Start applying answers in a process that no terminal ends, and watch it.

    Raises:
        PreconditionFailed: A run of this cluster is at work already.
    """
    from bzzz_core.deploy.detached.start import attach_command, start  # noqa: PLC0415
    from bzzz_core.deploy.lines import complain  # noqa: PLC0415

    run = start(spec, wishes)
    complain(f"run {run.id} goes on if this ends; follow it again: {attach_command(run)}")
    return watch(run, report)
