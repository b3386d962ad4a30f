"""`bzzz-agent config secret`: the encrypted vault of a host without a keyring."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bzzz_core.commands.options import JSON, SECRETS_DIRECTORY, reports_errors

if TYPE_CHECKING:
    from bzzz_core.config.secrets import Secret

_BYTES_MAX = 65_536


@click.group()
def secret() -> None:
    """Secrets in the encrypted vault, which the configuration calls `vault:NAME`."""


@secret.command("set")
@SECRETS_DIRECTORY
@click.option(
    "--passphrase",
    "with_passphrase",
    is_flag=True,
    help="If the vault is made now: lock it with a passphrase instead of a key file.",
)
@click.argument("name")
@reports_errors
def secret_set(directory: Path, name: str, *, with_passphrase: bool) -> None:
    """Put a secret into the vault; the value comes from standard input or a prompt."""
    from bzzz_core.clock import utc_now
    from bzzz_core.trust.vault import Vault

    vault = Vault(directory, passphrase=_ask_passphrase)
    if not vault.exists:
        vault.create(with_passphrase=with_passphrase)
    vault.put(name, _read_value(name), at=utc_now())
    click.echo(f"vault:{name}")


@secret.command("list")
@SECRETS_DIRECTORY
@JSON
@reports_errors
def secret_list(directory: Path, *, as_json: bool) -> None:
    """Print the names in the vault and when each was put in; no value."""
    import msgspec

    from bzzz_core.trust.vault import Vault

    found = Vault(directory).entries()
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        for name, at in found.items():
            click.echo(f"{at}  vault:{name}")


@secret.command("remove")
@SECRETS_DIRECTORY
@click.argument("name")
@reports_errors
def secret_remove(directory: Path, name: str) -> None:
    """Take a secret out of the vault."""
    from bzzz_core.errors import SecretError
    from bzzz_core.trust.vault import Vault

    if not Vault(directory).remove(name):
        raise SecretError(f"the vault has no entry {name}")
    click.echo(f"vault:{name} removed")


def _read_value(name: str) -> Secret:
    from bzzz_core.config.secrets import Secret
    from bzzz_core.errors import SecretError

    if sys.stdin.isatty():
        return Secret(click.prompt(f"Value of {name}", hide_input=True, confirmation_prompt=True))
    content = sys.stdin.buffer.read(_BYTES_MAX + 1)
    if len(content) > _BYTES_MAX:
        raise SecretError(f"the value is larger than {_BYTES_MAX} bytes")
    try:
        return Secret(content.decode("utf-8").removesuffix("\n"))
    except UnicodeDecodeError:
        raise SecretError("the value is not UTF-8 text") from None


def _ask_passphrase() -> Secret:
    from bzzz_core.config.secrets import Secret
    from bzzz_core.errors import SecretError

    if not sys.stdin.isatty():
        raise SecretError("this vault wants a passphrase: run this at a terminal")
    return Secret(click.prompt("Passphrase of the vault", hide_input=True))
