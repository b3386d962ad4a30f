"""The files of a node's log: their names, their order, and reading them back.

    agent.log                        the present one, NDJSON, one `LogLine` a line
    agent-000041-20260115.log        a full one; higher numbers are newer, the day is for people
    agent-000040-20260114.log.gz     the same, compressed

What is read is checked line by line: a torn line, one that is no line of a log, and a damaged
archive are passed over, because a log is read most when something went wrong.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

NAME: Final = "agent.log"
LINE_BYTES_MAX: Final = 65_536
"""Longer than any line that is written: 8,000 characters of fields and 2,000 of text, escaped."""
_BLOCK_BYTES: Final = 1_048_576
_ARCHIVED: Final = re.compile(r"agent-(?P<number>[0-9]{6,12})-[0-9]{8}\.log(?P<gz>\.gz)?", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Archived:
    """One file that is written no more."""

    number: int
    path: Path
    compressed: bool


def archived_name(number: int, day: str) -> str:
    """Return the name of the archive with a number; the day is `YYYYMMDD`."""
    return f"agent-{number:06d}-{day}.log"


def archived(directory: Path) -> list[Archived]:
    """Return what there is, the oldest first; nothing if the directory is not to be read."""
    found = []
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            match = _ARCHIVED.fullmatch(entry.name)
            if match and entry.is_file(follow_symlinks=False):
                path = directory / entry.name
                found.append(Archived(int(match["number"]), path, match["gz"] is not None))
    return sorted(found)


def newest_first(directory: Path) -> Iterator[Path]:
    """Yield the files of a log from the present one backwards.

    One that is being compressed may be there twice; then the whole one counts.
    """
    yield directory / NAME
    seen = set()
    for one in reversed(archived(directory)):
        if one.number not in seen:
            seen.add(one.number)
            yield one.path if not one.compressed else _whole(one)


def blocks(path: Path) -> Iterator[bytes]:
    """Yield the content of a file in pieces that end with a whole line.

    A file that is not there any more, or is damaged, ends early.
    """
    rest = b""
    try:
        with _open(path) as content:
            while block := content.read(_BLOCK_BYTES):
                block = rest + block
                end = block.rfind(b"\n") + 1
                rest = block[end:]
                if len(rest) > LINE_BYTES_MAX:
                    rest = b""  # No line of ours; what is left of it will not decode.
                if end:
                    yield block[:end]
    except (OSError, EOFError, zlib.error):
        return


def _whole(one: Archived) -> Path:
    plain = one.path.with_suffix("")
    return plain if plain.is_file() and not plain.is_symlink() else one.path


@contextlib.contextmanager
def _open(path: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as raw:
        if path.suffix != ".gz":
            yield raw
        else:
            with gzip.open(raw) as unpacked:
                yield unpacked
