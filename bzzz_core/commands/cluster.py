"""`bzzz-agent init`, `join` and `leave`: how a machine becomes a member, and stops being one."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bzzz_core.commands.options import CONFIG, JSON, local_config, reports_errors

if TYPE_CHECKING:
    from bzzz_core.config.schema import AgentConfig
    from bzzz_core.enrolment.home import Home

Command = TypeVar("Command", bound=Callable[..., Any])
_FILE = click.Path(path_type=Path, dir_okay=False)
_DIRECTORY = click.Path(path_type=Path, file_okay=False)
_PLACE = (
    click.option("--name", required=True, help="What operators call this machine."),
    click.option("--address", required=True, help="Where the other nodes reach this machine."),
    click.option(
        "--home",
        "home_directory",
        type=click.Path(path_type=Path, file_okay=False),
        help="Keep everything below this directory instead of /etc/bzzz, /var/lib and /var/log.",
    ),
    click.option(
        "--port",
        "ports",
        multiple=True,
        metavar="NAME=NUMBER",
        help="Another port than usual: api, fabric_client, fabric_cluster, fabric_monitor, join.",
    ),
)


def _placed(command: Command) -> Command:
    for option in reversed(_PLACE):
        command = option(command)
    return command


@click.command()
@_placed
@click.option("--cluster-name", default="bzzz", show_default=True, help="Name of the cluster.")
@click.option(
    "--ca-directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the encrypted roots go; default: the operator's directory of that cluster.",
)
@click.option(
    "--ca-passphrase",
    metavar="REFERENCE",
    help="Reference to the roots' passphrase; without it one is made and kept beside them (0600).",
)
@click.option(
    "--leaf-s",
    type=click.IntRange(60, 34_300_800),
    default=2_592_000,
    show_default=True,
    help="How long certificates live, in seconds.",
)
@JSON
@reports_errors
def init(
    *,
    name: str,
    address: str,
    home_directory: Path | None,
    ports: tuple[str, ...],
    cluster_name: str,
    ca_directory: Path | None,
    ca_passphrase: str | None,
    leaf_s: int,
    as_json: bool,
) -> None:
    """Make a cluster of one on this machine; others join it by token."""
    from bzzz_core.config.profile_places import cluster_directory
    from bzzz_core.enrolment.founder import Founding, found
    from bzzz_core.enrolment.joiner import Newcomer

    home = _home(home_directory)
    authorities = ca_directory or cluster_directory(cluster_name) / "ca"
    founding = Founding(
        cluster_name=cluster_name,
        leaf_s=leaf_s,
        ca_directory=authorities,
        passphrase=ca_passphrase,
    )
    config = found(Newcomer.described(name, address, ports), founding, home=home)
    _tell(config, home, as_json=as_json, ca_directory=str(authorities))


@click.command()
@_placed
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True, allow_dash=True),
    help="File (0600) with the join token; without it, or -, it is read from standard input.",
)
@click.option("--seed", "seeds", multiple=True, metavar="HOST:PORT", help="Try this voter too.")
@click.option("--dns", "names", multiple=True, metavar="NAME", help="Try what the DNS says, too.")
@click.option("--no-mdns", is_flag=True, help="Never ask the local network for voters.")
@click.option(
    "--config", type=_FILE, help="Write the node's file here instead of /etc/bzzz/agent.yaml."
)
@click.option("--data", type=_DIRECTORY, help="Its data directory instead of /var/lib/bzzz.")
@click.option("--logs", type=_DIRECTORY, help="Its log directory instead of /var/log/bzzz.")
@JSON
@reports_errors
def join(
    *,
    name: str,
    address: str,
    home_directory: Path | None,
    ports: tuple[str, ...],
    token_file: Path | None,
    seeds: tuple[str, ...],
    names: tuple[str, ...],
    no_mdns: bool,
    config: Path | None,
    data: Path | None,
    logs: Path | None,
    as_json: bool,
) -> None:
    """Join a cluster with a token (from standard input: it is a secret and no argument)."""
    import asyncio
    from functools import partial

    from bzzz_core.api.client import send_join
    from bzzz_core.clock import utc_instant
    from bzzz_core.enrolment import joiner
    from bzzz_core.enrolment.token import parse_token
    from bzzz_core.membership.discovery.search import addresses

    token = parse_token(_read_token(token_file))
    home = _home(home_directory).with_places(config=config, data=data, logs=logs)
    joined = asyncio.run(
        joiner.join(
            joiner.Newcomer.described(name, address, ports),
            token,
            home=home,
            now_s=int(utc_instant().timestamp()),
            send=send_join,
            elsewhere=partial(
                addresses, token.root_sha256, seeds=seeds, names=names, mdns=not no_mdns
            ),
        )
    )
    _tell(joined, home, as_json=as_json)


@click.command()
@CONFIG
@click.option(
    "--wait-s",
    type=click.IntRange(0, 3_600),
    default=300,
    show_default=True,
    help="How long to wait until this node is no member any more.",
)
@click.option(
    "--still-s",
    type=click.IntRange(1, 3_600),
    help="Give up earlier, once what it waits for has not changed for so long.",
)
@click.option("--cancel", is_flag=True, help="Stay after all, if this node has not left yet.")
@reports_errors
def leave(config_path: Path, wait_s: int, still_s: int | None, *, cancel: bool) -> None:
    """Let this node leave its cluster in order; a voter is replaced first."""
    from bzzz_core.api.client import call
    from bzzz_core.errors import NotEnrolled, RequestTimeout

    config = local_config(config_path)
    me = config.me.name
    if cancel:
        was_leaving = call(config, "GET", "/v1/leave")["leaving"]
        call(config, "DELETE", "/v1/leave")
        click.echo(f"{me} stays" if was_leaving else f"{me} stays; it was not about to leave")
        return
    call(config, "GET", "/v1/nodes")  # Nobody there to ask is a failure.
    with contextlib.suppress(NotEnrolled):  # The leader has said so, or the copy on disk.
        with contextlib.suppress(RequestTimeout):
            # Whoever has left ends its agent, which may not get to answer.
            call(config, "POST", "/v1/leave")
        _wait_until_left(config, wait_s, wait_s if still_s is None else still_s)
    click.echo(f"{me} has left the cluster")


def _wait_until_left(config: AgentConfig, wait_s: int, still_s: int) -> None:
    """Return once this node is no member any more, saying what that waits for.

    Raises:
        NotEnrolled: The leader said that it is none.
        RequestTimeout: It is one after `wait_s`, or has waited for one thing for `still_s`. It will
            leave later.
        RequestInvalid: Somebody called it off.
    """
    import time

    from bzzz_core.api.client import call
    from bzzz_core.enrolment.cache import RegistryCache
    from bzzz_core.errors import RequestInvalid, RequestTimeout, TransportError
    from bzzz_core.model import ClusterId, NodeId

    deadline = time.monotonic() + wait_s
    still = time.monotonic() + still_s
    cluster = ClusterId(config.cluster.id)
    cache = RegistryCache(Path(config.resources.paths.data), cluster=cluster)
    was_leaving, said = False, ""
    while True:
        known = registry.find(NodeId(config.me.id)) if (registry := cache.load()) else None
        if known is not None and not known.member:
            return
        if known is not None and was_leaving and not known.leaving:
            raise RequestInvalid(f"{config.me.name} stays: its leave was called off")
        was_leaving = known is not None and known.leaving
        with contextlib.suppress(TransportError):
            waits_for = call(config, "GET", "/v1/leave")["waits_for"]
            if waits_for and waits_for != said:
                said, still = waits_for, time.monotonic() + still_s
                click.echo(f"waiting: {said}", err=True)
        if time.monotonic() >= min(deadline, still):
            break
        time.sleep(0.5)
    raise RequestTimeout(
        f"{config.me.name} is still being replaced as a voter; it leaves as soon as that is done."
        f" It waits: {said or 'the leader has not said for what'}. `bzzz-agent leave` waits on,"
        " `bzzz-agent leave --cancel` calls it off"
    )


def _read_token(token_file: Path | None) -> str:
    from bzzz_core.config.secrets import read_secret_file

    if token_file is not None and token_file != Path("-"):
        return read_secret_file(token_file).reveal()
    if sys.stdin.isatty():
        click.echo("Paste the join token and press Enter:", err=True)
        return sys.stdin.readline()
    return sys.stdin.read(16_384)


def _home(directory: Path | None) -> Home:
    from bzzz_core.enrolment.home import Home

    return Home.below(directory) if directory is not None else Home.of_system()


def _tell(config: AgentConfig, home: Home, *, as_json: bool, **more: str) -> None:
    import msgspec

    me = config.me
    said = {
        "node": me.name,
        "node_id": me.id,
        "cluster": config.cluster.name,
        "cluster_id": config.cluster.id,
        "config": str(home.config),
        **more,
    }
    if as_json:
        click.echo(msgspec.json.encode(said))
        return
    click.echo(f"{me.name} ({me.id}) is a member of cluster {config.cluster.name}")
    if "ca_directory" in more:
        click.echo(f"the cluster's encrypted roots are in {more['ca_directory']}; keep a copy")
    click.echo(f"start it: bzzz-agent run --config {home.config}")
