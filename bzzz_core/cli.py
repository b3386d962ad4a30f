"""`bzzz-agent`: the headless program of a node.

Imports happen inside the commands, so that `--help` costs little and a command that needs no
network loads none.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec

import click

from bzzz_core import __version__
from bzzz_core.errors import BzzzError

P = ParamSpec("P")
_CONFIG = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("/etc/bzzz/agent.yaml"),
    show_default=True,
    help="This node's configuration file.",
)


def _reports_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Turn an expected failure into one line and its exit code; a bug keeps its traceback."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except BzzzError as exc:
            click.echo(f"bzzz-agent: {exc}", err=True)
            sys.exit(exc.exit_code)

    return run


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bzzz-agent")
def main() -> None:
    """Run and inspect one BZZZ node."""


@main.command()
@_CONFIG
@_reports_errors
def run(config_path: Path) -> None:
    """Run the agent until SIGTERM or SIGINT."""
    from bzzz_core import agent
    from bzzz_core.config.sources import load_agent_config

    agent.run(load_agent_config(config_path))


@main.group()
def fabric() -> None:
    """The node's message broker."""


@fabric.command("run")
@_CONFIG
@_reports_errors
def fabric_run(config_path: Path) -> None:
    """Run this node's nats-server and restart it if it dies."""
    from bzzz_core import agent
    from bzzz_core.config.sources import load_agent_config

    agent.run_fabric(lambda: load_agent_config(config_path))


@main.group()
def node() -> None:
    """This node's identity."""


@node.command("init")
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/etc/bzzz/secrets"),
    show_default=True,
    help="Where the keys are kept; existing keys are kept.",
)
@_reports_errors
def node_init(directory: Path) -> None:
    """Make this node's keys and print its certificate requests as one line of JSON."""
    import msgspec

    from bzzz_core.trust.enrol import init_node

    click.echo(msgspec.json.encode(init_node(directory)))


@node.command("install")
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/etc/bzzz/secrets"),
    show_default=True,
    help="Where `node init` made the keys.",
)
@_reports_errors
def node_install(directory: Path) -> None:
    """Put issued certificates (JSON on standard input) beside the keys they belong to."""
    from bzzz_core.trust.enrol import install_bundle

    install_bundle(directory, sys.stdin.buffer.read(1_000_000))


@main.command()
@_CONFIG
@click.option("--json", "as_json", is_flag=True, help="Print the status document as JSON.")
@_reports_errors
def status(config_path: Path, *, as_json: bool) -> None:
    """Ask the running agent how it and the cluster are."""
    import msgspec

    from bzzz_core.api.text import ask, render
    from bzzz_core.config.sources import load_agent_config

    document = ask(load_agent_config(config_path))
    click.echo(msgspec.json.encode(document) if as_json else render(document))


@main.group()
def config() -> None:
    """This node's configuration."""


@config.command("validate")
@_CONFIG
@_reports_errors
def config_validate(config_path: Path) -> None:
    """Check the configuration file and the environment laid over it."""
    from bzzz_core.config.sources import load_agent_config

    load_agent_config(config_path)
    click.echo(f"{config_path}: valid")


if __name__ == "__main__":
    main()
