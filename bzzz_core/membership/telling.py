"""What the leader tells everybody in the digest of each second, within a fixed number of bytes.

News are of two kinds. A member's state, start or capabilities are *urgent*: everybody has to know
them, and they change seldom. Its load is told when it moved by a step, as far as `LOAD_BYTES_MAX`
reaches, longest waiting first: in a large busy cluster the others' load is then some seconds older,
and what a digest costs each of its readers stays the same whatever the number of nodes.

An idle cluster tells nothing. A new leader starts from what the one before had told: all members as
they are, but for those whose state changed in the last minute, which it tells again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from bzzz_core.membership.beat import Beat, Told, size_of
from bzzz_core.membership.member import Member
from bzzz_core.model import MemberState, NodeId

URGENT_BYTES_MAX: Final = 65_536
LOAD_BYTES_MAX: Final = 4_096
LATELY_MS: Final = 60_000
_CPU_STEP_PERCENT: Final = 5.0
_MEMORY_STEP: Final = 0.05


class News:
    """What is worth telling, while this node leads."""

    def __init__(self) -> None:
        """Tell nothing yet."""
        self._telling = False
        self._told: dict[NodeId, tuple[MemberState, Beat | None]] = {}
        self._urgent: dict[NodeId, None] = {}
        """In the order in which they became news."""
        self._load: dict[NodeId, None] = {}

    def begin(self, members: Iterable[Member], now_ms: int) -> None:
        """Start to lead."""
        self.end()
        self._telling = True
        for member in members:
            self._told[member.node] = (member.state, member.beat)
            if now_ms - member.changed_ms < LATELY_MS or member.state is not MemberState.ALIVE:
                self._urgent[member.node] = None

    def end(self) -> None:
        """Stop to lead."""
        self._telling = False
        for kept in (self._told, self._urgent, self._load):
            kept.clear()

    def note(self, member: Member) -> None:
        """Look whether a member that was heard or judged is news."""
        if not self._telling:
            return
        state, beat = self._told.get(member.node, (None, None))
        if state is not member.state or _other_start(beat, member.beat):
            self._urgent[member.node] = None
        elif beat is not None and member.beat is not None and _moved(beat, member.beat):
            self._load[member.node] = None

    def forget(self, node: NodeId) -> None:
        """Drop a node that is enrolled no more."""
        for kept in (self._told, self._urgent, self._load):
            kept.pop(node, None)

    def take(self, members: Mapping[NodeId, Member], now_ms: int) -> tuple[tuple[Told, ...], int]:
        """Return what to tell now, and how many urgent news have to wait."""
        told = self._take(self._urgent, members, now_ms, URGENT_BYTES_MAX)
        for one in told:
            self._load.pop(one.node, None)
        told += self._take(self._load, members, now_ms, LOAD_BYTES_MAX)
        return tuple(told), len(self._urgent)

    def _take(
        self,
        waiting: dict[NodeId, None],
        members: Mapping[NodeId, Member],
        now_ms: int,
        bytes_max: int,
    ) -> list[Told]:
        taken: list[Told] = []
        size_bytes = 0
        for node in list(waiting):
            member = members[node]
            _, before = self._told.get(node, (None, None))
            told = member.told(now_ms, capabilities=waiting is self._urgent or before is None)
            size_bytes += size_of(told)
            if taken and size_bytes > bytes_max:
                break
            taken.append(told)
            del waiting[node]
            self._told[node] = (member.state, member.beat)
        return taken


def _other_start(told: Beat | None, known: Beat | None) -> bool:
    if told is None or known is None:
        return told is not known
    return (told.incarnation, told.capabilities) != (known.incarnation, known.capabilities)


def _moved(told: Beat, known: Beat) -> bool:
    """Whether others would see a difference: the broker, or load by a step."""
    then, now = told.sample, known.sample
    memory_step = (then.memory_total_bytes or 0) * _MEMORY_STEP
    return (
        told.broker != known.broker
        or abs((now.cpu_percent or 0) - (then.cpu_percent or 0)) >= _CPU_STEP_PERCENT
        or abs((now.memory_used_bytes or 0) - (then.memory_used_bytes or 0)) > memory_step
    )
