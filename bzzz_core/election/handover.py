"""What one leader leaves and the next one takes up: the state of the stream, compared by hash.

A leader that hands over lets its writes end, then takes stock: for each key that leaders write, the
revision of the last value and its SHA-256. The list travels in the warrant, signed. Nobody can
write between that and the successor's `_term` record, for the old leader has stopped and everybody
else is fenced off. The successor takes stock itself before it serves:

    a key is missing, or at an older revision    it reads from a server that is behind: again
    the same revision with another hash          the store has changed under us: it does not serve
    a newer revision                             a write that the old leader had given up waiting
                                                 for; acknowledged or not, it is in the one log

After any other election there is no list, and the same rule in one sentence: what was acknowledged
is in the log, and whoever leads has read it to its end (`before_serving`) before it serves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from bzzz_core.election.messages import STOCK_VERSION, Stock, StockEntry
from bzzz_core.errors import IntegrityError, QuorumUnavailable
from bzzz_core.ports import Records

KEYS: Final = ("_nodes", "_voters", "log")
"""What the control stream holds for leaders, the term record apart: that one is being replaced."""


async def take_stock(records: Records, keys: Sequence[str] = KEYS) -> Stock:
    """Return where each key that was ever written is now, and what it holds.

    Raises:
        QuorumUnavailable: The store does not answer; try again.
    """
    entries = []
    for key in sorted(keys):
        record = await records.read(key)
        if record is not None:
            digest = hashlib.sha256(record.value).digest()
            entries.append(StockEntry(key, record.revision, digest))
    return Stock(STOCK_VERSION, tuple(entries))


async def take_over(records: Records, left: Stock) -> Stock:
    """Compare the stream with what the leader before left behind; return what it holds now.

    Raises:
        IntegrityError: The stream holds something else at a revision that was handed over.
        QuorumUnavailable: The store does not answer, or from a server that is behind; try again.
    """
    found = await take_stock(records, [entry.key for entry in left.entries])
    now = {entry.key: entry for entry in found.entries}
    for entry in left.entries:
        held = now.get(entry.key)
        if held is None or held.revision < entry.revision:
            raise QuorumUnavailable(f"{entry.key} is not yet at {entry.revision} here")
        if held.revision == entry.revision and held.sha256 != entry.sha256:
            raise IntegrityError(
                f"{entry.key} at {entry.revision} is not what the leader before handed over"
            )
    return found
