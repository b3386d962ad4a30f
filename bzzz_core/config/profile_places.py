"""Where an operator's own files lie, without loading the schema of what is in them.

`bzzz_core.config.profile` says what lies where.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_PROFILE: Final = "profile.yaml"


def home() -> Path:
    """Return the operator's directory: `$XDG_CONFIG_HOME/bzzz`, by default `~/.config/bzzz`."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".config") / "bzzz"


def cluster_directory(name: str, base: Path | None = None) -> Path:
    """Return where an operator keeps what belongs to one cluster."""
    return (base or home()) / "clusters" / name


def profile_path(name: str, base: Path | None = None) -> Path:
    """Return the file that holds a cluster's profile."""
    return cluster_directory(name, base) / _PROFILE


def known_profiles(base: Path | None = None) -> tuple[str, ...]:
    """Return the names of the clusters that have a profile here, in order."""
    found = ((base or home()) / "clusters").glob(f"*/{_PROFILE}")
    return tuple(sorted(path.parent.name for path in found))
