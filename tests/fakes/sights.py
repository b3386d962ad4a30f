"""Looks at statuses that a test writes down whole, as an agent looks at its own."""

from __future__ import annotations

import msgspec

from bzzz_core.api.documents import MemberStatus, Status
from bzzz_core.api.events.board import Board
from bzzz_core.api.events.sampling import Sight, StatusSampler


def sight_of(status: Status) -> Sight:
    """Return a status as a sight; each member's document is its mark and its source, too."""

    def document(member: MemberStatus) -> MemberStatus:
        return member

    head = msgspec.structs.replace(status, members=())
    members = ((member.node_id, member, member) for member in status.members)
    return Sight(head=head, members=members, document=document)


def take(sampler: StatusSampler, status: Status) -> bool:
    """Look at a status in one go; return whether anything counted as a change."""
    board: Board = sampler._board
    before = board.revision
    for _ in sampler.look(sight_of(status)):
        pass
    return board.revision != before
