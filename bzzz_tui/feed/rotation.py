"""Follows the events of a cluster through one host, and goes on to the next when it is silent.

Theory of operation
-------------------
One host tells what it knows and then what differs; it says something each `beat_ms`, if only that
it is there. A host that has answered before must begin within `answer_ms`, and may never be silent
for longer than beat_ms + answer_ms; a host that must be connected to first has `connect_ms`. When
it does not keep to that, the next host of the profile is tried at once:

    paused host -> beat_ms + answer_ms + time to connect  until data flows again

A reader that comes back to the same life of an agent goes on where it stopped; any other agent
tells everything anew. An agent that is too old to tell events is asked for its status every
`refresh_ms` instead, and the link says so.

Once all hosts were tried in vain the feed waits, longer each round (0.5, 1, 2, 4, 8 s, then 8 s),
and says until when, so that a view can count down.

Rules: cancelling `run` closes every connection. Every outcome is an event; a failing host is never
an exception here. Closing is not waited for, because a host that is gone does not say goodbye.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from bzzz_core.api.event_documents import Bye
from bzzz_core.api.event_position import Position
from bzzz_core.api.event_stream import Follow
from bzzz_core.errors import (
    BzzzError,
    ConfigError,
    NotOffered,
    RequestTimeout,
    TransportError,
    plainly,
)
from bzzz_core.ports import Clock
from bzzz_tui.feed.source import Source
from bzzz_tui.feed_events import FeedEvent, Heard, Link, LinkPhase, Snapshot

T = TypeVar("T")
_CALL_MS_MAX: Final = 20_000
"""For what an operator asked for: the slowest operation waits for a leader that hands over."""
_BACKOFF_MS: Final = (500, 1_000, 2_000, 4_000, 8_000)
_BEAT_MS_MIN: Final = 500
_BEAT_MS_MAX: Final = 30_000
_EVERY_MS_MAX: Final = 60_000
"""What an agent grants (`docs/formats/events.md`)."""
_LOOKS: Final = 4
_AT_ONCE_MS: Final = 1_000
"""Agents look at themselves once a second."""
POLLED: Final = "asked again and again: its agent tells no events"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often to hear something and how long to wait, in milliseconds."""

    refresh_ms: int = 1_000
    """Between two beats, or two questions. From more than a second on: also between two deltas."""
    answer_ms: int = 1_000
    """For a host to which the way is open."""
    connect_ms: int = 5_000
    """For a host that is not: connection, login, forwarding and the first answer."""

    @property
    def beat_ms(self) -> int:
        """Return how often a host is asked to say something."""
        return min(max(self.refresh_ms, _BEAT_MS_MIN), _BEAT_MS_MAX)

    @property
    def every_ms(self) -> int:
        """Return how long a host is asked to gather changes before it tells them."""
        return 0 if self.refresh_ms <= _AT_ONCE_MS else min(self.refresh_ms, _EVERY_MS_MAX)


class Rotation:
    """Follows the hosts of one profile in turn."""

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        clock: Clock,
        pace: Pace,
        emit: Callable[[FeedEvent], None],
        follow: bool = True,
    ) -> None:
        """Take the hosts in the order of the profile; ask nobody yet.

        Args:
            sources: The hosts.
            clock: For ages and waits.
            pace: How often, how long.
            emit: Called with each event.
            follow: Whether to follow events where they are told; else it only asks.
        """
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
        self._follows = follow
        self._polled: set[str] = set()
        """Hosts whose agent does not tell events, as far as is known."""
        self._position: Position | None = None
        """Of what was emitted last."""

    def hurry(self) -> None:
        """End the present wait: somebody wants fresh data now."""
        self._hurry.set()

    def set_refresh_ms(self, refresh_ms: int) -> None:
        """Ask this often from now on."""
        self._pace = replace(self._pace, refresh_ms=refresh_ms)
        self.hurry()

    async def call(
        self, method: str, path: str, body: object | None = None, *, host: str | None = None
    ) -> Any:
        """Ask for an operation of the API: of the host that answers now, or of `host`.

        Raises:
            ConfigError: No host of the profile has this name.
            RequestTimeout: No answer; it may have been done.
            BzzzError: No connection, or the agent refused.
        """
        source = next((one for one in self._sources if one.name == host), None)
        if source is None and host is not None:
            raise ConfigError(f"the profile of this cluster has no host named {host}")
        source = source or self._sources[self._at]
        try:
            async with asyncio.timeout(_CALL_MS_MAX / 1_000):
                return await source.call(method, path, body)
        except TimeoutError:
            pass
        raise RequestTimeout(f"{source.name}: no answer within {_CALL_MS_MAX // 1_000} s")

    async def run(self) -> None:
        """Ask until cancelled."""
        try:
            async with asyncio.TaskGroup() as closing:
                self._say()
                while True:
                    source = self._sources[self._at]
                    if not self._follows or source.name in self._polled:
                        well = await self._ask(source, closing)
                        if well:
                            await self._wait(self._pace.refresh_ms)
                    else:
                        well = await self._follow(source, closing)
                    if not well and self._failed % len(self._sources) == 0:
                        await self._wait_before_next_round()
        finally:
            for source in self._sources:
                await source.close()

    async def _ask(self, source: Source, closing: asyncio.TaskGroup) -> bool:
        """Ask a host once and emit what came of it; return whether it answered."""
        limit_ms = self._pace.answer_ms if source.prompt else self._pace.connect_ms
        try:
            status = await _in_time(source.fetch(), limit_ms)
        except TimeoutError:
            self._give_up(source, closing, f"{source.name}: no answer within {limit_ms} ms")
            return False
        except BzzzError as exc:
            self._give_up(source, closing, str(exc))
            return False
        now_ms = self._clock.now_ms()
        self._position = None
        self._settle(Snapshot(source=source.name, status=status, received_ms=now_ms), now_ms)
        return True

    async def _follow(self, source: Source, closing: asyncio.TaskGroup) -> bool:
        """Follow a host as long as it tells; return whether to go on with it."""
        self._hurry.clear()
        try:
            with plainly():
                async with asyncio.TaskGroup() as group:
                    hearing = group.create_task(self._hear(source))
                    waking = group.create_task(self._hurry.wait())
                    await asyncio.wait((hearing, waking), return_when=asyncio.FIRST_COMPLETED)
                    hearing.cancel()
                    waking.cancel()
        except NotOffered:
            self._polled.add(source.name)
        except BzzzError as exc:
            self._give_up(source, closing, str(exc))
            return False
        return True

    async def _hear(self, source: Source) -> None:
        """Emit what a host tells, until it must be asked anew.

        Raises:
            BzzzError: It cannot be reached, is silent, or ends its stream.
        """
        pace = self._pace
        limit_ms = pace.answer_ms if source.prompt else pace.connect_ms
        asked = Follow(resume=self._position, beat_ms=pace.beat_ms, every_ms=pace.every_ms)
        async with aclosing(source.follow(asked)) as messages:
            while True:
                try:
                    message = await _in_time(anext(messages, None), limit_ms)
                except TimeoutError as exc:
                    raise TransportError(f"{source.name}: no answer within {limit_ms} ms") from exc
                limit_ms = pace.beat_ms + pace.answer_ms
                if message is None:
                    raise TransportError(f"{source.name}: its stream of events ended")
                if isinstance(message, Bye):
                    raise TransportError(f"{source.name}: {message.words}")
                self._position = Position.after(self._position, message)
                if self._position is None:
                    return  # Something is missing: everything is asked for anew.
                now_ms = self._clock.now_ms()
                heard = Heard(source=source.name, message=message, received_ms=now_ms)
                self._settle(heard, now_ms)

    def _settle(self, event: Snapshot | Heard, now_ms: int) -> None:
        """Emit news of the host, and that it is the one watched through."""
        if self._phase is not LinkPhase.CONNECTED or self._failed:
            self._since_ms = now_ms
        self._phase, self._failed, self._reason = LinkPhase.CONNECTED, 0, ""
        self._emit(event)
        self._say()

    def _give_up(self, source: Source, closing: asyncio.TaskGroup, reason: str) -> None:
        closing.create_task(source.close())
        self._polled.discard(source.name)  # It may come back as another version.
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
            note=POLLED if self._sources[self._at].name in self._polled else "",
        )
        if link != self._said:
            self._said = link
            self._emit(link)


async def _in_time(answer: Awaitable[T], limit_ms: int) -> T:
    """Return the answer if it comes within the limit, not counting time in which we slept.

    A shell that has the terminal, Ctrl+Z and a closed lid stop this program: what the host said
    meanwhile is there and unread. So the limit is waited for in parts, and a part that took longer
    than it should counts once.

    Raises:
        TimeoutError: It did not come.
    """
    with plainly():
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(_come(answer))
            for _ in range(_LOOKS):
                await asyncio.wait((waiting,), timeout=limit_ms / _LOOKS / 1_000)
                if waiting.done():
                    break
            waiting.cancel()
    if waiting.cancelled():
        raise TimeoutError
    return waiting.result()


async def _come(answer: Awaitable[T]) -> T:
    try:
        return await answer
    except TimeoutError as exc:
        raise TransportError("it took too long") from exc
