"""The committed voter set: the record `_voters`, and who may change it.

Every voter brings the set that it was told of. Whoever comes first writes it, on the condition that
nobody did; from then on the record is right and everybody else adopts it. A majority is counted in
this set and no other; a node that is not in it follows and has no vote, whatever its configuration
says.

Only the serving leader writes the next set, `number` + 1, fenced by its token, and it leads no more
from the moment it sends that write (`ElectionService.change_voters`): the new set may have elected
somebody before it hears the answer. A set is adopted only if its number is higher than that of the
one known, so an old read changes nothing.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from bzzz_core.election.clerk import Report
from bzzz_core.errors import BzzzError, ConsistencyError, RevisionConflict
from bzzz_core.model import Revision, VoterSet
from bzzz_core.ports import Clock, Guard, Record, Records

VOTERS_KEY: Final = "_voters"
ASK_AGAIN_MS: Final = 300
RECORD_BYTES_MAX: Final = 16_384

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(VoterSet)


async def agree(records: Records, configured: VoterSet) -> VoterSet:
    """Return the committed voter set, after writing it if nobody had.

    Raises:
        ConsistencyError: What is committed cannot be read as a voter set.
        QuorumUnavailable: The store does not answer; try again.
    """
    record = await records.read(VOTERS_KEY)
    if record is None:
        try:
            await records.write(VOTERS_KEY, encode(configured), Guard(VOTERS_KEY, Revision(0)))
        except RevisionConflict:
            record = await records.read(VOTERS_KEY)
        else:
            return configured
    if record is None:
        raise ConsistencyError("the voters' record was there and is not there now")
    return decode(record)


async def newer(records: Records, known: VoterSet) -> VoterSet:
    """Return the committed set if it is a later one than `known`, else `known`.

    Raises:
        ConsistencyError: What is committed cannot be read as a voter set.
        QuorumUnavailable: The store does not answer; try again.
    """
    record = await records.read(VOTERS_KEY)
    if record is None:
        return known
    committed = decode(record)
    return committed if committed.number > known.number else known


class VoterSetWatch:
    """Finds out whether the voters that an election knows are still the committed ones."""

    def __init__(self, records: Records, voters: VoterSet, *, clock: Clock, report: Report) -> None:
        """Start from `voters`; read nothing yet."""
        self._records = records
        self._clock = clock
        self._report = report
        self._asked_ms: int | None = None
        self.known = voters
        """The set of the election; its number and term may grow, its voters never change."""
        self.changed = asyncio.Event()
        self.successor: VoterSet | None = None
        """The set that was committed after it, once `changed` is set."""

    def is_due(self) -> bool:
        """Return whether enough time has passed to ask again; what comes in may ask for it."""
        now_ms = self._clock.now_ms()
        if self._asked_ms is not None and now_ms - self._asked_ms < ASK_AGAIN_MS:
            return False
        self._asked_ms = now_ms
        return True

    async def confirm(self) -> bool | None:
        """Return whether the committed voters are those known; None: nobody could say."""
        try:
            self.take(await newer(self._records, self.known))
        except BzzzError as exc:
            self._report("voters not read", {"reason": str(exc)})
            return None
        return not self.changed.is_set()

    def take(self, committed: VoterSet) -> None:
        """Take what is committed now."""
        if committed.digest() == self.known.digest():
            self.known = committed
            return
        self.successor = committed
        self.changed.set()


def encode(voters: VoterSet) -> bytes:
    """Return the content of the record."""
    return _encoder.encode(voters)


def decode(record: Record) -> VoterSet:
    """Parse the record.

    Raises:
        ConsistencyError: It is none.
    """
    if len(record.value) > RECORD_BYTES_MAX:
        raise ConsistencyError(f"the voters' record is over {RECORD_BYTES_MAX} bytes")
    try:
        return _decoder.decode(record.value)
    except (ValueError, RecursionError) as exc:
        raise ConsistencyError("the voters' record is damaged") from exc
