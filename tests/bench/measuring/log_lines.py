"""What a line of the log costs whoever logs, and a search in many of them.

CPU time of this process, the least of several rounds.
"""

from __future__ import annotations

import logging
import time
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bzzz_core.telemetry import logs
from bzzz_core.telemetry.log_archive import NAME
from bzzz_core.telemetry.log_book import LogBook
from bzzz_core.telemetry.log_file import Limits
from bzzz_core.telemetry.log_search import in_files, wanted
from bzzz_core.telemetry.log_writer import LogWriter
from tests.fakes.log_surroundings import line

ROUNDS = 7
LINES = 100_000


def _least_us(work: Callable[[], object], count: int) -> float:
    rounds = timeit.repeat(work, number=count, repeat=ROUNDS, timer=time.process_time)
    return min(rounds) / count * 1e6


def dropped_us() -> float:
    """Return what a line costs that is not wanted, whatever it holds."""
    log = logs.get("fabric")
    return _least_us(lambda: log.debug("message", subject="a.b", bytes=17, peer="x"), 50_000)


def kept_us(directory: Path) -> float:
    """Return what a line costs its caller that goes into memory and is queued for the file."""
    book = LogBook()
    book.standard_error = None
    limits = Limits(file_bytes_max=10**8, files_kept=1, days_kept=1, compress=False)
    writer = LogWriter(book, directory, limits=limits, lines_max=10**6)
    book.file = writer.put  # Its thread, not started, would count into the time.
    fields = {"subject": "a.b", "bytes": 17, "peer": "bzzz-2"}
    return _least_us(lambda: book.take("info", "fabric", "a message came", fields), 5_000)


def formatted_us() -> float:
    """Return what the standard library takes to format a line, without writing it."""
    formatter = logging.Formatter("%(asctime)s %(message)s")
    record = logging.getLogger("plain").makeRecord(
        "x", 20, "f", 1, "a message %s %s %s", ("a", 1, "b"), None
    )
    return _least_us(lambda: formatter.format(record), 5_000)


@dataclass(frozen=True, slots=True)
class Searched:
    """CPU milliseconds of finding a word in a file of `LINES` lines."""

    ours: float
    lowered: float
    """Of making the file's text lower case and finding the word in it."""


def searched(directory: Path) -> Searched:
    """Search the lines of a node's file as the API does."""
    some = [line(n, "member", component="roster", was="alive") for n in range(LINES)]
    some.append(line(LINES + 1, "the needle in the hay"))
    content = b"".join(msgspec.json.encode(one) + b"\n" for one in some)
    (directory / NAME).write_bytes(content)

    def search() -> None:
        assert len(in_files(directory, wanted(text="needle"), limit=9, search_s_max=60).lines) == 1

    return Searched(
        _least_us(search, 1) / 1_000,
        _least_us(lambda: content.lower().find(b"needle"), 1) / 1_000,
    )
