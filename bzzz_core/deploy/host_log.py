"""What was done on one host in one run, command by command: a text file beside the journal.

One line for each command: time, phase, label, duration, how it ended; below it the end of what it
printed. The file is 0600, redacted, and bounded: after `BYTES_MAX` only a last line is added.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bzzz_core.clock import utc_now
from bzzz_core.deploy.remote import Completed, printable
from bzzz_core.errors import BzzzError, NotWritten
from bzzz_core.trust import private_files

BYTES_MAX: Final = 4_000_000
TAIL_BYTES: Final = 2_000
TAIL_LINES: Final = 20
_READ_BYTES: Final = 32_000
"""Redacted before it is cut: a secret that the cut would halve is gone by then."""


class HostLog:
    """The file of one host; made when there is something to write."""

    def __init__(self, path: Path, redact: Callable[[str], str]) -> None:
        """Take where it lies and what takes secrets out of a text."""
        self._path = path
        self._redact = redact
        self._written = 0

    def note(self, phase: str, what: str, elapsed_ms: int, outcome: Completed | BzzzError) -> None:
        """Write down how a command ended.

        Raises:
            NotWritten: It cannot be written.
        """
        if isinstance(outcome, BzzzError):
            ended, tails = printable(self._redact(str(outcome))), []
        else:
            ended = f"status {outcome.status}"
            tails = [*self._tail(outcome.stdout, "out"), *self._tail(outcome.stderr, "err")]
        label = self._redact(what)
        head = f"{utc_now()} {phase or '-'} | {label} | {elapsed_ms / 1_000:.2f} s | {ended}"
        self._append("\n".join([head, *tails]) + "\n")

    def _tail(self, output: bytes, name: str) -> list[str]:
        text = self._redact(output[-_READ_BYTES:].decode("utf-8", errors="replace"))
        lines = text[-TAIL_BYTES:].splitlines()[-TAIL_LINES:]
        return [f"    {name}: {printable(line)}" for line in lines if line.strip()]

    def _append(self, text: str) -> None:
        if self._written >= BYTES_MAX:
            return
        data = text.encode()
        self._written += len(data)
        if self._written >= BYTES_MAX:
            data += b"(the log has reached its limit)\n"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            descriptor = os.open(self._path, flags, 0o600)
            try:
                private_files.append_whole(descriptor, data)
            finally:
                os.close(descriptor)
        except OSError as exc:
            raise NotWritten(f"{self._path}: {exc.strerror}") from exc
