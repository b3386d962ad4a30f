"""What is in the way of a node's broker, as its supervisor says and `fabric status` repeats.

The supervisor is another process than whoever asks, so it leaves a note beside the broker's
directory: one sentence, gone as soon as it is true no more. A note that cannot be written (the disk
is full) is left out; the log has it.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from bzzz_core.errors import TrustError
from bzzz_core.trust import private_files

_CHARACTERS_MAX: Final = 1_000


class ProblemNote:
    """The note of one node's broker."""

    def __init__(self, data: Path) -> None:
        """Touch nothing; `data` is the node's data directory."""
        self._path = data / "broker.problem"

    def write(self, problem: str) -> None:
        """Say that this is in the way; an empty text takes the note away."""
        with contextlib.suppress(OSError):
            if problem:
                private_files.replace(self._path, f"{problem[:_CHARACTERS_MAX]}\n".encode())
            else:
                self._path.unlink(missing_ok=True)

    def read(self) -> str:
        """Return what is in the way; empty if nothing is, or the note cannot be read."""
        try:
            return private_files.read(self._path).decode("utf-8", "replace").strip()
        except TrustError:
            return ""
