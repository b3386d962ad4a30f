"""`bzzz-agent audit`: what was done on this node, and whether the record of it is what was written.

`verify`, `query`, `export` and `prove` read the node's files themselves, so they work without an
agent; a running agent is asked for what the voters hold.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bzzz_core.commands.options import CONFIG, JSON, local_config, reports_errors

ACTOR = click.option("--actor", default="", help="By whom; `name*` for all that begin so.")
WHAT = click.option("--what", default="", help="Which act; `config*` for all that begin so.")
SINCE = click.option("--since", default="", metavar="TIME", help="2h, 7d, or UTC: 2026-03-01T12:00")
UNTIL = click.option("--until", default="", metavar="TIME", help="Before that time.")
TRACE = click.option("--trace", default="", help="Of one request, on whatever node.")
TEXT = click.option("--text", default="", help="Anywhere in the entry, whatever the case.")


@click.group()
def audit() -> None:
    """Who did what on this node: a signed chain that shows when it was changed."""


@audit.command("verify")
@CONFIG
@JSON
@click.option("--node", default="", metavar="NAME", help="That of another voter, as it answers.")
@click.option("--all", "every", is_flag=True, help="Those of all voters.")
@click.option(
    "--file",
    "copy",
    type=click.Path(path_type=Path, exists=True),
    help="A copy of an audit's directory, or an export; --node says whose it has to be.",
)
@click.option("--signatures", is_flag=True, help="Check every signature, not only the last one.")
@reports_errors
def audit_verify(
    config_path: Path, *, node: str, every: bool, copy: Path | None, signatures: bool, as_json: bool
) -> None:
    """Say whether an audit is what was written, or else the first fault, its kind and place.

    Exit code 8: it is not, or a voter holds something else.
    """
    from bzzz_core.api.audit_text import render_verified
    from bzzz_core.commands.audit_local import verify_here, verify_there, voters
    from bzzz_core.errors import AuditBroken, RequestInvalid

    if every and (node or copy):
        raise RequestInvalid("--all stands alone")
    config = local_config(config_path)
    if every:
        found = [verify_there(config, name) for name in voters(config)]
    elif node and copy is None:
        found = [verify_there(config, node)]
    else:
        found = [verify_here(config, copy, node=node, thorough=signatures)]
    _print(found, "\n\n".join(render_verified(one) for one in found), as_json=as_json)
    broken = [one["node"] for one in found if not one["ok"]]
    if broken:
        raise AuditBroken(f"not as written, or not to be verified: {', '.join(broken)}")


@audit.command("query")
@CONFIG
@JSON
@ACTOR
@WHAT
@SINCE
@UNTIL
@TRACE
@TEXT
@click.option(
    "--limit",
    type=click.IntRange(1, 1_000),
    default=50,
    show_default=True,
    help="How many of the newest.",
)
@reports_errors
def audit_query(config_path: Path, *, as_json: bool, **wish: Any) -> None:
    """Show entries of this node's audit, the newest last."""
    import msgspec

    from bzzz_core.api.audit_text import render_entries
    from bzzz_core.commands.audit_local import files_of, query_of
    from bzzz_core.telemetry.audit_query import find

    entries, more = find(files_of(local_config(config_path)), query_of(wish))
    found = msgspec.to_builtins(entries)
    _print(found, render_entries(found, more=more), as_json=as_json)


@audit.command("export")
@CONFIG
@SINCE
@UNTIL
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A new file; without it the export is printed.",
)
@reports_errors
def audit_export(config_path: Path, *, output: Path | None, since: str, until: str) -> None:
    """Print this node's audit as it was written, one line an entry, chain and signatures included.

    `audit verify --file` takes what was exported, everything or a part.
    """
    from bzzz_core.commands.audit_local import exported

    lines = exported(local_config(config_path), since=since, until=until)
    if output is None:
        for line in lines:
            click.echo(line)
        return
    from bzzz_core.errors import ConfigError

    try:
        with output.open("xb") as file:
            file.writelines(line + b"\n" for line in lines)
    except OSError as exc:
        raise ConfigError(f"{output}: {exc.strerror}") from exc


@audit.command("prove")
@CONFIG
@JSON
@click.argument("sequence", type=click.IntRange(1), required=False)
@click.option(
    "--check",
    "proof",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Check this proof instead of making one; no cluster is needed.",
)
@click.option("--public-key", metavar="HEX", help="With --check: the key that must have signed it.")
@click.option(
    "--ca",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="With --check: the cluster's node authority, whose node must have signed it.",
)
@reports_errors
def audit_prove(
    config_path: Path,
    *,
    sequence: int | None,
    proof: Path | None,
    public_key: str | None,
    ca: Path | None,
    as_json: bool,
) -> None:
    """Print a file that proves entry SEQUENCE to others, or check such a file."""
    from bzzz_core.api.audit_text import render_proven
    from bzzz_core.commands.audit_local import check_proof, make_proof
    from bzzz_core.errors import RequestInvalid

    if (sequence is None) == (proof is None):
        raise RequestInvalid("name the number of an entry, or a proof with --check")
    if proof is None:
        assert sequence is not None
        click.echo(make_proof(local_config(config_path), sequence))
        return
    found = check_proof(proof, public_key=public_key, authority=ca)
    _print(found, render_proven(found), as_json=as_json)


@audit.command("checkpoints")
@CONFIG
@JSON
@click.option("--node", default="", metavar="NAME", help="Of another node than this one.")
@reports_errors
def audit_checkpoints(config_path: Path, *, node: str, as_json: bool) -> None:
    """Show what the voters hold of a node's audit."""
    from bzzz_core.api.audit_text import render_checkpoints
    from bzzz_core.commands.audit_local import checkpoints

    found = checkpoints(local_config(config_path), node)
    _print(found, render_checkpoints(found), as_json=as_json)


@audit.command("denials")
@CONFIG
@JSON
@reports_errors
def audit_denials(config_path: Path, *, as_json: bool) -> None:
    """Show who was refused what lately, on this node."""
    from bzzz_core.api.audit_text import render_denials
    from bzzz_core.api.client import call

    found = call(local_config(config_path), "GET", "/v1/audit/denials")
    _print(found, render_denials(found), as_json=as_json)


@audit.command("accept")
@CONFIG
@click.argument("node")
@reports_errors
def audit_accept(config_path: Path, node: str) -> None:
    """Take note, on this node, that the audit of NODE contradicts what it told before.

    Both sides of the contradiction stay on record; the alarm ends.
    """
    from bzzz_core.api.client import call
    from bzzz_core.commands.config_change import who

    body = {"node": node, "by": who()}
    found = call(local_config(config_path), "POST", "/v1/audit/accept", body)
    click.echo(f"{node}: {found['accepted']} contradictions accepted on this node")


def _print(document: Any, text: str, *, as_json: bool) -> None:
    if as_json:
        import json

        text = json.dumps(document)
    click.echo(text)
