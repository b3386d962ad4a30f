"""Filters under any input: nothing but `QueryError`, and the laws of not, and, or."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bzzz_tui.query import Query, QueryError, completions, parse
from tests.unit.test_query import FIELDS, MACHINES, Machine

WORDS = st.text(alphabet="abz12-é", min_size=1, max_size=5)
TERMS = st.one_of(
    WORDS,
    WORDS.map(lambda word: f"~{word}"),
    WORDS.map(lambda word: f"/{word}/"),
    WORDS.map(lambda word: f"name:{word}"),
    st.sampled_from(["state=down", "state=dead", "cpu=n/a", "!alive", "mem>80%"]),
    st.tuples(
        st.sampled_from(["cpu"]),
        st.sampled_from([">", "<", ">=", "<=", "=", "!="]),
        st.integers(-1, 101).map(str),
    ).map("".join),
    st.integers(0, 200).map(lambda n: f"heard>{n}s"),
    st.integers(0, 20).map(lambda n: f"mem<={n}GiB"),
)
ROWS = st.builds(
    Machine,
    name=st.text(max_size=8),
    state=st.sampled_from(["alive", "suspect", "dead", "left"]),
    cpu=st.none() | st.floats(0, 100),
    used=st.none() | st.integers(0, 1 << 36),
    total=st.none() | st.integers(0, 1 << 37),
    heard=st.none() | st.integers(0, 10**7),
)
ANYTHING = st.text(max_size=60) | st.text(alphabet='ab !/~"|:=<>%5.cpu\\(', max_size=30)


def query(text: str) -> Query[Machine]:
    return parse(text, FIELDS)


@given(ANYTHING)
def test_any_text_is_a_filter_or_a_mistake_with_a_place_inside(text: str) -> None:
    mistake = None
    try:
        made = query(text)
    except QueryError as exc:
        mistake = exc
    else:
        assert all(made.matches(machine) in {True, False} for machine in MACHINES)
    assert mistake is None or (0 <= mistake.at <= len(text) and str(mistake))


@given(ANYTHING)
def test_a_filter_written_down_is_read_as_the_same(text: str) -> None:
    with contextlib.suppress(QueryError):
        made = query(text)
        if '"' not in text and "/" not in text:  # There blanks are part of what is meant.
            again = query(made.text)
            assert [again.matches(m) for m in MACHINES] == [made.matches(m) for m in MACHINES]


@given(ANYTHING)
def test_completion_never_fails_and_keeps_what_was_written(text: str) -> None:
    head = text.rpartition(" ")[0]
    assert all(each.startswith(head) for each in completions(text, FIELDS))


@given(TERMS, ROWS)
def test_not_is_the_opposite(term: str, row: Machine) -> None:
    assert query(f"!{term}").matches(row) is not query(term).matches(row)


@given(TERMS, TERMS, ROWS)
def test_a_blank_is_and(one: str, other: str, row: Machine) -> None:
    both = query(one).matches(row) and query(other).matches(row)
    assert query(f"{one} {other}").matches(row) is both
    assert query(f"{other} {one}").matches(row) is both


@given(TERMS, TERMS, TERMS, ROWS)
def test_a_bar_is_or_and_binds_less(one: str, other: str, third: str, row: Machine) -> None:
    a, b, c = (query(term).matches(row) for term in (one, other, third))
    assert query(f"{one} {other} | {third}").matches(row) is ((a and b) or c)


@given(st.floats(0, 100), st.integers(0, 100))
def test_larger_smaller_and_equal_share_the_numbers_among_them(value: float, limit: int) -> None:
    row = Machine("x", cpu=value)
    said = [query(f"cpu{sign}{limit}").matches(row) for sign in ("<", "=", ">")]
    assert said.count(True) == 1
    assert query(f"cpu<={limit}").matches(row) is (said[0] or said[1])
    assert query(f"cpu>={limit}").matches(row) is (said[2] or said[1])


@pytest.mark.parametrize("text", ["mem>1KiB", "mem>1kb", "mem>1024b", "mem>0.001MiB"])
def test_units_of_one_size_agree(text: str) -> None:
    assert query(text).matches(Machine("x", used=2_000))
    assert not query(text).matches(Machine("x", used=900))
