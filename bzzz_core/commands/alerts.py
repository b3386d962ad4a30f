"""`bzzz-agent alerts`: what this node has found to be wrong."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import click

from bzzz_core.commands.options import CONFIG, JSON, local_config, reports_errors

_WRONG: Final = 1


@click.command()
@CONFIG
@JSON
@click.option("--rules", is_flag=True, help="Print the rules as Prometheus reads them instead.")
@reports_errors
def alerts(config_path: Path, *, as_json: bool, rules: bool) -> None:
    """Show what this node has found to be wrong; exit 1 if any of it is more than information."""
    from bzzz_core.api.client import call

    config = local_config(config_path)
    if rules:
        click.echo(call(config, "GET", "/v1/alerts/rules")["rules"], nl=False)
        return
    document = call(config, "GET", "/v1/alerts")
    click.echo(_json(document) if as_json else _text(document))
    if any(one["severity"] != "info" for one in document["alerts"]):
        sys.exit(_WRONG)


def _json(document: dict[str, Any]) -> str:
    import json

    return json.dumps(document)


def _text(document: dict[str, Any]) -> str:
    if not document["enabled"]:
        return "this node looks for no alerts (resources.monitoring.alerts.enabled)"
    if not document["alerts"]:
        return "no alerts"
    return "\n".join(
        f"{one['severity']:<9}{one['id']}\n"
        f"         {one['words']}\n"
        f"         since {one['since_at']}\n"
        f"         {one['next_step']}"
        for one in document["alerts"]
    )
