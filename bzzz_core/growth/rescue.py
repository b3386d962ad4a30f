"""Goes on with what is left after a majority of the voters was lost for good; by command only.

On a mere partition this makes two clusters out of one, and one of them will be thrown away. So it
happens on one machine, by an operator who says in so many words that the others are dead, and never
by itself. The broker helps: it refuses while it still hears a leader.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

import msgspec

from bzzz_core.config.schema import AgentConfig
from bzzz_core.election import voters as voters_record
from bzzz_core.election.voters import VOTERS_KEY
from bzzz_core.errors import (
    BrokerError,
    ConsistencyError,
    QuorumUnavailable,
    TransportError,
    plainly,
)
from bzzz_core.fabric.nats import NatsFabric
from bzzz_core.fabric.operations import SystemAccount, system_account
from bzzz_core.fabric.records import NatsRecords
from bzzz_core.fabric.store import node_of
from bzzz_core.fabric.streams import StreamKeeper, stream_keeper
from bzzz_core.model import NodeId, VoterSet, voter_count
from bzzz_core.ports import Clock, Guard

LEADER_MS_MAX: Final = 20_000
HEARD_MS: Final = 3_000
"""A new leader has heard every living peer within this; they speak each second."""
_POLL_MS: Final = 100

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rescued:
    """What was done."""

    removed: tuple[str, ...]
    """Brokers that are counted no longer."""
    streams: tuple[str, ...]
    """Streams that go on."""
    replicas: int
    voters: tuple[str, ...]
    """Names of the nodes that count in elections now."""


async def rescue(config: AgentConfig, *, clock: Clock) -> Rescued:
    """Make a working cluster of this broker and those that it still reaches.

    Raises:
        BrokerError: The cluster has a leader; nothing was changed.
        PermissionDenied: This node has no system identity; nothing was changed.
        QuorumUnavailable: A step did not come about in time; the whole may be repeated.
    """
    async with (
        system_account(config, clock=clock) as system,
        stream_keeper(config, clock=clock) as keeper,
    ):
        if not await _is_led(config, system):
            await system.rescue()
        removed = await _bury(system, clock)
        living = {node_of(peer.name) for peer in await system.peers() if peer.online}
        replicas = voter_count(len(living))
        streams = await _shrink(keeper, replicas, clock)
    voters = await _commit(config, living, replicas, clock=clock)
    return Rescued(removed, streams, replicas, tuple(v.name for v in voters.voters))


async def _is_led(config: AgentConfig, system: SystemAccount) -> bool:
    """Return whether a leader of the metadata is left from a rescue that was cut short.

    Raises:
        BrokerError: A majority of the voters is there: nothing is to be rescued.
    """
    try:
        peers = await system.peers()
    except QuorumUnavailable:
        return False
    online = {node_of(peer.name) for peer in peers if peer.online}
    voters = {NodeId(node.id) for node in config.cluster.nodes if node.voter}
    if 2 * len(voters & online) > len(voters):
        raise BrokerError(
            f"the brokers of {len(voters & online)} of {len(voters)} voters answer: the cluster"
            " needs no rescue. A dead broker is taken off with `bzzz-agent fabric remove`"
        )
    return 2 * len(online) > len(peers)


async def _bury(system: SystemAccount, clock: Clock) -> tuple[str, ...]:
    """Remove every peer that does not answer; dead ones stay in the quorum until then."""
    await _eventually(system.peers, clock)
    await clock.sleep_ms(HEARD_MS)
    peers = await _eventually(system.peers, clock)
    dead = tuple(peer.name for peer in peers if not peer.online)
    for name in dead:
        await system.remove_peer(name)
    return dead


async def _shrink(keeper: StreamKeeper, replicas: int, clock: Clock) -> tuple[str, ...]:
    """Let every stream have as many replicas as there are brokers for it, and wait for that."""
    states = await _eventually(keeper.states, clock)
    for state in states:
        await keeper.scale(state.name, min(state.replicas, replicas))

    async def settled() -> None:
        for state in await keeper.states():
            if not any(replica.leader for replica in state.placed):
                raise QuorumUnavailable(f"the stream {state.name} has no leader")

    await _eventually(settled, clock)
    return tuple(state.name for state in states)


async def _eventually(question: Callable[[], Awaitable[T]], clock: Clock) -> T:
    """Return the answer to a question that has none while leaders are being elected."""
    deadline_ms = clock.now_ms() + LEADER_MS_MAX
    while True:
        try:
            return await question()
        except (QuorumUnavailable, TransportError):
            if clock.now_ms() >= deadline_ms:
                raise
            await clock.sleep_ms(_POLL_MS)


async def _commit(
    config: AgentConfig, living: set[NodeId | None], count: int, *, clock: Clock
) -> VoterSet:
    """Write the voters that are left. There is no leader that could be in the way."""
    fabric = NatsFabric.from_agent_config(config, clock=clock)
    records = NatsRecords(fabric, replicas=count, clock=clock)
    with plainly():
        async with asyncio.TaskGroup() as group:
            running = group.create_task(fabric.run())
            try:
                await records.open(LEADER_MS_MAX)
                return await _write(config, records, living, count, clock)
            finally:
                running.cancel()
    raise AssertionError("the block returns or raises")


async def _write(
    config: AgentConfig, records: NatsRecords, living: set[NodeId | None], count: int, clock: Clock
) -> VoterSet:
    record = await _eventually(partial(records.read, VOTERS_KEY), clock)
    if record is None:
        raise ConsistencyError("this cluster has no committed voters yet; start its agents")
    known = voters_record.decode(record)
    left = sorted(
        (voter for voter in known.voters if voter.node in living),
        key=lambda voter: (voter.node != config.me.id, voter.node),
    )[:count]
    chosen = msgspec.structs.replace(known, voters=tuple(sorted(left)), number=known.number + 1)
    content = voters_record.encode(chosen)
    await records.write(VOTERS_KEY, content, Guard(VOTERS_KEY, record.revision))
    return chosen
