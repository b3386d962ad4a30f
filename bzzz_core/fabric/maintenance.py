"""What an operator orders at a voter: snapshots, restoring, removing a dead broker.

The same functions serve the command line and the local API.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bzzz_core.config.schema import AgentConfig
from bzzz_core.errors import QuorumUnavailable, RequestInvalid
from bzzz_core.fabric import snapshot_file
from bzzz_core.fabric.layout import CONTROL_STREAM
from bzzz_core.fabric.offline import unclustered
from bzzz_core.fabric.operations import system_account
from bzzz_core.fabric.snapshot import Saved, refuse_used, restore, save_all
from bzzz_core.fabric.streams import stream_keeper
from bzzz_core.model import voter_count
from bzzz_core.ports import Clock

_REPLICAS_MAX = 3


async def snapshot(
    config: AgentConfig, directory: Path, *, offline: bool, clock: Clock
) -> list[Saved]:
    """Save every stream to a file of its own in a new directory.

    Raises:
        RequestInvalid: The directory is not empty, or the store is not one for `offline`.
        QuorumUnavailable: A stream has no leader now.
    """
    refuse_used(directory)
    open_keeper = unclustered if offline else stream_keeper
    async with open_keeper(config, clock=clock) as keeper:
        return await save_all(keeper, directory, cluster_id=config.cluster.id)


async def restore_files(
    config: AgentConfig, files: Sequence[Path], *, force: bool, clock: Clock
) -> list[Saved]:
    """Bring streams back; every file is checked before the first stream is touched.

    Raises:
        IntegrityError: A file is damaged; nothing was changed.
        RequestInvalid: A stream exists and `force` is not given.
    """
    headers = [snapshot_file.check(path) for path in files]
    # While the cluster grows there may be two or four; replicas are an odd number all the same.
    voters = voter_count(sum(node.voter for node in config.cluster.nodes))
    async with stream_keeper(config, clock=clock) as keeper:
        if not force:
            for header in headers:
                if await keeper.state(header.stream) is not None:
                    raise RequestInvalid(
                        f"the stream {header.stream} exists; nothing was restored. Stop the agents"
                        " and use --force to delete it first"
                    )
        return [
            await restore(
                keeper,
                path,
                replicas=voters if header.stream == CONTROL_STREAM else min(voters, _REPLICAS_MAX),
                cluster_id=config.cluster.id,
                force=force,
            )
            for path, header in zip(files, headers, strict=True)
        ]


async def remove_dead_peer(config: AgentConfig, name: str, *, clock: Clock) -> None:
    """Let the cluster count a broker no longer that does not answer.

    Raises:
        RequestInvalid: It answers, or there is none of this name.
        QuorumUnavailable: Too few brokers answer; then only a rescue helps.
    """
    async with system_account(config, clock=clock) as system:
        peers = await system.peers()
        found = next((peer for peer in peers if peer.name == name), None)
        if found is None:
            names = ", ".join(peer.name for peer in peers)
            raise RequestInvalid(f"the cluster counts no broker {name}; it counts {names}")
        if found.online:
            raise RequestInvalid(
                f"{name} is online; let its node leave instead: `bzzz-agent leave` there"
            )
        if sum(peer.online for peer in peers) <= len(peers) // 2:
            raise QuorumUnavailable("too few brokers answer; see `bzzz-agent fabric rescue`")
        await system.remove_peer(name)
