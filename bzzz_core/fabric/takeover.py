"""A new leader takes over a stream that leaders write.

Leadership is won on the control stream alone: its `_term` record and its sequence are the token. A
guard works within one stream only, so every other stream that a leader writes holds a `_term` of
its own, and a new leader advances all of them before it serves. The record there is a *mark*: the
token of the control stream. Sequences of one stream only grow, so of two marks the larger one is
newer:

    mark older, or none     write mine by compare-and-set at the revision read
    mark is mine            I wrote it and the answer was lost
    mark newer              deposed
    mark of another control stream     refused: which of the two is newer, no sequence can tell

The revision of that write fences the stream from then on, and it is a barrier as well: whatever an
earlier leader wrote lies before it, and nothing of theirs can follow. A reader that has applied
everything up to it has read to the end.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from bzzz_core.errors import (
    ConsistencyError,
    Deposed,
    QuorumUnavailable,
    RequestTimeout,
    RevisionConflict,
    StreamBusy,
)
from bzzz_core.fabric.lane import TERM_KEY
from bzzz_core.model import FencingToken, Revision
from bzzz_core.ports import Clock, Guard, Records

_AGAIN_MS: Final = 20
MARK_BYTES_MAX: Final = 1_024


@dataclass(frozen=True, slots=True)
class LedStream:
    """A stream beside the control stream that only leaders write."""

    records: Records
    catch_up: Callable[[Revision], Awaitable[None]]
    """Returns once everything up to that revision was read and applied; part of every takeover."""


async def advance(
    records: Records, leadership: FencingToken, *, clock: Clock, adopt: bool = False
) -> FencingToken:
    """Make `leadership` the one that writes the stream; return the token that fences it there.

    It is tried until the store answers; whoever waits decides how long. Doing it again is harmless.

    Args:
        records: The stream, open; not the control stream.
        leadership: Token of the control stream.
        clock: For the waits between attempts.
        adopt: Take over from a leader of another control stream: after an operator restored the
            stream into a cluster made anew.

    Raises:
        Deposed: A later leader has taken the stream over.
        ConsistencyError: The mark is damaged or of another control stream.
    """
    request = f"mark-{leadership.sequence}-{secrets.token_hex(8)}"
    while True:
        try:
            found = await records.read(TERM_KEY)
            at = found.revision if found else Revision(0)
            if found is not None and not must_write(found.value, leadership, adopt=adopt):
                return FencingToken(records.stream, at)
            written = await records.write(
                TERM_KEY,
                msgspec.msgpack.encode(leadership),
                Guard(TERM_KEY, at),
                request_id=f"{request}-{at}",
            )
            return FencingToken(records.stream, written)
        except (QuorumUnavailable, RequestTimeout, RevisionConflict, StreamBusy):
            # What is there now decides: read it again. A mark of mine shows as mine.
            await clock.sleep_ms(_AGAIN_MS)


def must_write(content: bytes, leadership: FencingToken, *, adopt: bool) -> bool:
    """Return whether the mark has to be written, False if it is mine already.

    Raises:
        Deposed: The mark is a later leader's.
        ConsistencyError: It cannot be compared with mine.
    """
    try:
        if len(content) > MARK_BYTES_MAX:
            raise ValueError("too large")  # noqa: TRY301  one message for all of these
        mark = msgspec.msgpack.decode(content, type=FencingToken)
    except (ValueError, RecursionError) as exc:
        raise ConsistencyError("the stream's mark of leadership is damaged") from exc
    if mark.stream != leadership.stream:
        if adopt:
            return True
        raise ConsistencyError(
            "the stream was led by a cluster with another control stream; adopt it on purpose"
        )
    if mark.sequence > leadership.sequence:
        raise Deposed("a later leader has taken the stream over")
    return mark.sequence < leadership.sequence
