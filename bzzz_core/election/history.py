"""What became of each leadership, and why: for operators, never to decide by.

Three places hold it, each for what it alone can do:

    the log       a leader's first entry is its `Leadership`: who stood, who voted how, and why
    `_history`    the last `KEPT` leaderships in one record, so that any voter can show them; the
                  leader writes it after its first entry, and completes how the one before ended
    a local file  what this node itself saw and decided (`diary`): also votes that it refused, and
                  polls that led to nothing

Times are wall-clock UTC, for people; terms give the order. A leadership begins when its leader has
a majority's answer. It ends when it says so itself, else when the one who tells it had missed it
for the detection time and never heard it again; in any case before the next one begins: a leader
that slept finds out late. Nodes are named by id here, because names change; whoever shows a history
looks the names up, those of nodes that are gone, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

import msgspec

from bzzz_core.election.events import BecameLeader, Cause, StepDown
from bzzz_core.election.messages import Count, Node, Sequence, TermNumber
from bzzz_core.errors import IntegrityError
from bzzz_core.model import NodeId, Revision, Term

HISTORY_KEY: Final = "_history"
KEPT: Final = 100
RECORD_BYTES_MAX: Final = 900_000

Words = Annotated[str, msgspec.Meta(max_length=200)]


class Candidate(msgspec.Struct, frozen=True):
    """Who stood, and how fit it was."""

    node: Node
    score: float


class BallotNote(msgspec.Struct, frozen=True):
    """What one voter did, as the winner saw it."""

    voter: Node
    given: bool
    reason: Words = ""
    """Why not."""


class Leadership(msgspec.Struct, frozen=True, tag="leadership"):
    """One leadership; also the first entry that a leader writes."""

    term: TermNumber
    leader: Node
    sequence: Sequence = Revision(0)
    """Revision of its `_term` record: the fencing token."""
    began_at: Words = ""
    """When it led, or was first heard."""
    cause: Words = ""
    """Why there was an election (`events.Cause`); empty if this is hearsay: all else is missing."""
    words: Words = ""
    """What the leader before said when it went."""
    predecessor: Node | None = None
    predecessor_term: TermNumber = Term(0)
    took_ms: Count = 0
    """From the moment in which the winner believed in no leader any more."""
    candidates: Annotated[tuple[Candidate, ...], msgspec.Meta(max_length=32)] = ()
    ballots: Annotated[tuple[BallotNote, ...], msgspec.Meta(max_length=32)] = ()
    state: Words = ""
    """Digest of the state that was handed over, if it was."""
    ended_at: Words = ""
    """Empty while it lasts, or if nobody who knew has told."""
    end: Words = ""


class Records(msgspec.Struct, frozen=True):
    """The content of `_history`, oldest first."""

    leaderships: Annotated[tuple[Leadership, ...], msgspec.Meta(max_length=2 * KEPT)] = ()


_ENDS: Final = {
    str(Cause.TIMEOUT): "fell silent",
    str(Cause.RESIGNED): str(StepDown.RESIGNED),
    str(Cause.TRANSFER): str(StepDown.TRANSFERRED),
    str(Cause.VOTERS_CHANGED): str(StepDown.VOTERS_CHANGED),
}
"""What the reason for an election says about the leadership before."""

_encoder = msgspec.msgpack.Encoder()
_leaderships = msgspec.msgpack.Decoder(Leadership)
_records = msgspec.msgpack.Decoder(Records)


def tell(leader: NodeId, elected: BecameLeader, *, at: str, now_ms: int) -> Leadership:
    """Return the story of an election that was won now."""
    campaign = elected.campaign
    given = tuple(BallotNote(voter, given=True) for voter in campaign.given)
    refused = tuple(BallotNote(node, given=False, reason=why) for node, why in campaign.refused)
    return Leadership(
        elected.term,
        leader,
        elected.sequence,
        began_at=at,
        cause=str(campaign.cause),
        words=campaign.words,
        predecessor=campaign.predecessor,
        predecessor_term=campaign.predecessor_term,
        took_ms=max(0, now_ms - campaign.began_ms),
        candidates=tuple(Candidate(each.node, each.score) for each in campaign.candidates),
        ballots=given + refused,
        state=campaign.warrant.stock.digest().hex() if campaign.warrant else "",
    )


def merge(*histories: Iterable[Leadership]) -> tuple[Leadership, ...]:
    """Return the last `KEPT` leaderships that any of these knows, each as complete as possible."""
    merged: dict[Term, Leadership] = {}
    for history in histories:
        for one in history:
            known = merged.get(one.term)
            merged[one.term] = one if known is None else _complete(known, one)
    return tuple(merged[term] for term in sorted(merged)[-KEPT:])


def conclude(leaderships: tuple[Leadership, ...]) -> tuple[Leadership, ...]:
    """Return the same with ends as the successors imply them: those nobody told, or told late."""
    concluded = list(leaderships)
    for place, successor in enumerate(leaderships[1:]):
        one, at = concluded[place], successor.began_at
        if not one.ended_at:
            end = _ENDS.get(successor.cause, "another leader followed")
            concluded[place] = msgspec.structs.replace(one, ended_at=at, end=end)
        elif successor.cause and one.ended_at > at:  # Hearsay begins when it is heard.
            concluded[place] = msgspec.structs.replace(one, ended_at=at)
    return tuple(concluded)


def _complete(first: Leadership, second: Leadership) -> Leadership:
    """Return the one that tells more, with an end that either knows; the first goes before."""
    fuller = second if second.cause and not first.cause else first
    if fuller.ended_at:
        return fuller
    ended = first if first.ended_at else second
    return msgspec.structs.replace(fuller, ended_at=ended.ended_at, end=ended.end)


def encode_leadership(leadership: Leadership) -> bytes:
    """Return the entry of the log."""
    return _encoder.encode(leadership)


def decode_leadership(data: bytes) -> Leadership:
    """Parse an entry of the log.

    Raises:
        IntegrityError: It is none.
    """
    try:
        return _leaderships.decode(data)
    except (ValueError, RecursionError) as exc:
        raise IntegrityError("this is no leadership") from exc


def encode_records(leaderships: tuple[Leadership, ...]) -> bytes:
    """Return the content of `_history`."""
    return _encoder.encode(Records(leaderships))


def decode_records(data: bytes) -> tuple[Leadership, ...]:
    """Parse the content of `_history`.

    Raises:
        IntegrityError: It is none.
    """
    if len(data) > RECORD_BYTES_MAX:
        raise IntegrityError(f"{HISTORY_KEY} is over {RECORD_BYTES_MAX} bytes")
    try:
        return _records.decode(data).leaderships
    except (ValueError, RecursionError) as exc:
        raise IntegrityError(f"{HISTORY_KEY} is damaged") from exc
