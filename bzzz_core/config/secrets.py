"""Secrets by reference: configuration holds where a secret is, never what it is.

`Secret` is the only type that carries a value. It prints as `***` in repr, str, format, JSON and
YAML, so a log line or traceback that catches one stays clean.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from bzzz_core.config.secret_reference import check_reference
from bzzz_core.errors import SecretError

_TOO_OPEN: Final = stat.S_IRWXG | stat.S_IRWXO


class Secret:
    """A secret value that does not print."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Wrap `value`; keep the wrapper as long as possible, reveal as late as possible."""
        self._value = value

    def reveal(self) -> str:
        """Return the value itself; the one place to look for when auditing."""
        return self._value

    def __repr__(self) -> str:
        """Return stars."""
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        """Return stars, whatever the format."""
        del spec
        return "***"

    def __reduce__(self) -> str:
        """Refuse pickling and copying, which would write the value somewhere."""
        raise TypeError("a Secret is not serialised")


def resolve(reference: str) -> Secret:
    """Fetch the secret that a reference points to.

    Raises:
        SecretError: The variable is unset, or the file is missing, empty or readable by others.
    """
    kind, _, place = check_reference(reference).partition(":")
    if kind == "env":
        value = os.environ.get(place)
        if not value:
            raise SecretError(f"environment variable {place} is not set; export it and try again")
        return Secret(value)
    return Secret(_read_private(Path(place).expanduser()))


def _read_private(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        if mode & _TOO_OPEN:
            raise SecretError(
                f"{path} can be read by others (mode {stat.S_IMODE(mode):04o});"
                f" run: chmod 600 {path}"
            )
        value = path.read_text(encoding="utf-8").removesuffix("\n")
    except OSError as exc:
        raise SecretError(f"secret file {path}: {exc.strerror}") from exc
    if not value:
        raise SecretError(f"secret file {path} is empty")
    return value
