"""`bzzz-agent run` and `bzzz-agent status`: the service itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from bzzz_core.commands.options import CONFIG, JSON, SET, local_config, reports_errors


@click.command()
@CONFIG
@SET
@reports_errors
def run(config_path: Path, flags: Sequence[str]) -> None:
    """Run the agent until SIGTERM or SIGINT."""
    from bzzz_core import agent
    from bzzz_core.shared_config.node_sources import NodeSources

    agent.run(NodeSources.at(config_path, flags=flags))


@click.command()
@CONFIG
@JSON
@reports_errors
def status(config_path: Path, *, as_json: bool) -> None:
    """Ask the running agent how it and the cluster are."""
    import msgspec

    from bzzz_core.api.text import ask, render

    document = ask(local_config(config_path))
    click.echo(msgspec.json.encode(document) if as_json else render(document))
