"""What a filter can say of a line of the log, in the language of `bzzz_tui.query`."""

from __future__ import annotations

import re
from typing import Final

from bzzz_tui.logs.entry import LEVELS, Entry
from bzzz_tui.logs.matching import MatchError, match_of, tame
from bzzz_tui.logs.selection import Test, anything
from bzzz_tui.query import Field, Kind, QueryError, parse, tokens

_AT_LEAST: Final = {
    name: tuple(other for other in LEVELS if LEVELS[other] >= LEVELS[name]) for name in LEVELS
}
FIELDS: Final[tuple[Field[Entry], ...]] = (
    Field(key="text", get=lambda entry: entry.folded, help="the words of the line, and its fields"),
    Field(key="node", get=lambda entry: entry.node, aliases=("host",), help="whose log"),
    Field(
        key="level",
        get=lambda entry: entry.level_name,
        words={"warn": ("warning",), "err": ("error",)}
        | {f"{n}+": a for n, a in _AT_LEAST.items()},
        help="debug, info, warning, error; warning+ is that and above",
    ),
    Field(key="component", get=lambda entry: entry.component, aliases=("comp",), help="what part"),
    Field(key="trace", get=lambda entry: entry.trace, help="of the request it belongs to"),
    Field(
        key="number",
        kind=Kind.COUNT,
        get=lambda entry: entry.number,
        help="of the line within its node's log",
    ),
)
_PATTERN: Final = re.compile(r"!*/")


def filter_of(text: str, *, level: int = 0) -> Test:
    """Return the test that a filter says, of lines of at least a level.

    Raises:
        QueryError: It says none, or holds a pattern that could hold up the screen.
    """
    if not text.strip():
        return (lambda entry: entry.level >= level) if level else anything
    for at, word in tokens(text):
        if _PATTERN.match(word):
            _check_pattern(word.lstrip("!"), at)
    matches = parse(text, FIELDS).matches
    if not level:
        return matches
    return lambda entry: entry.level >= level and matches(entry)


def _check_pattern(word: str, at: int) -> None:
    try:
        match_of(word)
    except MatchError as exc:
        raise QueryError(str(exc), at) from exc
    if not tame(word[1:-1]):
        raise QueryError(
            "a pattern in a filter repeats no group and has one * or + at most; search with / does",
            at,
        )
