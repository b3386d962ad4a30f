"""Counts the starts of a node, durably, so that no message of an earlier start passes for new."""

from __future__ import annotations

from pathlib import Path

from bzzz_core.errors import BzzzError
from bzzz_core.trust import private_files


def next_incarnation(path: Path) -> int:
    """Return one more than the number kept at `path`, and keep it.

    A missing or damaged file starts at 1: the roster then ignores this node's beats until their
    numbers pass the old ones, so the file lies with the data that is backed up.

    Raises:
        BzzzError: The file cannot be written.
    """
    try:
        last = int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        last = 0
    try:
        private_files.replace(path, f"{last + 1}\n".encode())
    except OSError as exc:
        raise BzzzError(f"cannot write {path}: {exc.strerror}") from exc
    return last + 1
