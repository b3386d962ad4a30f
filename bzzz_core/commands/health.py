"""`bzzz-agent health`: what this machine's agent finds when it looks at itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from bzzz_core.commands.options import CONFIG, JSON, local_config, reports_errors
from bzzz_core.errors import UNDONE

if TYPE_CHECKING:
    from bzzz_core.config.schema import AgentConfig

_AGAIN_S: Final = 0.5
_SICK: Final = 1


@click.command()
@CONFIG
@JSON
@click.option(
    "--wait",
    "wait_s",
    type=click.IntRange(0, 86_400),
    default=0,
    metavar="SECONDS",
    help="Ask again until the node is ready and nothing critical, for at most so long.",
)
@reports_errors
def health(config_path: Path, *, as_json: bool, wait_s: int) -> None:
    """Show every check of the running agent, and whether the node is ready.

    Exit 0: it is. Exit 1: it is, but a check is critical. Exit 3: it is not, or no agent answers.
    """
    import msgspec

    report = _ask(local_config(config_path), wait_s)
    click.echo(msgspec.json.encode(report) if as_json else _text(report))
    sys.exit(_status_of(report))


def _ask(config: AgentConfig, wait_s: float) -> dict[str, Any]:
    """Return the report, as soon as it is one of a node that is well, or when the time is over."""
    import time

    from bzzz_core.api.client import call
    from bzzz_core.errors import TransportError

    until_s = time.monotonic() + wait_s
    while True:
        last = time.monotonic() + _AGAIN_S > until_s
        try:
            report: dict[str, Any] = call(config, "GET", "/health/checks", timeout_s=5)
            if last or not _status_of(report):
                return report
        except TransportError:
            if last:
                raise
        time.sleep(_AGAIN_S)


def _status_of(report: dict[str, Any]) -> int:
    if not (report["live"] and report["ready"]):
        return UNDONE
    return _SICK if any(check["state"] == "critical" for check in report["checks"]) else 0


def _text(report: dict[str, Any]) -> str:
    lines = [
        f"{'live' if report['live'] else 'NOT LIVE'}, {'ready' if report['ready'] else 'NOT READY'}"
    ]
    lines += [f"  {reason}" for reason in report["reasons"]]
    lines.append(f"{'check':<16} {'state':<9} {'took':>8}  what was found")
    for check in report["checks"]:
        took = "-" if check["took_ms"] is None else f"{check['took_ms']:.0f} ms"
        mark = " *" if check["critical"] else ""
        lines.append(f"{check['name']:<16} {check['state']:<9} {took:>8}  {check['words']}{mark}")
    lines.append("* the agent ends itself, to be started anew, if this stays critical")
    return "\n".join(lines)
