"""From silence to a written record: sounding the others out, polling for ballots, writing.

Rules: as in `machine`, whose page explains the whole. Answers that do not belong to the present
stage are ignored: they are late, doubled, or not meant for this node.
"""

from __future__ import annotations

from bzzz_core.election.events import (
    Action,
    Broadcast,
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
    TermRecord,
    VoteReply,
    VoteRequest,
)
from bzzz_core.election.stages import Outcome, Polling, Sounding, Writing
from bzzz_core.election.state import TERM_JUMP_MAX, Known, NodeState
from bzzz_core.model import NodeId, Revision, Term


def may_stand(node: NodeState, now_ms: int) -> bool:
    """Return whether it is this node's turn to replace a leader that is not heard."""
    due_ms = node.heard_ms + node.timings.detect_ms + node.delay_ms(node.rank())
    return (
        node.votes
        and not node.memory.abstains
        and node.based
        and now_ms >= max(due_ms, node.not_before_ms)
    )


def is_late(node: NodeState, sent_ms: int, now_ms: int) -> bool:
    """Return whether an answer should have come: rank_delay_ms is more than a round trip."""
    return now_ms - sent_ms >= node.timings.rank_delay_ms


def sound(node: NodeState, now_ms: int) -> list[Action]:
    """Ask who would vote for this node."""
    node.rounds += 1
    node.stage = Sounding(node.rounds, now_ms, granted={node.me})
    if node.voters.majority == 1:
        return _poll(node, now_ms)
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
    if reply.granted:
        sounding.granted.add(sender)
    if len(sounding.granted) >= node.voters.majority:
        actions += _poll(node, now_ms)
    return actions


def _note(node: NodeState, voted: Term, sequence: Revision) -> list[Action]:
    """Learn from a voter's answer which term to ask for, and whether a record was missed."""
    if voted - node.highest_term() <= TERM_JUMP_MAX // 2:
        node.voted_elsewhere = max(node.voted_elsewhere, voted)
    return node.read() if sequence > node.known.sequence else []


def _poll(node: NodeState, now_ms: int) -> list[Action]:
    term = Term(max(node.highest_term(), node.voted_elsewhere) + 1)
    previous = node.known.sequence
    deadline_ms = now_ms + node.timings.detect_ms
    node.stage = Polling(term, previous, deadline_ms, now_ms)
    actions = node.vote_for(node.me, term, previous)
    return [*actions, Broadcast(VoteRequest(term, previous, node.score))]


def count_ballot(node: NodeState, sender: NodeId, reply: VoteReply, now_ms: int) -> list[Action]:
    """Count a ballot, or a refusal; a majority of ballots is written."""
    polling = node.stage
    if not isinstance(polling, Polling):
        return []
    if (reply.candidate, reply.term) != (node.me, polling.term):
        return []
    if reply.ballot is None:
        actions = _note(node, reply.voted, reply.sequence)
        polling.refused.add(sender)
        if len(node.voters.voters) - len(polling.refused) < node.voters.majority:
            fail(node, now_ms)
        return actions
    if reply.ballot.ballot != node.ballot(node.me, polling.term, polling.previous, voter=sender):
        return []
    polling.ballots[sender] = reply.ballot
    if len(polling.ballots) < node.voters.majority:
        return []
    certificate = tuple(polling.ballots[voter] for voter in sorted(polling.ballots))
    record = TermRecord(polling.term, node.me, polling.previous, certificate)
    node.stage = Writing(record)
    return [WriteTerm(record)]


def fail(node: NodeState, now_ms: int) -> None:
    """Give up a poll; everyone waits for another time before the next one."""
    node.stage = None
    place = [voter.node for voter in node.voters.voters].index(node.me)
    node.not_before_ms = now_ms + node.delay_ms(1 + place)


def hear_store(
    node: NodeState,
    event: TermWritten | TermRefused | TermUnknown | TermRead | TermUnread,
    now_ms: int,
) -> list[Action]:
    """Take what the store answers."""
    match event:
        case TermRead(sequence, record):
            return _learn(node, sequence, record, now_ms)
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
            return take_office(node, writing.record, sequence, now_ms)
        case TermRefused():
            writing.outcome = Outcome.REFUSED
        case TermUnknown():  # pragma: no branch
            writing.outcome = Outcome.UNKNOWN
    return node.read()


def _learn(
    node: NodeState, sequence: Revision, record: TermRecord | None, now_ms: int
) -> list[Action]:
    node.reading = False
    node.based = True
    node.memory.start_from(max(sequence, node.known.sequence))
    actions = node.remember()
    if isinstance(node.stage, Writing):
        if record == node.stage.record:
            return actions + take_office(node, node.stage.record, sequence, now_ms)
        if sequence <= node.stage.record.previous:
            return actions + _write_again(node, node.stage, now_ms)
    if sequence > node.known.sequence:
        leader = record.leader if record else None
        term = record.term if record else node.known.term
        actions += node.move_on(Known(term, sequence, leader), now_ms)
    return actions


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
