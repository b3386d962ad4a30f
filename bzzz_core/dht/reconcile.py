"""Bringing one queued write to the cluster without overwriting anybody.

The write goes through if the key is still where this node last saw it. If it is not, there are four
cases: it was removed meanwhile, our value is there already (an answer was lost), a value of ours
from before is there (the same), or somebody else wrote. Only the last one is a conflict.
"""

from __future__ import annotations

from dataclasses import dataclass

from bzzz_core.dht.entry import slot_of
from bzzz_core.dht.queue import Pending, digest
from bzzz_core.dht.stored import StoredDht
from bzzz_core.errors import RevisionConflict, StreamBusy
from bzzz_core.model import NodeId, Revision


@dataclass(frozen=True, slots=True)
class Settled:
    """The cluster has the write."""

    revision: Revision
    """Of the key."""
    kept_at: str | None = None
    """The key of our value if somebody else's stays under its own; None: there was no conflict."""


def conflict_key(node: NodeId, pending: Pending) -> str:
    """Return where a value lies that lost; the same write always lies at the same place."""
    return f"bzzz/conflict/{slot_of(pending.key)}/{node}/{digest(pending.value).hex()[:16]}"


async def reconcile(
    cluster: StoredDht, node: NodeId, pending: Pending, *, timeout_ms: int
) -> Settled | None:
    """Bring a queued write to the cluster; None if the key is too busy just now.

    Raises:
        TransportError: The cluster cannot be reached; nothing is settled.
        QuorumUnavailable: As before.
    """
    slot = slot_of(pending.key)
    try:
        base = Revision(pending.base)
        written = await cluster.write_at(slot, pending.value, base, timeout_ms=timeout_ms)
        return Settled(written)
    except StreamBusy:
        return None
    except RevisionConflict:
        pass
    there = await cluster.read(slot, timeout_ms=timeout_ms)
    if there is not None and there.value == pending.value:
        return Settled(there.revision)
    if there is None or digest(there.value) in pending.superseded:
        base = there.revision if there else Revision(0)
        try:
            written = await cluster.write_at(slot, pending.value, base, timeout_ms=timeout_ms)
        except (RevisionConflict, StreamBusy):
            return None  # It is being written this very moment: look again.
        return Settled(written)
    kept_at = conflict_key(node, pending)
    await cluster.write(slot_of(kept_at), pending.value, timeout_ms=timeout_ms)
    return Settled(there.revision, kept_at)
