"""How a fresh connection, opened to prove something, logs in."""

from __future__ import annotations

from enum import StrEnum


class Way(StrEnum):
    """How a fresh connection logs in."""

    ANSWERS = "answers"
    """As every other connection of the run."""
    KEYS = "keys"
    """By keys alone: no password is offered."""
    INSTALLED = "installed"
    """By the key that setup installs, and nothing else."""
