"""`bzzz-agent token`: what lets a machine join."""

from __future__ import annotations

from pathlib import Path

import click

from bzzz_core.commands.options import CONFIG, JSON, local_config, reports_errors, seconds


@click.group()
def token() -> None:
    """Tokens with which machines join, each good for one machine, once."""


@token.command("create")
@CONFIG
@click.option(
    "--ttl",
    callback=seconds,
    default="1h",
    show_default=True,
    help="How long it lives: 90s, 30m, 1h, 7d.",
)
@JSON
@reports_errors
def token_create(config_path: Path, ttl: int, *, as_json: bool) -> None:
    """Make a join token and print it; it is a secret until it is used."""
    import msgspec

    from bzzz_core.api.client import call

    made = call(local_config(config_path), "POST", "/v1/tokens", {"ttl_s": ttl})
    if as_json:
        click.echo(msgspec.json.encode(made))
        return
    click.echo(made["token"])
    click.echo(
        f"token {made['id']}, good until {made['expires_at']}; on the new machine:", err=True
    )
    click.echo("  bzzz-agent join --name NAME --address ADDRESS   # and paste it", err=True)


@token.command("list")
@CONFIG
@JSON
@reports_errors
def token_list(config_path: Path, *, as_json: bool) -> None:
    """List the tokens that are known, without their secrets."""
    import msgspec

    from bzzz_core.api.client import call

    tokens = call(local_config(config_path), "GET", "/v1/tokens")
    if as_json:
        click.echo(msgspec.json.encode(tokens))
        return
    click.echo(f"{'token':<18} {'state':<10} {'expires':<26} {'made on':<20} used by")
    for one in tokens:
        click.echo(
            f"{one['id']:<18} {one['state']:<10} {one['expires_at']:<26}"
            f" {one['created_by']:<20} {one['used_by'] or '-'}"
        )


@token.command("revoke")
@click.argument("token_id", metavar="TOKEN")
@CONFIG
@reports_errors
def token_revoke(token_id: str, config_path: Path) -> None:
    """Withdraw a token by its id (not by the token itself)."""
    from bzzz_core.api.client import call
    from bzzz_core.errors import RequestInvalid

    if len(token_id) != 16 or not token_id.isalnum():  # noqa: PLR2004
        raise RequestInvalid("a token's id has 16 characters; `bzzz-agent token list` shows them")
    call(local_config(config_path), "DELETE", f"/v1/tokens/{token_id}")
    click.echo(f"token {token_id} is withdrawn")
