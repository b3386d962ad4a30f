"""`_term` in the store: one write, one read, and what each answer means to the machine.

    written            TermWritten
    guard refused      TermRefused    the record is not, or no longer, where the ballots say
    busy               nothing was written: again after 5, 10, 15, then 20 ms
    anything else      TermUnknown    it may have been written, or may be yet

A write is tried again under the same request id, so that the store takes it once however often it
arrives. What is read counts as a record only if its certificate holds; if it does not, the machine
is told that something unproven lies at that revision.

Rules: no decision here; errors that no waiting cures (permissions) are not caught.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from bzzz_core.election.ballot import decode_record, encode_record
from bzzz_core.election.events import (
    TermRead,
    TermRefused,
    TermUnknown,
    TermUnread,
    TermWritten,
)
from bzzz_core.election.messages import TermRecord
from bzzz_core.errors import (
    QuorumUnavailable,
    RevisionConflict,
    StreamBusy,
    TransportError,
    TrustError,
)
from bzzz_core.model import Revision
from bzzz_core.ports import Clock, Guard, Record, Records

TERM_KEY: Final = "_term"
_BUSY_MS: Final = (5, 10, 15, 20)
_BUSY_TRIES_MAX: Final = 50
"""About a second; then the machine looks at the record before it goes on."""


class TermStore:
    """The `_term` record of one stream."""

    def __init__(
        self,
        records: Records,
        *,
        clock: Clock,
        prove: Callable[[TermRecord], None],
        unproven: Callable[[TrustError], None],
    ) -> None:
        """Take the records and what proves them.

        Args:
            records: Already open.
            clock: For the waits between attempts.
            prove: Raises `TrustError` if a record's certificate does not hold.
            unproven: Told of each record that does not hold.
        """
        self._records = records
        self._clock = clock
        self._prove = prove
        self._unproven = unproven
        self._start = secrets.token_hex(8)

    async def write(self, record: TermRecord) -> TermWritten | TermRefused | TermUnknown:
        """Write `record` if `_term` is still at the revision that its ballots name."""
        guard = Guard(TERM_KEY, record.previous)
        request = f"term-{self._start}-{record.term}"
        for attempt in range(_BUSY_TRIES_MAX):
            try:
                sequence = await self._records.write(
                    TERM_KEY, encode_record(record), guard, request_id=request
                )
            except StreamBusy:
                await self._clock.sleep_ms(_BUSY_MS[min(attempt, len(_BUSY_MS) - 1)])
            except RevisionConflict:
                return TermRefused(record.term)
            except (TransportError, QuorumUnavailable):
                return TermUnknown(record.term)
            else:
                return TermWritten(record.term, sequence)
        return TermUnknown(record.term)

    async def read(self) -> TermRead | TermUnread:
        """Read `_term` as the stream's leader knows it."""
        try:
            found = await self._records.read(TERM_KEY)
        except (TransportError, QuorumUnavailable):
            return TermUnread()
        if found is None:
            return TermRead(Revision(0), None)
        return TermRead(found.revision, self._decode(found))

    def _decode(self, found: Record) -> TermRecord | None:
        try:
            record = decode_record(found.value)
            self._prove(record)
        except TrustError as exc:
            self._unproven(exc)
            return None
        return record
