"""The file of a recording: what a feed emitted, one JSON object a line, zstd-compressed.

The first line says what it is, every other when something was emitted, in milliseconds since the
beginning, and what. `docs/formats/recording.md` is the contract.

Rules: a file is untrusted, whoever sent it. Lines, their number and all of it together are bounded,
so is the memory that decompressing takes; a file that ends early is played as far as it goes, and
one that is something else is refused with a sentence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from bzzz_core.api.documents import Status
from bzzz_core.api.event_documents import Message
from bzzz_core.api.event_stream import EVENT_BYTES_MAX
from bzzz_core.errors import ConfigError
from bzzz_core.model import Text
from bzzz_tui.feed_events import Heard, Link, LinkPhase, Snapshot
from bzzz_tui.recording.zstd import DecompressionParameter, ZstdDecompressor, ZstdError

SUFFIX: Final = ".bzzzrec"
FORMAT: Final = "bzzz-recording"
VERSION: Final = 1
WINDOW_LOG: Final = 23
"""8 MiB: what a reader has to hold to decompress."""
LINE_BYTES_MAX: Final = EVENT_BYTES_MAX + 1_000
TOTAL_BYTES_MAX: Final = 512_000_000
"""Decompressed: an hour of 1,000 nodes of which a tenth changes each second has 200 MB."""
ENTRIES_MAX: Final = 500_000
_READ_BYTES: Final = 65_536
_DAY_MS: Final = 86_400_000
_Time = Annotated[int, msgspec.Meta(ge=0, le=366 * _DAY_MS)]
_Short = Annotated[str, msgspec.Meta(max_length=2_000)]


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line."""

    format: Literal["bzzz-recording"]
    version: int
    started_at: Text
    """UTC."""
    program: Text
    """Version of the monitor that wrote it."""


class LinkDocument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A `Link`; its times are of the recording."""

    phase: LinkPhase
    host: _Short | None
    since_ms: _Time
    attempt: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    retry_at_ms: _Time | None = None
    reason: _Short = ""
    note: _Short = ""


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Any other line: one of the three was emitted."""

    t: _Time
    """Milliseconds since the beginning."""
    source: _Short = ""
    """The host that told it."""
    message: Message | None = None
    status: Status | None = None
    link: LinkDocument | None = None


Event = Snapshot | Heard | Link


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A file, read."""

    header: Header
    events: tuple[tuple[int, Event], ...]
    """Each with its time in milliseconds since the beginning; times never go back."""
    cut: bool
    """Whether the file ends before its end, or holds more than is read."""

    @property
    def duration_ms(self) -> int:
        """Return the time of the last event."""
        return self.events[-1][0] if self.events else 0


def entry_of(event: Event, *, now_ms: int, began_ms: int) -> bytes:
    """Return the line of an event, with its newline."""
    t = max(0, now_ms - began_ms)
    match event:
        case Heard():
            entry = Entry(t=t, source=event.source, message=event.message)
        case Snapshot():
            entry = Entry(t=t, source=event.source, status=event.status)
        case Link():
            retry = event.retry_at_ms
            link = LinkDocument(
                phase=event.phase,
                host=event.host,
                since_ms=max(0, event.since_ms - began_ms),
                attempt=event.attempt,
                retry_at_ms=None if retry is None else max(0, retry - began_ms),
                reason=event.reason[:2_000],
                note=event.note[:2_000],
            )
            entry = Entry(t=t, link=link)
    return msgspec.json.encode(entry) + b"\n"


def load(path: Path) -> Recording:
    """Read a recording.

    Raises:
        ConfigError: It cannot be read, is none, or is of a later version.
    """
    lines = _Lines(path)
    events: list[tuple[int, Event]] = []
    try:
        header = _header(path, next(lines.read(), b""))
        last_ms, cut = 0, False
        for line in lines.read():
            if len(events) >= ENTRIES_MAX:
                cut = True
                break
            try:
                entry = msgspec.json.decode(line, type=Entry)
            except (ValueError, RecursionError) as exc:
                raise ConfigError(
                    f"{path}: line {len(events) + 2} is none of a recording's: {exc}"
                ) from exc
            last_ms = max(last_ms, entry.t)
            event = _event(entry, last_ms)
            if event is not None:
                events.append((last_ms, event))
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
    return Recording(header=header, events=tuple(events), cut=cut or lines.cut)


def _header(path: Path, line: bytes) -> Header:
    try:
        header = msgspec.json.decode(line, type=Header)
    except (ValueError, RecursionError) as exc:
        raise ConfigError(f"{path}: not a recording; `monitor --record FILE` makes them") from exc
    if header.version > VERSION:
        raise ConfigError(
            f"{path}: a recording of format {header.version}, made by bzzz-tui"
            f" {header.program}; this program reads up to {VERSION}"
        )
    return header


def _event(entry: Entry, t: int) -> Event | None:
    if entry.message is not None:
        return Heard(source=entry.source, message=entry.message, received_ms=t)
    if entry.status is not None:
        return Snapshot(source=entry.source, status=entry.status, received_ms=t)
    link = entry.link
    if link is None:
        return None  # Of a kind that came later.
    return Link(
        phase=link.phase,
        host=link.host,
        since_ms=link.since_ms,
        attempt=link.attempt,
        retry_at_ms=link.retry_at_ms,
        reason=link.reason,
        note=link.note,
    )


class _Lines:
    """The lines of a compressed file, as far as they may go."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.cut = False
        self._lines = self._read()

    def read(self) -> Iterator[bytes]:
        """Return the lines that were not read yet; the last one only if it is whole."""
        return self._lines

    def _read(self) -> Iterator[bytes]:
        rest = bytearray()
        for chunk in self._chunks():
            begin = 0
            while (end := chunk.find(b"\n", begin)) >= 0:
                rest += chunk[begin:end]
                begin = end + 1
                yield bytes(rest)
                rest.clear()
            rest += chunk[begin:]
            if len(rest) > LINE_BYTES_MAX:
                raise ConfigError(f"{self._path}: a line is over {LINE_BYTES_MAX} bytes")
        self.cut = self.cut or bool(rest)

    def _chunks(self) -> Iterator[bytes]:
        """Yield decompressed bytes, no more than may be read altogether."""
        options: dict[int, int] = {DecompressionParameter.window_log_max: WINDOW_LOG}
        decompressor = ZstdDecompressor(options=options)
        total = 0
        with self._path.open("rb") as file:
            while not decompressor.eof:
                data = file.read(_READ_BYTES) if decompressor.needs_input else b""
                if decompressor.needs_input and not data:
                    self.cut = True
                    return
                try:
                    chunk = decompressor.decompress(data, max_length=_READ_BYTES)
                except ZstdError as exc:
                    if total:  # It was one, up to here.
                        self.cut = True
                        return
                    raise ConfigError(
                        f"{self._path}: not a recording; `monitor --record FILE` makes them"
                    ) from exc
                total += len(chunk)
                if total > TOTAL_BYTES_MAX:
                    self.cut = True
                    return
                yield chunk
