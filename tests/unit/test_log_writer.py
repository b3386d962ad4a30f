"""The thread behind the log file: whoever logs goes on, what is too much is counted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from bzzz_core.telemetry.log_archive import NAME
from bzzz_core.telemetry.log_book import LogBook
from bzzz_core.telemetry.log_file import Limits
from bzzz_core.telemetry.log_line import LogLine
from bzzz_core.telemetry.log_search import Wanted, in_files
from bzzz_core.telemetry.log_writer import LogWriter

LIMITS = Limits(file_bytes_max=1_000_000, files_kept=100, days_kept=30, compress=True)


def new_book() -> LogBook:
    book = LogBook()
    book.node = "here"
    book.standard_error = None
    return book


@contextmanager
def writing(book: LogBook, directory: Path, **more: int) -> Iterator[LogWriter]:
    writer = LogWriter(book, directory, limits=LIMITS, **more)
    writer.start()
    try:
        yield writer
    finally:
        writer.close(timeout_s=20)


def lines_of(path: Path) -> list[LogLine]:
    return [msgspec.json.decode(line, type=LogLine) for line in path.read_bytes().splitlines()]


def test_what_is_logged_is_in_the_file_at_the_end_in_its_order(tmp_path: Path) -> None:
    book = new_book()
    with writing(book, tmp_path):
        for number in range(500):
            book.take("info", "agent", f"line {number}", {"count": number})
    lines = lines_of(tmp_path / NAME)
    assert [line.number for line in lines] == list(range(1, 501))
    assert (lines[7].text, lines[7].fields, lines[7].node) == ("line 7", {"count": "7"}, "here")
    assert book.file is None, "after the end nothing is taken for it"


def test_a_flood_of_100000_lines_holds_nobody_up_and_is_written_or_counted(tmp_path: Path) -> None:
    book = new_book()
    with writing(book, tmp_path):
        for number in range(100_000):
            book.take("info", "agent", "flood", {"n": number})
    found = in_files(tmp_path, Wanted(text="flood"), limit=200_000, search_s_max=60).lines
    said = in_files(tmp_path, Wanted(component="log"), limit=99, search_s_max=60).lines
    lost = sum(int(line.fields["lost"]) for line in said)
    assert len(found) + lost == 100_000
    assert [line.number for line in found] == sorted(line.number for line in found)
    assert len(book.ring.newest()) == 5_000


def test_what_does_not_fit_into_the_queue_is_counted_and_said(tmp_path: Path) -> None:
    book = new_book()
    writer = LogWriter(book, tmp_path, limits=LIMITS, lines_max=10)
    book.file = writer.put
    for number in range(25):
        book.take("info", "agent", f"line {number}", {})
    writer.start()
    writer.close(timeout_s=20)
    lines = lines_of(tmp_path / NAME)
    assert [line.text for line in lines[:10]] == [f"line {number}" for number in range(10)]
    assert [line.fields for line in lines[10:]] in ([], [{"lost": "15"}])
    assert book.ring.newest()[-1].fields == {"lost": "15"}


def test_threads_may_log_at_the_same_time(tmp_path: Path) -> None:
    book = new_book()

    def work() -> None:
        for _ in range(200):
            book.take("info", "agent", "from a thread", {})

    with writing(book, tmp_path):
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len({line.number for line in lines_of(tmp_path / NAME)}) == 1_600


def test_new_limits_are_followed_while_it_runs(tmp_path: Path) -> None:
    book = new_book()
    with writing(book, tmp_path) as writer:
        small = Limits(file_bytes_max=100_000, files_kept=2, days_kept=30, compress=False)
        writer.follow(small)
        for _ in range(3_000):
            book.take("info", "agent", "x" * 200, {})
    assert len(list(tmp_path.iterdir())) > 2


@pytest.mark.parametrize("level", ["info", "error"])
def test_a_directory_that_cannot_be_written_stops_nobody(tmp_path: Path, level: str) -> None:
    book = new_book()
    with writing(book, tmp_path / "not there"):
        book.take(level, "agent", "words", {})  # type: ignore[arg-type]
    said = [line.text for line in book.ring.newest()]
    assert said == ["words", "the log file cannot be written"]
