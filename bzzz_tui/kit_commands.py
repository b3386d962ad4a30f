"""`bzzz-tui kit`: the operator's side of a cluster as one encrypted file, for another machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bzzz_core.commands.options import JSON, reports_errors
from bzzz_core.errors import ConfigError

if TYPE_CHECKING:
    from bzzz_core.config.secrets import Secret
    from bzzz_core.deploy.kit import Packed

_FILE = click.Path(path_type=Path, dir_okay=False)
_PASSPHRASE = click.option(
    "--passphrase",
    "reference",
    metavar="REFERENCE",
    help="Where the passphrase is: file:PATH, env:NAME, keyring:NAME; without it, it is asked for.",
)


@click.group()
def kit() -> None:
    """What operates a cluster, as one encrypted file: keep a copy off this machine."""


@kit.command("export")
@click.argument("file", type=_FILE)
@click.option("--cluster", help="Name of the cluster; without it, the only one known here.")
@click.option("--answers", type=_FILE, help="Take this answers file along.")
@_PASSPHRASE
@JSON
@reports_errors
def kit_export(
    file: Path, cluster: str | None, answers: Path | None, reference: str | None, *, as_json: bool
) -> None:
    """Write authorities, token, profile, host keys and answers of a cluster to FILE."""
    from bzzz_core.deploy.kit import export_kit  # noqa: PLC0415

    name = cluster or _only_cluster()
    packed = export_kit(name, file, _passphrase(reference, confirm=True), answers=answers)
    _tell(packed, as_json=as_json, words=f"kit of cluster {name} written to {file}")
    if not as_json:
        click.echo("keep it off this machine, and the passphrase apart from it", err=True)


@kit.command("import")
@click.argument("file", type=_FILE)
@_PASSPHRASE
@JSON
@reports_errors
def kit_import(file: Path, reference: str | None, *, as_json: bool) -> None:
    """Let this machine operate the cluster of a kit; nothing that is here is overwritten."""
    from bzzz_core.deploy.kit import ANSWERS, import_kit  # noqa: PLC0415

    packed = import_kit(file, _passphrase(reference, confirm=False))
    _tell(packed, as_json=as_json, words=f"cluster {packed.cluster} is known in {packed.directory}")
    if as_json:
        return
    for path in packed.missing:
        click.echo(f"not on this machine, bring it yourself: {path}", err=True)
    if ANSWERS in packed.files:
        click.echo(f"next: bzzz-tui setup --answers {packed.directory / ANSWERS} --check", err=True)


def _tell(packed: Packed, *, as_json: bool, words: str) -> None:
    import msgspec  # noqa: PLC0415

    if not as_json:
        click.echo(words)
        return
    said = {
        "cluster": packed.cluster,
        "made_at": packed.made_at,
        "directory": str(packed.directory),
        "files": packed.files,
        "missing": packed.missing,
    }
    click.echo(msgspec.json.encode(said))


def _only_cluster() -> str:
    from bzzz_core.config.profile_places import known_profiles  # noqa: PLC0415

    known = known_profiles()
    if len(known) != 1:
        raise ConfigError(f"say which: --cluster {' or '.join(known) or '(none is known here)'}")
    return known[0]


def _passphrase(reference: str | None, *, confirm: bool) -> Secret:
    from bzzz_core.config import secrets  # noqa: PLC0415

    if reference is not None:
        return secrets.resolve(reference)
    return secrets.Secret(
        click.prompt(
            "Passphrase of the kit", hide_input=True, confirmation_prompt=confirm, err=True
        )
    )
