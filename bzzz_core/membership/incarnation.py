"""Counts the starts of a node, durably, so that no message of an earlier start passes for new."""

from __future__ import annotations

from pathlib import Path

from bzzz_core.errors import BzzzError
from bzzz_core.trust import private_files


def next_incarnation(path: Path, *, above: int = 0) -> int:
    """Return one more than the number kept at `path`, and than `above`; keep it.

    A missing or damaged file starts at 1. The others then drop this node's beats as old ones, until
    one of them says which start it remembers: that number is `above`.

    Raises:
        BzzzError: The file cannot be written.
    """
    try:
        last = int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        last = 0
    number = max(last, above) + 1
    try:
        private_files.replace(path, f"{number}\n".encode())
    except OSError as exc:
        raise BzzzError(f"cannot write {path}: {exc.strerror}") from exc
    return number
