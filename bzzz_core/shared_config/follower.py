"""Every node's side: learn what is new, keep it, and let the running configuration be made anew.

The leader's digest carries the record's number. A node that hears a higher one than it has asks the
leader for the record; and every `POLL_MS` it asks anyway, should it have missed the digests. What
it is told is kept in a file first: the next start begins with it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from bzzz_core.errors import BzzzError, IntegrityError
from bzzz_core.ports import Clock
from bzzz_core.shared_config.cache import SharedConfigCache
from bzzz_core.shared_config.keeper import Answer, Known
from bzzz_core.shared_config.record import SharedConfig, decode, trace_of

POLL_MS: Final = 30_000
"""One small question per node; a digest that was heard costs none."""
_AGAIN_MS: Final = 1_000

Ask = Callable[[bytes], Awaitable[bytes]]


class ConfigFollower:
    """Keeps this node's copy of the record."""

    def __init__(
        self,
        *,
        ask: Ask,
        cache: SharedConfigCache,
        cluster: str,
        clock: Clock,
        learnt: Callable[[int, str], None],
        poll_ms: int = POLL_MS,
    ) -> None:
        """Ask nothing yet.

        Args:
            ask: Puts `keeper.READ` to the leader.
            cache: Where the copy is kept.
            cluster: Identity of the cluster.
            clock: For the waits.
            learnt: Told the number and the trace of the newest change whenever the copy changed.
            poll_ms: How often to ask although nothing new was heard of.
        """
        self._ask = ask
        self._cache = cache
        self._cluster = cluster
        self._clock = clock
        self._learnt = learnt
        self._poll_ms = poll_ms
        self._number = cache.load().number
        self._heard = asyncio.Event()
        self._highest = self._number
        self.counters: Counter[str] = Counter()

    @property
    def number(self) -> int:
        """Return the number of this node's copy."""
        return self._number

    def hear(self, number: int) -> None:
        """Take the number that a digest of the leader carries."""
        self._highest = max(self._highest, number)
        if self._highest > self._number:
            self._heard.set()

    async def run(self) -> None:
        """Ask when there is something new, and now and then, until cancelled."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._now_and_then(), name="shared-config-poll")
            while True:
                await self._heard.wait()
                self._heard.clear()
                try:
                    await self.fetch()
                except BzzzError:
                    self.counters["unanswered"] += 1
                if self._highest > self._number:
                    await self._clock.sleep_ms(_AGAIN_MS)
                    self._heard.set()

    async def fetch(self) -> SharedConfig:
        """Ask the leader once and return the newest record known afterwards.

        Raises:
            BzzzError: Nobody answered, or what came cannot be used.
        """
        question = msgspec.msgpack.encode(Known(self._number))
        try:
            answer = msgspec.msgpack.decode(await self._ask(question), type=Answer)
        except ValueError as exc:
            raise IntegrityError("the leader's answer is no configuration") from exc
        if answer.number > self._number and answer.record:
            shared = decode(answer.record, cluster=self._cluster)
            self._cache.store(shared)
            self._number = shared.number
            self._highest = max(self._highest, shared.number)
            self.counters["learnt"] += 1
            self._learnt(shared.number, trace_of(shared))
        return self._cache.load()

    async def _now_and_then(self) -> None:
        while True:
            self._heard.set()
            await self._clock.sleep_ms(self._poll_ms)
