"""Puts generated texts where the operator wants them, and never over something else unasked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bzzz_core.errors import ConfigError
from bzzz_core.trust import private_files

_MODE: Final = 0o644
"""Nothing in them is secret."""


def write(directory: Path, files: Mapping[str, str], *, force: bool) -> tuple[str, ...]:
    """Write texts below a directory, each in one step, and return the paths of those that changed.

    All are looked at before the first is written.

    Raises:
        ConfigError: A file with another content is there and `force` is not given, or one cannot be
            read or written.
    """
    try:
        changed = [path for path, text in files.items() if _content(directory / path) != text]
        taken = [path for path in changed if (directory / path).exists()]
        if taken and not force:
            raise ConfigError(
                f"{directory}: these hold something else: {', '.join(taken)}; look at them, and"
                " give --force to replace them"
            )
        for path in changed:
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            private_files.replace(target, files[path].encode(), mode=_MODE)
    except OSError as exc:
        raise ConfigError(f"{exc.filename or directory}: {exc.strerror}") from exc
    return tuple(changed)


def differing(directory: Path, files: Mapping[str, str]) -> tuple[str, ...]:
    """Return the paths below a directory where something else is than what belongs there.

    Raises:
        ConfigError: One cannot be read.
    """
    try:
        there = [path for path in files if (directory / path).exists()]
        return tuple(path for path in there if _content(directory / path) != files[path])
    except OSError as exc:
        raise ConfigError(f"{exc.filename or directory}: {exc.strerror}") from exc


def _content(path: Path) -> str | None:
    """Return what a file holds; None if there is none, or no text."""
    try:
        return path.read_bytes().decode()
    except (FileNotFoundError, UnicodeDecodeError):
        return None
