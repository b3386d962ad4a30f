r"""Regular expressions whose search takes time in proportion to the text, whatever they say.

Python's `re` tries one way after the other; `(a+)+b` keeps it busy for hours, without letting any
other thread run: whoever may search a log could stop a leader's heartbeats. Here a pattern becomes
an automaton that reads each character once (K. Thompson, "Regular expression search algorithm",
CACM 11:6, 1968), its states made when they are first met. The price is that there are no back
references and no looking around, which need the trying.

What there is: literals, `.`, `[a-z]`, `[^...]`, `\d \w \s` and their opposites, `( | )`,
`* + ?`, `{m,n}`, `^`, `$`. Case does not matter. Only whether a text contains a match is told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

PATTERN_CHARACTERS_MAX: Final = 200
_STATES_MAX: Final = 1_000
_REPEATS_MAX: Final = 100
_DEPTH_MAX: Final = 20
_CACHED_MAX: Final = 20_000
"""Transitions that are remembered; beyond, all are forgotten and found again."""
_ESCAPED: Final[dict[str, Callable[[str], bool]]] = {
    "d": str.isdecimal,
    "w": lambda c: c.isalnum() or c == "_",
    "s": str.isspace,
}
_CONTROLS: Final = {"n": "\n", "t": "\t", "r": "\r"}
_NOT_LITERAL: Final = frozenset("bBAZzGpPkg")
Test = Callable[[str], bool]
Part = tuple[int, list[tuple[int, int]]]
"""Where a part of the automaton begins, and the (state, slot) that lead out of it."""
_SPLIT, _BEGIN, _END, _MATCH = "split", "begin", "end", "match"


@dataclass(slots=True)
class _State:
    what: str | Test
    out: list[int] = field(default_factory=lambda: [-1, -1])


class LinearRegex:
    """A compiled pattern."""

    def __init__(self, pattern: str) -> None:
        """Compile.

        Raises:
            ValueError: It is none, or one that this cannot do; the message says why.
        """
        if len(pattern) > PATTERN_CHARACTERS_MAX:
            raise ValueError(f"a pattern has at most {PATTERN_CHARACTERS_MAX} characters")
        parser = _Parser(pattern)
        self._states = parser.states
        self._start = parser.parse()
        self._ids: dict[frozenset[int], int] = {}
        self._sets: list[frozenset[int]] = []
        self._next: list[dict[str, int]] = []
        self._verdicts: list[tuple[bool, bool]] = []
        """Of each set of states: whether it is a match, and whether it is one at the text's end."""
        self._cached = 0

    def search(self, text: str) -> bool:
        """Return whether a text contains a match."""
        if self._cached > _CACHED_MAX:
            self._forget()
        at = self._id(self._closure({self._start}, begin=True))
        for character in text:
            if self._verdicts[at][0]:
                return True
            following = self._next[at].get(character)
            at = self._step(at, character) if following is None else following
        return self._verdicts[at][1]

    def _step(self, at: int, character: str) -> int:
        forms = {character, character.lower(), character.upper()}
        reached = {self._start}
        for number in self._sets[at]:
            state = self._states[number]
            if callable(state.what) and any(state.what(form) for form in forms):
                reached.add(state.out[0])
        following = self._id(self._closure(reached, begin=False))
        self._next[at][character] = following
        self._cached += 1
        return following

    def _closure(self, states: set[int], *, begin: bool, end: bool = False) -> frozenset[int]:
        """Return all states that can be reached without reading anything."""
        found: set[int] = set()
        due = list(states)
        while due:
            number = due.pop()
            if number in found:
                continue
            found.add(number)
            state = self._states[number]
            if state.what == _SPLIT:
                due += [out for out in state.out if out >= 0]
            elif (state.what == _BEGIN and begin) or (state.what == _END and end):
                due.append(state.out[0])
        return frozenset(found)

    def _id(self, states: frozenset[int]) -> int:
        if states not in self._ids:
            self._ids[states] = len(self._sets)
            self._sets.append(states)
            self._next.append({})
            # An empty text is at its beginning too; `^` was followed when the set was made.
            at_end = self._closure(set(states), begin=False, end=True)
            self._verdicts.append((self._matches(states), self._matches(at_end)))
            self._cached += 1
        return self._ids[states]

    def _matches(self, states: frozenset[int]) -> bool:
        return any(self._states[number].what == _MATCH for number in states)

    def _forget(self) -> None:
        self._ids, self._sets, self._next, self._verdicts = {}, [], [], []
        self._cached = 0


class _Parser:
    """Makes the automaton; recursive descent."""

    def __init__(self, pattern: str) -> None:
        self.states: list[_State] = []
        self._pattern = pattern
        self._at = 0
        self._depth = 0

    def parse(self) -> int:
        start, outs = self._alternatives()
        if self._at < len(self._pattern):
            raise ValueError(f"a ) without its ( at {self._at + 1}")
        self._join(outs, self._add(_MATCH))
        return start

    def _alternatives(self) -> Part:
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise ValueError(f"groups lie at most {_DEPTH_MAX} deep")
        start, outs = self._sequence()
        while self._take("|"):
            other, more = self._sequence()
            split = self._add(_SPLIT)
            self.states[split].out = [start, other]
            start, outs = split, outs + more
        self._depth -= 1
        return start, outs

    def _sequence(self) -> Part:
        start = self._add(_SPLIT)
        outs = [(start, 0)]
        while self._peek() not in {"", "|", ")"}:
            begin, more = self._repeated()
            self._join(outs, begin)
            outs = more
        return start, outs

    def _repeated(self) -> Part:
        begin = self._at
        part = self._atom()
        end = self._at
        least, most = self._count()
        if (least, most) == (1, 1):
            return part
        if self._at < len(self._pattern) and self._peek() in "*+{":
            raise ValueError(f"nothing to repeat at {self._at + 1}")
        self._take("?")  # The shortest match or the longest: a match there is.
        after = self._at
        parts = [part]
        for _ in range(1, max(least, 1 if most is None else most, 1)):
            self._at = begin
            parts.append(self._atom())
            assert self._at == end, "the same text is the same atom"
        self._at = after
        return self._chain(parts, least, endless=most is None, none=most == 0)

    def _chain(self, parts: list[Part], least: int, *, endless: bool, none: bool) -> Part:
        """Return a part that reads at least so many of the parts, one after the other."""
        start = self._add(_SPLIT)
        if none:
            return start, [(start, 0)]
        outs: list[tuple[int, int]] = [(start, 0)]
        leaving: list[tuple[int, int]] = []
        for number, (begin, ends) in enumerate(parts):
            if number >= least:
                choice = self._add(_SPLIT)
                self._join(outs, choice)
                self.states[choice].out[0] = begin
                leaving.append((choice, 1))
            else:
                self._join(outs, begin)
            outs = ends
        if endless:
            again = self._add(_SPLIT)
            self._join(outs, again)
            self.states[again].out[0] = parts[-1][0]
            outs = [(again, 1)]
        return start, outs + leaving

    def _count(self) -> tuple[int, int | None]:
        if self._take("*"):
            return 0, None
        if self._take("+"):
            return 1, None
        if self._take("?"):
            return 0, 1
        if self._peek() != "{":
            return 1, 1
        inside, closed, _ = self._pattern[self._at + 1 :].partition("}")
        least, comma, most = inside.partition(",")
        if not closed or not least.isdecimal() or not (most.isdecimal() or not most):
            raise ValueError(f"{{m}}, {{m,}} or {{m,n}} expected at {self._at + 1}")
        self._at += len(inside) + 2
        first = int(least)
        last = (int(most) if most else None) if comma else first
        if max(first, last or 0) > _REPEATS_MAX or (last is not None and last < first):
            raise ValueError(f"a count is at most {_REPEATS_MAX}, and the first is the lower one")
        return first, last

    def _atom(self) -> Part:
        character = self._pattern[self._at]
        self._at += 1
        if character == "(":
            return self._group()
        if character in "*+?{":
            raise ValueError(f"nothing to repeat at {self._at}")
        if character in "^$":
            state = self._add(_BEGIN if character == "^" else _END)
        elif character == ".":
            state = self._add(lambda c: c != "\n")
        elif character == "[":
            state = self._add(self._class())
        elif character == "\\":
            state = self._add(self._escape())
        else:
            state = self._add(_literal(character))
        return state, [(state, 0)]

    def _group(self) -> Part:
        if self._take("?") and not self._take(":"):
            raise ValueError("groups with ? other than (?:...) are not possible here")
        part = self._alternatives()
        if not self._take(")"):
            raise ValueError("a ( without its )")
        return part

    def _escape(self) -> Test:
        character = self._peek()
        self._at += 1
        if not character:
            raise ValueError("the pattern ends with a lone \\")
        if character.lower() in _ESCAPED:
            test = _ESCAPED[character.lower()]
            return test if character.islower() else lambda c: not test(c)
        if character in _CONTROLS:
            return _literal(_CONTROLS[character])
        if character.isdecimal() or character in _NOT_LITERAL or character.isalpha():
            raise ValueError(f"\\{character} is not possible here")
        return _literal(character)

    def _class(self) -> Test:
        negated = self._take("^")
        tests: list[Test] = []
        first = True
        while first or self._peek() != "]":
            if not self._peek():
                raise ValueError("a [ without its ]")
            first = False
            tests.append(self._class_item())
        self._at += 1
        if negated:
            return _none_of(tests)
        return lambda c: any(test(c) for test in tests)

    def _class_item(self) -> Test:
        if self._take("\\"):
            return self._escape()
        low = self._pattern[self._at]
        self._at += 1
        if self._peek() != "-" or self._pattern[self._at + 1 : self._at + 2] in {"]", ""}:
            return _literal(low)
        high = self._pattern[self._at + 1]
        self._at += 2
        if high == "\\" or high < low:
            raise ValueError(f"the range {low}-{high} is none")
        return lambda c: low <= c <= high

    def _add(self, what: str | Test) -> int:
        if len(self.states) >= _STATES_MAX:
            raise ValueError("the pattern is too large when its counts are written out")
        self.states.append(_State(what))
        return len(self.states) - 1

    def _join(self, outs: list[tuple[int, int]], target: int) -> None:
        for state, slot in outs:
            self.states[state].out[slot] = target

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _take(self, character: str) -> bool:
        found = self._peek() == character
        self._at += found
        return found


def _literal(character: str) -> Test:
    return lambda c: c == character


def _none_of(tests: list[Test]) -> Test:
    def test(character: str) -> bool:
        forms = {character, character.lower(), character.upper()}
        return not any(one(form) for one in tests for form in forms)

    return test
