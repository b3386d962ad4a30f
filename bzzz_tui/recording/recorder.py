"""Writes down what a feed emits, while the store is told the same.

Lines gather in memory and go to the file once a second, each time so that what is there can be read
even if the program is killed. A file never grows beyond `FILE_BYTES_MAX`, and one
that cannot be written any more ends the recording, not the monitor; the link says so either way.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from bzzz_core import __version__
from bzzz_core.errors import ConfigError
from bzzz_core.ports import Clock
from bzzz_tui.feed_events import FeedEvent, Jump, Link
from bzzz_tui.monitor.opened import Feed
from bzzz_tui.recording.format import FORMAT, VERSION, WINDOW_LOG, Header, entry_of
from bzzz_tui.recording.zstd import CompressionParameter, ZstdCompressor

FILE_BYTES_MAX: Final = 256_000_000
_PENDING_BYTES_MAX: Final = 1_000_000
"""More than this does not wait for its second."""
_FLUSH_MS: Final = 1_000
_LEVEL: Final = 3


class Recorder:
    """A feed's events on their way to a store, and into a file."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        started_at: str,
        emit: Callable[[FeedEvent], None],
        bytes_max: int = FILE_BYTES_MAX,
    ) -> None:
        """Create the file.

        Args:
            path: Where to write; there must be nothing yet.
            clock: By which the feed's events are dated.
            started_at: UTC, for people.
            emit: Called with each event, as by the feed itself.
            bytes_max: How large the file may grow.

        Raises:
            ConfigError: It is there already, or cannot be made.
        """
        try:
            # What a cluster is called and where it stands is its owner's business.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError as exc:
            raise ConfigError(f"{path} is there already; name another file") from exc
        except OSError as exc:
            raise ConfigError(f"{path}: {exc.strerror}") from exc
        self._file: BinaryIO = os.fdopen(descriptor, "wb")
        self._clock = clock
        self._emit = emit
        self._bytes_max = bytes_max
        self._began_ms = clock.now_ms()
        self._written = 0
        self._compressor = ZstdCompressor(
            options={
                CompressionParameter.compression_level: _LEVEL,
                CompressionParameter.window_log: WINDOW_LOG,
                CompressionParameter.checksum_flag: 1,
            }
        )
        header = Header(format=FORMAT, version=VERSION, started_at=started_at, program=__version__)
        self._pending = bytearray(msgspec.json.encode(header) + b"\n")
        self._link: Link | None = None
        self.note = f"recording to {path.name}"
        """What the link says of it."""
        self._over = False

    def take(self, event: FeedEvent) -> None:
        """Write down one event of the feed, and pass it on."""
        if not isinstance(event, Jump) and not self._over:
            now_ms, began_ms = self._clock.now_ms(), self._began_ms
            self._pending += entry_of(event, now_ms=now_ms, began_ms=began_ms)
            if len(self._pending) > _PENDING_BYTES_MAX:
                self.flush()
        if isinstance(event, Link):
            self._link = event
            event = self._noted(event)
        self._emit(event)

    async def run(self) -> None:
        """Bring lines to the file until cancelled, then close it."""
        try:
            while not self._over:
                await self._clock.sleep_ms(_FLUSH_MS)
                self.flush()
            await asyncio.Event().wait()
        finally:
            self.close()

    def flush(self) -> None:
        """Bring what was emitted so far to the file."""
        data, self._pending = bytes(self._pending), bytearray()
        if not data or self._over:
            return
        try:
            self._write(data)
        except OSError as exc:
            self._end(f"recording ended: {exc.strerror}")
        if self._written > self._bytes_max:
            self._end(f"recording ended at {self._bytes_max >> 20} MiB")

    def close(self) -> None:
        """Write the rest and close the file."""
        if self._file.closed:
            return
        try:
            if not self._over:
                self._write(bytes(self._pending), last=True)
        except OSError as exc:
            self.note = f"recording ended: {exc.strerror}"
        finally:
            self._over = True
            self._file.close()

    def _write(self, data: bytes, *, last: bool = False) -> None:
        compress = self._compressor.compress
        if last:
            compressed = compress(data, mode=ZstdCompressor.FLUSH_FRAME)
        else:
            compressed = compress(data, mode=ZstdCompressor.FLUSH_BLOCK)
        self._file.write(compressed)
        self._file.flush()
        self._written += len(compressed)

    def _end(self, why: str) -> None:
        if self._over:
            return
        self._over, self.note = True, why
        self._pending.clear()
        if self._link is not None:
            self._emit(self._noted(self._link))

    def _noted(self, link: Link) -> Link:
        return replace(link, note="; ".join(filter(None, (link.note, self.note))))


class RecordedFeed:
    """A feed whose events are written down."""

    def __init__(self, feed: Feed, recorder: Recorder) -> None:
        """Take the feed, which emits to the recorder."""
        self._feed = feed
        self._recorder = recorder

    def hurry(self) -> None:
        """Ask now instead of at the next turn."""
        self._feed.hurry()

    def set_refresh_ms(self, refresh_ms: int) -> None:
        """Hear something this often from now on."""
        self._feed.set_refresh_ms(refresh_ms)

    async def call(
        self, method: str, path: str, body: object | None = None, *, host: str | None = None
    ) -> Any:
        """Ask for an operation of the API; what it answers is not recorded.

        Raises:
            BzzzError: As the feed.
        """
        return await self._feed.call(method, path, body, host=host)

    async def run(self) -> None:
        """Run the feed and the recording until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._recorder.run())
                group.create_task(self._feed.run())
        finally:
            self._recorder.close()
