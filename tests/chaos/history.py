"""What the clients of a chaos run tried, and what they were told: one file of JSON lines a process.

A line is written before the thing it tells of begins (`Invoked`) or right after it is known
(`Answered`), with a single `write` to a file opened for appending. The line is then the kernel's:
the death of the writer cannot take it back, and the machine itself is not switched off in these
runs. (Waiting for the disk at each line would slow the very processes that are being watched.)

Times are nanoseconds of CLOCK_MONOTONIC, which all processes of one machine share; so "before" can
be said across nodes, and the checker says it.

An operation that has no `Answered` line may or may not have happened: its process died first.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias

import msgspec


class Started(msgspec.Struct, frozen=True, tag="started"):
    """A node's process began; what it knew before, it has forgotten."""

    at_ns: int
    node: str
    process: str


class Invoked(msgspec.Struct, frozen=True, tag="invoked"):
    """A write is about to be asked for."""

    at_ns: int
    node: str
    op: str
    """Unique over the whole run; it is in the entry, too."""
    token: int
    """Sequence of the `_term` record that the write is fenced by."""
    term: int
    number: int
    """Counts the writes of one lane in the order in which they were asked for."""
    past_the_lane: bool
    """Written straight to the store, with no check on this side: the fence alone may stop it."""


class Answered(msgspec.Struct, frozen=True, tag="answered"):
    """The outcome of a write."""

    at_ns: int
    op: str
    outcome: Literal["written", "not written", "unknown"]
    revision: int = 0
    reason: str = ""


class Followed(msgspec.Struct, frozen=True, tag="followed"):
    """A node was told of a leader; `mine`: it is that leader, and serves."""

    at_ns: int
    node: str
    process: str
    term: int
    leader: str
    token: int
    mine: bool


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """A node was told that its own leadership is over."""

    at_ns: int
    node: str
    process: str
    term: int
    reason: str


class Believed(msgspec.Struct, frozen=True, tag="believed"):
    """A node held itself for the serving leader of a term at `at_ns`, or a moment later.

    Asked again and again, whatever the clients wait for: an effect outside the store would happen
    at such a moment.
    """

    at_ns: int
    node: str
    term: int


class Late(msgspec.Struct, frozen=True, tag="late"):
    """A node's event loop was late; nothing of it happened meanwhile."""

    at_ns: int
    node: str
    late_ms: int
    computed_ms: int
    """How much of that its own thread was computing."""


class Fault(msgspec.Struct, frozen=True, tag="fault"):
    """Something is about to be broken."""

    at_ns: int
    what: str


class Healed(msgspec.Struct, frozen=True, tag="healed"):
    """Everything is whole again; a write must succeed within `limit_ms`."""

    at_ns: int
    what: str
    limit_ms: int


Event: TypeAlias = (
    Started | Invoked | Answered | Followed | Ended | Believed | Late | Fault | Healed
)

HISTORIES: Final = "*.jsonl"
"""Pattern of the files of a run."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Event)


def now_ns() -> int:
    """Return the time that all lines share."""
    return time.monotonic_ns()


class HistoryWriter:
    """Appends events to one file."""

    def __init__(self, path: Path) -> None:
        """Open the file; what is there stays."""
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Make everything durable and close the file."""
        os.fsync(self._file)
        os.close(self._file)

    def add(self, event: Event) -> None:
        """Append one event."""
        line = _encoder.encode(event) + b"\n"
        written = os.write(self._file, line)
        assert written == len(line), "half a line: the disk of the history is full"


def read_history(paths: Iterable[Path]) -> list[Event]:
    """Return all events of all files in the order of time.

    A last line without its end belongs to a process that died while writing it; it counts as
    nothing, which for an `Invoked` means that the write was never asked for.
    """
    events: list[Event] = []
    for path in paths:
        events.extend(_events(path.read_bytes()))
    return sorted(events, key=lambda event: event.at_ns)


class HistoryTail:
    """Follows the histories of a directory while they grow."""

    def __init__(self, directory: Path) -> None:
        """Begin before the first event."""
        self._directory = directory
        self._read: dict[Path, int] = {}

    def fresh(self) -> list[Event]:
        """Return the events since the last call, in the order of time."""
        events: list[Event] = []
        for path in self._directory.glob(HISTORIES):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                whole, _, _ = file.read().rpartition(b"\n")
            if whole:
                self._read[path] = self._read.get(path, 0) + len(whole) + 1
                events.extend(_events(whole + b"\n"))
        return sorted(events, key=lambda event: event.at_ns)


def _events(content: bytes) -> Iterator[Event]:
    for line in content.splitlines(keepends=True):
        if line.endswith(b"\n"):
            yield _decoder.decode(line)
