"""The events of one agent: the board, who reads it, and the sampling of the status.

The status is looked at once a second as long as somebody reads, and not at all otherwise; what the
other parts of the agent know they put on the board when it changes. An election hurries the next
look, so that nobody waits a second to see who leads. A look goes in steps, and heartbeats between
them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from bzzz_core.api.event_documents import MEMBERS, LogLine
from bzzz_core.api.events.board import Board
from bzzz_core.api.events.reading import EventsQuery, Frame, LogSource, Reader, Speaker
from bzzz_core.api.events.sampling import Sight, StatusSampler
from bzzz_core.errors import CapacityExceeded
from bzzz_core.ports import Clock

READERS_MAX: Final = 32
READERS_OF_ONE_MAX: Final = 24
"""With one token: whoever has another one always finds a place."""
_SAMPLE_MS: Final = 1_000
_HURRY_MS: Final = 100
"""Between two looks however hurried, and between two messages to one reader but beats: what comes
in between goes with the next, at a tenth of the cost."""
_FAREWELL_MS: Final = 300
_FRESH_MS: Final = 250
"""Younger than this, a sample serves whoever comes next."""


@dataclass(frozen=True, slots=True)
class _Place:
    """What belongs to one reader here."""

    news: asyncio.Event
    unsubscribe: Callable[[], None]
    whose: str


class Events:
    """What an agent tells to whoever follows it."""

    def __init__(
        self,
        *,
        speaker: Speaker,
        sight: Callable[[], Sight],
        log: LogSource | None,
        clock: Clock,
        now: Callable[[], str],
    ) -> None:
        """Hold nothing, and look at nothing as long as nobody reads.

        Args:
            speaker: Who tells; its epoch is drawn anew at every start.
            sight: Gives the agent's view of itself and the cluster as it is now.
            log: The newest lines of the log.
            clock: For beats and looks.
            now: Gives UTC, for people.
        """
        self.board = Board(changed=self._on_change)
        self._speaker = speaker
        self._sight = sight
        self._sampler = StatusSampler(self.board)
        self._log = log
        self._clock = clock
        self._now = now
        self._looking = asyncio.Lock()
        self._looked_ms: int | None = None
        self._readers: dict[Reader, _Place] = {}
        self._tokens: Counter[str] = Counter()
        """How many read with each."""
        self._empty = asyncio.Event()
        self._empty.set()
        self._watched = asyncio.Event()
        self._hurried = asyncio.Event()
        self._ended = False

    @property
    def readers(self) -> int:
        """Return how many read now."""
        return len(self._readers)

    def hurry(self) -> None:
        """Look at the status now, if anybody reads."""
        self._hurried.set()

    async def run(self) -> None:
        """Look at the status while somebody reads; when cancelled, say goodbye to all."""
        try:
            while True:
                await self._watched.wait()
                await self._look()
                await self._clock.sleep_ms(_HURRY_MS)
                await _within(_SAMPLE_MS - _HURRY_MS, self._hurried)
                self._hurried.clear()
        finally:
            self.end()

    def end(self) -> None:
        """Have every reader told that the agent stops; nobody may begin to read any more."""
        self._ended = True
        self._on_change()

    async def farewell(self) -> None:
        """End, and give readers a moment to hear it."""
        self.end()
        await _within(_FAREWELL_MS, self._empty)

    def open(self, query: EventsQuery, *, lines: bool, whose: str = "") -> Reader:
        """Count somebody who reads, until `close`.

        Args:
            query: What it asks for.
            lines: Whether it may see the log.
            whose: Name of its token.

        Raises:
            CapacityExceeded: There are as many as may be, or the agent stops.
            RequestInvalid: It asks for nothing.
        """
        if self._ended:
            raise CapacityExceeded("the agent stops")
        if len(self._readers) >= READERS_MAX:
            raise CapacityExceeded(f"{READERS_MAX} follow the events of this node already")
        if self._tokens[whose] >= READERS_OF_ONE_MAX:
            raise CapacityExceeded(
                f"{READERS_OF_ONE_MAX} follow the events of this node with the token {whose}"
            )
        reader = Reader(
            query,
            board=self.board,
            log=self._log if lines else None,
            speaker=self._speaker,
            now=self._now,
        )
        news = asyncio.Event()
        unsubscribe = self._follow_log(news) if reader.wants_lines else _nothing
        self._readers[reader] = _Place(news, unsubscribe, whose)
        self._tokens[whose] += 1
        self._empty.clear()
        self._watched.set()
        return reader

    def close(self, reader: Reader) -> None:
        """Count somebody who read no more."""
        place = self._readers.pop(reader)
        place.unsubscribe()
        self._tokens[place.whose] -= 1
        if not self._tokens[place.whose]:
            del self._tokens[place.whose]
        if not self._readers:
            self._watched.clear()
            self._empty.set()

    async def frames(self, reader: Reader) -> AsyncGenerator[Frame, None]:
        """Yield what a reader has to be told, until the agent stops; the last one says so."""
        if reader.wants_state:
            await self._look(within_ms=_FRESH_MS)
        news = self._readers[reader].news
        beat_ms = state_ms = self._clock.now_ms()
        while not self._ended:
            if self._clock.now_ms() >= state_ms:
                await _in_steps(self._sampler.freshen(reader.due(MEMBERS)))
            now_ms = self._clock.now_ms()
            news.clear()
            sent = 0
            frame = reader.state() if now_ms >= state_ms else None
            if frame is not None:
                sent, state_ms = sent + 1, now_ms + reader.query.every_ms
                yield frame
            while (frame := reader.lines()) is not None and not self._ended:
                sent += 1
                yield frame
            if sent:
                await self._clock.sleep_ms(_HURRY_MS)
            elif now_ms >= beat_ms:
                yield reader.beat()
            if sent or now_ms >= beat_ms:
                beat_ms = now_ms + reader.query.beat_ms
            due_ms = min(beat_ms, state_ms) if reader.behind else beat_ms
            await _within(due_ms - self._clock.now_ms(), news)
        yield reader.bye("stopping", "the agent stops")

    async def _look(self, within_ms: int = 0) -> None:
        """Look at the status, unless the last look is younger than `within_ms`."""
        async with self._looking:
            now_ms = self._clock.now_ms()
            if self._looked_ms is None or now_ms - self._looked_ms >= within_ms:
                await _in_steps(self._sampler.look(self._sight()))
                self._looked_ms = now_ms

    def _on_change(self) -> None:
        for place in self._readers.values():
            place.news.set()

    def _follow_log(self, news: asyncio.Event) -> Callable[[], None]:
        assert self._log is not None
        loop = asyncio.get_running_loop()

        def wake(_line: LogLine) -> None:
            with suppress(RuntimeError):  # The loop is closed: nobody is left to be woken.
                loop.call_soon_threadsafe(news.set)

        return self._log.subscribe(wake)


def _nothing() -> None:
    """Undo nothing."""


async def _in_steps(steps: Iterator[None]) -> None:
    """Take all steps, and let others run between them."""
    for _ in steps:
        await asyncio.sleep(0)


async def _within(duration_ms: int, event: asyncio.Event) -> None:
    """Return when the event is set, or the time is over."""
    if duration_ms > 0 and not event.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(duration_ms / 1_000):
                await event.wait()
