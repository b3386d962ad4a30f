"""The roster, decided without I/O.

Theory of operation
-------------------
Every node reports itself (a *beat*) to the voters, who judge it by silence alone:

    silent for suspect -> suspect      silent for dead -> dead      any newer beat -> alive

Both times are the configured ones, stretched by the beat's own period: in a large cluster nodes
beat more seldom (`beat_period_ms`), so that a voter hears a bounded number of beats a second.

Nobody else hears beats: that would grow with the square of the nodes. The leader, a voter, tells
everybody what changed, once a second (`bzzz_core/membership/telling.py`). An edge believes the
leader; told nothing for `suspect_ms`, it holds everyone but itself for suspect: it does not know.

Convergence: a digest carries the *fingerprint* of the leader's whole roster, a sum of one hash a
member, kept up to date with each change. An edge whose own sum differs twice in a row has missed
something and asks for the roster. So nothing depends on any single message, and no numbering has to
survive anything.

Refutation: a node that learns that others hold it for suspect or dead beats at once. One that
learns that others remember a later word of it than its last (its counter was lost with its disk, or
a second process spoke in its name) goes on counting from there, or its beats would be dropped as
old ones. What a node says of itself it knows from nobody but itself: a goodbye in its name, heard
while it lives, is answered in the same way. A living second process is not: its beats would be
answered by new ones without end.

Silence is measured on this node's own clock, so a node that slept must not blame the others: when
two ticks lie further apart than `suspect_ms`, every member is given the difference.

Rules: every transition lives in this file; time arrives as `now_ms` and is never read. A beat or a
digest costs the same whatever the number of members; only sleeping and listing cost more.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import Final

from msgspec.structs import replace

from bzzz_core.config.sections import RosterTimings
from bzzz_core.membership.beat import Beat, Digest, Echo, Told
from bzzz_core.membership.events import (
    Action,
    AskRoster,
    Changed,
    DigestHeard,
    Enrolled,
    Event,
    Heard,
    Outlive,
    PageHeard,
    Refute,
    Sent,
    Tick,
)
from bzzz_core.membership.member import Member, merged, newer
from bzzz_core.membership.telling import News
from bzzz_core.model import MemberState, NodeId

BEATS_A_SECOND_MAX: Final = 250
"""What one voter is to hear; at 130 us each (measured, client library included) 3.3 % of a core."""
TICK_MS_MAX: Final = 1_000
_SENT_KEPT: Final = 16
_UNFIT_MAX: Final = 2
_SMOOTH: Final = 0.2


def beat_period_ms(configured_ms: int, nodes: int) -> int:
    """Return how often a node of a cluster of `nodes` beats.

    Formula: max(configured, nodes / BEATS_A_SECOND_MAX). A lower bound on the rate would find
    losses sooner and cost every voter more; up to 250 nodes nothing changes, 1,000 nodes beat every
    4 s.
    """
    return max(configured_ms, nodes * 1_000 // BEATS_A_SECOND_MAX)


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
        self._members: dict[NodeId, Member] = {}
        self._due: list[tuple[int, NodeId]] = []
        """When somebody's silence may matter next, never too late."""
        self._look_ms: dict[NodeId, int] = {}
        """Which entry of `_due` counts; others are left over."""
        self._sum = 0
        self._ticked_ms = now_ms
        self._told_ms = now_ms
        self._deaf = False
        """Told nothing for too long."""
        self._unfit = 1
        """How many digests in a row did not fit; a node that starts knows nothing."""
        self._sent: dict[int, int] = {}
        self._others: dict[NodeId, int] = {}
        """The other voters heard, and when last."""
        self.news = News()
        self._admit(nodes, now_ms)

    @property
    def fingerprint(self) -> int:
        """Return the sum over all members, 63 bits: as far as msgspec checks integers."""
        return self._sum % 2**63

    def __len__(self) -> int:
        """Return how many nodes are enrolled."""
        return len(self._members)

    def members(self) -> tuple[Member, ...]:
        """Return the roster ordered by node id."""
        shown = self._shown()
        return tuple(shown(self._members[node]) for node in sorted(self._members))

    def seen(self) -> Iterator[Member]:
        """Return what yields the roster as it is now, in no order, however long that takes."""
        shown = self._shown()
        return (shown(member) for member in tuple(self._members.values()))

    def next_ms(self) -> int:
        """Return when the next tick is due at the latest."""
        soon = self._ticked_ms + TICK_MS_MAX
        return min(soon, self._due[0][0]) if self._due else soon

    def sending(self, number: int, now_ms: int) -> tuple[Echo, ...]:
        """Note that the beat `number` leaves now; return what it echoes."""
        if self._edge:
            return ()
        self._sent[number] = now_ms
        while len(self._sent) > _SENT_KEPT:
            del self._sent[next(iter(self._sent))]
        heard = sorted(self._others, key=self._others.__getitem__, reverse=True)[:8]
        return tuple(
            Echo(node, member.beat.incarnation, member.beat.number, now_ms - self._others[node])
            for node in heard
            if (member := self._members.get(node)) is not None and member.beat is not None
        )

    def lead(self, now_ms: int) -> None:
        """Begin to tell what changes."""
        self.news.begin(self._members.values(), now_ms)

    def tell(self, now_ms: int) -> tuple[tuple[Told, ...], int]:
        """Return what the digest of now tells, and how many changes have to wait."""
        return self.news.take(self._members, now_ms)

    def told_after(self, after: NodeId, now_ms: int) -> Iterator[Told]:
        """Yield all members whose ids follow `after`, in order."""
        for node in sorted(node for node in self._members if node > after):
            yield self._members[node].told(now_ms)

    def handle(self, event: Event, now_ms: int) -> list[Action]:
        """Advance on one event and return what the caller must do, in order."""
        match event:
            case Tick():
                return self._tick(now_ms)
            case Sent(beat):
                return self._hear(beat, now_ms)
            case Heard(beat):
                return (
                    self._hear_myself(beat) if beat.node == self._me else self._hear(beat, now_ms)
                )
            case DigestHeard(digest):
                return self._be_told(digest, now_ms)
            case PageHeard(members):
                return [action for told in members for action in self._believe(told, now_ms)]
            case Enrolled(nodes, edge):
                return self._enrol(nodes, now_ms, edge=edge)

    # ---- time

    def _tick(self, now_ms: int) -> list[Action]:
        slept_ms = now_ms - self._ticked_ms
        self._ticked_ms = now_ms
        if slept_ms > max(self._timings.suspect_ms, 2 * TICK_MS_MAX):
            self._forgive(slept_ms, now_ms)
        actions: list[Action] = []
        while self._due and self._due[0][0] <= now_ms:
            due_ms, node = heapq.heappop(self._due)
            if self._look_ms.get(node) == due_ms:
                del self._look_ms[node]
                actions += self._judge(self._members[node], now_ms)
        if self._edge and now_ms - self._told_ms >= self._timings.suspect_ms:
            actions += self._turn(deaf=True)
        return actions

    def _forgive(self, slept_ms: int, now_ms: int) -> None:
        """Give everyone the time that this node was not awake."""
        # Never past now: a beat may have been read between waking and this tick.
        self._told_ms = min(now_ms, self._told_ms + slept_ms)
        for node, member in self._members.items():
            heard_ms = min(now_ms, member.heard_ms + slept_ms)
            self._members[node] = replace(member, heard_ms=heard_ms)

    def _judge(self, member: Member, now_ms: int) -> list[Action]:
        """Look at a member whose silence may have lasted too long, and say when to look again."""
        if member.state is MemberState.LEFT or (self._edge and member.node != self._me):
            return []  # A beat, or the end of being an edge, brings it back.
        suspect_ms, dead_ms = self._patience_ms(member)
        silent_ms = now_ms - member.heard_ms
        if silent_ms >= dead_ms:
            return self._move(member, MemberState.DEAD, now_ms)
        again_ms = suspect_ms if silent_ms < suspect_ms else dead_ms
        self._look_at(member.node, member.heard_ms + again_ms)
        late = silent_ms >= suspect_ms
        return self._move(member, MemberState.SUSPECT, now_ms) if late else []

    def _patience_ms(self, member: Member) -> tuple[int, int]:
        """Return after which silence a member is suspect, and dead."""
        configured_ms = self._timings.beat_ms
        period_ms = member.beat.period_ms if member.beat else 0
        period_ms = max(configured_ms, period_ms)
        return (
            self._timings.suspect_ms * period_ms // configured_ms,
            self._timings.dead_ms * period_ms // configured_ms,
        )

    # ---- beats

    def _hear(self, beat: Beat, now_ms: int) -> list[Action]:
        member = self._members.get(beat.node)
        if member is None or not newer(beat, member.beat):
            return []  # Not enrolled, doubled, or overtaken on the way.
        actions: list[Action] = []
        rtt_ms = beat.rtt_ms
        if beat.voter and beat.node != self._me:
            self._others[beat.node] = now_ms
            rtt_ms, actions = self._hear_echo(beat, member.rtt_ms, now_ms)
        beat = merged(beat, member.beat)
        heard = self._keep(replace(member, beat=beat, heard_ms=now_ms, rtt_ms=rtt_ms), now_ms)
        if member.state is not MemberState.ALIVE:
            self._look_at(heard.node, now_ms + self._patience_ms(heard)[0])
        self.news.note(heard)
        state = MemberState.LEFT if beat.leaving else MemberState.ALIVE
        return actions + self._move(heard, state, now_ms)

    def _hear_myself(self, beat: Beat) -> list[Action]:
        """Refute a goodbye in this node's name that is newer to the others than its last beat."""
        mine = self._members.get(self._me)
        refuted = mine is not None and beat.leaving and newer(beat, mine.beat)
        return [Outlive(beat.incarnation)] if refuted else []

    def _hear_echo(
        self, beat: Beat, known_ms: float | None, now_ms: int
    ) -> tuple[float | None, list[Action]]:
        """Learn from another voter what it heard of this one."""
        mine = self._members.get(self._me)
        for echo in beat.echoes:
            if echo.node != self._me or mine is None:
                continue
            last = mine.beat.number if mine.beat else 0
            if (echo.incarnation, echo.number) > (mine.incarnation, last):
                return known_ms, [Outlive(echo.incarnation)]
            sent_ms = self._sent.get(echo.number)
            if echo.incarnation == mine.incarnation and sent_ms is not None:
                now_took_ms = float(max(0, now_ms - sent_ms - echo.held_ms))
                took_ms = now_took_ms if known_ms is None else known_ms
                return round(took_ms + _SMOOTH * (now_took_ms - took_ms), 2), []
        return known_ms, []

    # ---- being told

    def _be_told(self, digest: Digest, now_ms: int) -> list[Action]:
        actions: list[Action] = []
        self._told_ms = now_ms
        for told in digest.members:
            actions += self._believe(told, now_ms)
        actions += self._turn(deaf=False)
        fits = digest.fingerprint == self.fingerprint
        # A change and the digest may cross; what waits to be told may be all that is missing.
        self._unfit = 0 if fits else self._unfit + (digest.untold == 0)
        if self._unfit >= _UNFIT_MAX:
            actions.append(AskRoster())
        return actions

    def _believe(self, told: Told, now_ms: int) -> list[Action]:
        member = self._members.get(told.node)
        if member is None:
            return []
        if told.node == self._me:
            return self._hear_of_me(member, told)
        beat = merged(told.beat, member.beat) if told.beat else member.beat
        rtt_ms = beat.rtt_ms if beat else None
        heard_ms = now_ms - told.heard_ms_ago
        believed = replace(member, beat=beat, heard_ms=heard_ms, rtt_ms=rtt_ms)
        return self._move(self._keep(believed, now_ms), told.state, now_ms)

    def _hear_of_me(self, mine: Member, told: Told) -> list[Action]:
        """Refute what the leader believes of this node, if it is wrong."""
        if told.beat is not None and newer(told.beat, mine.beat):
            return [Outlive(told.beat.incarnation)]
        wrong = mine.state is MemberState.ALIVE and told.state is not MemberState.ALIVE
        return [Refute()] if wrong else []

    def _turn(self, *, deaf: bool) -> list[Action]:
        """Begin or stop to hold everyone for suspect because the leader is not heard."""
        if deaf == self._deaf:
            return []
        self._deaf = deaf
        alive, suspect = MemberState.ALIVE, MemberState.SUSPECT
        before, after = (alive, suspect) if deaf else (suspect, alive)
        return [
            Changed(node, before, after)
            for node, member in sorted(self._members.items())
            if member.state is alive and node != self._me
        ]

    def _shown(self) -> Callable[[Member], Member]:
        """Return what shows members as of now: on an edge vouched for by the leader, or not known.

        What comes later changes nothing of it.
        """
        me, deaf, told_ms = self._me, self._deaf, self._told_ms

        def shown(member: Member) -> Member:
            if member.node == me or member.state is not MemberState.ALIVE:
                return member
            if deaf:
                return replace(member, state=MemberState.SUSPECT)
            return replace(member, heard_ms=max(member.heard_ms, told_ms))

        return shown if self._edge else _as_it_is

    # ---- keeping

    def _enrol(self, nodes: tuple[NodeId, ...], now_ms: int, *, edge: bool) -> list[Action]:
        gone = self._members.keys() - set(nodes)
        for node in gone:
            self._sum -= self._members.pop(node).fingerprint()
            self._others.pop(node, None)
            self._look_ms.pop(node, None)
            self.news.forget(node)
        self._admit(tuple(node for node in nodes if node not in self._members), now_ms)
        if edge != self._edge:
            self._edge, self._deaf, self._told_ms = edge, False, now_ms
            for node in self._members:
                self._look_at(node, now_ms + self._timings.suspect_ms)
        return []

    def _admit(self, nodes: tuple[NodeId, ...], now_ms: int) -> None:
        for node in nodes:
            member = Member(node, MemberState.SUSPECT, None, now_ms, now_ms)
            self._members[node] = member
            self._sum += member.fingerprint()
            self._look_at(node, now_ms + self._timings.suspect_ms)

    def _look_at(self, node: NodeId, due_ms: int) -> None:
        """Judge a member at `due_ms`, and not at any time said before."""
        self._look_ms[node] = due_ms
        heapq.heappush(self._due, (due_ms, node))

    def _keep(self, member: Member, now_ms: int) -> Member:
        """Store a member; the sum and the time of the last change follow."""
        before = self._members[member.node]
        if (before.state, before.incarnation) != (member.state, member.incarnation):
            member = replace(member, changed_ms=now_ms)
            self._sum += member.fingerprint() - before.fingerprint()
        self._members[member.node] = member
        return member

    def _move(self, member: Member, state: MemberState, now_ms: int) -> list[Action]:
        if state is member.state:
            return []
        moved = self._keep(replace(member, state=state), now_ms)
        self.news.note(moved)
        shown = self._shown()
        before, after = shown(member).state, shown(moved).state
        return [Changed(member.node, before, after)] if before is not after else []


def _as_it_is(member: Member) -> Member:
    return member
