"""`bzzz-agent logs`: what this node has written down, and how much it writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bzzz_core.commands.options import CONFIG, JSON, local_config, reports_errors, seconds
from bzzz_core.commands.suggestions import component_or_level, components, levels

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bzzz_core.api.event_documents import LogPage
    from bzzz_core.config.schema import AgentConfig
    from bzzz_core.telemetry.log_line import LogLine

_LEVELS = ("debug", "info", "warning", "error")
_RESET = "reset"
_POLL_S = 0.5
_AGAIN_S = 2.0


@click.group()
def logs() -> None:
    """What this node has written down, and how much it writes."""


@logs.command("show")
@CONFIG
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, until interrupted.")
@click.option(
    "--lines",
    type=click.IntRange(1, 1_000),
    default=50,
    show_default=True,
    help="How many of the newest lines.",
)
@click.option("--level", type=click.Choice(_LEVELS), help="At least this.")
@click.option(
    "--component",
    shell_complete=components,
    help="Of one part only, as `logs level` lists them.",
)
@click.option("--text", default="", help="With this in the words or fields, in whatever case.")
@click.option("--regex", is_flag=True, help="The text is a regular expression.")
@click.option("--trace", default="", help="Of one request: 32 digits, the same on all nodes.")
@click.option("--since", default="", help="From then on: 10m ago, or 2026-01-31T12:00:00Z.")
@click.option("--until", default="", help="Up to then: the same.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@reports_errors
def logs_show(config_path: Path, *, follow: bool, as_json: bool, lines: int, **wish: Any) -> None:
    """Show lines of this node's log, the newest last; of its files, if no agent runs."""
    for name in ("since", "until"):
        wish[name] = _moment(wish[name], name)
    config = local_config(config_path)
    page = _ask(config, {**wish, "limit": lines})
    if page is None:
        _print(_from_files(config, wish, lines), as_json=as_json)
    else:
        _print(page.lines, as_json=as_json)
        if not page.complete:
            click.echo("bzzz-agent: older lines were not all looked at; narrow it down", err=True)
    if follow:
        _follow(config, wish, page, as_json=as_json)


@logs.command("level")
@CONFIG
@click.argument("component", required=False, shell_complete=component_or_level)
@click.argument("level", required=False, shell_complete=levels)
@click.option("--for", "for_s", callback=seconds, default="0s", help="How long: 90s, 30m, 1h, 7d.")
@JSON
@reports_errors
def logs_level(
    config_path: Path, component: str | None, level: str | None, for_s: int, *, as_json: bool
) -> None:
    """Show how much is written down, or have COMPONENT write down LEVEL for a while.

    LEVEL is debug, info, warning, error, or reset: as configured again. Without COMPONENT it holds
    for all parts of BZZZ. It ends with the agent, or after --for.
    """
    import msgspec

    from bzzz_core.api.client import call
    from bzzz_core.api.log_operations import LevelsDocument
    from bzzz_core.api.log_text import render_levels
    from bzzz_core.commands.config_change import who

    if level is None and component in {*_LEVELS, _RESET}:
        component, level = None, component
    config = local_config(config_path)
    if level is None:
        if for_s:
            raise click.UsageError("--for needs a level")
        answer = call(config, "GET", "/v1/logs/levels")
    else:
        if level not in {*_LEVELS, _RESET}:
            raise click.UsageError(f"{level!r} is none of {', '.join(_LEVELS)}, {_RESET}")
        wish = {
            "component": component or "",
            "level": None if level == _RESET else level,
            "for_s": for_s or None,
            "by": who(),
        }
        answer = call(config, "PUT", "/v1/logs/level", wish)
    if as_json:
        click.echo(msgspec.json.encode(answer))
        return
    document = msgspec.convert(answer, LevelsDocument)
    known = {one.component for one in document.components}
    if component is not None and component not in known:
        from bzzz_core.config.nearest import nearest

        raise click.UsageError(
            f"no part of BZZZ is called {component}{nearest(component, sorted(known))}"
        )
    click.echo(render_levels(document, of=component))


def _moment(text: str, name: str) -> str:
    """Return a time as questions name it, of a time or of how long ago it was."""
    from datetime import timedelta

    from bzzz_core.clock import utc_instant

    if not text or text[-1] not in "smhd":
        return text
    context = click.get_current_context()
    parameter = next(one for one in context.command.params if one.name == name)
    ago = timedelta(seconds=seconds(context, parameter, text))
    return (utc_instant() - ago).isoformat(timespec="milliseconds")


def _ask(config: AgentConfig, query: dict[str, Any]) -> LogPage | None:
    """Return what the agent answers; None if there is none to ask."""
    from urllib.parse import urlencode

    import msgspec

    from bzzz_core.api.client import call
    from bzzz_core.api.event_documents import LogPage
    from bzzz_core.errors import NotEnrolled, RateLimited, SecretError, TransportError

    given = {
        name: "true" if value is True else value
        for name, value in query.items()
        if value not in {"", None, False} or name == "after"
    }
    try:
        answer = call(config, "GET", f"/v1/logs?{urlencode(given)}")
    except RateLimited:
        raise
    except (TransportError, NotEnrolled, SecretError):
        return None
    try:
        return msgspec.convert(answer, LogPage)
    except msgspec.ValidationError as exc:
        raise TransportError(f"the agent's answer is not understood: {exc}") from exc


def _from_files(config: AgentConfig, wish: dict[str, Any], lines: int) -> tuple[LogLine, ...]:
    from bzzz_core.errors import TransportError
    from bzzz_core.telemetry.log_search import in_files, wanted

    directory = Path(config.resources.paths.logs)
    checked = wanted(**{name: value or type(value)() for name, value in wish.items() if value})
    if not any(directory.glob("agent*.log*")):
        raise TransportError(f"no agent answers, and there is no log to be read in {directory}")
    click.echo(f"bzzz-agent: no agent answers; from the files in {directory}", err=True)
    return in_files(directory, checked, limit=lines, search_s_max=60.0).lines


def _follow(
    config: AgentConfig, wish: dict[str, Any], page: LogPage | None, *, as_json: bool
) -> None:
    """Print what comes, through the agent's ends and starts."""
    import time

    told = page is None
    life, after = (page.life, page.next) if page else ("", 0)
    while True:
        time.sleep(_POLL_S if page else _AGAIN_S)
        page = _ask(config, {**wish, "after": after, "limit": 1_000})
        if page is None:
            if not told:
                click.echo("bzzz-agent: the agent does not answer; waiting for it", err=True)
            told = True
            continue
        told = False
        if page.life != life and life:  # Another life counts anew: everything in it is new.
            life, after = page.life, 0
            continue
        if page.lost:
            click.echo(f"bzzz-agent: {page.lost} lines came faster than they were read", err=True)
        _print(page.lines, as_json=as_json)
        life, after = page.life, page.next


def _print(lines: Iterable[LogLine], *, as_json: bool) -> None:
    import msgspec

    from bzzz_core.api.log_text import render_line

    for line in lines:
        click.echo(msgspec.json.encode(line) if as_json else render_line(line))
