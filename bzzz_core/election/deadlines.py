"""When a machine must be woken if nothing happens, so that its shell need not look all the time.

Every place in `machine` that compares the time with something has its line here. A deadline may be
too early (the machine looks and finds nothing due), never too late; and it is never one that the
tick at that time does not move, or the shell would spin. The simulation wakes machines by this
alone, and proves both.

Rules: as in `machine`; nothing is changed here.
"""

from __future__ import annotations

from collections.abc import Iterator

from bzzz_core.election.leader import UNABLE_DETECTS
from bzzz_core.election.stages import Office, Polling, Sounding
from bzzz_core.election.state import NodeState


def next_deadline_ms(node: NodeState, now_ms: int) -> int | None:
    """Return the earliest time at which a tick would do something; None if there is none."""
    return min(_deadlines(node, now_ms), default=None)


def _deadlines(node: NodeState, now_ms: int) -> Iterator[int]:
    timings = node.timings
    if node.read_at_ms is not None:
        yield node.read_at_ms
    for due_ms in (node.lonely_at(), node.unsure_at()):
        if due_ms is not None:
            yield due_ms
    if node.leader is not None and not isinstance(node.stage, Office):
        yield node.heard_ms + timings.detect_ms
    match node.stage:
        case None:
            stands_ms = node.stands_at(now_ms)
            if stands_ms is not None:
                yield stands_ms
        case Sounding(sent_ms=sent_ms):
            yield sent_ms + timings.rank_delay_ms
        case Polling(sent_ms=sent_ms, deadline_ms=deadline_ms):
            yield min(deadline_ms, sent_ms + timings.rank_delay_ms)
        case Office() as office:
            yield from _of_office(node, office, now_ms)
        case _:
            pass  # Writing is moved on by the store's answers.


def _of_office(node: NodeState, office: Office, now_ms: int) -> Iterator[int]:
    timings = node.timings
    yield office.due_ms
    if not office.confirmed:
        yield office.since_ms + timings.detect_ms
        return
    age_ms = office.quorum_age_ms(node.voters.majority, now_ms)
    if age_ms:  # A leader that needs nobody's answers is never without them.
        yield now_ms - age_ms + timings.check_quorum_ms
    if not office.served:
        yield office.since_ms + UNABLE_DETECTS * timings.detect_ms
    if office.handing is not None:
        yield office.handing.deadline_ms
