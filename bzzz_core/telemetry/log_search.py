"""Which lines of the log somebody wants to see, found in memory or in the files, in bounded time.

A search in files reads them from the newest backwards and stops when it has enough, or when its
time or its bytes are used up, and then says that it did not look at all. Lines in which the words
cannot be are passed over without being decoded.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from bzzz_core.errors import RequestInvalid
from bzzz_core.telemetry import tracing
from bzzz_core.telemetry.components import ALL
from bzzz_core.telemetry.linear_regex import LinearRegex
from bzzz_core.telemetry.log_archive import blocks, newest_first
from bzzz_core.telemetry.log_line import LEVELS, LogLine

LINES_MAX: Final = 1_000
TEXT_MAX: Final = 200
SEARCH_S_MAX: Final = 2.0
SEARCH_BYTES_MAX: Final = 500_000_000
"""Unpacked."""
_SEEN_AT_ONCE: Final = 200
"""Lines between two looks at the clock."""
_decoder: Final = msgspec.json.Decoder(LogLine)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a line must be to be shown."""

    level: str = "debug"
    """At least."""
    component: str = ""
    text: str = ""
    """In the words of the line or in its fields, in whatever case."""
    pattern: LinearRegex | None = None
    """Instead of a text."""
    trace: str = ""
    since_at: str = ""
    until_at: str = ""
    """Both as lines have it: UTC with milliseconds, so that they compare as texts do."""

    def matches(self, line: LogLine) -> bool:
        """Return whether a line is wanted."""
        if (
            LEVELS[line.level] < LEVELS[self.level]
            or (self.component and line.component != self.component)
            or (self.trace and line.trace != self.trace)
            or (self.since_at and line.at < self.since_at)
            or (self.until_at and line.at > self.until_at)
        ):
            return False
        if self.pattern is not None:
            return self.pattern.search(_words(line))
        return not self.text or self.text.casefold() in _words(line).casefold()

    @property
    def needle(self) -> bytes:
        """Return what stands in every wanted line as it is written, in lower case; may be empty."""
        if self.trace:
            return self.trace.encode()
        plain = self.text.isascii() and self.text.isprintable() and not set(self.text) & set('"\\')
        # What spans a field's name and value is not written in one piece.
        if self.text and plain and self.pattern is None and not set(self.text) & {"=", " "}:
            return self.text.lower().encode()
        return f'"component":"{self.component}"'.encode() if self.component else b""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found."""

    lines: tuple[LogLine, ...]
    complete: bool
    """Whether all was looked at, or enough was found."""


def wanted(
    *,
    level: str = "",
    component: str = "",
    text: str = "",
    regex: bool = False,
    trace: str = "",
    since: str = "",
    until: str = "",
) -> Wanted:
    """Return a checked wish.

    Raises:
        RequestInvalid: There is no such level, component, trace, time or pattern.
    """
    if level and level not in LEVELS:
        raise RequestInvalid(f"a level is one of {', '.join(LEVELS)}")
    if component and component not in ALL:
        raise RequestInvalid(f"no part of BZZZ is called {component[:64]}")
    if len(text) > TEXT_MAX:
        raise RequestInvalid(f"a text to look for has at most {TEXT_MAX} characters")
    if trace and not tracing.valid_trace(trace):
        raise RequestInvalid("a trace has 32 digits, 0 to 9 and a to f")
    try:
        pattern = LinearRegex(text) if regex and text else None
    except ValueError as exc:
        raise RequestInvalid(f"the pattern cannot be used: {exc}") from exc
    return Wanted(
        level=level or "debug",
        component=component,
        text=text,
        pattern=pattern,
        trace=trace,
        since_at=moment(since),
        until_at=moment(until),
    )


def moment(text: str) -> str:
    """Return a time as lines have it; empty if none is given.

    Raises:
        RequestInvalid: It is no time of RFC 3339 with its zone.
    """
    if not text:
        return ""
    try:
        at = datetime.fromisoformat(text)
        zone = at.tzinfo
        at = at.astimezone(UTC)
    except (ValueError, OverflowError):
        zone = None
    if zone is None:
        raise RequestInvalid("a time is written like 2026-01-31T12:00:00Z")
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def among(lines: Iterable[LogLine], wish: Wanted, *, limit: int, deadline_s: float) -> Found:
    """Return the newest `limit` wanted ones of lines that come newest first, the oldest first."""
    found: deque[LogLine] = deque()
    lines = iter(lines)
    while some := list(islice(lines, _SEEN_AT_ONCE)):
        for line in some:
            if wish.matches(line):
                found.appendleft(line)
                if len(found) == limit:
                    return Found(tuple(found), complete=True)
        if time.monotonic() > deadline_s:
            return Found(tuple(found), complete=False)
    return Found(tuple(found), complete=True)


def in_files(
    directory: Path,
    wish: Wanted,
    *,
    limit: int,
    before: Callable[[LogLine], bool] = lambda _line: True,
    search_s_max: float = SEARCH_S_MAX,
) -> Found:
    """Return the newest `limit` wanted lines of a directory's log, the oldest first. Blocking.

    Args:
        directory: Where the files are.
        wish: What is wanted.
        limit: How many at most.
        before: Whether a line is older than those that are known already.
        search_s_max: How long it may take.
    """
    deadline_s = time.monotonic() + search_s_max
    found: deque[LogLine] = deque()
    bytes_left = SEARCH_BYTES_MAX
    for path in newest_first(directory):
        here: deque[LogLine] = deque(maxlen=limit - len(found))
        oldest_at = ""
        for block in blocks(path):
            if not oldest_at:
                oldest_at = _first_at(block)
                if wish.until_at and oldest_at > wish.until_at:
                    break
            bytes_left -= len(block)
            for count, line in enumerate(_candidates(block, wish.needle)):
                if wish.matches(line) and before(line):
                    here.append(line)
                if count % _SEEN_AT_ONCE == 0 and time.monotonic() > deadline_s:
                    break
            if time.monotonic() > deadline_s or bytes_left < 0:
                # What lies between is not known, so what was found here stands alone.
                return Found((*here, *found), complete=False)
        found.extendleft(reversed(here))
        if len(found) >= limit or (wish.since_at and oldest_at and oldest_at < wish.since_at):
            return Found(tuple(found), complete=True)
    return Found(tuple(found), complete=True)


def _first_at(block: bytes) -> str:
    """Return the time of the first line of a block; empty if it has none."""
    for line in _decoded(block[: block.find(b"\n") + 1].split(b"\n")):
        return line.at
    return ""


def _candidates(block: bytes, needle: bytes) -> Iterator[LogLine]:
    """Yield the lines of a block in which the needle is."""
    if not needle:
        yield from _decoded(block.split(b"\n"))
        return
    lowered = block.lower()
    at = lowered.find(needle)
    while at >= 0:
        begin, end = block.rfind(b"\n", 0, at) + 1, block.find(b"\n", at)
        yield from _decoded((block[begin:end],))
        at = lowered.find(needle, end)


def _decoded(lines: Iterable[bytes]) -> Iterator[LogLine]:
    for line in lines:
        if line:
            try:
                yield _decoder.decode(line)
            except ValueError:
                continue  # Torn, or none of ours.


def _words(line: LogLine) -> str:
    if not line.fields:
        return line.text
    return line.text + " " + " ".join(f"{name}={value}" for name, value in line.fields.items())
