"""The next step from the fabric as it is to the fabric as it should be; pure, one step at a time.

`next_step` looks at everything at once and names one change, or what is being waited for, or
nothing. It remembers nothing: a leader that takes over half-way through goes on from what it sees.

How many vote is a matter of the number of members: 1, 3 or 5 (`voter_count`). Who votes changes as
little as possible: whoever votes stays, a voter that has been dead for long gives its place to a
living member if there is one, and only living members are added.

Order, and why:

- growing: promote one member, wait until its broker is a peer and has everything, then the next;
  scale the streams; *then* commit the voters. A voter that counts in elections can always write.
- replacing: the same, and the streams leave the dead broker before the new voters are committed.
- shrinking: commit the smaller set *first*, so that whoever goes is not needed any more; then take
  the streams off, demote one, wait until its broker has ended, remove it from the peers.

Rules: nothing is changed while anything that is online is behind; the number of peers changes by
one at a time; the last replica of anything never moves.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from bzzz_core.model import NodeId

REPLACE_AFTER_MS: Final = 600_000
"""A voter that is dead this long gives its place to a living member. Shorter: a reboot with a long
file-system check costs a needless copy of everything. Longer: a second loss may come meanwhile."""
_REPLICAS_MAX: Final = 3
"""Of every stream but the control stream; more only slow its writes."""
_SIZES: Final = (5, 3, 1)


@dataclass(frozen=True, slots=True)
class Member:
    """A node that belongs to the cluster."""

    node: NodeId
    voter: bool
    """Whether the registry lets it run a broker."""
    alive: bool
    """Whether the roster believes so; a suspect still counts."""
    dead_ms: int = 0
    """For how long it has not been alive, as far as this leader saw."""
    leaving: bool = False
    """Whether it asked to go: then it votes no longer than others need to take its place."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A broker that the fabric counts."""

    name: str
    node: NodeId | None
    """Whose it is; None for a name that is not one of ours."""
    online: bool
    current: bool


@dataclass(frozen=True, slots=True)
class Replica:
    """One copy of a stream."""

    peer: str
    leader: bool
    current: bool


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream, how many replicas it is to have, and those it has."""

    name: str
    replicas: int
    placed: tuple[Replica, ...]
    control: bool = False
    """Whether leadership depends on it: then every voter holds it."""

    def holds(self, peer: str) -> bool:
        """Return whether a broker has a copy."""
        return any(replica.peer == peer for replica in self.placed)


@dataclass(frozen=True, slots=True)
class View:
    """Everything that the next step depends on."""

    me: NodeId
    """Who leads; kept as a voter where there is a choice."""
    members: tuple[Member, ...]
    committed: frozenset[NodeId]
    """Who counts in elections now."""
    peers: tuple[Peer, ...]
    streams: tuple[Stream, ...]


@dataclass(frozen=True, slots=True)
class Promote:
    """Let a member run a broker."""

    node: NodeId


@dataclass(frozen=True, slots=True)
class Demote:
    """Let a member run no broker any more."""

    node: NodeId


@dataclass(frozen=True, slots=True)
class Scale:
    """Let a stream have another number of replicas."""

    stream: str
    replicas: int


@dataclass(frozen=True, slots=True)
class Evict:
    """Take a stream off one broker, to another one."""

    stream: str
    peer: str


@dataclass(frozen=True, slots=True)
class MoveLeader:
    """Let another replica lead a stream."""

    stream: str
    peer: str


@dataclass(frozen=True, slots=True)
class RemovePeer:
    """Count a broker no longer."""

    peer: str


@dataclass(frozen=True, slots=True)
class Commit:
    """Let these voters count in elections."""

    voters: frozenset[NodeId]


@dataclass(frozen=True, slots=True)
class Wait:
    """Something has to happen first that is not ours to do."""

    reason: str


Step = Promote | Demote | Scale | Evict | MoveLeader | RemovePeer | Commit


def choose_voters(
    view: View, sizes: Iterable[int], replace_after_ms: int = REPLACE_AFTER_MS
) -> frozenset[NodeId]:
    """Return who should vote; `sizes` are the possible numbers, the largest first."""

    def rank(member: Member) -> tuple[int, bool, bool, NodeId]:
        long_dead = not member.alive and member.dead_ms >= replace_after_ms
        if member.node in view.committed:
            kind = 3 if long_dead else 0
        else:
            kind = 1 if member.voter else 2
        return kind, member.node != view.me, not member.alive, member.node

    eligible = [
        member
        for member in view.members
        # Dead ones only to keep them: one that left, joined again and died has to be made anew.
        if not member.leaving and (member.alive or (member.voter and member.node in view.committed))
    ]
    size = next((size for size in sizes if size <= len(eligible)), 0)
    return frozenset(member.node for member in sorted(eligible, key=rank)[:size])


def wanted_replicas(stream: Stream, voters: int) -> int:
    """Return how many replicas a stream should have in a cluster of this many voters."""
    return voters if stream.control else min(voters, _REPLICAS_MAX)


def next_step(
    view: View, *, voters: int, replace_after_ms: int = REPLACE_AFTER_MS
) -> Step | Wait | None:
    """Return what is to be done next, or None if everything is as it should be.

    Args:
        view: The fabric as it is.
        voters: How many should vote, by the number of members that stay.
        replace_after_ms: See `REPLACE_AFTER_MS`.
    """
    sizes = [size for size in _SIZES if size <= voters]
    target = choose_voters(view, sizes, replace_after_ms)
    if not target:
        dead = sorted(m.node for m in view.members if not m.leaving and not m.alive)
        silent = f": {', '.join(dead)} not heard" if dead else ""
        return Wait(f"nobody is alive that could vote{silent}")
    return (
        _unsettled(view)
        or _grow(view, target)
        or _place(view, target)
        or _commit(view, target)
        or _shrink(view, target)
        or _let_go(view, target)
    )


def _unsettled(view: View) -> Wait | None:
    online = {peer.name for peer in view.peers if peer.online}
    for peer in view.peers:
        if peer.online and not peer.current:
            return Wait(f"broker {peer.name} is catching up")
    for stream in view.streams:
        if not any(replica.leader for replica in stream.placed):
            return Wait(f"stream {stream.name} has no leader")
        if len(stream.placed) < stream.replicas and any(not stream.holds(p) for p in online):
            return Wait(f"stream {stream.name} is being placed")
        for replica in stream.placed:
            if replica.peer in online and not replica.current:
                return Wait(f"stream {stream.name} is catching up at {replica.peer}")
    return None


def _grow(view: View, target: frozenset[NodeId]) -> Step | Wait | None:
    flagged = {member.node for member in view.members if member.voter}
    alive = {member.node for member in view.members if member.alive}
    running = {peer.node for peer in view.peers if peer.online}
    # Whoever was let in and is alive comes first: the peers change one at a time. A dead voter that
    # nobody can replace is not waited for; nothing about it changes.
    for node in sorted(flagged & target & alive):
        if node not in running:
            return Wait(
                f"the broker of {node} is starting; if it does not, `bzzz-agent fabric status`"
                " there says why"
            )
    joining = sorted(target - flagged)
    return Promote(joining[0]) if joining else None


def _place(view: View, target: frozenset[NodeId]) -> Step | Wait | None:
    """Give every stream its replicas, on brokers that stay."""
    stay = _staying(view, target)
    going = _going(view, target)
    for stream in view.streams:
        if stream.replicas < wanted_replicas(stream, len(target)):
            if len(stay) < wanted_replicas(stream, len(target)):
                continue  # A voter is away; the streams stay as they are until it is back.
            return Scale(stream.name, wanted_replicas(stream, len(target)))
    for stream in view.streams:
        free = [peer for peer in stay if not stream.holds(peer)]
        for replica in stream.placed:
            if replica.peer in going and free:
                return _evict(view, stream, replica)
    return None


def _evict(view: View, stream: Stream, replica: Replica) -> Step | Wait:
    others = [r for r in stream.placed if r.peer != replica.peer and r.current]
    if len(others) > stream.replicas // 2:
        return Evict(stream.name, replica.peer)
    if stream.replicas == 1 and replica.current:
        # The only copy: first make another one, then this one can go.
        online = sum(peer.online for peer in view.peers)
        return Scale(stream.name, 3 if online >= 3 else 2)  # noqa: PLR2004
    return Wait(f"stream {stream.name} has too few replicas to leave {replica.peer}")


def _commit(view: View, target: frozenset[NodeId]) -> Step | Wait | None:
    if view.committed == target:
        return None
    running = {peer.node for peer in view.peers if peer.online}
    ready = target & running
    if len(ready) <= len(target) // 2 or not target - view.committed <= running:
        away = ", ".join(sorted(target - running))
        return Wait(f"too few of the new voters' brokers are running; not running: {away}")
    return Commit(target)


def _shrink(view: View, target: frozenset[NodeId]) -> Step | Wait | None:
    """Take streams down to fewer replicas, never to one that is about to go."""
    stay = _staying(view, target)
    for stream in view.streams:
        wanted = wanted_replicas(stream, len(target))
        if stream.replicas <= wanted:
            continue
        leader = next(replica.peer for replica in stream.placed if replica.leader)
        holding = [r.peer for r in stream.placed if r.peer in stay and r.current]
        if leader in stay:
            return Scale(stream.name, wanted)
        if holding:
            return MoveLeader(stream.name, holding[0])
        return Wait(f"stream {stream.name} is on no broker that stays")
    return None


def _let_go(view: View, target: frozenset[NodeId]) -> Step | Wait | None:
    """Demote whoever is not needed, and count brokers no longer that have ended."""
    needed = {replica.peer for stream in view.streams for replica in stream.placed}
    members = {member.node for member in view.members}
    for peer in sorted(view.peers, key=lambda peer: peer.name):
        if not _is_stale(view, peer.name, target) or peer.name in needed:
            continue
        if not peer.online or peer.node not in members:
            flagged = any(m.voter for m in view.members if m.node == peer.node)
            used = any(p.node == peer.node and p.name in needed for p in view.peers)
            if peer.node not in target and flagged and not used and peer.node is not None:
                return Demote(peer.node)
            return RemovePeer(peer.name)
    if (step := _demote(view, target, needed)) is not None:
        return step
    kept = [name for name in sorted(needed) if _is_stale(view, name, target)]
    return Wait(f"nobody can take the replicas of {', '.join(kept)}") if kept else None


def _demote(view: View, target: frozenset[NodeId], needed: set[str]) -> Step | Wait | None:
    """Demote one of those that are not to vote, once whoever was demoted before is gone.

    Two that end at once may be the majority of those that are counted.
    """
    flagged = {member.node for member in view.members if member.voter}
    for peer in view.peers:
        if peer.node not in target | flagged:
            return Wait(f"broker {peer.name} is ending")
    for node in sorted(flagged - target):
        names = {peer.name for peer in view.peers if peer.node == node}
        if names & needed:
            return Wait(f"streams are still on the broker of {node}")
        return _needed_to_decide(view, names) or Demote(node)
    return None


def _needed_to_decide(view: View, names: set[str]) -> RemovePeer | None:
    """Return the removal that has to come before these brokers end, not after.

    Of two that are counted, the one that is left when the other ends is no majority: it could not
    even count the other one no longer, and changes of streams would stop for good.
    """
    online = {peer.name for peer in view.peers if peer.online}
    here = sorted(online & names)
    if here and 2 * len(online - names) <= len(view.peers):
        return RemovePeer(here[0])
    return None


def _staying(view: View, target: frozenset[NodeId]) -> list[str]:
    """Return the brokers that run and whose nodes are to vote, in one order for everybody."""
    return sorted(peer.name for peer in view.peers if peer.online and peer.node in target)


def _going(view: View, target: frozenset[NodeId]) -> set[str]:
    """Return the brokers to empty now: those that are counted no more, and one that still is.

    Where an evicted replica goes is for the brokers to choose, and they know nothing of our plans:
    two brokers that are emptied at the same time hand their replicas to each other for ever. Dead
    ones are emptied first: until its dead replica is somewhere else, a stream cannot spare a living
    one, so whoever leaves would wait for a place that only the dead one's could become.
    """
    counted = [peer.name for peer in sorted(view.peers, key=lambda peer: (peer.online, peer.name))]
    stale = [name for name in counted if _is_stale(view, name, target)]
    held = {replica.peer for stream in view.streams for replica in stream.placed}
    return held.difference(counted).union(stale[:1])


def _is_stale(view: View, name: str, target: frozenset[NodeId]) -> bool:
    """Return whether a broker is to go: its node does not vote, or it runs under a newer name."""
    found = next((peer for peer in view.peers if peer.name == name), None)
    if found is None:
        return True  # A replica on a broker that is counted no more.
    if found.node not in target:
        return True
    return not found.online and any(
        peer.online and peer.node == found.node for peer in view.peers if peer.name != name
    )
