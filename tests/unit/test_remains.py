"""What a killed life left is taken away; what somebody still needs is not."""

import os
import subprocess
import sys
from pathlib import Path

from bzzz_core.shutdown.remains import STALE_S, remove

TEMPORARY = ".vote.0123456789abcdef"


def aged(path: Path, seconds: float) -> Path:
    path.write_text("x")
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))
    return path


def dead_pid() -> int:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def test_temporary_files_go_once_nobody_can_be_writing_them(tmp_path: Path) -> None:
    old = aged(tmp_path / TEMPORARY, STALE_S + 5)
    fresh = aged(tmp_path / ".vote.fedcba9876543210", 0)
    names = ("vote", ".hidden", ".vote.0123", "agent.lock")
    others = [aged(tmp_path / name, 9_999) for name in names]
    assert remove([tmp_path]) == [old]
    assert fresh.exists()
    assert all(other.exists() for other in others)


def test_what_lies_deeper_is_somebody_else_s(tmp_path: Path) -> None:
    (tmp_path / "jetstream").mkdir()
    deep = aged(tmp_path / "jetstream" / TEMPORARY, 9_999)
    assert remove([tmp_path]) == []
    assert deep.exists()


def test_notes_of_dead_brokers_go_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    dead, living = tmp_path / "dead", tmp_path / "living"
    for directory, pid in ((dead, dead_pid()), (living, os.getpid())):
        directory.mkdir()
        (directory / "nats.pid").write_text(str(pid))
        (directory / f"nats-server_{pid}.ports").write_text("{}")
    assert len(remove((), brokers=(dead, living))) == 2
    assert list(dead.iterdir()) == []
    assert len(list(living.iterdir())) == 2


def test_a_note_that_says_nothing_stays(tmp_path: Path) -> None:
    for content in ("", "soon", "9" * 30):
        (tmp_path / "nats.pid").write_text(content)
        assert remove((), brokers=(tmp_path,)) == []


def test_directories_that_are_not_there_are_no_matter(tmp_path: Path) -> None:
    assert remove([tmp_path / "gone"], brokers=[tmp_path / "gone"]) == []
