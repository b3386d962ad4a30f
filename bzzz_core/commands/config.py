"""`bzzz-agent config`: this node's configuration, and what is set for the whole cluster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bzzz_core.commands.config_explain import config_explain
from bzzz_core.commands.config_secret import secret
from bzzz_core.commands.options import CONFIG, JSON, SET, local_config, reports_errors
from bzzz_core.commands.suggestions import keys as known_keys
from bzzz_core.commands.suggestions import keys_and_values

if TYPE_CHECKING:
    from bzzz_core.config.schema import AgentConfig

CLUSTER = click.option(
    "--cluster", "for_cluster", is_flag=True, help="For the whole cluster, through its leader."
)


@click.group()
def config() -> None:
    """This node's configuration."""


config.add_command(secret)
config.add_command(config_explain)


@config.command("schema")
@click.option("--answers", is_flag=True, help="Of the answers file of setup instead.")
def config_schema(*, answers: bool) -> None:
    """Print the JSON Schema of the node's file."""
    from bzzz_core.config.report import json_schema
    from bzzz_core.config.schema import AgentConfig, ClusterSpec

    model, name = (ClusterSpec, "answers") if answers else (AgentConfig, "agent")
    _print_json(json_schema(model, name), pretty=True)


@config.command("validate")
@CONFIG
@SET
@reports_errors
def config_validate(config_path: Path, flags: Sequence[str]) -> None:
    """Check the configuration file and what is laid over and below it."""
    from bzzz_core.shared_config.node_sources import NodeSources

    NodeSources.at(config_path, flags=flags).load()
    click.echo(f"{config_path}: valid")


@config.command("test")
@CONFIG
@JSON
@click.argument("pairs", nargs=-1, metavar="[KEY VALUE]...", shell_complete=keys_and_values)
@reports_errors
def config_test(config_path: Path, pairs: Sequence[str], *, as_json: bool) -> None:
    """Try values against this node, or what its sources say now; changes nothing.

    Secrets must be readable, directories writable, ports free, addresses this machine's. Says what
    a restart would be due for. The running agent tries it, with its own rights; without one this
    command does, with yours.
    """
    from bzzz_core.commands.config_change import try_changes

    if len(pairs) % 2:
        raise click.UsageError("write KEY VALUE pairs")
    answer = try_changes(config_path, dict(zip(pairs[::2], pairs[1::2], strict=True)))
    if as_json:
        _print_json(answer)
    else:
        for one in answer["checks"]:
            click.echo(f"{one['state']:<8} {one['name']}: {one['words']}")
        for one in answer["applied"]:
            click.echo(f"taken at once: {_words(one)}")
        _say_state(answer)
    if not answer["ok"]:
        raise click.exceptions.Exit(1)


@config.command("show")
@CONFIG
@SET
@JSON
@click.option("--running", is_flag=True, help="What the running agent works with, as it says.")
@click.argument("key", required=False, shell_complete=known_keys)
@reports_errors
def config_show(
    config_path: Path, flags: Sequence[str], key: str | None, *, as_json: bool, running: bool
) -> None:
    """Print the effective values and where each one comes from; KEY narrows it down.

    Values that wait for a restart of the agent are named, if the agent can be asked.
    """
    from bzzz_core.config.report import settings, show
    from bzzz_core.shared_config.node_sources import NodeSources

    if running:
        live = _ask_or_none(local_config(config_path), required=True)
        found = _settings_of(live)
    else:
        loaded = NodeSources.at(config_path, flags=flags).load()
        live = _ask_or_none(loaded.config, required=False)
        found = settings(loaded.config, loaded.origins)
    found = tuple(one for one in found if _at_or_below(one.key, key))
    if not found:
        from bzzz_core.config.leaf import catalogue
        from bzzz_core.config.schema import AgentConfig
        from bzzz_core.config.sources import leaf_of

        leaf_of(catalogue(AgentConfig), str(key))
    state = {name: live[name] for name in ("waiting", "refused")} if live else {}
    if as_json:
        _print_json({"file": str(config_path), "settings": found, **state})
        return
    click.echo(show(found))
    _say_state(state)


@config.command("env")
@CONFIG
@SET
@JSON
@reports_errors
def config_env(config_path: Path, flags: Sequence[str], *, as_json: bool) -> None:
    """Print every environment variable and who says its value at present."""
    from bzzz_core.config.report import show_variables, variables
    from bzzz_core.shared_config.node_sources import NodeSources

    found = variables(NodeSources.at(config_path, flags=flags).load().origins)
    if as_json:
        _print_json(found)
    else:
        click.echo(show_variables(found))


@config.command("diff")
@CONFIG
@SET
@JSON
@click.option(
    "--with",
    "other",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Compare with another file instead of with the defaults.",
)
@click.option("--running", is_flag=True, help="Compare with what the running agent works with.")
@reports_errors
def config_diff(
    config_path: Path, flags: Sequence[str], other: Path | None, *, as_json: bool, running: bool
) -> None:
    """Print what differs: from the defaults, from another file, or from the running agent."""
    from bzzz_core.config.changes import differences
    from bzzz_core.config.report import differences as documents
    from bzzz_core.config.report import from_defaults, from_running, show_differences
    from bzzz_core.config.sources import AgentSources
    from bzzz_core.shared_config.node_sources import NodeSources

    loaded = NodeSources.at(config_path, flags=flags).load()
    if running:
        live = _ask_or_none(loaded.config, required=True)
        found = from_running(loaded.config, _settings_of(live))
    elif other:
        found = documents(
            differences(AgentSources(path=other, environment={}).load().config, loaded.config)
        )
    else:
        found = from_defaults(loaded)
    if as_json:
        _print_json(found)
    else:
        click.echo(show_differences(found) or "no difference")


@config.command("set")
@CONFIG
@CLUSTER
@JSON
@click.option("--revision", help="Refuse if this is not the present revision any more.")
@click.argument(
    "pairs",
    nargs=-1,
    required=True,
    metavar="KEY VALUE [KEY VALUE]...",
    shell_complete=keys_and_values,
)
@reports_errors
def config_set(
    config_path: Path,
    pairs: Sequence[str],
    revision: str | None,
    *,
    for_cluster: bool,
    as_json: bool,
) -> None:
    """Set values, all or none, and let the running agent take them.

    An empty VALUE means "not set" where that can be; `config unset` takes a key out.
    """
    if len(pairs) % 2:
        raise click.UsageError("write KEY VALUE pairs")
    changes: dict[str, str | None] = dict(zip(pairs[::2], pairs[1::2], strict=True))
    _change(config_path, changes, revision, for_cluster=for_cluster, as_json=as_json)


@config.command("unset")
@CONFIG
@CLUSTER
@JSON
@click.argument("keys", nargs=-1, required=True, metavar="KEY...", shell_complete=known_keys)
@reports_errors
def config_unset(
    config_path: Path, keys: Sequence[str], *, for_cluster: bool, as_json: bool
) -> None:
    """Take keys out, so that what lies below holds again: cluster-wide value or default."""
    _change(config_path, dict.fromkeys(keys), None, for_cluster=for_cluster, as_json=as_json)


@config.command("history")
@CONFIG
@JSON
@click.argument("key", required=False, shell_complete=known_keys)
@reports_errors
def config_history(config_path: Path, key: str | None, *, as_json: bool) -> None:
    """Print who changed what for the whole cluster, newest first; KEY narrows it down."""
    from urllib.parse import quote

    from bzzz_core.api.client import call
    from bzzz_core.config.value import as_text
    from bzzz_core.enrolled import node_names

    mine = local_config(config_path)
    path = "/v1/config/history" + (f"?key={quote(key)}" if key else "")
    found = call(mine, "GET", path)
    if as_json:
        _print_json(found)
        return
    names = node_names(mine)
    for one in found:
        node = names.get(one["node"], one["node"])
        click.echo(
            f"{one['number']:>5}  {one['at']}  {one['key']}: {as_text(one['before']) or '-'}"
            f" -> {as_text(one['after']) or '-'}  ({one['by']}, node {node})"
        )


@config.command("migrate")
@CONFIG
@reports_errors
def config_migrate(config_path: Path) -> None:
    """Rewrite a file of an older schema; the old one is kept beside it."""
    from bzzz_core.shared_config.node_sources import NodeSources

    written = NodeSources.at(config_path).change({})
    if written.backup is None:
        click.echo(f"{config_path} is of the newest schema; nothing to do")
    else:
        click.echo(f"{config_path} is of the newest schema now; the old one is {written.backup}")
    _say_lost(written.comments_lost)


def _change(
    path: Path,
    changes: dict[str, str | None],
    revision: str | None,
    *,
    for_cluster: bool,
    as_json: bool,
) -> None:
    from bzzz_core.commands.config_change import change_cluster, change_node

    answer = (change_cluster if for_cluster else change_node)(path, changes, revision)
    if as_json:
        _print_json(answer)
        return
    for one in answer["applied"]:
        click.echo(f"applied: {_words(one)}")
    _say_state(answer)
    for note in answer["notes"]:
        click.echo(note)


def _say_state(state: dict[str, Any]) -> None:
    for one in state.get("waiting", ()):
        click.echo(f"restart needed: {_words(one)}")
    if state.get("refused"):
        click.echo(f"the running agent refused it: {state['refused']}", err=True)


def _say_lost(comments: int) -> None:
    if comments:
        click.echo(f"{comments} comments could not be kept", err=True)


def _words(one: dict[str, Any]) -> str:
    from bzzz_core.config.value import as_text

    return f"{one['key']}: {as_text(one['old']) or '-'} -> {as_text(one['new']) or '-'}"


def _ask_or_none(config: AgentConfig, *, required: bool) -> dict[str, Any]:
    """Return what the agent says of its configuration; empty if it does not run."""
    from bzzz_core.api.client import call
    from bzzz_core.errors import BzzzError

    try:
        document = call(config, "GET", "/v1/config", timeout_s=3)
    except BzzzError:
        if required:
            raise
        return {}
    return document if isinstance(document, dict) else {}


def _settings_of(live: dict[str, Any]) -> tuple[Any, ...]:
    import msgspec

    from bzzz_core.config.report import Setting
    from bzzz_core.errors import TransportError

    try:
        return msgspec.convert(live.get("settings"), tuple[Setting, ...])
    except msgspec.ValidationError as exc:
        raise TransportError(f"the agent's answer is not understood: {exc}") from exc


def _at_or_below(key: str, above: str | None) -> bool:
    return not above or key == above or key.startswith(f"{above}.")


def _print_json(document: object, *, pretty: bool = False) -> None:
    import msgspec

    text = msgspec.json.encode(document)
    click.echo(msgspec.json.format(text, indent=2) if pretty else text)
