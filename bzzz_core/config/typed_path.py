"""A typed path, with `~` for a home directory."""

from __future__ import annotations

from pathlib import Path

from bzzz_core.errors import ConfigError


def expanded(text: str) -> Path:
    """Return the path that somebody typed.

    Raises:
        ConfigError: It begins with the home of a user that does not exist, or is no path.
    """
    if "\0" in text:
        raise ConfigError("a path has no NUL character in it")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ConfigError(f"{text}: there is no such user; write ./~name for a file") from None
