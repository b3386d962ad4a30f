"""What several commands share: their options and how they fail."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

import click

from bzzz_core.errors import BzzzError

if TYPE_CHECKING:
    from bzzz_core.config.schema import AgentConfig

P = ParamSpec("P")
_INTERRUPTED = 130
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_FOUND_BY = ("version", "network", "security", "resources.paths")

CONFIG_FILE = Path("/etc/bzzz/agent.yaml")
SECRETS = Path("/etc/bzzz/secrets")
CONFIG = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=CONFIG_FILE,
    show_default=True,
    help="This node's configuration file.",
)
SECRETS_DIRECTORY = click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=SECRETS,
    show_default=True,
    help="Where the node's keys are kept.",
)
SET = click.option(
    "--set",
    "flags",
    multiple=True,
    metavar="KEY=VALUE",
    help="A value that goes before environment and file; may be given several times.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def seconds(ctx: click.Context, param: click.Parameter, value: str) -> int:
    """Return the seconds of a number with a unit: 90s, 30m, 1h, 7d."""
    number, unit = value[:-1], value[-1:]
    if unit not in _UNITS or not number.isascii() or not number.isdigit() or len(number) > 6:  # noqa: PLR2004
        message = f"{value!r} is no duration such as 90s, 30m, 1h, 7d"
        raise click.BadParameter(message, ctx=ctx, param=param)
    return int(number) * _UNITS[unit]


def local_config(path: Path) -> AgentConfig:
    """Return what this machine's agent is found by; say on standard error what else is wrong.

    The agent may have run for weeks when its file is spoilt; asking it must still work then.

    Raises:
        ConfigError: What is wrong is where the agent listens, or where its token and data are.
    """
    from bzzz_core.config.sources import AgentSources

    found, passed_over = AgentSources(path=path).load_what_can_be(_FOUND_BY)
    for line in passed_over:
        click.echo(f"bzzz-agent: warning: {line}", err=True)
    if passed_over:
        click.echo("bzzz-agent: warning: with these the agent would not start again", err=True)
    return found.config


def reports_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Turn an expected failure into one line and its exit code; a bug keeps its traceback."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except BzzzError as exc:
            click.echo(f"bzzz-agent: {exc}", err=True)
            sys.exit(exc.exit_code)
        except KeyboardInterrupt:
            sys.exit(_INTERRUPTED)

    return run
