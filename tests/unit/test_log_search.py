"""Searching the log finds what is wanted, newest first, from memory and files, in bounded time."""

from __future__ import annotations

import gzip
import os
import time
from pathlib import Path

import msgspec
import pytest

from bzzz_core.errors import RequestInvalid
from bzzz_core.telemetry.log_archive import NAME
from bzzz_core.telemetry.log_line import LogLine
from bzzz_core.telemetry.log_search import LINES_MAX, Wanted, among, in_files, wanted
from tests.fakes.log_surroundings import line

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def write(path: Path, *lines: LogLine | bytes) -> None:
    content = b"".join(
        (one if isinstance(one, bytes) else msgspec.json.encode(one)) + b"\n" for one in lines
    )
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def numbers(directory: Path, wish: Wanted, limit: int = 100) -> list[int]:
    return [found.number for found in in_files(directory, wish, limit=limit).lines]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Three files with nine lines: an archive, one not compressed yet, and the present one."""
    write(
        tmp_path / "agent-000001-20260115.log.gz",
        line(1, "started"),
        line(2, "broker not reached", component="fabric", reason='said "no"'),
        line(3, "Größer", level="warning"),
    )
    write(
        tmp_path / "agent-000002-20260115.log",
        line(4, "request", component="api", trace=TRACE),
        line(5, "stepped down", level="error", component="leadership", term="4"),
        line(6, "request", component="api", trace="a" * 32),
    )
    write(
        tmp_path / NAME,
        line(7, "serving", component="leadership", term="5"),
        b'{"number": 8, "torn',
        b"",
        b"\xff\xfe",
        line(8, "reached", component="fabric"),
        line(9, "applied", trace=TRACE, level="debug"),
    )
    return tmp_path


def test_the_newest_come_in_their_order_across_files(files: Path) -> None:
    assert numbers(files, Wanted()) == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert numbers(files, Wanted(), limit=5) == [5, 6, 7, 8, 9]
    assert in_files(files, Wanted(), limit=5).complete


@pytest.mark.parametrize(
    ("wish", "found"),
    [
        ({"level": "warning"}, [3, 5]),
        ({"component": "fabric"}, [2, 8]),
        ({"component": "fabric", "text": "not"}, [2]),
        ({"trace": TRACE}, [4, 9]),
        ({"text": "GRÖSSER"}, [3]),
        ({"text": "größer"}, [3]),
        ({"text": "REACHED"}, [2, 8]),
        ({"text": 'said "no"'}, [2]),
        ({"text": "term=4"}, [5]),
        ({"text": "down term"}, [5]),
        ({"text": "text"}, []),
        ({"text": "(re){1}ached$", "regex": True}, [8]),
        ({"text": r"term=\d", "regex": True}, [5, 7]),
        ({"since": "2026-01-15T00:00:04Z", "until": "2026-01-15T01:00:06+01:00"}, [4, 5, 6]),
        ({"since": "2026-01-15T00:00:08.500Z"}, [9]),
    ],
)
def test_what_is_wanted_is_found_in_files_and_in_memory_alike(
    files: Path, wish: dict[str, str], found: list[int]
) -> None:
    checked = wanted(**wish)  # type: ignore[arg-type]
    assert numbers(files, checked) == found
    held = in_files(files, Wanted(), limit=99).lines
    deadline_s = time.monotonic() + 60
    here = among(reversed(held), checked, limit=99, deadline_s=deadline_s)
    assert [one.number for one in here.lines] == found


def test_lines_that_are_known_already_are_left_out(files: Path) -> None:
    found = in_files(files, Wanted(), limit=2, before=lambda one: one.number < 5)
    assert [one.number for one in found.lines] == [3, 4]


def test_a_search_ends_with_its_time_and_says_so(tmp_path: Path) -> None:
    write(tmp_path / NAME, *(line(number) for number in range(20_000)))
    found = in_files(tmp_path, Wanted(level="error"), limit=9, search_s_max=0.0)
    assert (found.lines, found.complete) == ((), False)
    held = [line(number) for number in range(1_000)]
    assert not among(held, Wanted(level="error"), limit=9, deadline_s=0.0).complete


def test_damaged_archives_links_and_missing_directories_are_passed_over(files: Path) -> None:
    archive = files / "agent-000001-20260115.log.gz"
    archive.write_bytes(archive.read_bytes()[:40])
    (files / "agent-000009-20260115.log").symlink_to("/etc/passwd")
    os.mkfifo(files / "agent-000010-20260115.log")
    assert numbers(files, Wanted())[-6:] == [4, 5, 6, 7, 8, 9]
    assert numbers(files / "nowhere", Wanted()) == []


def test_a_file_that_is_being_compressed_counts_once(files: Path) -> None:
    plain = files / "agent-000002-20260115.log"
    plain.with_name(plain.name + ".gz").write_bytes(gzip.compress(plain.read_bytes()))
    assert numbers(files, Wanted()) == [1, 2, 3, 4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize(
    "wish",
    [
        {"level": "loud"},
        {"component": "fabrik"},
        {"trace": "short"},
        {"text": "x" * 201},
        {"text": "(", "regex": True},
        {"since": "yesterday"},
        {"until": "2026-01-31T12:00:00"},
        {"since": "0001-01-01T00:00:00+14:00"},
    ],
)
def test_what_cannot_be_wanted_is_refused(wish: dict[str, str]) -> None:
    with pytest.raises(RequestInvalid):
        wanted(**wish)  # type: ignore[arg-type]


def test_a_hundred_thousand_lines_are_searched_in_a_moment(tmp_path: Path) -> None:
    """The time is that of this process alone; the bench states the figure."""
    filler = [line(number, "member", component="roster", was="alive") for number in range(100_000)]
    write(tmp_path / NAME, *filler, line(100_001, "the needle in the hay"))
    started_s = time.process_time()
    found = in_files(tmp_path, wanted(text="needle"), limit=LINES_MAX, search_s_max=60)
    assert time.process_time() - started_s < 1.0
    assert [one.number for one in found.lines] == [100_001]
