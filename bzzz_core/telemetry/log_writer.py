"""The thread that writes the log file, and the bounded queue before it.

Whoever logs puts a line into the queue and goes on, at once, whatever the disk does. If lines come
faster than the disk takes them, what is over `LINES_MAX` is dropped, counted, and said in the log
once there is room. Old files are compressed a block at a time, in between.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from threading import Condition, Thread
from typing import Final, cast

import msgspec

from bzzz_core.clock import utc_instant
from bzzz_core.telemetry.log_book import LogBook
from bzzz_core.telemetry.log_file import Limits, LogFile
from bzzz_core.telemetry.log_line import LogLevel, LogLine

LINES_MAX: Final = 20_000
CLOSE_S_MAX: Final = 2.0
"""How long an agent that ends waits for a disk that does not take its last lines."""
_LOOK_S: Final = 3_600.0
"""How often to look for old files while nothing is written: days are what counts there."""
_COMPONENT: Final = "log"


class LogWriter:
    """Keeps the lines of a book in a directory; every method may be called from any thread."""

    def __init__(
        self,
        book: LogBook,
        directory: Path,
        *,
        limits: Limits,
        now: Callable[[], datetime] = utc_instant,
        lines_max: int = LINES_MAX,
    ) -> None:
        """Write nothing before `start`; what comes before then waits in the queue."""
        self._book = book
        self._lines_max = lines_max
        self._lines: list[LogLine] = []
        self._dropped = 0
        self._closing = False
        self._idle = False
        self._changed = True
        self._something = Condition()
        self._encode = msgspec.json.Encoder().encode
        self._file = LogFile(
            directory, limits=limits, now=now, monotonic_s=time.monotonic, report=self._report
        )
        self._thread = Thread(target=self._run, name="log-file", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._book.file = self.put
        self._thread.start()

    def put(self, line: LogLine) -> None:
        """Have a line written; returns at once."""
        with self._something:
            if len(self._lines) >= self._lines_max:
                self._dropped += 1
                return
            self._lines.append(line)
            if self._idle:
                self._something.notify()

    def follow(self, limits: Limits) -> None:
        """Go by other limits."""
        with self._something:
            self._file.limits = limits
            self._changed = True
            self._something.notify()

    def close(self, timeout_s: float = CLOSE_S_MAX) -> None:
        """Write what is left and end the thread; give up after a while."""
        self._book.file = None
        with self._something:
            self._closing = True
            self._something.notify()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        more = True  # What the process before left to be tended.
        while True:
            with self._something:
                while not (self._lines or self._dropped or self._closing or self._changed or more):
                    self._idle = True
                    if not self._something.wait(_LOOK_S):
                        self._file.look_after()
                        more = True
                    self._idle = False
                lines, self._lines = self._lines, []
                dropped, self._dropped = self._dropped, 0
                closing = self._closing
                changed, self._changed = self._changed, False
            if changed:
                self._file.check_room()
                self._file.look_after()
            if lines:
                self._file.write([self._encode(line) + b"\n" for line in lines])
            if dropped:
                self._report("warning", "lines came faster than the disk takes them", lost=dropped)
            more = not closing and self._file.work()
            if closing and not lines:
                self._file.close()
                return

    def _report(self, level: str, text: str, **fields: object) -> None:
        self._book.take(cast("LogLevel", level), _COMPONENT, text, fields)
