"""The language of filters: which rows are meant.

    bzzz                 some shown text holds the word (case does not count)
    /^bzzz-[12]$/        some shown text matches the regular expression
    ~bz1                 some shown text has these characters in this order
    name:gpu             that field's text holds the word
    state=dead           that field is the word; `up` and `down` are understood too
    cpu>80  mem>=4GiB  mem>80%  heard>5s  load<=1.5
    cpu=n/a              nothing is known of it
    !voter  !state=up    not so
    gpu cpu>80           both;  `a | b`: either; `|` binds less

What is not known is never larger, smaller or equal to anything: it is not 0.

Rules: pure. `parse` raises `QueryError` and nothing else, with the place of what is wrong. A number
needs a unit where its field has one, so that `mem>4` cannot mean four bytes to one reader and four
gibibytes to another.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Generic, TypeAlias, TypeVar

R = TypeVar("R")
Value: TypeAlias = str | float | Sequence[str] | None
QUERY_MAX: Final = 500
"""Characters of a query; more is a pasted mistake."""
UNKNOWN_WORDS: Final = ("n/a", "unknown")
_OPERATOR: Final = re.compile(r"(!=|<=|>=|=|:|<|>)")
_KEY: Final = re.compile(r"[A-Za-z][\w.-]*$")
_NUMBER: Final = re.compile(r"(-?\d+(?:\.\d+)?)\s*([a-zA-Z%]*)")
_SIZES: Final = {
    "b": 1,
    **{f"{p}ib": 1024**n for n, p in enumerate("kmgtp", 1)},
    **{f"{p}b": 1000**n for n, p in enumerate("kmgtp", 1)},
    **{p: 1024**n for n, p in enumerate("kmgtp", 1)},
}
_TIMES: Final = {"ms": 1, "s": 1_000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


class Kind(StrEnum):
    """How a field's values are compared and which units they take."""

    TEXT = "text"
    COUNT = "number"
    PERCENT = "percent"
    BYTES = "bytes"
    MS = "milliseconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field(Generic[R]):
    """One thing that is known of a row, under the name by which filters, sorting and files call it.

    Its value is a text, several texts, or a number in the unit of its kind; None: not known.
    """

    key: str
    kind: Kind = Kind.TEXT
    get: Callable[[R], Value]
    aliases: tuple[str, ...] = ()
    share: Callable[[R], float | None] | None = None
    """The value in percent of what there is, where a filter may say `%`."""
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Other words for values: `down` for `dead` and `suspect`."""
    help: str = ""


class QueryError(ValueError):
    """What was typed is no query; says where and why."""

    def __init__(self, message: str, at: int) -> None:
        """Take what is wrong and the place of its first character."""
        super().__init__(message)
        self.at = at


Test: TypeAlias = Callable[[R], bool]


@dataclass(frozen=True, slots=True)
class Query(Generic[R]):
    """A filter, ready to be asked."""

    text: str
    keys: frozenset[str]
    """Fields that it looks at."""
    everything: bool
    """It looks at all shown text, so any change may matter."""
    matches: Test[R]


def parse(text: str, fields: Sequence[Field[R]]) -> Query[R]:
    """Return the filter that `text` says; the empty text matches everything.

    Raises:
        QueryError: It says none.
    """
    if len(text) > QUERY_MAX:
        raise QueryError(f"longer than {QUERY_MAX} characters", QUERY_MAX)
    either: list[list[_Term[R]]] = [[]]
    for at, word in tokens(text):
        if word == "|":
            if not either[-1]:
                raise QueryError("nothing stands before |", at)
            either.append([])
        else:
            either[-1].append(_term(word, at, fields))
    if len(either) > 1 and not either[-1]:
        raise QueryError("nothing stands behind |", len(text))
    terms = [term for group in either for term in group]
    groups = [tuple(term.test for term in group) for group in either]
    return Query(
        text=" ".join(text.split()),
        keys=frozenset(term.key for term in terms if term.key),
        everything=any(not term.key for term in terms),
        matches=_any_of_all(groups),
    )


def tokens(text: str) -> list[tuple[int, str]]:
    """Return (place, word) of each term; quotes and slashes hold blanks together.

    Raises:
        QueryError: A quote or a regular expression does not end.
    """
    found: list[tuple[int, str]] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        end = _end_of(text, at)
        found.append((at, text[at:end]))
        at = end
    return found


def fuzzy(wanted: str, text: str) -> bool:
    """Return whether `text` has these characters in this order."""
    rest = iter(text.casefold())
    return all(character in rest for character in wanted.casefold())


def completions(text: str, fields: Sequence[Field[Any]]) -> list[str]:
    """Return texts that `text` may be meant to become: its last word completed to a field's key."""
    head, gap, last = text.rpartition(" ")
    bang = "!" if last.startswith("!") else ""
    wanted = last.removeprefix("!").casefold()
    if _OPERATOR.search(wanted) or wanted.startswith(("/", "~", '"')):
        return _value_completions(text, fields)
    names = [each.key for each in fields if each.key.startswith(wanted)]
    kinds = {each.key: each.kind for each in fields}
    ends = {Kind.TEXT: ":"}
    return [f"{head}{gap}{bang}{name}{ends.get(kinds[name], '>')}" for name in names]


def _value_completions(text: str, fields: Sequence[Field[Any]]) -> list[str]:
    head, gap, last = text.rpartition(" ")
    match = re.fullmatch(r"(!?)([A-Za-z][\w.-]*)(=|:|!=)(\w*)", last)
    found = _find(match[2], fields) if match else None
    if match is None or found is None:
        return []
    start = f"{head}{gap}{match[1]}{match[2]}{match[3]}"
    return [start + word for word in found.words if word.startswith(match[4].casefold())]


def number(text: str, kind: Kind) -> tuple[float, bool]:
    """Return a number in the unit of its kind, and whether it is a share in percent.

    Raises:
        ValueError: It is none, or has not the unit that it needs.
    """
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ValueError(f"expected {_EXPECTED[kind]}, not {text!r}")
    value, unit = float(match[1]), match[2].casefold()
    match kind:
        case Kind.BYTES if unit == "%":
            return value, True
        case Kind.BYTES if unit in _SIZES:
            return value * _SIZES[unit], False
        case Kind.MS if unit in _TIMES:
            return value * _TIMES[unit], False
        case Kind.PERCENT if unit in {"", "%"}:
            return value, False
        case Kind.COUNT if not unit:
            return value, False
        case _:
            raise ValueError(f"expected {_EXPECTED[kind]}, not {text!r}")


_EXPECTED: Final = {
    Kind.TEXT: "a word",
    Kind.COUNT: "a number",
    Kind.PERCENT: "a percentage such as 80",
    Kind.BYTES: "a size such as 4GiB or 80%",
    Kind.MS: "a time such as 5s, 3m or 2h",
}


@dataclass(frozen=True, slots=True)
class _Term(Generic[R]):
    key: str
    """Empty: it looks at all shown text."""
    test: Test[R]


def _term(word: str, at: int, fields: Sequence[Field[R]]) -> _Term[R]:
    if word.startswith("!") and word != "!":
        inner = _term(word[1:], at + 1, fields)
        test = inner.test
        return _Term(inner.key, lambda row: not test(row))
    if word.startswith("/"):
        pattern = _pattern(word, at)
        return _Term("", _some_text(fields, lambda text: pattern.search(text) is not None))
    if word.startswith("~"):
        wanted = word[1:]
        if not wanted:
            raise QueryError("write characters behind ~", at)
        return _Term("", _some_text(fields, lambda text: fuzzy(wanted, text)))
    operator = None if word.startswith('"') else _OPERATOR.search(word)
    if operator is None or not _KEY.match(word[: operator.start()]):
        plain = _unquoted(word).casefold()
        return _Term("", _some_text(fields, lambda text: plain in text.casefold()))
    return _compared(word, operator, at, fields)


def _compared(word: str, operator: re.Match[str], at: int, fields: Sequence[Field[R]]) -> _Term[R]:
    key, value = word[: operator.start()], _unquoted(word[operator.end() :])
    found = _find(key, fields)
    if found is None:
        near = difflib.get_close_matches(key, [each.key for each in fields], n=1)
        more = f"; did you mean {near[0]}?" if near else ""
        raise QueryError(f"nothing is called {key!r} here{more}", at)
    place = at + operator.end()
    if not value:
        raise QueryError(f"write a value behind {word}", place)
    sign = operator[0]
    if sign in {"=", ":", "!="} and value.casefold() in UNKNOWN_WORDS:
        get = found.get
        wants = sign != "!="
        return _Term(found.key, lambda row: (get(row) is None) is wants)
    if found.kind is Kind.TEXT:
        return _Term(found.key, _text_test(found, sign, value, place))
    return _Term(found.key, _number_test(found, sign, value, place))


def _text_test(found: Field[R], sign: str, value: str, at: int) -> Test[R]:
    if sign in {"<", ">", "<=", ">="}:
        raise QueryError(f"{found.key} is a text: use : or =", at)
    folded = value.casefold()
    wanted = found.words.get(folded, (folded,))
    get = found.get

    def holds(row: R) -> bool:
        texts = [text.casefold() for text in _texts(get(row))]
        if sign == ":" and folded not in found.words:
            return any(folded in text for text in texts)
        return any(text in wanted for text in texts)

    return (lambda row: not holds(row)) if sign == "!=" else holds


def _number_test(found: Field[R], sign: str, value: str, at: int) -> Test[R]:
    try:
        wanted, share = number(value, found.kind)
    except ValueError as exc:
        raise QueryError(f"{found.key}: {exc}", at) from exc
    get: Callable[[R], Value] | None = found.share if share else found.get
    if get is None:
        raise QueryError(f"{found.key} has no percentage", at)
    ask, compare = get, _COMPARE[sign]

    def holds(row: R) -> bool:
        known = ask(row)
        return isinstance(known, int | float) and compare(known, wanted)

    return holds


_COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    ":": lambda a, b: a == b,
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def _some_text(fields: Sequence[Field[R]], holds: Callable[[str], bool]) -> Test[R]:
    getters = [each.get for each in fields if each.kind is Kind.TEXT]

    def test(row: R) -> bool:
        return any(holds(text) for get in getters for text in _texts(get(row)))

    return test


def _any_of_all(groups: Sequence[tuple[Test[R], ...]]) -> Test[R]:
    if len(groups) == 1:
        (only,) = groups
        return lambda row: all(test(row) for test in only)
    return lambda row: any(all(test(row) for test in group) for group in groups)


def _texts(value: Value) -> Iterable[str]:
    if value is None or isinstance(value, int | float):
        return ()
    return (value,) if isinstance(value, str) else value


def _find(key: str, fields: Sequence[Field[R]]) -> Field[R] | None:
    folded = key.casefold()
    return next((each for each in fields if folded == each.key or folded in each.aliases), None)


def _pattern(word: str, at: int) -> re.Pattern[str]:
    body = word[1:-1]
    if not body:
        raise QueryError("write a regular expression between the slashes", at)
    try:
        return re.compile(body, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as exc:
        place = getattr(exc, "pos", None) or 0
        words = getattr(exc, "msg", "too large")
        raise QueryError(f"not a regular expression: {words}", at + 1 + place) from exc


def _unquoted(word: str) -> str:
    return word[1:-1] if len(word) > 1 and word[0] == word[-1] == '"' else word


def _end_of(text: str, at: int) -> int:
    """Return where the term that begins at `at` ends."""
    start = at
    while at < len(text) and text[at] == "!":
        at += 1
    if at < len(text) and text[at] == "/":
        return _closing(text, at, "/", "the regular expression does not end: write / behind it")
    if text[start] == "|":
        return start + 1
    while at < len(text) and not text[at].isspace() and text[at] != "|":
        if text[at] == '"':
            at = _closing(text, at, '"', 'the quote does not end: write " behind it')
        else:
            at += 1
    return at


def _closing(text: str, at: int, mark: str, words: str) -> int:
    end = at + 1
    while end < len(text):
        if text[end] == "\\":
            end += 1
        elif text[end] == mark:
            return end + 1
        end += 1
    raise QueryError(words, at)
