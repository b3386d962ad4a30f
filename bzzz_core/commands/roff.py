"""Text as manual pages are written: roff, with the macros of man(7).

Only what all formatters know is used. Every character that roff would change or take for its own is
escaped, so that what stands in the source of a command stands in the page, and can be copied from
it: a plain `-` would come out as a typographic hyphen on many terminals.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from typing import Final

_ESCAPED: Final = str.maketrans(
    {
        "\\": r"\(rs",
        "-": r"\-",
        "'": r"\(aq",
        "`": r"\(ga",
        "^": r"\(ha",
        "~": r"\(ti",
        '"': r"\(dq",
    }
)
PLAINLY: Final = (".nh", ".ad l")
"""Lines after the title: no word is divided, no line stretched."""
_LINE_CHARACTERS: Final = 78
_VERBATIM: Final = "\b\n"
"""Before a paragraph whose lines stay as they are; click's own mark."""


def escaped(text: str) -> str:
    """Return a text that roff prints as it is; it may not begin a line with a dot."""
    return text.translate(_ESCAPED)


def bold(text: str) -> str:
    """Return a text as what is typed."""
    return rf"\fB{escaped(text)}\fR"


def italic(text: str) -> str:
    """Return a text as what something else is typed for."""
    return rf"\fI{escaped(text)}\fR"


def title(name: str, *, version: str) -> str:
    """Return the first line of a page of section 1."""
    return rf'.TH {escaped(name.upper())} 1 "" "BZZZ {escaped(version)}" "BZZZ"'


def heading(text: str) -> str:
    """Return the head of a section."""
    return f".SH {escaped(text)}"


def subheading(text: str) -> str:
    """Return the head of a part of a section."""
    return f".SS {escaped(text)}"


def item(term: str, text: str) -> list[str]:
    """Return a term, which is roff already, with what is said of it indented below."""
    return [".TP", _guarded(term), *_filled(text)]


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a text below a head; words in backticks are what is typed."""
    lines: list[str] = []
    for paragraph in text.strip().split("\n\n"):
        lines += [".PP"] if lines else []
        if paragraph.startswith(_VERBATIM):
            kept = paragraph.removeprefix(_VERBATIM).splitlines()
            lines += [".nf", *(_guarded(escaped(line)) for line in kept), ".fi"]
        else:
            lines += _filled(paragraph)
    return lines


def page(lines: Iterable[str]) -> str:
    """Return the lines of a page as one text."""
    return "\n".join(lines) + "\n"


def _filled(text: str) -> list[str]:
    parts = re.split(r"`([^`]+)`", " ".join(text.split()))
    marked = "".join(bold(part) if at % 2 else escaped(part) for at, part in enumerate(parts))
    lines = textwrap.wrap(marked, _LINE_CHARACTERS, break_long_words=False, break_on_hyphens=False)
    return [_guarded(line) for line in lines]


def _guarded(line: str) -> str:
    """Return a line that is none of roff's requests, whatever it begins with."""
    return rf"\&{line}" if line.startswith(".") else line
