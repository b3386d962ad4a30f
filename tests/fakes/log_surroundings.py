"""Named stand-ins for what a log has around it: a wall clock, and an ear for its own words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from resource import RLIMIT_FSIZE, getrlimit, setrlimit

from bzzz_core.telemetry.log_line import LogLevel, LogLine


@dataclass
class SettableWall:
    """Wall-clock and monotonic time that pass when told."""

    at: datetime = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
    passed_s: float = 0.0

    def now(self) -> datetime:
        """Return the wall-clock time."""
        return self.at

    def monotonic_s(self) -> float:
        """Return the seconds that passed."""
        return self.passed_s

    def pass_(self, **duration: float) -> None:
        """Let time pass, as `timedelta` names it."""
        self.at += timedelta(**duration)
        self.passed_s += timedelta(**duration).total_seconds()


@dataclass
class HeardWords:
    """What was reported."""

    words: list[tuple[str, str, dict[str, object]]] = field(default_factory=list)

    def __call__(self, level: str, text: str, **fields: object) -> None:
        """Hear it."""
        self.words.append((level, text, fields))

    @property
    def texts(self) -> list[str]:
        """Return the texts alone."""
        return [text for _, text, _ in self.words]


@contextmanager
def files_of_at_most(bytes_max: int) -> Iterator[None]:
    """Let the kernel refuse what would make a file larger: the end of a disk, for one process.

    As on a full disk, a write takes what there is room for, and the next one fails.
    """
    soft, hard = getrlimit(RLIMIT_FSIZE)
    setrlimit(RLIMIT_FSIZE, (bytes_max, hard))
    try:
        yield
    finally:
        setrlimit(RLIMIT_FSIZE, (soft, hard))


def line(
    number: int,
    text: str = "something happened",
    *,
    level: LogLevel = "info",
    component: str = "agent",
    at: str = "",
    trace: str = "",
    **fields: str,
) -> LogLine:
    """Return a line of the log; a second passes from one number to the next."""
    when = datetime(2026, 1, 15, tzinfo=UTC) + timedelta(seconds=number)
    return LogLine(
        number=number,
        at=at or when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        node="here",
        level=level,
        component=component,
        text=text,
        trace=trace,
        fields=fields,
    )
