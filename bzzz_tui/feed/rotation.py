"""Keeps asking for the status of a cluster, and goes on to the next host when one is silent.

Theory of operation
-------------------
One host is asked every `refresh_ms`. A host that has answered before must answer within
`answer_ms`; a host that must be connected to first has `connect_ms`. When it does not, the next
host of the profile is asked at once:

    paused host -> refresh_ms + answer_ms + time to connect  until data flows again

Once all hosts were asked in vain the feed waits, longer each round (0.5, 1, 2, 4, 8 s, then 8 s),
and says until when, so that a view can count down.

Rules: cancelling `run` closes every connection. Every outcome is an event; a failing host is never
an exception here. Closing is not waited for, because a host that is gone does not say goodbye.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from bzzz_core.api.documents import Status
from bzzz_core.errors import BzzzError
from bzzz_core.ports import Clock
from bzzz_tui.feed.source import Source
from bzzz_tui.store import FeedEvent, Link, LinkPhase, Snapshot

_BACKOFF_MS: Final = (500, 1_000, 2_000, 4_000, 8_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often to ask and how long to wait, in milliseconds."""

    refresh_ms: int = 1_000
    answer_ms: int = 1_000
    """For a host to which the way is open."""
    connect_ms: int = 5_000
    """For a host that is not: connection, login, forwarding and the first answer."""


class Rotation:
    """Asks the hosts of one profile in turn."""

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        clock: Clock,
        pace: Pace,
        emit: Callable[[FeedEvent], None],
    ) -> None:
        """Take the hosts in the order of the profile; ask nobody yet."""
        assert sources, "a profile has at least one host"
        self._sources = sources
        self._clock = clock
        self._pace = pace
        self._emit = emit
        self._at = 0
        self._failed = 0
        self._since_ms = clock.now_ms()
        self._phase = LinkPhase.CONNECTING
        self._reason = ""
        self._hurry = asyncio.Event()
        self._said: Link | None = None

    def hurry(self) -> None:
        """End the present wait: somebody wants fresh data now."""
        self._hurry.set()

    async def run(self) -> None:
        """Ask until cancelled."""
        try:
            async with asyncio.TaskGroup() as closing:
                self._say()
                while True:
                    if await self._ask(closing):
                        await self._wait(self._pace.refresh_ms)
                    elif self._failed % len(self._sources) == 0:
                        await self._wait_before_next_round()
        finally:
            for source in self._sources:
                await source.close()

    async def _ask(self, closing: asyncio.TaskGroup) -> bool:
        """Ask the current host once and emit what came of it; return whether it answered."""
        source = self._sources[self._at]
        limit_ms = self._pace.answer_ms if source.prompt else self._pace.connect_ms
        try:
            async with asyncio.timeout(limit_ms / 1_000):
                status = await source.fetch()
        except TimeoutError:
            closing.create_task(source.close())
            self._give_up(f"{source.name}: no answer within {limit_ms} ms")
            return False
        except BzzzError as exc:
            closing.create_task(source.close())
            self._give_up(str(exc))
            return False
        self._settle(source, status)
        return True

    def _settle(self, source: Source, status: Status) -> None:
        now_ms = self._clock.now_ms()
        if self._phase is not LinkPhase.CONNECTED or self._failed:
            self._since_ms = now_ms
        self._phase, self._failed, self._reason = LinkPhase.CONNECTED, 0, ""
        self._emit(Snapshot(source=source.name, status=status, received_ms=now_ms))
        self._say()

    def _give_up(self, reason: str) -> None:
        self._failed += 1
        self._reason = reason
        self._at = (self._at + 1) % len(self._sources)
        if self._phase is LinkPhase.CONNECTED:
            self._phase, self._since_ms = LinkPhase.CONNECTING, self._clock.now_ms()
        self._say()

    async def _wait_before_next_round(self) -> None:
        if self._phase is not LinkPhase.LOST:
            self._phase, self._since_ms = LinkPhase.LOST, self._clock.now_ms()
        rounds = self._failed // len(self._sources)
        wait_ms = _BACKOFF_MS[min(rounds, len(_BACKOFF_MS)) - 1]
        self._say(retry_at_ms=self._clock.now_ms() + wait_ms)
        await self._wait(wait_ms)
        self._say()

    async def _wait(self, duration_ms: int) -> None:
        self._hurry.clear()
        async with asyncio.TaskGroup() as group:
            sleeping = group.create_task(self._clock.sleep_ms(duration_ms))
            waking = group.create_task(self._hurry.wait())
            await asyncio.wait((sleeping, waking), return_when=asyncio.FIRST_COMPLETED)
            sleeping.cancel()
            waking.cancel()

    def _say(self, retry_at_ms: int | None = None) -> None:
        link = Link(
            phase=self._phase,
            host=self._sources[self._at].name,
            since_ms=self._since_ms,
            attempt=self._failed,
            retry_at_ms=retry_at_ms,
            reason=self._reason,
        )
        if link != self._said:
            self._said = link
            self._emit(link)
