"""Carries out what `growth.machine` decides, on the node that serves as leader and on no other.

The steward looks at the registry, the roster, the brokers' peers and the streams, takes the next
step, and looks again. Each step may be repeated, so one whose answer was lost is taken again after
the next look, by this leader or its successor. Two leaders never work against each other: changes
of `_nodes` and `_voters` are fenced, and changes of peers and streams follow from those two.

Peers and streams are asked for at this node's own broker, as the system account and as the node
itself. Without a system identity nothing can be seen, so nothing is done, and `doing` says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

from bzzz_core.config.schema import AgentConfig
from bzzz_core.enrolment.registry import Registry
from bzzz_core.errors import BzzzError
from bzzz_core.fabric.layout import CONTROL_STREAM
from bzzz_core.fabric.operations import SystemAccount, system_account
from bzzz_core.fabric.store import node_of
from bzzz_core.fabric.streams import StreamKeeper, StreamState, stream_keeper
from bzzz_core.growth.machine import (
    REPLACE_AFTER_MS,
    Commit,
    Demote,
    Evict,
    Member,
    MoveLeader,
    Peer,
    Promote,
    RemovePeer,
    Replica,
    Scale,
    Step,
    Stream,
    View,
    Wait,
    next_step,
)
from bzzz_core.model import NodeId, Voter, VoterSet, voter_count
from bzzz_core.ports import Clock
from bzzz_core.telemetry import logs

BUSY_MS: Final = 300
"""Between two looks while something is under way."""
NOT_LEADING_MS: Final = 1_000
GLANCE_MS: Final = 1_000
"""Between two glances at what this node knows anyway: members, voters, who is alive."""
IDLE_MS: Final = 15_000
"""Between two looks while all is well and no glance sees a change. A look is two TLS connections
and some questions, a tenth of what an idle leader costs when made every 5 s."""
_AT_REST: Final = "all is as it should be"


class Steward:
    """Keeps the number and the place of brokers as they should be."""

    def __init__(
        self,
        *,
        me: NodeId,
        config: Callable[[], AgentConfig],
        clock: Clock,
        leads: Callable[[], bool],
        registry: Callable[[], Registry],
        committed: Callable[[], VoterSet],
        alive: Callable[[NodeId], bool],
        set_voters: Callable[[frozenset[NodeId]], Awaitable[None]],
        commit: Callable[[VoterSet], Awaitable[None]],
        replace_after_ms: int = REPLACE_AFTER_MS,
    ) -> None:
        """Look at nothing yet.

        Args:
            me: This node.
            config: This node's configuration under the present registry.
            clock: For the looks, and for how long somebody is dead.
            leads: Whether this node leads and serves now.
            registry: The newest registry.
            committed: The voters that count in elections.
            alive: Whether the roster does not hold a node for dead.
            set_voters: Writes a registry in which exactly these members vote, fenced.
            commit: Writes `_voters`, fenced; everybody adopts it, this node resigns.
            replace_after_ms: See `growth.machine.REPLACE_AFTER_MS`.
        """
        self._me = me
        self._config = config
        self._clock = clock
        self._leads = leads
        self._registry = registry
        self._committed = committed
        self._alive = alive
        self._set_voters = set_voters
        self._commit = commit
        self._replace_after_ms = replace_after_ms
        self._dead_since_ms: dict[NodeId, int] = {}
        self._log = logs.get("growth")
        self.doing = "not leading"
        """What it does or waits for, for people."""
        self.streams: tuple[StreamState, ...] = ()
        """As this node saw them at its last look as leader; empty while it does not lead."""
        self.counters: Counter[str] = Counter()
        """Steps taken, by their names, and looks that failed."""

    async def run(self) -> None:
        """Look and take steps until cancelled."""
        while True:
            pause_ms = NOT_LEADING_MS
            if self._leads():
                known = self._known()
                try:
                    if await self._look():
                        pause_ms = BUSY_MS
                    else:
                        await self._until_news(known)
                        continue
                except BzzzError as exc:
                    self.counters["failed"] += 1
                    self._say(f"cannot see or change the fabric: {exc}")
            else:
                self._dead_since_ms.clear()
                self.streams = ()
                self.doing = "not leading"
            await self._clock.sleep_ms(pause_ms)

    def _known(self) -> tuple[Registry, VoterSet, tuple[NodeId, ...]]:
        registry = self._registry()
        living = tuple(node.id for node in registry.members if self._alive(node.id))
        return registry, self._committed(), living

    async def _until_news(self, known: tuple[Registry, VoterSet, tuple[NodeId, ...]]) -> None:
        """Wait for something else than was known before the last look, or `IDLE_MS`."""
        for _ in range(IDLE_MS // GLANCE_MS):
            await self._clock.sleep_ms(GLANCE_MS)
            if not self._leads() or self._known() != known:
                return

    async def _look(self) -> bool:
        """Take the next step; return whether there may be another one soon."""
        config = self._config()
        async with (
            system_account(config, clock=self._clock) as system,
            stream_keeper(config, clock=self._clock) as keeper,
        ):
            view = await self._view(system, keeper)
            step = next_step(
                view,
                voters=voter_count(sum(not member.leaving for member in view.members)),
                replace_after_ms=self._replace_after_ms,
            )
            if step is None or isinstance(step, Wait):
                self._say(step.reason if step else _AT_REST)
                return step is not None
            if not self._leads():
                return False
            self._say(f"next: {step}")
            await self._take(step, system, keeper)
            self.counters[type(step).__name__] += 1
            return True

    async def _view(self, system: SystemAccount, keeper: StreamKeeper) -> View:
        peers = await system.peers()
        self.streams = streams = tuple(await keeper.states())
        return View(
            me=self._me,
            members=self._members(),
            committed=frozenset(voter.node for voter in self._committed().voters),
            peers=tuple(
                Peer(peer.name, node_of(peer.name), online=peer.online, current=peer.current)
                for peer in peers
            ),
            streams=tuple(
                Stream(
                    stream.name,
                    stream.replicas,
                    tuple(
                        Replica(placed.server_name, leader=placed.leader, current=placed.current)
                        for placed in stream.placed
                    ),
                    control=stream.name == CONTROL_STREAM,
                )
                for stream in streams
            ),
        )

    def _members(self) -> tuple[Member, ...]:
        now_ms = self._clock.now_ms()
        members = []
        for node in self._registry().members:
            alive = node.id == self._me or self._alive(node.id)
            since_ms = self._dead_since_ms.setdefault(node.id, now_ms)
            if alive:
                del self._dead_since_ms[node.id]
            dead_ms = 0 if alive else now_ms - since_ms
            members.append(
                Member(
                    node.id,
                    voter=node.voter,
                    alive=alive,
                    dead_ms=dead_ms,
                    leaving=node.leaving,
                )
            )
        return tuple(members)

    async def _take(self, step: Step, system: SystemAccount, keeper: StreamKeeper) -> None:
        match step:
            case Promote(node):
                await self._set_voters(self._flagged() | {node})
            case Demote(node):
                await self._set_voters(self._flagged() - {node})
            case Scale(stream, replicas):
                await keeper.scale(stream, replicas)
            case Evict(stream, peer):
                await keeper.evict(stream, peer)
            case MoveLeader(stream, peer):
                await keeper.move_leader(stream, peer)
            case RemovePeer(peer):
                await system.remove_peer(peer)
            case Commit(voters):
                await self._commit(self._voter_set(voters))

    def _flagged(self) -> frozenset[NodeId]:
        return frozenset(node.id for node in self._registry().voters)

    def _voter_set(self, voters: frozenset[NodeId]) -> VoterSet:
        return VoterSet(
            tuple(
                sorted(
                    Voter(node.id, node.name, node.public_key)
                    for node in self._registry().members
                    if node.id in voters
                )
            )
        )

    def words(self) -> str:
        """Return what it does or waits for, for people: with nodes' names instead of ids."""
        said = self.doing
        if said == _AT_REST and any(node.leaving for node in self._registry().members):
            said = f"the leader looks at it within {GLANCE_MS // 1000} s"
        for node in self._registry().nodes:
            said = said.replace(node.id, node.name)
        return said

    def _say(self, doing: str) -> None:
        if doing != self.doing:
            self._log.info("growth", doing=doing)
        self.doing = doing
