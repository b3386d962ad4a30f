"""What a node's broker, its cluster and its disk are like, in one document for people and scripts.

Asked for at the node's own broker, so it works while the agent does not run. A part that cannot be
had is left out and `problems` says why; the report itself never fails on a voter.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from bzzz_core.config.schema import AgentConfig
from bzzz_core.errors import BzzzError, TransportError
from bzzz_core.fabric import store
from bzzz_core.fabric.broker import Endpoint
from bzzz_core.fabric.jetstream import JetStreamRefusal
from bzzz_core.fabric.layout import CONTROL_STREAM, control_bytes_max
from bzzz_core.fabric.monitor import BrokerHealth, ask_health
from bzzz_core.fabric.operations import Peer, system_account
from bzzz_core.fabric.problem import ProblemNote
from bzzz_core.fabric.store import node_of
from bzzz_core.fabric.streams import StreamState, stream_keeper
from bzzz_core.model import NodeId
from bzzz_core.ports import VALUE_BYTES_MAX, Clock


class PeerReport(msgspec.Struct, frozen=True):
    """One broker that the cluster counts."""

    peer: str
    node: str
    """The node's name, its id if nobody knows the name, or empty for a broker not ours."""
    member: bool
    leader: bool
    online: bool
    current: bool


class ReplicaReport(msgspec.Struct, frozen=True):
    """One copy of a stream."""

    peer: str
    leader: bool
    current: bool
    lag: int


class StreamReport(msgspec.Struct, frozen=True):
    """One stream."""

    stream: str
    replicas: int
    settled: bool
    messages: int
    bytes: int
    last_sequence: int
    placed: tuple[ReplicaReport, ...]


class FabricReport(msgspec.Struct, frozen=True):
    """All of it."""

    node: str
    voter: bool
    broker: str | None
    """The broker's name; None while it does not run, and on an edge."""
    ready: bool
    peers_counted: int
    meta_leader: str | None
    store_bytes: int
    disk_free_bytes: int
    peers: tuple[PeerReport, ...]
    streams: tuple[StreamReport, ...]
    problems: tuple[str, ...]


async def report(
    config: AgentConfig, *, clock: Clock, former: Mapping[NodeId, str] | None = None
) -> FabricReport:
    """Return what this node can say about the fabric.

    Args:
        config: Of this node; its nodes are the members.
        clock: For the waits.
        former: Names of nodes that are members no more, whose brokers may be counted still.
    """
    me = config.me
    problems: list[str] = []
    if note := ProblemNote(Path(config.resources.paths.data)).read():
        problems.append(note)
    health = await _health(config, problems) if me.voter else None
    peers: tuple[Peer, ...] = ()
    streams: tuple[StreamState, ...] = ()
    if health is not None:
        try:
            async with system_account(config, clock=clock) as system:
                peers = await system.peers()
        except BzzzError as exc:
            problems.append(f"peers: {exc}")
        try:
            async with stream_keeper(config, clock=clock) as keeper:
                streams = await keeper.states()
            problems += full(streams, control_bytes_max(config.resources.store_bytes_max))
        except (BzzzError, JetStreamRefusal) as exc:
            problems.append(f"streams: {exc}")
    names = {NodeId(node.id): node.name for node in config.cluster.nodes}
    return FabricReport(
        node=me.name,
        voter=me.voter,
        broker=_name(config) if health else None,
        ready=health is not None and health.ready,
        peers_counted=health.size if health else 0,
        meta_leader=health.meta_leader if health else None,
        store_bytes=health.store_bytes if health else 0,
        disk_free_bytes=_free(config),
        peers=tuple(_peer(peer, names, former or {}) for peer in peers),
        streams=tuple(_stream(stream) for stream in streams),
        problems=tuple(problems),
    )


def full(streams: Sequence[StreamState], bytes_max: int) -> list[str]:
    """Return what is wrong with the room in the control stream, which may hold `bytes_max`."""
    problems = []
    for stream in streams:
        if stream.name != CONTROL_STREAM:
            continue
        if not stream.kept:
            problems.append(
                "the control stream keeps everything and will be full one day: an earlier release"
                " made it, and it could not be limited; restart an agent that votes to try again"
            )
        if stream.bytes > bytes_max - VALUE_BYTES_MAX:
            problems.append(
                f"the control stream holds {stream.bytes} of the {bytes_max} bytes that large"
                " records may fill: changes of nodes, tokens and the cluster's configuration are"
                " refused, leaders are still elected. Raise resources.store_bytes_max on all voters"
            )
    return problems


async def _health(config: AgentConfig, problems: list[str]) -> BrokerHealth | None:
    monitor = Endpoint(host="127.0.0.1", port=config.network.ports.fabric_monitor)
    try:
        health = await ask_health(monitor)
    except TransportError as exc:
        problems.append(str(exc))
        return None
    if health.problem:
        problems.append(f"the broker says: {health.problem}")
    elif not health.led:
        problems.append("too few brokers answer: the cluster's metadata has no leader")
    elif not health.member:
        problems.append("the cluster counts this broker no longer; it is about to start anew")
    return health


def _name(config: AgentConfig) -> str | None:
    directory = Path(config.resources.paths.data) / "broker"
    if not (directory / "server-name").exists():
        return None
    return store.server_name(directory, NodeId(config.me.id))


def _free(config: AgentConfig) -> int:
    try:
        return shutil.disk_usage(config.resources.paths.data).free
    except OSError:
        return 0


def _peer(peer: Peer, names: Mapping[NodeId, str], former: Mapping[NodeId, str]) -> PeerReport:
    node = node_of(peer.name)
    return PeerReport(
        peer=peer.name,
        node=names.get(node) or former.get(node, node) if node else "",
        member=node in names,
        leader=peer.leader,
        online=peer.online,
        current=peer.current,
    )


def _stream(stream: StreamState) -> StreamReport:
    return StreamReport(
        stream=stream.name,
        replicas=stream.replicas,
        settled=stream.settled,
        messages=stream.messages,
        bytes=stream.bytes,
        last_sequence=stream.last_sequence,
        placed=tuple(
            ReplicaReport(peer=r.server_name, leader=r.leader, current=r.current, lag=r.lag)
            for r in stream.placed
        ),
    )
