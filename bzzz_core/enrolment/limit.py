"""How often one address may try something: a bucket of attempts that refills with time."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from bzzz_core.errors import RateLimited

_SOURCES_MAX: Final = 4_096


@dataclass(slots=True)
class _Bucket:
    left: float
    seen_ms: int


class AttemptLimit:
    """`burst` attempts at once per source, then one each `refill_ms`.

    Sources are remembered up to a bound, the longest unseen forgotten first: who comes from very
    many addresses is bounded by what all may do together, not here.
    """

    def __init__(self, *, burst: int, refill_ms: float) -> None:
        """Know no source yet."""
        self._burst = burst
        self._refill_ms = refill_ms
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def spend(self, source: str, now_ms: int) -> None:
        """Take one attempt from a source's bucket.

        Raises:
            RateLimited: It is empty.
        """
        wait_ms = self.wait_ms(source, now_ms)
        if wait_ms:
            raise RateLimited(
                f"too many attempts from {source}; try again in {wait_ms / 1000:.0f} s"
            )

    def wait_ms(self, source: str, now_ms: int) -> float:
        """Take one attempt from a source's bucket; return 0, or how long until there is one."""
        bucket = self._buckets.pop(source, None) or _Bucket(self._burst, now_ms)
        gained = (now_ms - bucket.seen_ms) / self._refill_ms
        bucket.left = min(self._burst, bucket.left + gained)
        bucket.seen_ms = now_ms
        self._buckets[source] = bucket
        while len(self._buckets) > _SOURCES_MAX:
            self._buckets.popitem(last=False)
        if bucket.left < 1:
            return (1 - bucket.left) * self._refill_ms
        bucket.left -= 1
        return 0.0
