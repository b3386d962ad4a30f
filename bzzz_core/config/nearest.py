"""What to write instead of a name that is not known: the one most like it, else all there are."""

from __future__ import annotations

import difflib
from typing import Final

_NEIGHBOURS_MAX: Final = 12


def nearest(wrong: object, known: list[str]) -> str:
    """Return a hint at the valid key that is most like a wrong one."""
    near = difflib.get_close_matches(str(wrong), known, n=1)
    if near:
        return f"; did you mean {near[0]}?"
    more = ", ..." if len(known) > _NEIGHBOURS_MAX else ""
    return f"; known here: {', '.join(known[:_NEIGHBOURS_MAX])}{more}"
