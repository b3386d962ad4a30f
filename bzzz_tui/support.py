"""`bzzz-tui support-bundle FILE`: what happened on this machine, for somebody who helps."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bzzz_core.errors import BzzzError


@click.command("support-bundle")
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--cluster", help="Name of the cluster; needed if there are several.")
@click.option(
    "--answers",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Answers file whose secrets are to be looked for as well.",
)
def support_bundle(target: Path, *, cluster: str | None, answers: Path | None) -> None:
    """Write answers, journals, logs and versions into an archive, without any secret."""
    from bzzz_core.deploy.support_texts import write_bundle  # noqa: PLC0415

    try:
        count, name = write_bundle(target, cluster=cluster, answers=answers)
    except BzzzError as exc:
        click.echo(f"bzzz-tui: {exc}", err=True)
        sys.exit(exc.exit_code)
    click.echo(f"{count} files about {name} in {target}; look through it before you send it")
