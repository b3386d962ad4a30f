"""`bzzz-agent discover`: which clusters can be reached from here."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from bzzz_core.commands.options import JSON, reports_errors
from bzzz_core.errors import TransportError

if TYPE_CHECKING:
    from bzzz_core.membership.discovery.search import Cluster


@click.command()
@click.option("--seed", "seeds", multiple=True, metavar="HOST:PORT", help="An address to list too.")
@click.option("--dns", "names", multiple=True, metavar="NAME", help="Look up a name: SRV, else A.")
@click.option("--no-mdns", is_flag=True, help="Do not ask the local network.")
@click.option(
    "--interface",
    "interfaces",
    multiple=True,
    metavar="ADDRESS",
    help="Ask the local network on the interface with this address only.",
)
@click.option(
    "--timeout-ms",
    type=click.IntRange(100, 60_000),
    default=2_000,
    show_default=True,
    help="How long to wait for answers.",
)
@JSON
@reports_errors
def discover(
    *,
    seeds: tuple[str, ...],
    names: tuple[str, ...],
    no_mdns: bool,
    interfaces: tuple[str, ...],
    timeout_ms: int,
    as_json: bool,
) -> None:
    """List the clusters that announce themselves; addresses to try, no proof of anything."""
    import asyncio

    import msgspec

    from bzzz_core.membership.discovery.search import clusters, search, ways
    from bzzz_core.membership.discovery.seed import parse_seed

    told = [parse_seed(text) for text in seeds]
    looks = ways(names=names, mdns=not no_mdns, timeout_ms=timeout_ms, interfaces=interfaces)
    found = asyncio.run(search(looks))
    grouped = clusters([*told, *found.seeds])
    if as_json:
        click.echo(msgspec.json.encode({"clusters": grouped, "problems": found.problems}))
    else:
        click.echo(_text(grouped))
        for way, problem in found.problems.items():
            click.echo(f"{way}: {problem}", err=True)
    if found.problems and not grouped:
        sys.exit(TransportError.exit_code)


def _text(found: list[Cluster]) -> str:
    if not found:
        return "no cluster found"
    lines = []
    for cluster in found:
        title = f"cluster {cluster.name} ({cluster.cluster_id})" if cluster.name else "unknown"
        lines.append(f"{title}  authority {cluster.ca_sha256 or 'not said'}")
        lines += [
            f"  {seed.address:<28} {seed.role or '-':<6} {seed.source:<7} {seed.node_id}".rstrip()
            for seed in cluster.seeds
        ]
    return "\n".join(lines)
