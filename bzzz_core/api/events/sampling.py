"""What of a node's status counts as a change. Pure.

Some values differ every second for everybody, and say nothing: the time, how long a node runs, how
many milliseconds ago a living one was heard. Others move all the time by less than anybody is
shown. Both are told with the next real change, and to whoever gets everything; a reader adds the
time that passed by itself. So a quiet cluster is quiet on the wire.
"""

from __future__ import annotations

from typing import Final

import msgspec

from bzzz_core.api.documents import MemberStatus, Status
from bzzz_core.api.event_documents import MEMBERS, SELF, STATUS
from bzzz_core.api.events.board import Board

_MEMORY_BITS: Final = 26
"""64 MiB: a tenth of a GiB, as memory is written."""
_RTT_SHARE: Final = 1.5
"""A time there and back counts as another from half as much again, or two thirds, ..."""
_RTT_MS_MIN: Final = 1.0
"""... if it is different by this much, for on one machine it is all noise."""


class StatusSampler:
    """Puts a node's status on the board, in two collections."""

    def __init__(self, board: Board) -> None:
        """Put nothing yet."""
        self._board = board
        self._told: dict[str, tuple[MemberStatus, tuple[object, ...]]] = {}
        """Members as they were when they last counted as changed, and what is compared of them."""

    def take(self, status: Status) -> bool:
        """Put a status; return whether anything counts as a change."""
        head = msgspec.structs.replace(status, members=())
        sign = msgspec.structs.replace(head, at="", uptime_s=0)
        changed = self._board.put(STATUS, SELF, head, sign=sign)
        rows = [(member.node_id, member, self._sign(member)) for member in status.members]
        gone = self._told.keys() - {member.node_id for member in status.members}
        for node in gone:
            del self._told[node]
        return self._board.update(MEMBERS, rows, gone) or changed

    def _sign(self, member: MemberStatus) -> object:
        """Return what stands for the member: its document of when it last counted as changed."""
        coarse = _coarse(member)
        told, was = self._told.get(member.node_id, (None, ()))
        if told is None or coarse != was or _moved_on(told, member):
            self._told[member.node_id] = member, coarse
            return member
        return told


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
