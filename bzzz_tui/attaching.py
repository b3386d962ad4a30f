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
        return sys.stdin.isatty() and sys.stdout.isatty() and not self.stops


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


def watch(run: Run, *, as_json: bool) -> int:
    """Print what a run says from its beginning to its end; return its exit code.

    Ctrl-C ends the watching, not the run.
    """
    import asyncio  # noqa: PLC0415  --help need not load it

    from bzzz_core.clock import SystemClock  # noqa: PLC0415
    from bzzz_core.deploy import headless  # noqa: PLC0415
    from bzzz_core.deploy.detached.follow import death_words, follow  # noqa: PLC0415
    from bzzz_core.deploy.detached.start import attach_command  # noqa: PLC0415
    from bzzz_core.deploy.events import Refusal, Summary  # noqa: PLC0415
    from bzzz_core.deploy.exits import EXIT_INTERRUPTED  # noqa: PLC0415

    clock = SystemClock()
    sink = headless.json_sink(sys.stdout) if as_json else headless.text_sink(sys.stdout, clock)

    async def whole() -> int:
        code: int | None = None
        async for event in follow(run, clock):
            if isinstance(event, Refusal):
                headless.complain(event.message)
                if as_json:
                    headless.print_json(sys.stdout, event)
                continue
            sink(event)
            code = event.exit_code if isinstance(event, Summary) else code
        if code is None:
            headless.complain(death_words(run))
            code = EXIT_INTERRUPTED
            sink(Summary(hosts=(), exit_code=code, elapsed_ms=0))
        return code

    try:
        return asyncio.run(whole())
    except KeyboardInterrupt:
        command = attach_command(run)
        headless.complain(f"run {run.id} goes on; follow it: {command}; stop it: {command} --stop")
        return EXIT_INTERRUPTED


def start_and_watch(spec: ClusterSpec, wishes: Wishes, *, as_json: bool) -> int:
    """Start applying answers in a process that no terminal ends, and watch it.

    Raises:
        PreconditionFailed: A run of this cluster is at work already.
    """
    from bzzz_core.deploy import headless  # noqa: PLC0415
    from bzzz_core.deploy.detached.start import attach_command, start  # noqa: PLC0415

    run = start(spec, wishes)
    headless.complain(f"run {run.id} goes on if this ends; follow it again: {attach_command(run)}")
    return watch(run, as_json=as_json)
