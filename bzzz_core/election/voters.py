"""Agrees on the voter set: the committed `_voters` record, written once, before the first election.

Every voter brings the set that setup gave it. Whoever comes first writes it, on the condition that
nobody did; all others compare. A majority is counted in this set and no other, so a node that was
told of other voters must not take part: it stops and says so.
"""

from __future__ import annotations

import msgspec

from bzzz_core.errors import ConfigError, ConsistencyError, RevisionConflict
from bzzz_core.model import Revision, VoterSet
from bzzz_core.ports import Guard, Records

VOTERS_KEY = "_voters"
RECORD_BYTES_MAX = 16_384


async def agree(records: Records, configured: VoterSet) -> VoterSet:
    """Return the committed voter set, after writing it if nobody had.

    Raises:
        ConfigError: The cluster was founded with other voters than this node was told of.
        ConsistencyError: What is committed cannot be read as a voter set.
        QuorumUnavailable: The store does not answer; try again.
    """
    record = await records.read(VOTERS_KEY)
    if record is None:
        try:
            content = msgspec.msgpack.encode(configured)
            await records.write(VOTERS_KEY, content, Guard(VOTERS_KEY, Revision(0)))
        except RevisionConflict:
            record = await records.read(VOTERS_KEY)
        else:
            return configured
    if record is None:
        raise ConsistencyError("the voters' record was there and is not there now")
    if len(record.value) > RECORD_BYTES_MAX:
        raise ConsistencyError(f"the voters' record is over {RECORD_BYTES_MAX} bytes")
    try:
        committed = msgspec.msgpack.decode(record.value, type=VoterSet)
    except (ValueError, RecursionError) as exc:
        raise ConsistencyError("the voters' record is damaged") from exc
    if committed.digest() != configured.digest():
        names = ", ".join(voter.name for voter in committed.voters)
        raise ConfigError(
            f"this cluster's voters are {names}; this node was configured with others, or one of"
            " them has new keys. Give it back its keys and configuration from a backup;"
            " replacing a voter is not built yet"
        )
    return committed
