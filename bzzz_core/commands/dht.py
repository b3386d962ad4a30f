"""`bzzz-agent dht`: the cluster's hash table, through this machine's agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import click

from bzzz_core.commands.options import CONFIG, JSON, local_config, reports_errors
from bzzz_core.errors import EntryRefused


@click.group()
def dht() -> None:
    """The cluster's hash table: values, and who provides what."""


@dht.command("get")
@CONFIG
@click.argument("key")
@click.option(
    "--output", type=click.File("wb"), default="-", help="Where the bytes go; - is standard output."
)
@reports_errors
def dht_get(config_path: Path, key: str, output: BinaryIO) -> None:
    """Print the value under KEY, byte by byte. Exit 1: there is none."""
    import base64

    answer = _ask(config_path, "GET", f"/v1/dht/value?{_query(key)}")
    output.write(base64.b64decode(answer["value"]))


@dht.command("put")
@CONFIG
@click.argument("key")
@click.argument("source", type=click.File("rb"), default="-")
@reports_errors
def dht_put(config_path: Path, key: str, source: BinaryIO) -> None:
    """Store what SOURCE holds, a file or - for standard input, under KEY."""
    from bzzz_core.ports import VALUE_BYTES_MAX

    value = source.read(VALUE_BYTES_MAX + 1)
    if len(value) > VALUE_BYTES_MAX:
        raise EntryRefused(f"a value has at most {VALUE_BYTES_MAX} bytes; this one has more")
    _ask(config_path, "PUT", "/v1/dht/value", {"key": key, "value": value})


@dht.command("provide")
@CONFIG
@click.argument("key")
@click.argument("provider")
@reports_errors
def dht_provide(config_path: Path, key: str, provider: str) -> None:
    """Tell everybody that PROVIDER has what belongs to KEY, for as long as the agent runs."""
    _ask(config_path, "PUT", "/v1/dht/providers", {"key": key, "provider": provider})


@dht.command("withdraw")
@CONFIG
@click.argument("key")
@click.argument("provider")
@reports_errors
def dht_withdraw(config_path: Path, key: str, provider: str) -> None:
    """Take back what this node told by `provide`."""
    _ask(config_path, "DELETE", "/v1/dht/providers", {"key": key, "provider": provider})


@dht.command("providers")
@CONFIG
@JSON
@click.argument("key")
@reports_errors
def dht_providers(config_path: Path, key: str, *, as_json: bool) -> None:
    """Print who provides what belongs to KEY, one a line."""
    answer = _ask(config_path, "GET", f"/v1/dht/providers?{_query(key)}")
    if as_json:
        _print(answer)
    else:
        for provider in answer["providers"]:
            click.echo(provider)


@dht.command("status")
@CONFIG
@JSON
@reports_errors
def dht_status(config_path: Path, *, as_json: bool) -> None:
    """Show which backend answers, how it does, and what waits for the cluster."""
    answer = _ask(config_path, "GET", "/v1/dht")
    if as_json:
        _print(answer)
    else:
        _show(answer)


@dht.command("use")
@CONFIG
@click.argument("backend", type=click.Choice(["mock", "real", "hybrid"]))
@reports_errors
def dht_use(config_path: Path, backend: str) -> None:
    """Let another BACKEND answer on this node until its configuration changes.

    Queued writes still go to the cluster.
    """
    _show(_ask(config_path, "PUT", "/v1/dht/backend", {"backend": backend}))


def _ask(config_path: Path, method: str, path: str, body: object | None = None) -> Any:
    from bzzz_core.api.client import call

    return call(local_config(config_path), method, path, body)


def _query(key: str) -> str:
    from urllib.parse import urlencode

    try:
        return urlencode({"key": key})
    except UnicodeEncodeError as exc:
        raise EntryRefused("the key is no text") from exc


def _show(status: dict[str, Any]) -> None:
    fallback = "falls back to this node" if status["falls_back"] else "does not fall back"
    click.echo(f"backend   {status['backend']}, {fallback}")
    click.echo(f"state     {status['state']}, served by {status['serving']}")
    present, wanted = status.get("replicas_present"), status["replicas"]
    counted = "number not known now," if present is None else f"{present} present,"
    click.echo(f"copies    {counted} {wanted} wanted")
    click.echo(f"queued    {status['queued']} writes, {status['queued_bytes']} bytes")
    for side in ("cluster", "local"):
        figures = status[side]
        rate, mean = figures["error_rate"], figures["mean_ms"]
        known = "nothing asked yet" if rate is None else f"{rate:.1%} failed, {mean:.1f} ms each"
        click.echo(f"{side:<9} {figures['operations']} operations, {known}")
    for kept_at in status["conflicts"]:
        click.echo(f"conflict  our value lies under {kept_at}")


def _print(document: object) -> None:
    import msgspec

    click.echo(msgspec.json.encode(document))
