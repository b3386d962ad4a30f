"""`bzzz-agent node`: this node's identity, and the cluster's nodes."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bzzz_core.commands.options import CONFIG, JSON, SECRETS_DIRECTORY, local_config, reports_errors


@click.group()
def node() -> None:
    """This node's identity, and the cluster's nodes."""


@node.command("init")
@SECRETS_DIRECTORY
@reports_errors
def node_init(directory: Path) -> None:
    """Make this node's keys and print its certificate requests as one line of JSON."""
    import msgspec

    from bzzz_core.trust.enrol import init_node

    click.echo(msgspec.json.encode(init_node(directory)))


@node.command("install")
@SECRETS_DIRECTORY
@reports_errors
def node_install(directory: Path) -> None:
    """Put issued certificates (JSON on standard input) beside the keys they belong to."""
    from bzzz_core.trust.enrol import decode_bundle, install

    install(directory, decode_bundle(sys.stdin.buffer.read(1_000_000)))


@node.command("list")
@CONFIG
@JSON
@reports_errors
def node_list(config_path: Path, *, as_json: bool) -> None:
    """List the nodes that are and were enrolled."""
    import msgspec

    from bzzz_core.api.client import call

    document = call(local_config(config_path), "GET", "/v1/nodes")
    if as_json:
        click.echo(msgspec.json.encode(document))
        return
    click.echo(f"{'node':<20} {'state':<10} {'votes':<8} {'since':<26} address")
    for one in document["nodes"]:
        votes = "leaving" if one["leaving"] else "yes" if one["voter"] else "no"
        since = one["ended_at"] or one["joined_at"] or "setup"
        click.echo(f"{one['name']:<20} {one['state']:<10} {votes:<8} {since:<26} {one['address']}")


@node.command("revoke")
@click.argument("name")
@CONFIG
@click.option("--yes", is_flag=True, help="Do not ask; a revoked identity never comes back.")
@click.option(
    "--at-the-cost-of-the-quorum",
    "costs_quorum",
    is_flag=True,
    help="Even if too few living voters are left: the cluster then stops until a rescue.",
)
@reports_errors
def node_revoke(name: str, config_path: Path, *, yes: bool, costs_quorum: bool) -> None:
    """Withdraw the trust in a node, at once and for ever; run it on a voter."""
    import re

    from bzzz_core.api.client import call
    from bzzz_core.config.sections import NAME
    from bzzz_core.errors import RequestInvalid

    if not re.fullmatch(NAME, name):  # An id looks like a name, too.
        raise RequestInvalid(f"{name!r} is no node's name; `bzzz-agent node list` shows them")
    config = local_config(config_path)
    known = call(config, "GET", "/v1/nodes")["nodes"]
    meant = next((one for one in known if name in {one["name"], one["id"]}), None)
    if not yes:
        who = "this node does not know it yet"
        if meant is not None:
            votes = "a voter" if meant["voter"] else meant["state"]
            who = f"{meant['name']}, {votes}, at {meant['address']}"
        price = ", and the cluster may stop until a rescue" if costs_quorum else ""
        click.confirm(f"Revoke {name} ({who})? Its identity never comes back{price}", abort=True)
    call(config, "POST", f"/v1/nodes/{name}/revoke", {"costs_quorum": costs_quorum})
    click.echo(f"{name} is revoked")
    if meant is not None and meant["voter"]:
        click.echo(
            "it was a voter and held the cluster's issuers; if it may have been broken into, run"
            " `bzzz-agent node rotate-ca`",
            err=True,
        )


@node.command("renew")
@CONFIG
@reports_errors
def node_renew(config_path: Path) -> None:
    """Renew this node's certificates now instead of when they are due."""
    from bzzz_core.api.client import call

    files = call(local_config(config_path), "POST", "/v1/renew")["files"]
    click.echo(f"renewed: {', '.join(files)}")


@node.command("rotate-ca")
@click.option(
    "--ca-directory",
    required=True,
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The operator's directory with the cluster's roots.",
)
@click.option(
    "--ca-passphrase", metavar="REFERENCE", help="Reference to the roots' passphrase, if not there."
)
@click.option(
    "--issuers-only", is_flag=True, help="Keep the roots; give the voters new issuers for a year."
)
@click.option(
    "--wait-s",
    type=click.IntRange(1, 86_400),
    default=600,
    show_default=True,
    help="How long to wait until all nodes are ready for a step.",
)
@CONFIG
@reports_errors
def node_rotate_ca(
    *,
    ca_directory: Path,
    ca_passphrase: str | None,
    issuers_only: bool,
    wait_s: int,
    config_path: Path,
) -> None:
    """Replace the node authority while the cluster runs; run it again if it was interrupted."""
    import asyncio

    from bzzz_core.api.rotation import rotate
    from bzzz_core.clock import SystemClock
    from bzzz_core.enrolment.founder import passphrase_of

    asyncio.run(
        rotate(
            local_config(config_path),
            ca_directory=ca_directory,
            passphrase=passphrase_of(ca_directory, ca_passphrase),
            issuers_only=issuers_only,
            wait_ms=wait_s * 1000,
            clock=SystemClock(),
            say=click.echo,
        )
    )
