"""`bzzz-tui completion`."""

from __future__ import annotations

from typing import Final

from bzzz_core.commands.completion import completion_of

completion: Final = completion_of("bzzz-tui")
