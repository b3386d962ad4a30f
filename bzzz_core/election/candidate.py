"""From silence to a written record: sounding the others out, polling for ballots, writing.

Rules: as in `machine`, whose page explains the whole. Answers that do not belong to the present
stage are ignored: they are late, doubled, or not meant for this node.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from bzzz_core.election.events import (
    Action,
    Broadcast,
    Campaign,
    Cause,
    PollFailed,
    TermRead,
    TermRefused,
    TermUnknown,
    TermUnread,
    TermWritten,
    WriteTerm,
)
from bzzz_core.election.leader import take_office
from bzzz_core.election.messages import (
    PreVoteReply,
    PreVoteRequest,
    Standing,
    TermRecord,
    VoteReply,
    VoteRequest,
)
from bzzz_core.election.stages import Outcome, Polling, Sounding, Writing
from bzzz_core.election.state import Known, NodeState
from bzzz_core.model import NodeId, Revision, Term

POLL_DELAYS: Final = 3
"""A poll lasts this many `rank_delay_ms`, each more than a round trip: to ask, to ask again, and
for slow disks. Two that ask at once get no majority; the sooner both stop, the better."""

MANDATE_DETECTS: Final = 12
"""How many `detect_ms` an operator's wish for a leader holds: several polls."""


def may_stand(node: NodeState, now_ms: int) -> bool:
    """Return whether it is this node's turn to replace a leader that is not heard."""
    at_ms = node.stands_at(now_ms)
    return at_ms is not None and now_ms >= at_ms


def stand(node: NodeState, now_ms: int) -> list[Action]:
    """Take an operator's wish as a reason to stand; a leader that is heard goes before it."""
    node.mandate_until_ms = now_ms + MANDATE_DETECTS * node.timings.detect_ms
    node.not_before_ms = now_ms
    if node.stage is not None or not may_stand(node, now_ms):
        return []
    return sound(node, now_ms)


def is_late(node: NodeState, sent_ms: int, now_ms: int) -> bool:
    """Return whether an answer should have come: rank_delay_ms is more than a round trip."""
    return now_ms - sent_ms >= node.timings.rank_delay_ms


def sound(node: NodeState, now_ms: int) -> list[Action]:
    """Ask who would vote for this node."""
    node.rounds += 1
    node.stage = Sounding(node.rounds, now_ms, granted={node.me})
    if node.voters.majority == 1:
        return poll(node, now_ms)
    request = PreVoteRequest(node.rounds, node.known.sequence, node.score)
    return [Broadcast(request)]


def count_sounding(
    node: NodeState, sender: NodeId, reply: PreVoteReply, now_ms: int
) -> list[Action]:
    """Count a promise; a majority of them opens the poll."""
    sounding = node.stage
    if not isinstance(sounding, Sounding):
        return []
    if (reply.candidate, reply.round) != (node.me, sounding.round):
        return []
    actions = _note(node, reply.voted, reply.sequence)
    if reply.granted and sender not in node.quarantined:
        sounding.granted.add(sender)
    if len(sounding.granted) >= node.voters.majority:
        actions += poll(node, now_ms)
    return actions


def _note(node: NodeState, voted: Term, sequence: Revision) -> list[Action]:
    """Learn from a voter's answer which term to ask for, and whether a record was missed."""
    node.note_voted(voted)
    return node.read() if sequence > node.known.sequence else []


def poll(node: NodeState, now_ms: int) -> list[Action]:
    """Ask for ballots, for the next term that may be free."""
    term = Term(max(node.highest_term(), node.voted_elsewhere) + 1)
    previous = node.known.sequence
    deadline_ms = now_ms + node.delay_ms(POLL_DELAYS)
    polling = Polling(term, previous, deadline_ms, now_ms, _campaign(node, now_ms))
    node.stage = polling
    return [*node.vote_for(node.me, term, previous), ask(node, polling)]


def ask(node: NodeState, polling: Polling) -> Broadcast:
    """Return the request for ballots of a poll."""
    return Broadcast(VoteRequest(polling.term, polling.previous, node.score, node.warrant))


def _campaign(node: NodeState, now_ms: int) -> Campaign:
    warrant = node.warrant.warrant if node.warrant else None
    if warrant is not None:
        cause = Cause.TRANSFER
    elif now_ms < node.mandate_until_ms:
        cause = Cause.OPERATOR
    elif node.farewell is not None:
        cause = Cause.RESIGNED
    elif node.known.leader is not None:
        cause = Cause.TIMEOUT
    elif node.known.term < node.floor:
        cause = Cause.VOTERS_CHANGED
    else:
        cause = Cause.UNPROVEN if node.known.sequence else Cause.FIRST
    candidates = {**node.rivals, node.me: node.score}
    return Campaign(
        cause,
        words=node.farewell or "",
        predecessor=node.known.leader,
        predecessor_term=node.known.term,
        began_ms=node.leader_since_ms,
        candidates=tuple(Standing(name, candidates[name]) for name in sorted(candidates)),
        warrant=warrant,
    )


def count_ballot(node: NodeState, sender: NodeId, reply: VoteReply, now_ms: int) -> list[Action]:
    """Count a ballot, or a refusal; a majority of ballots is written."""
    polling = node.stage
    if not isinstance(polling, Polling) or (reply.candidate, reply.term) != (
        node.me,
        polling.term,
    ):
        return []
    if reply.ballot is None:
        polling.refused[sender] = reply.reason
        actions = _note(node, reply.voted, reply.sequence)
        if len(node.voters.voters) - len(polling.refused) < node.voters.majority:
            actions += fail(node, polling, now_ms)
        return actions
    wanted = node.ballot(node.me, polling.term, polling.previous, voter=sender)
    if reply.ballot.ballot != wanted or sender in node.quarantined:
        return []
    polling.ballots[sender] = reply.ballot
    if len(polling.ballots) < node.voters.majority:
        return []
    given = tuple(sorted(polling.ballots))
    certificate = tuple(polling.ballots[voter] for voter in given)
    record = TermRecord(polling.term, node.me, polling.previous, certificate)
    refused = tuple(sorted(polling.refused.items()))
    node.stage = Writing(record, replace(polling.campaign, given=given, refused=refused))
    return [WriteTerm(record)]


def fail(node: NodeState, polling: Polling, now_ms: int) -> list[Action]:
    """Give up a poll; everyone waits for another time before the next one."""
    node.stage = None
    node.warrant = None  # Whoever gave no ballot for it will not give one next time.
    place = [voter.node for voter in node.voters.voters].index(node.me)
    node.not_before_ms = now_ms + node.delay_ms(1 + place)
    given, refused = tuple(sorted(polling.ballots)), tuple(sorted(polling.refused.items()))
    return [PollFailed(polling.term, given, refused)]


def hear_store(
    node: NodeState,
    event: TermWritten | TermRefused | TermUnknown | TermRead | TermUnread,
    now_ms: int,
) -> list[Action]:
    """Take what the store answers."""
    match event:
        case TermRead(sequence, record, claimed):
            return _learn(node, sequence, record, claimed, now_ms)
        case TermUnread():
            node.reading = False
            node.read_at_ms = now_ms + node.timings.rank_delay_ms
            return []
        case _:
            return _settle(node, event, now_ms)


def _settle(
    node: NodeState, event: TermWritten | TermRefused | TermUnknown, now_ms: int
) -> list[Action]:
    writing = node.stage
    if not isinstance(writing, Writing) or writing.record.term != event.term:
        return []
    match event:
        case TermWritten(_, sequence):
            return take_office(node, writing, sequence, now_ms)
        case TermRefused():
            writing.outcome = Outcome.REFUSED
        case TermUnknown():  # pragma: no branch
            writing.outcome = Outcome.UNKNOWN
    return node.read()


def _learn(
    node: NodeState, sequence: Revision, record: TermRecord | None, claimed: Term, now_ms: int
) -> list[Action]:
    node.reading = False
    node.based = True
    if isinstance(node.stage, Writing):
        if record == node.stage.record:
            return take_office(node, node.stage, sequence, now_ms)
        if sequence <= node.stage.record.previous:
            return _write_again(node, node.stage, now_ms)
    actions: list[Action] = []
    known = node.known
    term = record.term if record else known.term
    if sequence > known.sequence or (term > known.term and not node.placed):
        if record is None:  # Nobody leads by it, but its term may have been somebody's.
            node.note_voted(claimed)
        leader = record.leader if record else None
        actions += node.move_on(Known(term, sequence, leader), now_ms)
    elif not node.placed:
        _place(node, sequence, record, now_ms)
    if node.placed:
        node.memory.start_from(node.known.sequence)
        actions += node.remember()
    return actions


def _place(node: NodeState, sequence: Revision, record: TermRecord | None, now_ms: int) -> None:
    """Take from the store where the record lies of which only its leader has told.

    A record never moves, so even an old answer tells its place. An answer without it may be older
    than it is, while its leader is heard; afterwards nobody leads by what the store does not know.
    """
    if record is not None and record.term == node.known.term:
        node.known = replace(node.known, sequence=sequence)
    elif node.leader is None:
        node.known = Known(node.known.term, sequence, record.leader if record else None)
    else:
        node.read_at_ms = now_ms + node.timings.rank_delay_ms
        return
    node.placed = True


def _write_again(node: NodeState, writing: Writing, now_ms: int) -> list[Action]:
    """Go on after the store has shown the record that we want to supersede, or an older one."""
    match writing.outcome:
        case Outcome.UNKNOWN:
            # The same write again is safe: if the first one arrives yet, one of them is
            # refused, and the next read shows our own record.
            writing.outcome = Outcome.IN_FLIGHT
            return [WriteTerm(writing.record)]
        case Outcome.REFUSED:
            node.read_at_ms = now_ms + node.timings.rank_delay_ms  # That was an old answer.
        case Outcome.IN_FLIGHT:  # pragma: no branch
            pass
    return []
