"""A snapshot's file is whole or it is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bzzz_core.errors import IntegrityError, RequestInvalid
from bzzz_core.fabric import snapshot_file
from bzzz_core.fabric.snapshot_file import Header, writing

HEADER = Header("cluster", "2026-01-01T00:00:00Z", "S", {"name": "S"}, {"messages": 2})
CHUNKS = [b"first" * 100, os.urandom(70_000), b"l"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "S.snapshot"
    with writing(found) as writer:
        writer.header(HEADER)
        for chunk in CHUNKS:
            writer.chunk(chunk)
        writer.end()
    return found


def test_what_was_written_is_read(path: Path) -> None:
    assert snapshot_file.check(path) == HEADER
    assert list(snapshot_file.chunks(path)) == CHUNKS
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("at", [0, 20, 60, 5_000, -33, -1])
def test_a_changed_byte_is_noticed(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(IntegrityError):
        snapshot_file.check(path)


def test_a_file_cut_short_anywhere_is_noticed(path: Path) -> None:
    content = path.read_bytes()
    for size in [*range(0, len(content), 997), len(content) - 1]:
        path.write_bytes(content[:size])
        with pytest.raises(IntegrityError):
            snapshot_file.check(path)


@pytest.mark.parametrize("content", [b"", b"machine\n", b"x" * 100_000])
def test_another_file_is_called_no_snapshot_and_not_a_damaged_one(
    path: Path, content: bytes
) -> None:
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match="is no snapshot of BZZZ"):
        snapshot_file.check(path)


def test_the_beginning_of_a_snapshot_is_a_damaged_one(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5])
    with pytest.raises(IntegrityError, match="is damaged: it ends too early"):
        snapshot_file.check(path)


def test_a_file_with_more_behind_it_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(IntegrityError):
        snapshot_file.check(path)


def write_half(path: Path) -> None:
    with writing(path) as writer:
        writer.header(HEADER)
        writer.chunk(b"")  # A chunk is never empty: that is the end.


def test_a_snapshot_takes_no_other_s_place_and_half_of_one_leaves_nothing(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(RequestInvalid), writing(path):
        pass
    with pytest.raises(IntegrityError):
        write_half(path.with_name("T.snapshot"))
    assert path.read_bytes() == before
    assert [found.name for found in path.parent.iterdir()] == [path.name]
