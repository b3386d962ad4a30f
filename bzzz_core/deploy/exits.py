"""How a run of setup ends, in one number; the table for operators is in `docs/commands.md`."""

from __future__ import annotations

from typing import Final

EXIT_OK: Final = 0
"""Done, or nothing was to be done, or the person who was asked said no."""
EXIT_USAGE: Final = 2
"""The answers or the options are wrong; no host was asked."""
EXIT_PREFLIGHT: Final = 3
"""Refused: an unfit host, another run at work, or another plan. Nothing was changed."""
EXIT_PARTIAL: Final = 4
"""Some hosts failed or were not attempted, or they did not become one cluster."""
EXIT_FAILED: Final = 5
"""No host came through."""
EXIT_ROLLED_BACK: Final = 6
"""A release did not become healthy, and the one before it is back."""
EXIT_INTERRUPTED: Final = 130
"""The operator stopped it; the same command goes on."""
