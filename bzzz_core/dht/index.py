"""Who provides what, as the cluster's announcements say: a local index kept by a watch.

Looking through all keys of a bucket for each question would cost as much as the bucket is large, so
the watch's changes are sorted by slot as they come. What cannot be read is counted and left out.
"""

from __future__ import annotations

from collections import Counter

from bzzz_core.dht.entry import decode_announcement
from bzzz_core.ports import Change


class ProviderIndex:
    """Slot -> node -> the providers that this node names."""

    def __init__(self, counters: Counter[str]) -> None:
        """Start empty; `counters` counts `announcements_malformed`."""
        self._counters = counters
        self._named: dict[str, dict[str, frozenset[str]]] = {}

    def take(self, change: Change | None) -> None:
        """Take in one change of the bucket; None says that everything was listed."""
        if change is None:
            return
        slot, _, node = change.key.partition(".")
        named = None if change.value is None else self.read(change.value)
        if named:
            self._named.setdefault(slot, {})[node] = named
        elif slot in self._named:
            self._named[slot].pop(node, None)
            if not self._named[slot]:
                del self._named[slot]

    def read(self, data: bytes) -> frozenset[str]:
        """Return the providers that an announcement names; none if it cannot be read."""
        try:
            return decode_announcement(data)
        except ValueError:
            self._counters["announcements_malformed"] += 1
            return frozenset()

    def find(self, slot: str) -> frozenset[str]:
        """Return everybody who is named for a slot."""
        return frozenset().union(*self._named.get(slot, {}).values())
