"""The frame of a probe's output, and how to read what stands in it without trusting it.

Sections stand between marks that hold a random word, so nothing a host prints can pass for one. A
section that failed, is missing or cut off is "not known"; one that printed more than the probe
passes on has failed too. Inside a section, lines `== NAME` divide
what several tools printed. Every reader is bounded, and what does not fit raises `ValueError`
inside, which `guarded` turns into None. No expression may look at the same text again and again:
a line of 400,000 spaces must not stop whoever reads it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import msgspec

T = TypeVar("T")
ITEMS_MAX: Final = 10_000
WORD_MAX: Final = 200
"""Characters of one name, model, address ...; longer ones are cut."""
LINE_MAX: Final = 500
"""Characters of a line in a form for people, as a rule of a packet filter."""
NUMBER_MAX: Final = 10**18
_MALFORMED: Final = (
    *(ValueError, LookupError, TypeError, AttributeError, ArithmeticError),
    msgspec.MsgspecError,
    RecursionError,  # a document nested without end
)
"""What a reader may raise over a text that is not as it should be."""
Sections = dict[str, tuple[int, str]]
"""Name -> how the section ended, and what it printed."""
SECTION_BYTES_MAX: Final = 400_000
"""What is read of one section, as UTF-8; `frame.sh` passes on one byte more, if there is more."""
CUT: Final = 122
"""How a section ends that printed more, whatever it thinks itself: half of a list is no list."""
TIMED_OUT: Final = frozenset({124, 137, 143})
"""How a section or a tool ends that was stopped at its time limit."""


def split_sections(text: str, word: str) -> Sections:
    """Return status and text of each complete section."""
    marks = rf"^@@{re.escape(word)} (?:begin (\S+)|end (\S+) ([0-9]{{1,4}}))$"
    found: Sections = {}
    name, start = "", 0
    for mark in re.finditer(marks, text, re.MULTILINE):
        if mark[1]:
            name, start = mark[1], mark.end() + 1
        elif mark[2] == name:
            said = text[start : max(start, mark.start() - 1)]
            whole = len(said.encode()) <= SECTION_BYTES_MAX
            found[name] = (int(mark[3]) if whole else CUT, said)
            name = ""
    return found


def text_of(sections: Sections, name: str) -> str | None:
    """Return what a section printed; None if it failed or is not there."""
    status, text = sections.get(name, (1, ""))
    return text if status == 0 else None


def read_text(sections: Sections, name: str, read: Callable[[str], T]) -> T | None:
    """Return what `read` makes of a section; None if that is not known."""
    text = text_of(sections, name)
    return None if text is None else guarded(read, text)


def read_lines(sections: Sections, name: str, read: Callable[[list[str]], T]) -> T | None:
    """Return what `read` makes of the lines of a section; None if that is not known."""
    return read_text(sections, name, lambda text: read(lines_of(text)))


def guarded(read: Callable[[str], T], text: str) -> T | None:
    """Return what `read` makes of a text; None if the text is not as it should be."""
    return attempt(lambda: read(text))


def attempt(read: Callable[[], T]) -> T | None:
    """Return what `read` finds; None if what it reads is not as it should be."""
    try:
        return read()
    except _MALFORMED:
        return None


def short_lines(text: str) -> list[str]:
    """Return the lines that are not empty, each cut to what a person's tool would print.

    Raises:
        ValueError: There are too many.
    """
    return [line[:LINE_MAX] for line in lines_of(text)]


def lines_of(text: str) -> list[str]:
    """Return the lines that are not empty.

    Raises:
        ValueError: There are too many.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > ITEMS_MAX:
        raise ValueError(len(lines))
    return lines


def each(lines: list[str], read: Callable[[str], T]) -> tuple[T, ...]:
    """Return what `read` makes of each line, without repetitions."""
    return tuple(dict.fromkeys(read(line) for line in lines))


def parts(text: str) -> list[tuple[str, str]]:
    """Return name and text of each part that a line `== NAME` begins; first what comes before."""
    found: list[tuple[str, list[str]]] = [("", [])]
    for line in lines_of(text):
        if line.startswith("== "):
            found.append((line[3:].strip(), []))
        else:
            found[-1][1].append(line)
    return [(name, "\n".join(lines)) for name, lines in found]


def pairs(text: str) -> dict[str, str]:
    """Return the lines `key=value` whose value is not empty."""
    split = (line.partition("=") for line in text.splitlines())
    return {key: value.strip() for key, _, value in split if value.strip()}


def pairs_list(text: str | None) -> list[tuple[str, str]] | None:
    """Return all lines `key=value` in their order."""
    if text is None:
        return None
    split = (line.partition("=") for line in text.splitlines() if "=" in line)
    return [(key, value.strip()) for key, _, value in split]


def blocks(lines: list[str], first: str) -> Iterator[dict[str, list[str]]]:
    """Yield groups of lines `key=value`; each begins with the key `first`."""
    block: dict[str, list[str]] = {}
    for line in lines:
        key, _, value = line.partition("=")
        if key == first and block:
            yield block
            block = {}
        block.setdefault(key, []).append(value)
    if first in block:
        yield block


def document(text: str) -> Any:
    """Return the JSON document in a text; tools like to print remarks before it.

    Raises:
        ValueError: There is none, or it is damaged.
    """
    begins = re.search(r"^[ \t]*[\[{]", text, re.MULTILINE)
    if begins is None:
        raise ValueError("no document")
    return msgspec.json.decode(text[begins.start() :])


def objects(value: object) -> list[dict[str, Any]]:
    """Return the objects in a list; what is no object is left out.

    Raises:
        ValueError: It is no list, or too long.
    """
    if not isinstance(value, list) or len(value) > ITEMS_MAX:
        raise ValueError("no list")
    return [item for item in value if isinstance(item, dict)]


def mapping(value: object) -> dict[str, Any]:
    """Return an object; an empty one for whatever is none."""
    return value if isinstance(value, dict) else {}


def word(value: object, most: int = WORD_MAX) -> str:
    """Return a text of bounded length on one line; "" for whatever is no text."""
    return " ".join(value.split())[:most] if isinstance(value, str) else ""


def number(value: object) -> int | None:
    """Return a count from a number or from digits; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if 0 <= value < NUMBER_MAX else None
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value.strip()):
        return int(value)
    return None


def digits(text: str) -> int:
    """Return a count.

    Raises:
        ValueError: It is none.
    """
    found = number(text)
    if found is None:
        raise ValueError(text)
    return found


def kilobytes(text: str | None) -> int | None:
    """Return bytes from a count of KiB."""
    found = number(text)
    return None if found is None else found * 1024


def flag(value: object) -> bool | None:
    """Return what a tool means by true, 1, "1", "yes" ... and their opposites."""
    said = str(value).strip().lower()
    if said in {"true", "1", "yes", "y"}:
        return True
    return False if said in {"false", "0", "no", "n"} else None
