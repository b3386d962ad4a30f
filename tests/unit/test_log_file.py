"""The log file: rotated, within its bounds, compressed, none the worse for what befalls it."""

from __future__ import annotations

import gzip
import os
import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bzzz_core.telemetry.log_archive import NAME, archived, blocks, newest_first
from bzzz_core.telemetry.log_file import AGAIN_S, Limits, LogFile
from tests.fakes.log_surroundings import HeardWords, SettableWall, files_of_at_most

LIMITS = Limits(file_bytes_max=1_000, files_kept=3, days_kept=30, compress=False)


class Written:
    """A log file in a directory, and what is around it."""

    def __init__(self, directory: Path, **limits: int | bool) -> None:
        self.directory = directory
        self.path = directory / NAME
        self.wall = SettableWall()
        self.heard = HeardWords()
        self.limits = replace(LIMITS, **limits)  # type: ignore[arg-type]
        self.file = self.begin()

    def begin(self) -> LogFile:
        return LogFile(
            self.directory,
            limits=self.limits,
            now=self.wall.now,
            monotonic_s=self.wall.monotonic_s,
            report=self.heard,
        )

    def write(self, *texts: str) -> None:
        self.file.write([f"{text}\n".encode() for text in texts])

    def finish_work(self) -> None:
        while self.file.work():
            pass

    def names(self) -> list[str]:
        return sorted(path.name for path in self.directory.iterdir())

    def everything(self) -> str:
        files = reversed(list(newest_first(self.directory)))
        return b"".join(block for path in files for block in blocks(path)).decode()


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path)


def numbered(count: int, size: int = 100) -> Sequence[str]:
    return [f"{number:05d}".ljust(size - 1, ".") for number in range(count)]


def test_a_full_file_makes_room_for_a_new_one_and_no_line_is_lost_or_divided(
    written: Written,
) -> None:
    lines = numbered(25)
    written.write(*lines)
    assert written.names() == [
        "agent-000001-20260115.log",
        "agent-000002-20260115.log",
        "agent.log",
    ]
    assert written.everything().splitlines() == lines
    assert [path.stat().st_size for path in newest_first(written.directory)] == [500, 1_000, 1_000]


def test_a_new_day_begins_a_new_file(written: Written) -> None:
    written.write("of the old day")
    written.wall.pass_(hours=13)
    written.write("of the new one")
    assert written.names() == ["agent-000001-20260115.log", "agent.log"]
    assert written.path.read_text() == "of the new one\n"


def test_a_restart_goes_on_in_the_file_and_in_its_numbers(written: Written) -> None:
    written.write(*numbered(15))
    written.file.close()
    os.utime(written.path, (written.wall.at.timestamp(),) * 2)
    written.file = written.begin()
    written.write(*numbered(10))
    assert written.names()[:2] == ["agent-000001-20260115.log", "agent-000002-20260115.log"]
    assert len(written.everything().splitlines()) == 25


def test_a_restart_on_another_day_begins_a_new_file(written: Written) -> None:
    written.write("old")
    written.file.close()
    os.utime(written.path, (written.wall.at.timestamp(),) * 2)
    written.wall.pass_(days=2)
    written.file = written.begin()
    written.write("new")
    assert written.names() == ["agent-000001-20260115.log", "agent.log"]


def test_the_oldest_files_go_when_there_are_too_many(written: Written) -> None:
    written.write(*numbered(100))
    written.finish_work()
    assert [one.number for one in archived(written.directory)] == [7, 8, 9]


def test_files_that_are_too_old_go_however_few_there_are(written: Written) -> None:
    written.write(*numbered(25))
    first, second = archived(written.directory)
    os.utime(first.path, (written.wall.at.timestamp() - 31 * 86_400,) * 2)
    os.utime(second.path, (written.wall.at.timestamp() - 29 * 86_400,) * 2)
    written.file.look_after()
    written.finish_work()
    assert [one.number for one in archived(written.directory)] == [2]


def test_full_files_are_compressed_and_read_as_before(tmp_path: Path) -> None:
    written = Written(tmp_path, compress=True)
    lines = numbered(25)
    written.write(*lines)
    before = [one.path.stat().st_mtime for one in archived(tmp_path)]
    written.finish_work()
    assert written.names() == [
        "agent-000001-20260115.log.gz",
        "agent-000002-20260115.log.gz",
        "agent.log",
    ]
    assert written.everything().splitlines() == lines
    assert [one.path.stat().st_mtime for one in archived(tmp_path)] == before, "age decides"
    assert {stat.S_IMODE(one.path.stat().st_mode) for one in archived(tmp_path)} == {0o640}


def test_what_a_power_loss_left_half_compressed_is_compressed_anew(tmp_path: Path) -> None:
    written = Written(tmp_path, compress=True)
    written.write(*numbered(15))
    (tmp_path / "agent-000001-20260115.log.gz.tmp").write_bytes(b"half")
    written.file = written.begin()
    assert written.everything().count("\n") == 15
    written.finish_work()
    assert written.names() == ["agent-000001-20260115.log.gz", "agent.log"]
    assert gzip.decompress((tmp_path / written.names()[0]).read_bytes()).count(b"\n") == 10


def test_a_file_that_is_deleted_or_moved_away_is_made_anew(written: Written) -> None:
    written.write("one")
    written.path.unlink()
    written.write("two")
    assert written.path.read_text() == "two\n"
    written.path.rename(written.directory / "agent.log.1")
    written.write("three")
    assert written.path.read_text() == "three\n"
    assert written.heard.words == []


def test_a_torn_last_line_is_left_behind_a_newline(written: Written) -> None:
    written.path.write_text('whole\n{"torn')
    os.utime(written.path, (written.wall.at.timestamp(),) * 2)
    written.write("next")
    assert written.path.read_text() == 'whole\n{"torn\nnext\n'


def test_links_are_not_followed_and_said_once(written: Written) -> None:
    victim = written.directory / "victim"
    victim.write_text("precious\n")
    written.path.symlink_to(victim)
    written.write("one")
    written.wall.pass_(seconds=AGAIN_S + 1)
    written.write("two")
    assert victim.read_text() == "precious\n"
    assert written.heard.texts == ["the log file cannot be written"]
    assert written.file.lost == 2


def test_a_pipe_in_its_place_does_not_hang_it(written: Written) -> None:
    os.mkfifo(written.path)
    written.write("one")
    assert written.heard.words == [
        (
            "error",
            "the log file cannot be written",
            {"reason": "what is in its place is no file"},
        )
    ]


def test_files_are_not_for_everybody(written: Written) -> None:
    written.write(*numbered(15))
    modes = {stat.S_IMODE(path.stat().st_mode) for path in written.directory.iterdir()}
    assert modes == {0o640}


def test_a_full_disk_is_said_once_and_what_was_lost_when_it_is_over(tmp_path: Path) -> None:
    written = Written(tmp_path, file_bytes_max=1_000_000)
    written.write(*numbered(10))
    with files_of_at_most(1_550):
        written.write(*numbered(10))  # Five fit, and a half.
        written.write("dropped", "without a try: it has just failed")
        written.wall.pass_(seconds=AGAIN_S)
        written.write("tried again")
    assert written.heard.words == [
        ("error", "the log file cannot be written", {"reason": "File too large"})
    ]
    written.write("still not tried")
    written.wall.pass_(seconds=AGAIN_S)
    written.write("there is room again")
    level, text, fields = written.heard.words[-1]
    assert (level, text) == ("warning", "the log file is written again")
    assert fields == {"lines_lost": 5 + 2 + 1 + 1}
    lines = written.path.read_text().splitlines()
    assert len(lines) == 17
    assert (len(lines[15]), lines[16]) == (50, "there is room again"), "the torn one stands alone"


def test_a_directory_that_is_gone_is_a_failure_like_any_other(tmp_path: Path) -> None:
    written = Written(tmp_path / "gone")
    written.write("one")
    assert written.heard.texts == ["the log file cannot be written"]
    written.directory.mkdir()
    written.wall.pass_(seconds=AGAIN_S)
    written.write("two")
    assert written.path.read_text() == "two\n"


def test_limits_are_held_against_the_room_there_is(tmp_path: Path) -> None:
    written = Written(tmp_path, file_bytes_max=10**15)
    written.file.check_room()
    assert written.heard.texts == [
        "the log may take more than there is room for; keep fewer or smaller files"
    ]
    assert Written(tmp_path).file.check_room() is None


def test_foreign_files_beside_it_are_left_alone(written: Written) -> None:
    for name in (
        "agent-1-20260115.log",
        "agent-000001-20260115.log.bz2",
        "audit.jsonl",
        "agent.err",
    ):
        (written.directory / name).write_text("foreign\n")
    written.write(*numbered(100))
    written.finish_work()
    assert (
        len([path for path in written.directory.iterdir() if path.read_text() == "foreign\n"]) == 4
    )
