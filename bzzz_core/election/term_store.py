"""`_term` in the store: one write, one read, and what each answer means to the machine.

    written            TermWritten
    guard refused      TermRefused    the record is not, or no longer, where the ballots say
    busy               nothing was written: again after 5, 10, 15, then 20 ms
    anything else      TermUnknown    it may have been written, or may be yet

A write is tried again under the same request id, so that the store takes it once however often it
arrives. In the store a record carries its author's signature.

What is read counts as a record only if its certificate holds. If it does not, the machine is told
that something unproven lies at that revision, and which term it claims; the author is held to it if
it signed. A record of other voters is no offence, but it may mean that ours are the old ones: then
the voters' record is read, and only if that confirms ours does the machine hear of it.

Rules: no decision here; errors that no waiting cures (permissions) are not caught.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from bzzz_core.election.ballot import authored, decode_record, encode_record, sign_record
from bzzz_core.election.events import (
    TermRead,
    TermRefused,
    TermUnknown,
    TermUnread,
    TermWritten,
)
from bzzz_core.election.messages import TermRecord
from bzzz_core.election.quarantine import Offence, Rejected
from bzzz_core.errors import (
    QuorumUnavailable,
    RevisionConflict,
    StreamBusy,
    TransportError,
)
from bzzz_core.model import Revision, VoterSet
from bzzz_core.ports import Clock, Guard, Records, Signer

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
        signer: Signer,
        voters: VoterSet,
        prove: Callable[[TermRecord], None],
        unproven: Callable[[Rejected, bytes], None],
        confirm_voters: Callable[[], Awaitable[bool | None]],
    ) -> None:
        """Take the records and what proves them.

        Args:
            records: Already open.
            clock: For the waits between attempts.
            signer: Signs what this node writes.
            voters: The set that this node knows.
            prove: Raises `Rejected` if a record's certificate does not hold.
            unproven: Told of each record that does not hold, with its bytes.
            confirm_voters: Reads the voters' record; whether it says that ours are the ones, if
                that can be known.
        """
        self._records = records
        self._clock = clock
        self._signer = signer
        self._voters = voters
        self._prove = prove
        self._unproven = unproven
        self._confirm_voters = confirm_voters
        self._start = secrets.token_hex(8)

    async def write(self, record: TermRecord) -> TermWritten | TermRefused | TermUnknown:
        """Write `record` if `_term` is still at the revision that its ballots name."""
        guard = Guard(TERM_KEY, record.previous)
        request = f"term-{self._start}-{record.term}"
        content = encode_record(sign_record(record, self._signer))
        for attempt in range(_BUSY_TRIES_MAX):
            try:
                sequence = await self._records.write(TERM_KEY, content, guard, request_id=request)
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
        try:
            record = decode_record(found.value)
        except Rejected as exc:
            self._unproven(exc, found.value)
            return TermRead(found.revision, None)
        plain = msgspec.structs.replace(record, author=b"")
        try:
            self._prove(plain)
        except Rejected as exc:
            if exc.offence is Offence.OTHER_VOTERS and not await self._confirm_voters():
                return TermUnread()  # This node's voters are the old ones, or nobody knows.
            wrote = authored(record, self._voters)
            self._unproven(exc.against(record.leader, proven=True) if wrote else exc, found.value)
            return TermRead(found.revision, None, record.term)
        return TermRead(found.revision, plain)
