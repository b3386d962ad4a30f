"""What one node saw of elections, in a bounded file of lines that outlives it.

    <data>/leadership.jsonl     one JSON object a line, oldest first

    {"kind": "leadership", ...}    a leadership (`history.Leadership`), once known
    {"kind": "end", ...}           how one ended, as seen from here
    {"kind": "back", ...}          it did not: its leader was heard again
    {"kind": "vote", ...}          what this node answered a candidate, with the reason
    {"kind": "poll", ...}          a poll of this node that found no majority

A line is written whole and flushed to the disk; a torn last line is what the power took, and is
skipped. When the file has grown to twice `LINES`, its older half goes. The format is described in
`docs/formats/leadership-history.md`.

Rules: writing is the shell's errand in a thread; what is kept in memory is right at once.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from typing import Final, TypeAlias

import msgspec

from bzzz_core.election.history import BallotNote, Leadership, Words, merge
from bzzz_core.election.messages import Node, TermNumber
from bzzz_core.model import Term
from bzzz_core.telemetry.lines import MODE, append

LINES: Final = 512
_LINE_BYTES_MAX: Final = 16_384


class End(msgspec.Struct, frozen=True, tag="end", tag_field="kind"):
    """How a leadership ended."""

    at: Words
    term: TermNumber
    reason: Words


class Back(msgspec.Struct, frozen=True, tag="back", tag_field="kind"):
    """A leadership that was taken for ended goes on: the ends noted before are void."""

    at: Words
    term: TermNumber


class VoteNote(msgspec.Struct, frozen=True, tag="vote", tag_field="kind"):
    """What this node answered a candidate."""

    at: Words
    term: TermNumber
    candidate: Node
    given: bool
    reason: Words = ""


class PollNote(msgspec.Struct, frozen=True, tag="poll", tag_field="kind"):
    """A poll of this node that found no majority."""

    at: Words
    term: TermNumber
    ballots: tuple[BallotNote, ...]


class LeadershipNote(msgspec.Struct, frozen=True, tag="leadership", tag_field="kind"):
    """A leadership."""

    leadership: Leadership


Line: TypeAlias = End | Back | VoteNote | PollNote | LeadershipNote

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Line)


class Diary:
    """The lines of one node."""

    def __init__(self, path: Path) -> None:
        """Take the path; its directory exists."""
        self._path = path
        self._lines: deque[Line] = deque(maxlen=LINES)
        self._unwritten: deque[Line] = deque(maxlen=LINES)
        self._writing = Lock()
        self._written = 0

    def load(self) -> None:
        """Read what earlier starts wrote; lines that cannot be read are skipped."""
        try:
            content = self._path.read_bytes()
        except OSError:
            return
        noted = list(self._lines)
        self._lines.clear()
        self._lines.extend([*_parse(content.splitlines()), *noted])
        self._written = content.count(b"\n")

    def note(self, line: Line) -> None:
        """Take a line; `write` makes it durable."""
        self._lines.append(line)
        self._unwritten.append(line)

    def write(self) -> None:
        """Make durable what is not yet.

        Raises:
            OSError: It is not; the next call tries again.
        """
        with self._writing:  # A clerk that goes home may have left a thread behind.
            pending = list(self._unwritten)
            if self._written >= 2 * LINES:
                self._leave_behind(pending)
            elif pending:
                self._append(pending)

    def _append(self, pending: list[Line]) -> None:
        lines = b"".join(_encoder.encode(line) + b"\n" for line in pending)
        append(self._path, lines)
        self._count(len(pending))

    def _leave_behind(self, pending: list[Line]) -> None:
        """Write the newer half of all lines into a fresh file, in one step."""
        fresh = self._path.with_name(f".{self._path.name}.new")
        kept = list(self._lines)
        with fresh.open("wb") as file:
            for line in kept:
                file.write(_encoder.encode(line) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.chmod(MODE)
        fresh.replace(self._path)
        self._written = len(kept) - len(pending)
        self._count(len(pending))

    def _count(self, written: int) -> None:
        self._written += written
        for _ in range(min(written, len(self._unwritten))):
            self._unwritten.popleft()

    def leaderships(self) -> tuple[Leadership, ...]:
        """Return the leaderships that this node knows of, with their ends."""
        told = [line.leadership for line in self._lines if isinstance(line, LeadershipNote)]
        ends = self._ends()
        return tuple(
            msgspec.structs.replace(one, ended_at=end.at, end=end.reason)
            if not one.ended_at and (end := ends.get(one.term))
            else one
            for one in merge(told)
        )

    def ended(self, term: Term) -> bool:
        """Return whether this node has seen the end of a leadership."""
        return term in self._ends()

    def _ends(self) -> dict[Term, End]:
        """Return the first end of each leadership since it was last heard."""
        ends: dict[Term, End] = {}
        for line in self._lines:
            if isinstance(line, End):
                ends.setdefault(Term(line.term), line)
            elif isinstance(line, Back):
                ends.pop(Term(line.term), None)
        return ends

    def decisions(self) -> tuple[VoteNote | PollNote, ...]:
        """Return the votes and polls of this node, oldest first."""
        return tuple(line for line in self._lines if isinstance(line, VoteNote | PollNote))


def _parse(lines: Iterable[bytes]) -> Iterable[Line]:
    for line in lines:
        if len(line) > _LINE_BYTES_MAX:
            continue
        try:
            yield _decoder.decode(line)
        except (ValueError, RecursionError):
            continue
