"""Where an operator's own files lie, without loading the schema of profiles for it."""

from __future__ import annotations

import os
from pathlib import Path


def config_home() -> Path:
    """Return `$XDG_CONFIG_HOME/bzzz`, by default `~/.config/bzzz`."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".config") / "bzzz"


def theme_directory() -> Path:
    """Return where an operator puts colour themes of their own."""
    return config_home() / "themes"
