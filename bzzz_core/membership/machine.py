"""The roster, decided without I/O.

Theory of operation
-------------------
Every node reports itself once per `beat_ms`. Voters hear the beats themselves:

    silent for suspect_ms -> suspect     silent for dead_ms -> dead     any newer beat -> alive

Edges do not hear beats (that would grow with the square of the nodes); they are told by the
leader's digests, one a second, which carry only what changed. An edge that is told nothing for
`suspect_ms` holds everyone but itself for suspect: it does not know.

Silence is measured on this node's own clock, so a node that slept must not blame the others: when
two ticks lie further apart than `suspect_ms`, every member is given the difference.

Rules: every transition lives in this file; time arrives as `now_ms` and is never read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from bzzz_core.config.sections import RosterTimings
from bzzz_core.membership.beat import Beat, Digest, Told
from bzzz_core.model import MemberState, NodeId

_CPU_STEP_PERCENT = 5.0


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing happened but time."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A beat arrived, its sender proven by the broker."""

    beat: Beat


@dataclass(frozen=True, slots=True)
class DigestHeard:
    """The leader told what it believes; only edges listen."""

    digest: Digest


@dataclass(frozen=True, slots=True)
class Changed:
    """A member's state is another one now."""

    node: NodeId
    before: MemberState
    after: MemberState


@dataclass(frozen=True, slots=True)
class AskDigest:
    """This edge has missed a digest: ask for a full one."""


@dataclass(frozen=True, slots=True)
class Member:
    """One line of the roster."""

    node: NodeId
    state: MemberState
    beat: Beat | None
    """The newest beat, or None if none was ever heard."""
    heard_ms: int
    """When it was heard on this node's clock; the start of this node, if never."""


Event: TypeAlias = Tick | Heard | DigestHeard
Action: TypeAlias = Changed | AskDigest


class Roster:
    """What one node believes of all enrolled nodes."""

    def __init__(
        self,
        timings: RosterTimings,
        *,
        me: NodeId,
        nodes: tuple[NodeId, ...],
        edge: bool,
        now_ms: int,
    ) -> None:
        """Start knowing who is enrolled and nothing else: everyone is suspect until heard."""
        self._timings = timings
        self._me = me
        self._edge = edge
        self._members = {n: Member(n, MemberState.SUSPECT, None, now_ms) for n in nodes}
        self._ticked_ms = now_ms
        self._told_ms = now_ms
        self._digest_number: int | None = None
        self._told: dict[NodeId, Told] = {}

    def members(self) -> tuple[Member, ...]:
        """Return the roster ordered by node id."""
        return tuple(self._members[node] for node in sorted(self._members))

    def tell(self, now_ms: int, *, full: bool) -> tuple[Told, ...]:
        """Return what edges must be told: what changed since the call before, or everything."""
        if full:
            self._told.clear()
        news = []
        for member in self.members():
            if member.beat is None or not _worth_telling(member, self._told.get(member.node)):
                continue
            told = Told(member.beat, member.state, max(0, now_ms - member.heard_ms))
            self._told[member.node] = told
            news.append(told)
        return tuple(news)

    def handle(self, event: Event, now_ms: int) -> list[Action]:
        """Advance on one event and return what the caller must do, in order."""
        match event:
            case Tick():
                return self._tick(now_ms)
            case Heard(beat):
                return self._hear(beat, now_ms)
            case DigestHeard(digest):
                return self._be_told(digest, now_ms)

    def _tick(self, now_ms: int) -> list[Action]:
        slept_ms = now_ms - self._ticked_ms
        self._ticked_ms = now_ms
        if slept_ms > self._timings.suspect_ms:
            # Never past now: a beat may have been read between waking and this tick.
            self._told_ms = min(now_ms, self._told_ms + slept_ms)
            for node, member in self._members.items():
                heard_ms = min(now_ms, member.heard_ms + slept_ms)
                self._members[node] = replace(member, heard_ms=heard_ms)
        actions: list[Action] = []
        for member in self.members():
            actions += self._move(member, self._judge(member, now_ms))
        return actions

    def _judge(self, member: Member, now_ms: int) -> MemberState:
        if member.state is MemberState.LEFT:
            return MemberState.LEFT
        silent_ms = now_ms - member.heard_ms
        if self._edge and member.node != self._me:
            told_late = now_ms - self._told_ms >= self._timings.suspect_ms
            alive = member.state is MemberState.ALIVE
            return MemberState.SUSPECT if told_late and alive else member.state
        if silent_ms >= self._timings.dead_ms:
            return MemberState.DEAD
        if silent_ms >= self._timings.suspect_ms:
            return MemberState.SUSPECT
        return member.state

    def _hear(self, beat: Beat, now_ms: int) -> list[Action]:
        member = self._members.get(beat.node)
        if member is None or not _newer(beat, member.beat):
            return []  # Not enrolled, doubled, or overtaken on the way.
        heard = replace(member, beat=beat, heard_ms=now_ms)
        self._members[beat.node] = heard
        return self._move(heard, MemberState.LEFT if beat.leaving else MemberState.ALIVE)

    def _be_told(self, digest: Digest, now_ms: int) -> list[Action]:
        self._told_ms = now_ms
        expected = None if self._digest_number is None else self._digest_number + 1
        self._digest_number = digest.number
        actions: list[Action] = []
        for told in digest.members:
            actions += self._believe(told, now_ms)
        if not digest.full and digest.number != expected:
            actions.append(AskDigest())
        return actions

    def _believe(self, told: Told, now_ms: int) -> list[Action]:
        member = self._members.get(told.beat.node)
        if member is None or member.node == self._me:
            return []
        believed = replace(member, beat=told.beat, heard_ms=now_ms - told.heard_ms_ago)
        self._members[member.node] = believed
        return self._move(believed, told.state)

    def _move(self, member: Member, state: MemberState) -> list[Action]:
        if state is member.state:
            return []
        self._members[member.node] = replace(member, state=state)
        return [Changed(member.node, member.state, state)]


def _newer(beat: Beat, known: Beat | None) -> bool:
    """Order beats by (start of the node, number within it)."""
    if known is None:
        return True
    return (beat.incarnation, beat.number) > (known.incarnation, known.number)


def _worth_telling(member: Member, told: Told | None) -> bool:
    """Whether edges would see a difference: state, start, or load moved by 5 points.

    An idle cluster of any size then tells nothing, which keeps the traffic of n edges linear in n.
    """
    beat = member.beat
    if told is None or beat is None:
        return beat is not None
    if (member.state, beat.incarnation) != (told.state, told.beat.incarnation):
        return True
    now, then = beat.sample, told.beat.sample
    memory_step = (then.memory_total_bytes or 0) / 20
    return (
        abs((now.cpu_percent or 0) - (then.cpu_percent or 0)) >= _CPU_STEP_PERCENT
        or abs((now.memory_used_bytes or 0) - (then.memory_used_bytes or 0)) > memory_step
    )
