"""The newest lines of the log, in memory: what the API, the events and the monitor read.

Bounded by count and by size. A reader that follows keeps the number of the last line it has and
asks for what came `since`; if some of that is gone by then, it is told how many. Every method may
be called from any thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from threading import Lock
from typing import Final

from bzzz_core.telemetry.log_line import LogLine

LINES_MAX: Final = 5_000
BYTES_MAX: Final = 4_000_000
"""Of text; in memory it is about twice as much."""
_LINE_BYTES: Final = 200
"""What a line takes besides its words: time, names, numbers, keys."""
Callback = Callable[[LogLine], None]


@dataclass(frozen=True, slots=True)
class Held:
    """What a ring could give."""

    lines: tuple[LogLine, ...]
    """In their order."""
    lost: int
    """How many of those that were asked for are no longer held."""


class LogRing:
    """Holds lines, numbered."""

    def __init__(self, *, lines_max: int = LINES_MAX, bytes_max: int = BYTES_MAX) -> None:
        """Hold nothing yet; the newest line is held however large it is."""
        self._lines_max = lines_max
        self._bytes_max = bytes_max
        self._lines: deque[LogLine] = deque()
        self._bytes = 0
        self._lock = Lock()
        self._callbacks: tuple[Callback, ...] = ()

    @property
    def last(self) -> int:
        """Return the number of the newest line; 0: there was none yet."""
        with self._lock:
            return self._lines[-1].number if self._lines else 0

    @property
    def first(self) -> int:
        """Return the number of the oldest line that is held; 0: there was none yet."""
        with self._lock:
            return self._lines[0].number if self._lines else 0

    def add(self, make: Callable[[int], LogLine]) -> LogLine:
        """Hold the line that `make` returns for the next number, and tell who subscribed."""
        with self._lock:
            line = make(self._lines[-1].number + 1 if self._lines else 1)
            self._lines.append(line)
            self._bytes += _size(line)
            while len(self._lines) > self._lines_max or (
                self._bytes > self._bytes_max and len(self._lines) > 1
            ):
                self._bytes -= _size(self._lines.popleft())
            callbacks = self._callbacks
        for callback in callbacks:
            callback(line)
        return line

    def since(self, number: int, *, limit: int = LINES_MAX) -> Held:
        """Return the oldest lines after `number`.

        A number that this ring has not given yet is one of another life: then all lines follow.
        """
        with self._lock:
            if not self._lines:
                return Held((), 0)
            first, last = self._lines[0].number, self._lines[-1].number
            after = number if number <= last else 0
            lost = max(first - 1 - after, 0)
            begin = max(after + 1 - first, 0)
            return Held(tuple(islice(self._lines, begin, begin + limit)), lost)

    def newest(self) -> tuple[LogLine, ...]:
        """Return all lines that are held."""
        with self._lock:
            return tuple(self._lines)

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Call `callback` with each line from now on; call what is returned to end that.

        It is called in the thread that logs and holds it up, so it does next to nothing (put into a
        queue, `loop.call_soon_threadsafe`), never logs, and never raises. Lines of two threads may
        come in another order than their numbers.
        """
        with self._lock:
            self._callbacks = (*self._callbacks, callback)

        def unsubscribe() -> None:
            with self._lock:
                self._callbacks = tuple(one for one in self._callbacks if one is not callback)

        return unsubscribe


def _size(line: LogLine) -> int:
    words = sum(len(name) + len(value) for name, value in line.fields.items())
    return _LINE_BYTES + len(line.text) + words
