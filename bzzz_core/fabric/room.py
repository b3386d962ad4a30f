"""Keeps large records away from the end of a stream's store, so that terms can always be opened.

A broker whose store is full gives JetStream up: nothing can be written any more, no term either,
and the cluster is dead (measured). Brokers drop old values of each record, which bounds the stream;
where a small store or a mistake makes that too little, large records are refused here, before
anything is sent, and with the reason. Small ones never are: terms, the log's first entry of a
leadership, the voters. As each record has few values, they cannot fill anything.

The question how much there is costs a round trip, so the answer is used until it is used up. It is
asked anew under another guard: meanwhile another leader may have written.
"""

from __future__ import annotations

from typing import Final, Protocol

from bzzz_core.errors import CapacityExceeded
from bzzz_core.ports import Guard

SMALL_BYTES_MAX: Final = 16_384
_OVER: Final = 1.25
"""How far values that replace others may go beyond the limit. More would reach what terms need."""
_AROUND_BYTES: Final = 512
"""Subject, headers and the store's own numbers of one message; at most, with names as ours."""


class Held(Protocol):
    """What is asked of a stream."""

    async def held(self, subject: str) -> tuple[int, int]:
        """Return the stream's bytes, and how many messages the subject has."""
        ...


class Room:
    """How many bytes of large records still fit into a stream."""

    def __init__(self, stream: Held, *, bytes_max: int | None, kept: int) -> None:
        """Know nothing yet.

        Args:
            stream: Says how much it holds.
            bytes_max: What it may hold before large records are refused; None is no limit.
            kept: How many values of each record it keeps.
        """
        self._stream = stream
        self._bytes_max = bytes_max
        self._kept = kept
        self._left_bytes = 0
        self._guard: Guard | None = None

    async def take(self, subject: str, value_bytes: int, guard: Guard) -> None:
        """Return if a value of `value_bytes` bytes may be written to `subject` under `guard`.

        A subject that has all the values it may have gets another one a little beyond the limit,
        too: the oldest makes room for it, though it may have been smaller.

        Raises:
            CapacityExceeded: It may not; nothing was written.
            QuorumUnavailable: Nobody could say how much there is; nothing was written.
        """
        if self._bytes_max is None or value_bytes <= SMALL_BYTES_MAX:
            return
        size = value_bytes + _AROUND_BYTES
        if guard != self._guard or self._left_bytes < size:
            held_bytes, values = await self._stream.held(subject)
            self._guard, self._left_bytes = guard, self._bytes_max - held_bytes
            replaces = values >= self._kept and held_bytes + size <= _OVER * self._bytes_max
            if self._left_bytes < size and not replaces:
                raise CapacityExceeded(
                    f"{subject} was not written: the stream holds {held_bytes} of the"
                    f" {self._bytes_max} bytes that large records may fill; what is left is for"
                    " terms. Raise resources.store_bytes_max on all voters"
                )
        self._left_bytes -= size
