"""What of a node's status counts as a change, and finding it at the cost of what changed. Pure.

Some values differ every second for everybody, and say nothing: the time, how long a node runs, how
many milliseconds ago a living one was heard. Others move all the time by less than anybody is
shown. Both are told with the next real change, and to whoever gets everything; a reader adds the
time that passed by itself. So a quiet cluster is quiet on the wire.

Of 10,000 members only those say anything new that were heard or judged since the last look: some
250 a second, however many there are. A `Sight` has a *mark* of each, which is another one then, and
documents are made for those alone. The others are only walked past, and whoever is told of one
later, in a document that was made earlier, gets it made anew (`freshen`): how long ago somebody was
heard is right when it is told.

Looking goes in steps, and whoever looks lets others run between them. Nothing is put on the board
before the last one, so that nobody ever sees half of a look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from bzzz_core.api.documents import MemberStatus, Status
from bzzz_core.api.event_documents import MEMBERS, SELF, STATUS
from bzzz_core.api.events.board import Board
from bzzz_core.model import NodeId

STEP: Final = 2_000
"""Work of one step, in members that are walked past: 1 to 2 ms on a slow machine."""
_MADE: Final = 20
"""A document that is made and compared costs as much as so many that are walked past."""
_MEMORY_BITS: Final = 26
"""64 MiB: a tenth of a GiB, as memory is written."""
_RTT_SHARE: Final = 1.5
"""A time there and back counts as another from half as much again, or two thirds, ..."""
_RTT_MS_MIN: Final = 1.0
"""... if it is different by this much, for on one machine it is all noise."""


@dataclass(frozen=True, slots=True)
class Sight:
    """A node's status as it is at one moment."""

    head: Status
    """All but the members."""
    members: Iterable[tuple[NodeId, object, Any]]
    """Id, mark and source of each. Equal marks: but for what time alone changes, the documents
    are equal, too."""
    document: Callable[[Any], MemberStatus]
    """Makes a member's document from its source."""


@dataclass(slots=True)
class _Known:
    """What was seen of one member."""

    mark: object
    source: Any
    told: MemberStatus
    """As it was when it last counted as changed."""
    coarse: tuple[object, ...]
    """What is compared of that."""
    made: int
    """In which look its document on the board was made."""
    seen: int
    """In which look it was there."""


class StatusSampler:
    """Puts a node's status on the board, in two collections. Looks must not overlap."""

    def __init__(self, board: Board) -> None:
        """Put nothing yet."""
        self._board = board
        self._known: dict[str, _Known] = {}
        self._begun = 0
        """Looks that were begun."""
        self._looks = 0
        """The last one that was finished."""
        self._document: Callable[[Any], MemberStatus] | None = None
        """Of the last look."""

    def look(self, sight: Sight) -> Iterator[None]:
        """Yield between steps; after the last one what is seen is on the board."""
        self._begun += 1  # A look that is broken off must not vouch for anybody in the next one.
        look, work = self._begun, 0
        found: dict[NodeId, tuple[MemberStatus, _Known]] = {}
        passed = 0
        for node, mark, source in sight.members:
            known = self._known.get(node)
            if known is not None and known.mark == mark:
                known.source, known.seen = source, look
                passed += 1
                work += 1
            else:
                document = sight.document(source)
                found[node] = document, _compared(document, known, mark, source, look)
                work += _MADE
            if work >= STEP:
                work = 0
                yield
        self._looks, self._document = look, sight.document
        self._put(sight.head, found, passed)

    def freshen(self, members: Iterable[str]) -> Iterator[None]:
        """Make documents that an earlier look made as of the last one; yield between steps."""
        work = 0
        for node in members:
            known = self._known.get(node)
            if known is None or self._document is None or known.made == self._looks:
                work += 1
            else:
                self._board.renew(MEMBERS, node, self._document(known.source))
                known.made = self._looks
                work += _MADE
            if work >= STEP:
                work = 0
                yield

    def _put(
        self, head: Status, found: dict[NodeId, tuple[MemberStatus, _Known]], passed: int
    ) -> None:
        sign = msgspec.structs.replace(head, at="", uptime_s=0)
        self._board.put(STATUS, SELF, head, sign=sign)
        self._known.update((node, known) for node, (_, known) in found.items())
        gone: list[str] = []
        if passed + len(found) != len(self._known):
            gone = [node for node, known in self._known.items() if known.seen != self._looks]
        for node in gone:
            del self._known[node]
        # Its sign is the document of when it last counted as changed.
        rows = ((node, document, known.told) for node, (document, known) in found.items())
        self._board.update(MEMBERS, rows, gone)


def _compared(
    document: MemberStatus, before: _Known | None, mark: object, source: Any, look: int
) -> _Known:
    """Return what is known of a member that looks different, or only is."""
    told, coarse = document, _coarse(document)
    same = before is not None and coarse == before.coarse
    if before is not None and same and not _moved_on(before.told, document):
        told = before.told
    return _Known(mark, source, told, coarse, look, look)


def differs(told: MemberStatus, now: MemberStatus) -> bool:
    """Return whether a member is different from what was told of it, as far as anybody is shown."""
    return _coarse(told) != _coarse(now) or _moved_on(told, now)


def _moved_on(told: MemberStatus, now: MemberStatus) -> bool:
    """Return whether what is not compared coarsely differs by as much as counts."""
    return (
        _restarted(told.uptime_s, now.uptime_s)
        or _moved(told.rtt_ms, now.rtt_ms)
        or (told.gpus != now.gpus and _gpus(told) != _gpus(now))
    )


def _coarse(member: MemberStatus) -> tuple[object, ...]:
    return (
        member.state,
        None if member.cpu_percent is None else round(member.cpu_percent),
        None if member.memory_used_bytes is None else member.memory_used_bytes >> _MEMORY_BITS,
        None if member.load_1m is None else round(member.load_1m, 1),
        member.heard_ms_ago is None,
        member.uptime_s is None,
        member.name,
        member.voter,
        member.address,
        member.version,
        member.cpu_count,
        member.memory_total_bytes,
        member.broker,
        member.models,
        member.languages,
        member.node_roles,
    )


def _gpus(member: MemberStatus) -> tuple[object, ...]:
    return tuple(
        (
            gpu.name,
            gpu.memory_total_bytes,
            None if gpu.memory_used_bytes is None else gpu.memory_used_bytes >> _MEMORY_BITS,
            None if gpu.utilization_percent is None else round(gpu.utilization_percent),
        )
        for gpu in member.gpus
    )


def _restarted(told: int | None, now: int | None) -> bool:
    return told is not None and now is not None and now < told


def _moved(told: float | None, now: float | None) -> bool:
    if told is None or now is None:
        return told is not now
    low, high = sorted((told, now))
    return high - low >= _RTT_MS_MIN and high >= low * _RTT_SHARE
