"""`bzzz-agent fabric`: the node's message broker and its cluster.

All but `run` ask this node's own broker with this node's own keys, so they need root or the service
user, and work while the agent does not run.
"""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bzzz_core.commands.options import CONFIG, JSON, local_config, reports_errors

if TYPE_CHECKING:
    from bzzz_core.config.schema import AgentConfig
    from bzzz_core.fabric.report import FabricReport

_DANGER = "--the-other-voters-are-lost-for-good"


@click.group()
def fabric() -> None:
    """The node's message broker."""


@fabric.command("run")
@CONFIG
@reports_errors
def fabric_run(config_path: Path) -> None:
    """Run this node's nats-server and restart it if it dies."""
    from bzzz_core.broker_process import run_fabric
    from bzzz_core.shared_config.node_sources import NodeSources

    run_fabric(NodeSources.at(config_path))


@fabric.command("status")
@CONFIG
@JSON
@reports_errors
def fabric_status(config_path: Path, *, as_json: bool) -> None:
    """Show this node's broker, the brokers' cluster and its streams."""
    found = _report(config_path)
    click.echo(_json(found) if as_json else _text(found))


@fabric.command("peers")
@CONFIG
@JSON
@reports_errors
def fabric_peers(config_path: Path, *, as_json: bool) -> None:
    """List the brokers that the cluster counts, dead ones too."""
    from bzzz_core.errors import QuorumUnavailable

    found = _report(config_path)
    if not found.peers:
        raise QuorumUnavailable("; ".join(found.problems) or f"{found.node} runs no broker")
    click.echo(_json(found.peers) if as_json else "\n".join(_peer_lines(found)))


@fabric.command("remove")
@CONFIG
@click.argument("peer")
@reports_errors
def fabric_remove(config_path: Path, peer: str) -> None:
    """Let the cluster count the dead broker PEER (a name from `peers`) no longer."""
    from bzzz_core.fabric.maintenance import remove_dead_peer

    config = _voters_config(config_path)
    _run(lambda clock: remove_dead_peer(config, peer, clock=clock))
    click.echo(f"{peer} is counted no longer")


@fabric.command("snapshot")
@CONFIG
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--offline",
    is_flag=True,
    help="Read the store of an unclustered broker of an older release; the broker must not run.",
)
@JSON
@reports_errors
def fabric_snapshot(config_path: Path, directory: Path, *, offline: bool, as_json: bool) -> None:
    """Save every stream to a file in DIRECTORY, which must be new or empty."""
    from bzzz_core.fabric.maintenance import snapshot

    config = _voters_config(config_path)
    saved = _run(lambda clock: snapshot(config, directory, offline=offline, clock=clock))
    if as_json:
        click.echo(_json(saved))
        return
    for stream in saved:
        click.echo(f"{stream.stream}: {stream.messages} messages in {directory / stream.file}")


@fabric.command("restore")
@CONFIG
@click.argument(
    "files", type=click.Path(path_type=Path, dir_okay=False, exists=True), nargs=-1, required=True
)
@click.option("--force", is_flag=True, help="Delete a stream of the same name first.")
@JSON
@reports_errors
def fabric_restore(
    config_path: Path, files: tuple[Path, ...], *, force: bool, as_json: bool
) -> None:
    """Bring streams back from snapshot FILES; all are checked before the first is touched."""
    from bzzz_core.fabric.maintenance import restore_files

    config = _voters_config(config_path)
    restored = _run(lambda clock: restore_files(config, files, force=force, clock=clock))
    if as_json:
        click.echo(_json(restored))
        return
    for stream in restored:
        click.echo(f"{stream.stream}: {stream.messages} messages are back")


@fabric.command("rescue")
@CONFIG
@click.option(
    _DANGER,
    "confirmed",
    is_flag=True,
    help="Needed. If they are merely cut off, this splits the cluster and one half will be lost.",
)
@JSON
@reports_errors
def fabric_rescue(config_path: Path, *, confirmed: bool, as_json: bool) -> None:
    """Go on with this broker after the majority of the voters was lost for good."""
    from bzzz_core.errors import RequestInvalid
    from bzzz_core.growth.rescue import rescue

    if not confirmed:
        raise RequestInvalid(
            "if the other voters are only cut off or switched off, a rescue makes two clusters out"
            f" of one and the writes of one of them are lost. If they are gone, add {_DANGER}"
        )
    config = _voters_config(config_path)
    done = _run(lambda clock: rescue(config, clock=clock))
    if as_json:
        click.echo(_json(done))
        return
    click.echo(f"removed: {', '.join(done.removed) or 'nobody'}")
    click.echo(f"streams: {', '.join(done.streams)} with {done.replicas} replicas")
    click.echo(f"voters now: {', '.join(done.voters)}; restart bzzz-agent on them")


def _voters_config(path: Path) -> AgentConfig:
    """Return a voter's configuration with its copy of the registry laid over it.

    Raises:
        RequestInvalid: The node is an edge: there is no broker of its own to ask.
    """
    from bzzz_core.config.sources import load_agent_config
    from bzzz_core.enrolled import with_registry
    from bzzz_core.errors import RequestInvalid

    config = with_registry(lambda: load_agent_config(path))()
    if not config.me.voter:
        voters = ", ".join(node.name for node in config.cluster.nodes if node.voter)
        raise RequestInvalid(
            f"{config.me.name} is an edge: it runs no broker; run this on a voter ({voters})"
        )
    return config


def _report(path: Path) -> FabricReport:
    from bzzz_core.enrolled import node_names, with_registry
    from bzzz_core.fabric.report import report

    config = with_registry(lambda: local_config(path))()
    known = node_names(config)
    found: FabricReport = _run(lambda clock: report(config, clock=clock, former=known))
    return found


def _run(work: Any) -> Any:
    """Run one operation to its end; `work` takes a clock and returns a coroutine."""
    import asyncio

    from bzzz_core.clock import SystemClock
    from bzzz_core.errors import plainly

    coroutine: Coroutine[Any, Any, Any] = work(SystemClock())
    with plainly():
        return asyncio.run(coroutine)


def _json(document: object) -> bytes:
    import msgspec

    return msgspec.json.encode(document)


def _text(found: FabricReport) -> str:
    if not found.voter:
        return f"{found.node} is an edge: it runs no broker"
    state = "ready" if found.ready else "not ready"
    names = {peer.peer: peer.node for peer in found.peers}
    offline = {peer.peer for peer in found.peers if not peer.online}
    lines = [
        f"{found.node}: broker {found.broker or 'does not run'}, {state}",
        f"  store {_mb(found.store_bytes)}, disk free {_mb(found.disk_free_bytes)}",
        f"  cluster of {found.peers_counted}, metadata led by {found.meta_leader or 'nobody'}",
        *_peer_lines(found),
    ]
    for stream in found.streams:
        settled = "settled" if stream.settled else "NOT settled"
        lines.append(
            f"  stream {stream.stream}: {stream.replicas} replicas, {settled},"
            f" {stream.messages} messages, {_mb(stream.bytes)}"
        )
        lines += [
            f"    {'leader ' if replica.leader else 'replica'} {replica.peer}"
            + (f" ({names[replica.peer]})" if names.get(replica.peer) else "")
            + ("" if replica.current else f", {replica.lag} behind")
            + (", OFFLINE" if replica.peer in offline else "")
            for replica in stream.placed
        ]
    return "\n".join([*lines, *(f"  problem: {problem}" for problem in found.problems)])


def _peer_lines(found: FabricReport) -> list[str]:
    return [
        f"  {peer.peer} ({peer.node or 'not one of ours'}"
        f"{', no member any more' if peer.node and not peer.member else ''}):"
        f" {'online' if peer.online else 'OFFLINE'}"
        + ("" if peer.current or not peer.online else ", catching up")
        + (", leads the metadata" if peer.leader else "")
        for peer in found.peers
    ]


def _mb(count_bytes: int) -> str:
    return f"{count_bytes / 1_000_000:.1f} MB"
