"""Lines of the log and levels of its components as text, for terminals and pipes."""

from __future__ import annotations

import json
import re
from typing import Final

from bzzz_core.api.log_operations import ComponentLevel, LevelsDocument
from bzzz_core.telemetry.log_line import WORDS_MAX, LogLine
from bzzz_core.telemetry.redaction import cleaned

_PLAIN: Final = re.compile(r"[^\s\"'\\=]+")
_EXCEPTION: Final = "exception"


def render_line(line: LogLine) -> str:
    """Return a line as it is read; an exception follows on lines of its own.

    What stands in it was cleaned when it was written, but who knows who wrote into the file since.
    """
    parts = [_safe(line.at), f"{line.level:<7}", f"{_safe(line.component):<10}", _safe(line.text)]
    for name, value in line.fields.items():
        if name != _EXCEPTION:
            text = _safe(value)
            quoted = text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
            parts.append(f"{_safe(name)}={quoted}")
    if line.trace:
        parts.append(f"trace={_safe(line.trace)}")
    first = " ".join(parts)
    if _EXCEPTION not in line.fields:
        return first
    told = cleaned(line.fields[_EXCEPTION], characters_max=WORDS_MAX, lines=True)
    return "\n".join([first, *(f"    {row}" for row in told.split("\n"))])


def render_levels(document: LevelsDocument, *, of: str | None = None) -> str:
    """Return who writes down what; only what is said of one component if one is named."""
    shown = [one for one in document.components if of is None or one.component == of]
    return "\n".join(_level_row(one) for one in shown)


def _level_row(one: ComponentLevel) -> str:
    name = one.component or "(all others)"
    why = ""
    if one.wished:
        until = "until the agent ends" if one.left_s is None else f"for {one.left_s} s yet"
        why = f"  wished {until}, then {one.configured}"
    return f"{name:<12} {one.level:<8} {one.about if one.component else ''}{why}".rstrip()


def _safe(text: str) -> str:
    return cleaned(text, characters_max=WORDS_MAX)
