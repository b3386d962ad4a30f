"""Where one node's audit lies, and how it is read: segments, anchors, and what came before.

    <logs>/audit/000001.jsonl ...   segments; lines are appended to the last one, none is rewritten
    <logs>/audit/anchors.jsonl      what stands for segments that were removed, one line each
    <logs>/audit/before.jsonl       the unsigned audit of earlier releases, if there was one
    <logs>/audit/pending.jsonl      what commands left for an agent that they could not ask
    <logs>/audit/lock               locked by whoever appends

A segment takes no more writes once it has `SEGMENT_BYTES`. With more than `BYTES_MAX` in all, the
oldest goes. docs/formats/audit.md has the format.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

import msgspec

from bzzz_core.errors import IntegrityError, SignatureInvalid
from bzzz_core.telemetry import lines
from bzzz_core.trust.audit_chain import (
    LINE_BYTES_MAX,
    Anchor,
    Tip,
    follows,
    head_of,
    parse,
    tip_of,
    torn,
)
from bzzz_core.trust.audit_chain import Line as ChainLine
from bzzz_core.trust.audit_report import Owner
from bzzz_core.trust.private_files import sync_directory

SEGMENT_BYTES: Final = 4_000_000
BYTES_MAX: Final = 256_000_000
"""About half a million acts; those of a busy node take years."""
SEGMENTS_MIN: Final = 2
_ANCHOR_BYTES_MAX: Final = 4_096
_ANCHORS_BYTES_MAX: Final = 16_000_000
_CHECKED_MAX: Final = 256
"""Signatures that are tried for the end of the chain; an end that has so many false ones was made
by hand."""
_NAME: Final = re.compile(r"[0-9]{6,9}\.jsonl")
_MODE: Final = 0o640
_DIRECTORY_MODE: Final = 0o750

Placed: TypeAlias = tuple[str, bytes, bool]
"""(file and line, the line without its newline, whether it had one)."""


@dataclass(frozen=True, slots=True)
class End:
    """Where the chain in the files ends."""

    tip: Tip
    """The last entry that the node signed."""
    behind: bytes
    """What lies behind it, without the newline that ends it."""
    honest: bool
    """Whether a power loss explains that."""


@dataclass(frozen=True, slots=True)
class Page:
    """A piece of the files, to be read elsewhere."""

    segment: int
    offset: int
    data: bytes
    """Whole lines, unless the segment ends within one."""
    next_segment: int
    """Where to go on; 0: this was the last page."""
    next_offset: int


class AuditFiles:
    """The directory of one chain."""

    def __init__(self, directory: Path) -> None:
        """Take the directory; nothing is read or made yet."""
        self.directory = directory

    @property
    def before(self) -> Path:
        """Return where the unsigned audit of earlier releases is kept."""
        return self.directory / "before.jsonl"

    @property
    def pending(self) -> Path:
        """Return where commands leave what the agent shall take in."""
        return self.directory / "pending.jsonl"

    @property
    def _anchors(self) -> Path:
        return self.directory / "anchors.jsonl"

    # ---- reading

    def segments(self) -> list[Path]:
        """Return the segments that there are, oldest first."""
        try:
            found = [path for path in self.directory.iterdir() if _NAME.fullmatch(path.name)]
        except FileNotFoundError:
            return []
        return sorted(found, key=lambda path: int(path.stem))

    def lines(self, segments: list[Path] | None = None) -> Iterator[Placed]:
        """Yield the lines of segments, of all unless some are named, oldest first."""
        for path in self.segments() if segments is None else segments:
            try:
                with path.open("rb") as file:
                    yield from _lines(path.name, file)
            except FileNotFoundError:
                continue  # Removed in the meantime; an anchor stands for it by now.

    def anchors(self) -> list[Anchor]:
        """Return the anchors that can be read; nothing is proven of them."""
        try:
            with self._anchors.open("rb") as file:
                data = file.read(_ANCHORS_BYTES_MAX)
        except FileNotFoundError:
            return []
        return [one for raw in data.splitlines() if (one := _anchor(raw)) is not None]

    def first(self) -> ChainLine | None:
        """Return the first entry there is, if it can be read; nothing is proven of it."""
        for _, raw, _ in self.lines():
            try:
                return parse(raw)
            except IntegrityError:
                return None
        return None

    def first_number(self, path: Path) -> int | None:
        """Return the number of the first entry of a segment, if it can be read."""
        for _, raw, _ in self.lines([path]):
            try:
                return parse(raw).seq
            except IntegrityError:
                return None
        return None

    def end(self, owner: Owner) -> End | None:
        """Return where the chain ends; None if no signature of its owner is near the end."""
        behind, checked = b"", 0
        for path in reversed(self.segments()):
            data = path.read_bytes()
            for start, raw in _backwards(data):
                line = _signed(raw)
                if line is None:
                    continue
                checked += 1
                if _genuine(line, owner):
                    left = data[start + len(raw) + 1 :] + behind
                    return _end(tip_of(line), left)
                if checked >= _CHECKED_MAX:
                    return None
            behind = data + behind
        return None if checked else _end(Tip(), behind)

    def last_of(self, path: Path, owner: Owner) -> Tip | None:
        """Return the last entry of one segment that its owner signed."""
        found = (_signed(raw) for _, raw in _backwards(path.read_bytes()))
        return next((tip_of(line) for line in found if line and _genuine(line, owner)), None)

    def page(self, segment: int, offset: int, bytes_max: int) -> Page:
        """Return a piece of a segment, or of the first one after it, from `offset` on."""
        numbers = {int(path.stem): path for path in self.segments()}
        later = sorted(number for number in numbers if number >= segment)
        if not later:
            return Page(segment, offset, b"", 0, 0)
        number = later[0]
        start = offset if number == segment else 0
        with numbers[number].open("rb") as file:
            file.seek(start)
            data = file.read(bytes_max)
        cut = data.rfind(b"\n") + 1
        if len(data) == bytes_max and cut:
            return Page(number, start, data[:cut], number, start + cut)
        if len(data) == bytes_max:  # One line longer than a page; it is no entry anyway.
            return Page(number, start, data, number, start + len(data))
        return Page(number, start, data, *((later[1], 0) if len(later) > 1 else (0, 0)))

    # ---- writing

    def make(self) -> None:
        """Make the directory; the one it lies in has to be there.

        Raises:
            OSError: It cannot be made.
        """
        if not self.directory.is_dir():
            self.directory.mkdir(mode=_DIRECTORY_MODE)
            self._give_away(self.directory)
            sync_directory(self.directory.parent)

    def lock(self) -> BinaryIO:
        """Be the only one who appends, until what is returned is closed or this process ends.

        Raises:
            BlockingIOError: Somebody else is.
            OSError: The directory cannot be used.
        """
        path = self.directory / "lock"
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(path, flags, _MODE)
        try:
            self._give_away(path)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(descriptor)
            raise
        return os.fdopen(descriptor, "rb")

    def append(self, number: int, data: bytes) -> int:
        """Append whole lines to a segment, durably, and return how many bytes it has.

        Raises:
            OSError: They are not; a part may be there.
        """
        return self._append(self.segment(number), data)

    def append_anchor(self, anchor: Anchor) -> None:
        """Keep an anchor, durably.

        Raises:
            OSError: It is not kept.
        """
        self._append(self._anchors, msgspec.json.encode(anchor) + b"\n")

    def append_pending(self, data: bytes) -> None:
        """Leave lines for the agent, durably.

        Raises:
            OSError: They are not left.
        """
        self._append(self.pending, data)

    def remove(self, path: Path) -> None:
        """Remove a file for good."""
        path.unlink(missing_ok=True)
        sync_directory(self.directory)

    def segment(self, number: int) -> Path:
        """Return where a segment lies."""
        return self.directory / f"{number:06}.jsonl"

    def _append(self, path: Path, data: bytes) -> int:
        new = not path.exists()
        lines.append(path, data)
        if new:
            self._give_away(path)
            sync_directory(self.directory)
        return path.stat().st_size

    def _give_away(self, path: Path) -> None:
        """Let a file that root made belong to whoever owns the logs: the agent appends to it."""
        owner = self.directory.parent.stat()
        if os.geteuid() == 0 and path.stat().st_uid != owner.st_uid:
            os.chown(path, owner.st_uid, owner.st_gid)


def lines_of(name: str, number: int, data: bytes) -> Iterator[Placed]:
    """Yield the lines of a piece of a segment; `number` lines came before."""
    *whole, rest = data.split(b"\n")
    for place, raw in enumerate(whole, number + 1):
        yield f"{name}:{place}", raw, True
    if rest:
        yield f"{name}:{number + len(whole) + 1}", rest, False


def lines_of_file(path: Path) -> Iterator[Placed]:
    """Yield the lines of any file.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        yield from _lines(path.name, file)


def _lines(name: str, file: BinaryIO) -> Iterator[Placed]:
    number = 0
    while raw := file.readline(LINE_BYTES_MAX + 2):
        number += 1
        yield f"{name}:{number}", raw.removesuffix(b"\n"), raw.endswith(b"\n")


def _backwards(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (where it begins, line without its newline), the last one first."""
    end = len(data) - data.endswith(b"\n")
    while end > 0:
        start = data.rfind(b"\n", 0, end) + 1
        yield start, data[start:end]
        end = start - 1


def _signed(raw: bytes) -> ChainLine | None:
    try:
        line = parse(raw)
    except IntegrityError:
        return None
    return line if line.sig else None


def _genuine(line: ChainLine, owner: Owner) -> bool:
    try:
        head_of(line, cluster=owner.cluster, node_id=owner.node_id).check(owner.public_key)
    except SignatureInvalid:
        return False
    return True


def _end(tip: Tip, behind: bytes) -> End:
    """Say what lies behind the last signature, and whether a power loss explains it."""
    whole = behind.endswith(b"\n")
    rest = behind[:-1] if whole else behind
    last, pieces = tip, 0
    for raw in rest.split(b"\n") if behind else ():
        try:
            line = parse(raw)
        except IntegrityError:
            pieces += 1
            if not torn(raw):
                return End(tip, rest, honest=False)
            continue
        if pieces or line.sig or not follows(last, raw, line):
            return End(tip, rest, honest=False)
        last = tip_of(line)
    return End(tip, rest, honest=not (pieces and whole))


def _anchor(raw: bytes) -> Anchor | None:
    if len(raw) > _ANCHOR_BYTES_MAX:
        return None
    try:
        return msgspec.json.decode(raw, type=Anchor)
    except (ValueError, RecursionError):
        return None
