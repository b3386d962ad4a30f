"""The leader's side of the emergency stop: the only writer of the decision.

Wishes come through `LeaderRequests`, one after the other, and are written through the leader's
lane, so a deposed leader decides nothing. Every member may wish for a stop; that costs work, which
waits, and is audited. Only voters may wish to resume: an edge is trusted with less, and a stop is
worth something only while whoever it is meant for cannot end it.

Who asks for the decision and already has its number has done as it says. The leader counts these,
so whoever stopped the cluster can be told which nodes have followed.

Readers are answered from memory for a second, however many ask: all nodes do when something was
decided. What is to be changed is read from the store each time; a number lower than one that was
seen gives away a broker that was cut off, and is not built upon.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, TypeVar

import msgspec

from bzzz_core.errors import PermissionDenied, QuorumUnavailable, RequestInvalid
from bzzz_core.halt.record import RECORD_KEY, Decision, Wish, decided, decode, encode
from bzzz_core.model import Count, FencingToken, NodeId, Revision
from bzzz_core.ports import Clock, Records

READ: Final = "halt"
WRITE: Final = "halt-set"
"""Names of the two questions to the leader."""
FRESH_MS: Final = 1_000
_FOLLOWERS_MAX: Final = 10_000


class Known(msgspec.Struct, frozen=True):
    """A question for the decision, from a node that has done what `number` says."""

    number: Annotated[int, msgspec.Meta(ge=-1, le=2**53)] = -1
    followers: bool = False
    """Whether to tell who else has."""


class Answer(msgspec.Struct, frozen=True):
    """The decision's number, the decision unless the asker has it, and who has followed it."""

    number: Count
    decision: bytes = b""
    followers: Annotated[tuple[str, ...], msgspec.Meta(max_length=_FOLLOWERS_MAX)] = ()


Audit = Callable[..., None]
"""(what, *, actor, **fields)."""
_encoder = msgspec.msgpack.Encoder()
Document = TypeVar("Document", Known, Wish)


class HaltKeeper:
    """Answers `READ` and `WRITE` while this node leads."""

    def __init__(
        self,
        *,
        cluster: str,
        records: Records,
        put: Callable[[FencingToken, str, bytes], Awaitable[Revision]],
        token: Callable[[], FencingToken],
        may_resume: Callable[[NodeId], bool],
        audit: Audit,
        clock: Clock,
        now: Callable[[], str],
    ) -> None:
        """Read nothing yet.

        Args:
            cluster: Identity of the cluster.
            records: The control stream.
            put: Writes a record through the lane of a leadership.
            token: The present leadership of this node; raises NotLeader while there is none.
            may_resume: Whether a node may pass on the wish to resume: a voter.
            audit: Hears of every decision and every refusal.
            clock: For the age of what is answered from memory.
            now: Wall-clock UTC, for people.
        """
        self._records = records
        self._put = put
        self._token = token
        self._may_resume = may_resume
        self._audit = audit
        self._clock = clock
        self._now = now
        self._decision = Decision(cluster=cluster)
        self._read_ms: int | None = None
        self._number = 0
        self._followers: set[NodeId] = set()
        self._one_at_a_time = asyncio.Lock()
        self.counters: Counter[str] = Counter()

    @property
    def number(self) -> int:
        """Return the highest number that this node has seen; the leader's digest carries it."""
        return self._number

    def saw(self, number: int) -> None:
        """Note a number that this node learnt as a follower."""
        self._number = max(self._number, number)

    async def answer_read(self, asker: NodeId, body: bytes) -> bytes:
        """Answer `READ`.

        Raises:
            QuorumUnavailable: The record could not be read.
        """
        known = _decode(body, Known)
        decision = await self._fresh()
        if known.number == decision.number and len(self._followers) < _FOLLOWERS_MAX:
            self._followers.add(asker)
        content = encode(decision) if known.number != decision.number else b""
        followers = tuple(sorted(self._followers)) if known.followers else ()
        return _encoder.encode(Answer(decision.number, content, followers))

    async def answer_write(self, asker: NodeId, body: bytes) -> bytes:
        """Answer `WRITE`.

        Raises:
            PermissionDenied: The asking node may not resume.
            RevisionConflict: Something was decided since.
            QuorumUnavailable: It was not written.
            RequestTimeout: It may have been; asking again under the same name does no harm.
        """
        wish = _decode(body, Wish)
        if not wish.halted and not self._may_resume(asker):
            self.counters["refused"] += 1
            self._audit("resume refused", actor=wish.by, asker=asker, reason="no voter")
            raise PermissionDenied("only a voter passes on the wish to resume; run it there")
        async with self._one_at_a_time:
            before = await self._read()
            after = decided(before, wish, node=asker, at=self._now())
            if after is not before:
                await self._put(self._token(), RECORD_KEY, encode(after))
                self._take(after)
                self.counters["decided"] += 1
                self._audit(
                    "halt decided" if after.halted else "resume decided",
                    actor=wish.by,
                    asker=asker,
                    number=after.number,
                    reason=after.reason,
                )
        return _encoder.encode(Answer(after.number, encode(after)))

    async def _fresh(self) -> Decision:
        read_ms = self._read_ms
        if read_ms is not None and self._clock.now_ms() - read_ms < FRESH_MS:
            return self._decision
        async with self._one_at_a_time:
            if self._read_ms == read_ms:  # Nobody has read it while this one waited.
                await self._read()
            return self._decision

    async def _read(self) -> Decision:
        cluster = self._decision.cluster
        record = await self._records.read(RECORD_KEY)
        found = Decision(cluster=cluster)
        if record is not None:
            found = decode(record.value, cluster=cluster)
        if found.number < self._number:
            raise QuorumUnavailable("a broker answered with an older decision than is known")
        self._take(found)
        return found

    def _take(self, decision: Decision) -> None:
        if decision.number != self._decision.number:
            self._followers.clear()
        self._decision = decision
        self._number = decision.number
        self._read_ms = self._clock.now_ms()


def _decode(body: bytes, kind: type[Document]) -> Any:
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except (ValueError, RecursionError) as exc:
        raise RequestInvalid("this is no question about the emergency stop") from exc
