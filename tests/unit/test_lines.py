"""Files of lines keep their lines apart, whatever the disk takes at a time."""

from __future__ import annotations

import os
from errno import ENOSPC
from pathlib import Path

import pytest

from bzzz_core.election.diary import Diary, End, LeadershipNote
from bzzz_core.election.history import Leadership
from bzzz_core.model import NodeId, Term
from bzzz_core.telemetry import lines
from bzzz_core.telemetry.audit_verify import verify_files
from tests.fakes.audits import acts, audit_at

BITE = 7
"""Bytes that the disk takes at a time."""


@pytest.fixture
def bites(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let each write take a few bytes; how many writes until the disk is full, 0: it never is."""
    left = [0]
    write = os.write

    def bite(descriptor: int, data: bytes) -> int:
        if left[0] == 1:
            raise OSError(ENOSPC, "No space left on device")
        left[0] = max(0, left[0] - 1)
        return write(descriptor, bytes(data[:BITE]))

    monkeypatch.setattr(lines.os, "write", bite)
    return left


def test_a_short_write_is_gone_on_with(tmp_path: Path, bites: list[int]) -> None:
    path = tmp_path / "lines"
    lines.append(path, b"a long line that takes several writes\n")
    lines.append(path, b"another\n")
    assert path.read_text() == "a long line that takes several writes\nanother\n"
    assert bites == [0]


def test_what_a_full_disk_took_is_left_behind(tmp_path: Path, bites: list[int]) -> None:
    path = tmp_path / "lines"
    bites[0] = 3
    with pytest.raises(OSError, match="No space"):
        lines.append(path, b"a long line that takes several writes\n")
    bites[0] = 0
    lines.append(path, b"another\n")
    assert path.read_text() == "a long line th\nanother\n"


def test_the_audit_names_a_half_line_and_writes_the_act_again(
    tmp_path: Path, bites: list[int]
) -> None:
    audit = audit_at(tmp_path)
    audit.record("first", actor="a")
    bites[0] = 3
    audit.record("at first not written", actor="a")
    bites[0] = 0
    audit.record("kept", actor="a")
    audit.close()
    told = [line["what"] for line in acts(tmp_path, torn=True)]
    assert told == ["first", "audit recovered", "at first not written", "kept"]
    report = verify_files(audit.files, audit.owner)
    assert (report.fault, "14 bytes" in report.notes[0]) == (None, True)


def test_the_diary_tries_again_behind_a_half_line(tmp_path: Path, bites: list[int]) -> None:
    path = tmp_path / "leadership.jsonl"
    diary = Diary(path)
    diary.note(LeadershipNote(Leadership(Term(1), NodeId("a" * 26), began_at="at 1")))
    bites[0] = 3
    with pytest.raises(OSError, match="No space"):
        diary.write()
    bites[0] = 0
    diary.note(End("at 2", Term(1), "resigned"))
    diary.write()
    again = Diary(path)
    again.load()
    (told,) = again.leaderships()
    assert (told.term, told.end) == (1, "resigned")
