"""Our regular expressions find what Python's find, and cannot be made to take long."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bzzz_core.telemetry.linear_regex import LinearRegex

ATOMS = st.sampled_from(
    ["a", "b", "C", "1", " ", ".", r"\d", r"\w", r"\S", "[ab]", "[^a]", "[a-c1]", "^", "$", r"\."]
)
COUNTS = st.sampled_from(["", "", "", "*", "+", "?", "{2}", "{1,3}", "{0,2}", "{2,}", "*?"])


@st.composite
def patterns(draw: st.DrawFn, depth: int = 2) -> str:
    parts = []
    for _ in range(draw(st.integers(0, 3))):
        if depth and draw(st.booleans()):
            inner = draw(patterns(depth=depth - 1))
            parts.append(f"({inner})" + draw(COUNTS))
        else:
            atom = draw(ATOMS)
            parts.append(atom if atom in "^$" else atom + draw(COUNTS))
    joined = "".join(parts)
    return (
        f"{joined}|{draw(patterns(depth=depth - 1))}" if depth and draw(st.booleans()) else joined
    )


@settings(max_examples=400)
@given(patterns(), st.lists(st.text(alphabet="abcAC1 .", max_size=8), max_size=4))
def test_it_finds_what_pythons_finds(pattern: str, texts: list[str]) -> None:
    ours, theirs = LinearRegex(pattern), re.compile(pattern, re.IGNORECASE)
    for text in texts:
        assert ours.search(text) == bool(theirs.search(text)), (pattern, text)


@settings(max_examples=300)
@given(st.text(max_size=30))
def test_any_text_is_a_pattern_or_refused(pattern: str) -> None:
    try:
        LinearRegex(pattern).search("some text 123")
    except ValueError:
        return


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|a)*b", "(.*)*(.*)*(.*)*x", "(a?){50}a{50}"])
def test_what_keeps_python_busy_for_hours_takes_a_moment(pattern: str) -> None:
    started = time.process_time()
    assert (
        not LinearRegex(pattern.replace("{50}", "{30}")).search("a" * 25 + "c") or "a?" in pattern
    )
    for _ in range(50):
        LinearRegex(pattern).search("a" * 2_000)
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    "wrong",
    ["(", ")", "[", "a{2", "*", "a**", r"(a)\1", "(?=a)", "\\", "[z-a]", "a{9999}", "x" * 999],
)
def test_what_it_cannot_do_is_refused_with_a_reason(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        LinearRegex(wrong)


def test_case_does_not_matter_and_hostile_texts_do_not_fill_the_memory() -> None:
    pattern = LinearRegex("Größe [^x]")
    assert pattern.search("GRÖßE y")
    for start in range(0, 1_000_000, 50_000):
        pattern.search("".join(chr(c) for c in range(start + 1, start + 50_000)))
        assert pattern._cached <= 120_000
