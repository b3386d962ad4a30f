"""`bzzz-agent leader`: who leads, why, and who shall."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bzzz_core.commands.options import CONFIG, JSON, local_config, reports_errors

_WAIT_S = 20.0
"""Longer than the agent itself waits for a successor."""


@click.group()
def leader() -> None:
    """Who leads the cluster, and why."""


@leader.command("show")
@CONFIG
@JSON
@reports_errors
def leader_show(config_path: Path, *, as_json: bool) -> None:
    """Show who leads as this node sees it, the voters, and whose votes it ignores."""
    from datetime import UTC, datetime

    from bzzz_core.api.leadership_text import render_leader

    document = _call(config_path, "GET", "/v1/leader")
    _print(document, render_leader(document, now=datetime.now(UTC)), as_json=as_json)


@leader.command("history")
@CONFIG
@JSON
@click.option(
    "--limit",
    type=click.IntRange(1, 100),
    default=10,
    show_default=True,
    help="How many of the last leaderships to show.",
)
@click.option("--votes", is_flag=True, help="Also what this node answered candidates, and why.")
@reports_errors
def leader_history(config_path: Path, *, as_json: bool, limit: int, votes: bool) -> None:
    """Show the last leaderships: when, why they began and ended, who voted how."""
    from datetime import UTC, datetime

    from bzzz_core.api.leadership_text import render_history

    document = _call(config_path, "GET", "/v1/leader/history")
    text = render_history(document, now=datetime.now(UTC), limit=limit, votes=votes)
    _print(document, text, as_json=as_json)


@leader.command("transfer")
@CONFIG
@JSON
@click.option("--to", metavar="NODE", help="Name or id of the voter that shall lead.")
@reports_errors
def leader_transfer(config_path: Path, *, to: str | None, as_json: bool) -> None:
    """Let the leader hand over to another voter, the fittest unless one is named."""
    document = _wish(config_path, "transfer", {"to": to})
    _print(document, _outcome(document), as_json=as_json)


@leader.command("elect")
@CONFIG
@JSON
@reports_errors
def leader_elect(config_path: Path, *, as_json: bool) -> None:
    """Let this node stand, for want of a leader (failover by hand)."""
    document = _wish(config_path, "elect", {})
    _print(document, _outcome(document), as_json=as_json)


@leader.command("release")
@CONFIG
@click.argument("node")
@reports_errors
def leader_release(config_path: Path, node: str) -> None:
    """Trust the votes of NODE again, on this node."""
    _wish(config_path, "release", {"node": node})
    click.echo(f"{node}: its votes count again on this node")


def _call(config_path: Path, method: str, path: str, body: object | None = None) -> Any:
    from bzzz_core.api.client import call

    return call(local_config(config_path), method, path, body, timeout_s=_WAIT_S)


def _wish(config_path: Path, what: str, body: dict[str, object]) -> Any:
    from bzzz_core.commands.config_change import who

    return _call(config_path, "POST", f"/v1/leader/{what}", {**body, "by": who()})


def _outcome(document: dict[str, Any]) -> str:
    return f"{document['leader']} leads, term {document['term']}"


def _print(document: Any, text: str, *, as_json: bool) -> None:
    if as_json:
        import json

        text = json.dumps(document)
    click.echo(text)
