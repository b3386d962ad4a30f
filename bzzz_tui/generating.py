"""The options of `bzzz-tui setup --generate`, and the way from them to the texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from bzzz_core.errors import ConfigError

Command = TypeVar("Command", bound=Callable[..., Any])
_DIRECTORY: Final = click.Path(path_type=Path, file_okay=False)
# The kinds of `deploy.generate.texts`, which `--help` need not load.
KINDS: Final = ("agent-yaml", "all", "compose", "env", "kubernetes", "swarm", "systemd")
_OPTIONS: Final = (
    click.option(
        "--generate",
        "kind",
        type=click.Choice(KINDS),
        help="Write what others can run the cluster by; ask no host.",
    ),
    click.option("--image", help="With --generate: the container image, which you have to build."),
    click.option(
        "--pull-policy",
        type=click.Choice(["always", "missing", "never"]),
        help="With --generate: when the image is fetched.",
    ),
    click.option(
        "--pull-secret", help="With --generate: Kubernetes Secret of the registry's login."
    ),
    click.option("--python", help="With --generate: path of the hosts' Python, for systemd."),
    click.option("--cluster-id", help="With --generate: for agent-yaml, if not set up from here."),
    click.option(
        "--enrolled", type=_DIRECTORY, help="With --generate: what the nodes said of themselves."
    ),
    click.option("--output", type=_DIRECTORY, help="With --generate: where the files go."),
    click.option("--force", is_flag=True, help="With --generate: replace files that differ."),
)


def generating(command: Command) -> Command:
    """Give a command these options; all but `kind` are the fields of `command.Wanted`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def refuse_without_kind(options: Mapping[str, object]) -> None:
    """Return if none of the options is given, for they mean nothing without `--generate`.

    Raises:
        ConfigError: One is.
    """
    given = next((name for name, value in options.items() if value), None)
    if given is not None:
        raise ConfigError(f"--{given.replace('_', '-')} is for --generate")


def generate(answers: Path | None, kind: str, options: Mapping[str, Any]) -> int:
    """Print or write the texts of a kind and return the exit code.

    Raises:
        ConfigError: Answers or options cannot be, or a file is in the way.
    """
    if answers is None:
        raise ConfigError("--generate needs --answers FILE, and no other mode beside it")
    from bzzz_core.deploy.generate.command import Wanted, run  # noqa: PLC0415

    return run(
        answers,
        kind,
        Wanted(**options),
        say=lambda text: click.echo(text, nl=False),
        note=lambda line: click.echo(line, err=True),
    )
