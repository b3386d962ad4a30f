"""`bzzz-agent api`: what this machine's agent offers to programs."""

from __future__ import annotations

from pathlib import Path

import click

from bzzz_core.commands.options import CONFIG, JSON, local_config, reports_errors


@click.group()
def api() -> None:
    """What the agent's API offers, and to whom."""


@api.command("openapi")
@CONFIG
@reports_errors
def api_openapi(config_path: Path) -> None:
    """Print the description of the running agent's API (OpenAPI 3.1)."""
    import msgspec

    from bzzz_core.api.client import call

    document = call(local_config(config_path), "GET", "/v1/openapi.json")
    click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2))


@api.command("routes")
@CONFIG
@JSON
@reports_errors
def api_routes(config_path: Path, *, as_json: bool) -> None:
    """Print every route: method, path, permission, least role, what it does."""
    import msgspec

    from bzzz_core.api.client import call
    from bzzz_core.api.openapi import routes
    from bzzz_core.config.report import as_lines

    found = sorted(
        routes(call(local_config(config_path), "GET", "/v1/openapi.json")),
        key=lambda route: (route[1], route[0]),
    )
    if as_json:
        names = ("method", "path", "permission", "role", "summary")
        click.echo(msgspec.json.encode([dict(zip(names, one, strict=True)) for one in found]))
    else:
        click.echo(as_lines(found))


@api.command("whoami")
@CONFIG
@JSON
@reports_errors
def api_whoami(config_path: Path, *, as_json: bool) -> None:
    """Print the name, role and permissions of the token that this machine's commands use."""
    import msgspec

    from bzzz_core.api.client import call

    found = call(local_config(config_path), "GET", "/v1/whoami")
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        click.echo(f"{found['name']} ({found['role']}): {' '.join(found['permissions'])}")
