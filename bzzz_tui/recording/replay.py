"""Plays a recording in place of a feed: the store and every view are the same as live.

Time is the position in the recording: `ReplayClock` gives it to whoever shows ages, so a recording
that is held still does not grow old, and what was stale when it was recorded is stale again. To go
forward, what lies between is folded in at once; to go back, everything from the beginning, for a
state cannot be taken back. Beats and lines of the log are nothing to stop at.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from bzzz_core.api.event_documents import Beat, Lines
from bzzz_core.errors import PermissionDenied
from bzzz_core.ports import Clock
from bzzz_tui.feed_events import FeedEvent, Heard, Jump
from bzzz_tui.recording.format import Recording
from bzzz_tui.recording.places import began_at, place_of
from bzzz_tui.wording import span

SPEED_MIN: Final = 0.1
SPEED_MAX: Final = 1_000.0
MINUTE_MS: Final = 60_000


class ReplayClock:
    """The position in a recording, as the time of its views; satisfies `ports.Clock`."""

    def __init__(self, clock: Clock) -> None:
        """Stand at the beginning, and not move."""
        self._clock = clock
        self._at_ms = 0
        self._since_ms = clock.now_ms()
        self._speed = 0.0
        self._end_ms = 0

    def now_ms(self) -> int:
        """Return the milliseconds since the beginning of the recording, its end at most."""
        return min(self._end_ms, self._at_ms + round(self._passed_ms() * self._speed))

    async def sleep_ms(self, duration_ms: int) -> None:
        """Sleep in the time of the world."""
        await self._clock.sleep_ms(duration_ms)

    def set(self, at_ms: int, *, speed: float, end_ms: int) -> None:
        """Stand at a position and move on from there so many times as fast as the world."""
        self._at_ms, self._since_ms = at_ms, self._clock.now_ms()
        self._speed, self._end_ms = speed, end_ms

    def _passed_ms(self) -> int:
        return self._clock.now_ms() - self._since_ms


class ReplayFeed:
    """A feed out of a recording."""

    def __init__(
        self,
        recording: Recording,
        *,
        clock: ReplayClock,
        emit: Callable[[FeedEvent], None],
        speed: float = 1.0,
    ) -> None:
        """Stand at the beginning; `run` plays."""
        self._recording = recording
        self._clock = clock
        self._emit = emit
        self._times = [t for t, _ in recording.events]
        self._next = 0
        """Index of the next event to emit."""
        self._speed = _bounded(speed)
        self._paused = False
        self._moved = asyncio.Event()
        self._clock.set(0, speed=0, end_ms=self.duration_ms)

    @property
    def duration_ms(self) -> int:
        """Return the length of the recording."""
        return self._recording.duration_ms

    @property
    def position_ms(self) -> int:
        """Return where it stands."""
        return self._clock.now_ms()

    @property
    def paused(self) -> bool:
        """Return whether it is held still."""
        return self._paused

    @property
    def ended(self) -> bool:
        """Return whether everything was played."""
        return self._next >= len(self._times)

    @property
    def speed(self) -> float:
        """Return how many times as fast as the world it plays."""
        return self._speed

    def describe(self) -> str:
        """Return where it stands: `REPLAY 12:03:21 of 12:00:00-12:05:00, x2, paused`."""
        words = [f"REPLAY {self._time(self.position_ms)}"]
        words[0] += f" of {self._time(0)}-{self._time(self.duration_ms)}"
        if self._speed != 1:
            words.append(f"x{self._speed:g}")
        if self._paused:
            words.append("paused")
        elif self.ended:
            words.append("end")
        if self._recording.cut:
            words.append("cut short")
        return ", ".join(words)

    @property
    def at(self) -> str:
        """Return the time of the day at which it stands, in UTC."""
        return self._time(self.position_ms)

    def hurry(self) -> None:
        """Do nothing: a recording has nothing newer."""

    def set_refresh_ms(self, refresh_ms: int) -> None:
        """Do nothing: a recording was told as often as it was told."""

    async def call(
        self, method: str, path: str, body: object | None = None, *, host: str | None = None
    ) -> Any:
        """Refuse: nobody is there to be asked.

        Raises:
            PermissionDenied: Always.
        """
        del body, host
        raise PermissionDenied(f"a recording answers nothing: {method} {path} was not asked")

    def pause(self) -> None:
        """Hold still, or go on."""
        self._stand(self.position_ms, paused=not self._paused)

    def set_speed(self, speed: float) -> None:
        """Play so many times as fast as the world from now on."""
        self._speed = _bounded(speed)
        self._stand(self.position_ms, paused=self._paused)

    def step(self, direction: int) -> None:
        """Hold still after the next event that tells something (1), or before the last one (-1)."""
        if direction > 0:
            index = self._next
            while index < len(self._times) and not self._tells(index):
                index += 1
            target = min(index + 1, len(self._times))
            self._go(target, self._time_of(target - 1), paused=True)
            return
        index = self._next - 1
        while index > 0 and not self._tells(index):
            index -= 1
        self._go(max(0, index), self._time_of(max(0, index) - 1), paused=True)

    def skip(self, by_ms: int) -> None:
        """Go forward or back by so much."""
        self.seek(self.position_ms + by_ms)

    def seek(self, to_ms: int) -> None:
        """Go to a time since the beginning, or as near as there is one."""
        to_ms = max(0, min(to_ms, self.duration_ms))
        self._go(bisect_right(self._times, to_ms), to_ms, paused=self._paused)

    def go_to(self, words: str) -> None:
        """Go to a time or by a duration, as `places` has them.

        Raises:
            ConfigError: They are neither.
        """
        started_at = self._recording.header.started_at
        self.seek(place_of(words, position_ms=self.position_ms, started_at=started_at))

    def finish(self) -> None:
        """Go to the end at once."""
        self.seek(self.duration_ms)

    async def run(self) -> None:
        """Play until cancelled; at the end, stand there."""
        self._stand(self.position_ms, paused=self._paused)
        while True:
            self._moved.clear()
            self._emit_due()
            if self._paused or self.ended:
                await self._moved.wait()
                continue
            wait_s = (self._times[self._next] - self.position_ms) / 1_000 / self._speed
            try:
                async with asyncio.timeout(max(0.001, wait_s)):
                    await self._moved.wait()
            except TimeoutError:
                continue

    def _emit_due(self) -> None:
        due = bisect_right(self._times, self.position_ms)
        if due - self._next > 1 and self._speed > 1:
            self._emit_between(due)
        while self._next < due:
            event = self._recording.events[self._next][1]
            self._next += 1
            self._emit(event)

    def _emit_between(self, end: int) -> None:
        """Emit several at once: played fast, each for itself would be painted for itself."""
        events = tuple(event for _, event in self._recording.events[self._next : end])
        self._next = end
        self._emit(Jump(events=events, anew=False, now_ms=self.position_ms))

    def _go(self, index: int, at_ms: int, *, paused: bool) -> None:
        """Stand after the first `index` events, at a time."""
        anew = index < self._next
        begin = 0 if anew else self._next
        self._next = index
        self._stand(at_ms, paused=paused)
        events = tuple(event for _, event in self._recording.events[begin:index])
        if anew or events:
            self._emit(Jump(events=events, anew=anew, now_ms=at_ms))

    def _stand(self, at_ms: int, *, paused: bool) -> None:
        self._paused = paused
        speed = 0.0 if paused else self._speed
        self._clock.set(at_ms, speed=speed, end_ms=self.duration_ms)
        self._moved.set()

    def _time_of(self, index: int) -> int:
        return self._times[index] if 0 <= index < len(self._times) else 0

    def _tells(self, index: int) -> bool:
        event = self._recording.events[index][1]
        return not (isinstance(event, Heard) and isinstance(event.message, Beat | Lines))

    def _time(self, position_ms: int) -> str:
        """Return the time of the day, in UTC, at which a place was recorded."""
        began = began_at(self._recording.header.started_at)
        if began is None:  # Then times are since the beginning.
            return span(position_ms / 1_000)
        try:
            return f"{began + timedelta(milliseconds=position_ms):%H:%M:%S}"
        except OverflowError:
            return span(position_ms / 1_000)


def _bounded(speed: float) -> float:
    return min(max(speed, SPEED_MIN), SPEED_MAX)
