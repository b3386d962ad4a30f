"""Queued writes survive a restart; what cannot be read is kept for people, not dropped."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from bzzz_core.dht.entry import slot_of
from bzzz_core.dht.queue import Pending, WriteQueue, digest
from bzzz_core.errors import CapacityExceeded, IntegrityError
from bzzz_core.model import Revision

SLOT = slot_of("key")


def play(scenario: Callable[[], Awaitable[None]]) -> None:
    async def body() -> None:
        await scenario()

    asyncio.run(body())


async def put(queue: WriteQueue, key: str, value: bytes, base: int = 0) -> None:
    await queue.put(slot_of(key), key, value, base=Revision(base))


def test_what_was_queued_is_there_after_a_restart_in_the_order_it_came(tmp_path: Path) -> None:
    async def scenario() -> None:
        queue = WriteQueue(tmp_path / "queue")
        await put(queue, "key", b"first", base=7)
        await put(queue, "key", b"second", base=9)
        await put(queue, "another", b"x" * 1_000_000)
        queue.close()
        os.utime(tmp_path / "queue" / SLOT, (1, 1))
        again = WriteQueue(tmp_path / "queue")
        assert again.slots == (SLOT, slot_of("another"))
        assert again.find(SLOT) == Pending("key", b"second", 7, (digest(b"first"),))
        assert again.size_bytes == 1_000_006
        assert (tmp_path / "queue").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "queue" / SLOT).stat().st_mode & 0o777 == 0o600
        again.close()

    play(scenario)


def test_what_arrived_is_gone_for_good(tmp_path: Path) -> None:
    async def scenario() -> None:
        queue = WriteQueue(tmp_path)
        await put(queue, "key", b"value")
        pending = queue.find(SLOT)
        assert pending is not None
        await queue.settle(SLOT, pending, Revision(3))
        assert (len(queue), queue.size_bytes) == (0, 0)
        queue.close()
        assert len(WriteQueue(tmp_path)) == 0

    play(scenario)


def test_newer_write_stays_and_stands_on_what_arrived(tmp_path: Path) -> None:
    async def scenario() -> None:
        queue = WriteQueue(tmp_path)
        await put(queue, "key", b"first", base=2)
        first = queue.find(SLOT)
        assert first is not None
        await put(queue, "key", b"second")
        await queue.settle(SLOT, first, Revision(5))
        queue.close()
        newer = WriteQueue(tmp_path).find(SLOT)
        assert newer is not None
        assert (newer.value, newer.base) == (b"second", 5)

    play(scenario)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xff", msgspec.msgpack.encode(Pending("another key", b"x", 0)), b"\xc1" * 50],
)
def test_file_that_cannot_be_read_is_set_aside(tmp_path: Path, content: bytes) -> None:
    (tmp_path / SLOT).write_bytes(content)
    queue = WriteQueue(tmp_path)
    assert len(queue) == 0
    assert queue.counters["damaged"] == 1
    assert (tmp_path / f"{SLOT}.damaged").read_bytes() == content
    assert len(WriteQueue(tmp_path)) == 0


def test_half_written_file_is_not_taken_for_a_write(tmp_path: Path) -> None:
    (tmp_path / f".{SLOT}.0123456789abcdef").write_bytes(b"half")
    assert len(WriteQueue(tmp_path)) == 0


def test_queue_without_a_place_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    with pytest.raises(IntegrityError):
        WriteQueue(tmp_path / "file")


def test_disk_that_refuses_is_an_error_and_nothing_is_queued(tmp_path: Path) -> None:
    async def scenario() -> None:
        queue = WriteQueue(tmp_path / "queue")
        (tmp_path / "queue").rmdir()
        with pytest.raises(CapacityExceeded):
            await put(queue, "key", b"value")
        assert len(queue) == 0

    play(scenario)


def test_disk_that_refuses_to_erase_stops_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        queue = WriteQueue(tmp_path / "queue")
        await put(queue, "key", b"value")
        pending = queue.find(SLOT)
        assert pending is not None
        shutil.rmtree(tmp_path / "queue")
        await queue.settle(SLOT, pending, Revision(3))
        assert len(queue) == 0
        assert queue.counters["not_erased"] == 1

    play(scenario)


def test_bytes_are_bounded() -> None:
    async def scenario() -> None:
        queue = WriteQueue(None, bytes_max=10)
        await put(queue, "key", b"123456")
        with pytest.raises(CapacityExceeded):
            await put(queue, "another", b"12345")
        await put(queue, "key", b"1234567890")
        assert queue.size_bytes == 10

    play(scenario)
