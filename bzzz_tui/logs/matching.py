r"""Finding words or a regular expression in lines, without ever holding up the screen.

Plain words are looked for whatever their case. A pattern stands between slashes, `/lost|gone/`.
Python's `re` is fast and cannot be interrupted: `(a+)+b` keeps it busy for hours on a line of 40
characters. So a pattern is always compiled by `LinearRegex` (each character once, whatever it says;
no back references, no looking around), and `re` does the work only for a *tame* one, whose cost on
a line of n characters is at most n² small steps:

- nothing repeats a group, and at most one thing repeats without an end;
- at most 3 things are optional or repeat a bounded number of times, at most 6 times `|`;
- the line has at most 500 characters; for longer ones the linear one looks.

Patterns that are not tame are *costly*: whoever scans many lines with one does it in a thread.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bzzz_core.telemetry.linear_regex import LinearRegex
from bzzz_tui.logs.entry import Entry

TEXT_MAX: Final = 200
_LINE_MAX: Final = 500
_OPTIONS_MAX: Final = 3
_EITHER_MAX: Final = 6
_RANGE: Final = re.compile(r"(\w)-(\w)")
_LETTER: Final = re.compile(r"\\.|\w", re.DOTALL)
_COUNT: Final = re.compile(r"\{(\d+)(,?)(\d*)\}")


class MatchError(ValueError):
    """What was typed cannot be looked for; the message says why."""


@dataclass(frozen=True, slots=True)
class Match:
    """Something to look for."""

    text: str
    """As it was typed."""
    finds: Callable[[Entry], bool]
    spans: Callable[[str], list[tuple[int, int]]]
    """Where it is found in a text, for showing; empty if only the whole line is known."""
    costly: bool
    """Many lines are looked at in a thread only."""


def match_of(text: str) -> Match:
    """Return what looks for `text`, a word or a pattern between slashes.

    Raises:
        MatchError: It is empty, too long, or no pattern that can be used.
    """
    if not text or len(text) > TEXT_MAX:
        raise MatchError(f"write 1 to {TEXT_MAX} characters")
    if len(text) > 2 and text[0] == text[-1] == "/":  # noqa: PLR2004  two slashes
        return _pattern(text)
    return _plain(text.removeprefix("/"))


def _plain(text: str) -> Match:
    wanted = text.casefold()
    if not wanted:
        raise MatchError("write what to look for")
    shown = re.compile(re.escape(text), re.IGNORECASE)

    def finds(entry: Entry) -> bool:
        return wanted in entry.folded

    return Match(text, finds, lambda line: _spans(shown, line), costly=False)


def _pattern(text: str) -> Match:
    body = text[1:-1]
    try:
        linear = LinearRegex(body)
    except ValueError as exc:
        raise MatchError(f"the pattern cannot be used: {exc}") from exc
    search = linear.search
    shown = _compiled(body, re.IGNORECASE) if tame(body) else None
    if shown is None:
        return Match(text, lambda entry: search(entry.folded), lambda _line: [], costly=True)
    low = lowered(body)
    find = ((_compiled(low) if low is not None else None) or shown).search

    def finds(entry: Entry) -> bool:
        line = entry.folded
        return find(line) is not None if len(line) <= _LINE_MAX else search(line)

    def spans(line: str) -> list[tuple[int, int]]:
        return _spans(shown, line[:_LINE_MAX])

    return Match(text, finds, spans, costly=False)


def _compiled(body: str, flags: int = 0) -> re.Pattern[str] | None:
    """Return a pattern for `re`; None if it refuses it, or means something else by it one day."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return re.compile(body, flags)
        except (re.error, FutureWarning, OverflowError):
            return None


def _spans(pattern: re.Pattern[str], line: str) -> list[tuple[int, int]]:
    return [found.span() for found in pattern.finditer(line) if found.end() > found.start()]


def tame(body: str) -> bool:
    """Return whether `re` needs at most n² small steps for a pattern that `LinearRegex` took."""
    endless = options = either = 0
    at, before = 0, ""
    while at < len(body):
        sign = body[at]
        if sign == "\\":
            at, before = at + 2, "x"
            continue
        if sign == "[":
            at, before = _behind_class(body, at), "x"
            continue
        count = _COUNT.match(body, at)
        if sign in "*+?" or count:
            if before == ")":
                return False
            bounded = sign == "?" or (count is not None and (not count[2] or bool(count[3])))
            if before in "*+}" and sign == "?":
                pass  # The shortest match instead of the longest one.
            elif bounded:
                options += count is None or bool(count[2])
            else:
                endless += 1
            at, before = (count.end(), "}") if count else (at + 1, sign)
            continue
        either += sign == "|"
        before = sign
        at += 1
    return endless <= 1 and options <= _OPTIONS_MAX and either <= _EITHER_MAX


def _low(letter: re.Match[str]) -> str:
    """Return a letter in lower case; what stands behind a backslash stays as it is."""
    return letter[0] if letter[0][0] == "\\" else letter[0].lower()


def lowered(body: str) -> str | None:
    """Return a pattern that finds in lower-case text what this one finds in any; None: no such.

    `re` looks for the one 3 to 5 times as fast as for the other with `re.IGNORECASE` (measured).
    """
    found = []
    at = 0
    while at < len(body):
        end = _behind_class(body, at) if body[at] == "[" else at + 1 + (body[at] == "\\")
        piece = body[at:end]
        if piece[0] == "[" and any(a.isupper() != b.isupper() for a, b in _RANGE.findall(piece)):
            return None
        found.append(_LETTER.sub(_low, piece))
        at = end
    return "".join(found)


def _behind_class(body: str, at: int) -> int:
    """Return where a `[...]` that begins here ends."""
    at += 1
    if body[at : at + 1] == "^":
        at += 1
    first = at
    while at < len(body) and (body[at] != "]" or at == first):
        at += 2 if body[at] == "\\" else 1
    return at + 1
