"""The file of the log: appended to, rotated, compressed, forgotten. Blocking; one thread owns it.

Rules of this file:

- A line is there whole, or torn at the end (power loss, full disk) and left behind a newline.
- Symbolic links are not followed and files are 0640: whoever may write into the directory could
  else make the agent write elsewhere.
- A file that was deleted or moved away is made anew, so tools that rotate logs do no harm.
- If writing fails, lines are dropped and counted, not kept: a full disk must not fill the memory
  too. It is tried again no sooner than `AGAIN_S` later. What cannot be written is said once, and
  how much was lost when it works again.
- Lines are not fsynced one by one; a power loss costs the seconds that the kernel had not written.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from errno import EINVAL
from pathlib import Path
from typing import Final, Protocol

from bzzz_core.telemetry.log_archive import NAME, Archived, archived, archived_name

MODE: Final = 0o640
AGAIN_S: Final = 2.0
_BLOCK_BYTES: Final = 262_144
_UNFINISHED: Final = ".tmp"
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the log may take."""

    file_bytes_max: int
    files_kept: int
    """Besides the present one."""
    days_kept: int
    compress: bool

    @property
    def bytes_max(self) -> int:
        """Return the most that all files take together, while one is being compressed too."""
        return self.file_bytes_max * (self.files_kept + 2)


class Report(Protocol):
    """Hears what is worth a line in the log itself."""

    def __call__(self, level: str, text: str, **fields: object) -> None:
        """Take it."""
        ...


class LogFile:
    """Writes `agent.log` in one directory."""

    def __init__(
        self,
        directory: Path,
        *,
        limits: Limits,
        now: Callable[[], datetime],
        monotonic_s: Callable[[], float],
        report: Report,
    ) -> None:
        """Open nothing yet.

        Args:
            directory: Where; it exists.
            limits: May be replaced at any time.
            now: Wall-clock UTC, for days.
            monotonic_s: For the pause after a failure.
            report: Hears of failures, and of their end.
        """
        self.limits = limits
        self.lost = 0
        """Lines that could not be written since it last worked."""
        self._directory = directory
        self._path = directory / NAME
        self._now = now
        self._monotonic_s = monotonic_s
        self._report = report
        self._descriptor = -1
        self._identity = (0, 0)
        self._size = 0
        self._day = ""
        self._not_before_s = 0.0
        self._failing = False
        self._refused: OSError | None = None
        self._work: Iterator[None] = self._tidy()

    def write(self, lines: Sequence[bytes]) -> None:
        """Append lines, each with its newline."""
        if self._failing and self._monotonic_s() < self._not_before_s:
            self.lost += len(lines)
            return
        written = 0
        try:
            self._be_open()
            while written < len(lines):
                some = self._that_fit(lines, written)
                if some:
                    written += self._append(b"".join(lines[written : written + some]))
                    if self._refused is not None:
                        raise self._refused
                else:
                    self._rotate()
                    self._be_open()
        except OSError as exc:
            self._fail(exc, len(lines) - written)
            return
        if self._failing:
            self._failing, lost, self.lost = False, self.lost, 0
            self._report("warning", "the log file is written again", lines_lost=lost)

    def work(self) -> bool:
        """Do a little of what is due besides (compress, forget); return whether more is."""
        try:
            next(self._work)
        except StopIteration:
            return False
        except OSError as exc:
            self._report("warning", "an old log file could not be tended", reason=str(exc))
            return False
        return True

    def check_room(self) -> None:
        """Say if the log may grow beyond what there is room for."""
        try:
            free = shutil.disk_usage(self._directory).free
            files = [one.path for one in archived(self._directory)]
            taken = sum(path.stat().st_size for path in (self._path, *files) if path.exists())
        except OSError:
            return  # Writing will say so.
        if free + taken < self.limits.bytes_max:
            self._report(
                "warning",
                "the log may take more than there is room for; keep fewer or smaller files",
                bytes_max=self.limits.bytes_max,
                bytes_free=free,
            )

    def look_after(self) -> None:
        """Let `work` forget what is too old, and compress what is not yet."""
        self._work = self._tidy()

    def close(self) -> None:
        """Close the file; a later write opens it again."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.fdatasync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _be_open(self) -> None:
        """Have the file open that is at the path now, and be at a new line in it."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                found = self._path.lstat()
                if (found.st_dev, found.st_ino) == self._identity:
                    self._size = found.st_size
                    return
            self.close()
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(self._path, flags | os.O_NONBLOCK, MODE)
        found = os.fstat(self._descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(EINVAL, "what is in its place is no file")
        known = self._identity
        self._identity = (found.st_dev, found.st_ino)
        self._size = found.st_size
        if self._identity != known:
            changed = datetime.fromtimestamp(found.st_mtime, UTC) if self._size else self._now()
            self._day = _day(changed)
        if self._size and os.pread(self._descriptor, 1, self._size - 1) != b"\n":
            self._append(b"\n")
            if self._refused is not None:
                raise self._refused

    def _that_fit(self, lines: Sequence[bytes], begin: int) -> int:
        """Return how many of the lines belong into the present file: at least one if it is new."""
        if self._size and self._day != _day(self._now()):
            return 0
        size, count = self._size, 0
        for line in lines[begin:]:
            size += len(line)
            if size > self.limits.file_bytes_max and (self._size or count):
                break
            count += 1
        return count

    def _append(self, content: bytes) -> int:
        """Append lines and return how many are there; `_refused` says why it is not all of them."""
        self._refused = None
        done = 0
        while done < len(content):
            try:  # A full disk takes a part before it refuses.
                done += os.write(self._descriptor, memoryview(content)[done:])
            except OSError as exc:
                self._refused = exc
                break
        self._size += done
        return content.count(b"\n", 0, done)

    def _rotate(self) -> None:
        """Put the present file among the archived ones."""
        self.close()
        files = archived(self._directory)
        number = files[-1].number + 1 if files else 1
        target = self._directory / archived_name(number, self._day)
        assert not target.exists(), "a number higher than all others is free"
        self._path.rename(target)
        self.look_after()

    def _fail(self, exc: OSError, lost: int) -> None:
        self.close()  # Opened again it will be seen whether the last line is torn.
        self.lost += lost
        self._not_before_s = self._monotonic_s() + AGAIN_S
        if not self._failing:
            self._failing = True
            reason = exc.strerror or str(exc)
            self._report("error", "the log file cannot be written", reason=reason)

    def _tidy(self) -> Iterator[None]:
        """Forget what is too old, then compress the others, a block at a time."""
        for path in self._directory.glob(f"agent-*{_UNFINISHED}"):
            path.unlink(missing_ok=True)  # Of a process that ended meanwhile.
        yield
        oldest_s = self._now().timestamp() - self.limits.days_kept * _DAY_S
        files = archived(self._directory)
        kept = {one.number for one in files}
        too_many = sorted(kept)[: max(len(kept) - self.limits.files_kept, 0)]
        for one in files:
            with contextlib.suppress(FileNotFoundError):
                if one.number in too_many or one.path.lstat().st_mtime < oldest_s:
                    one.path.unlink()
                    yield
        for one in archived(self._directory):
            if self.limits.compress and not one.compressed:
                yield from _compress(one)


def _compress(one: Archived) -> Iterator[None]:
    target = one.path.with_name(one.path.name + ".gz")
    unfinished = target.with_name(target.name + _UNFINISHED)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with (
            os.fdopen(os.open(one.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), "rb") as plain,
            os.fdopen(os.open(unfinished, flags, MODE), "wb") as raw,
        ):
            with gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6) as packed:
                while block := plain.read(_BLOCK_BYTES):
                    packed.write(block)
                    yield
            raw.flush()
            os.fsync(raw.fileno())
        shutil.copystat(one.path, unfinished)  # Its age decides how long it is kept.
        unfinished.rename(target)
        one.path.unlink()
    finally:
        unfinished.unlink(missing_ok=True)


def _day(at: datetime) -> str:
    return at.strftime("%Y%m%d")
