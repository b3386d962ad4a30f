"""The language of filters: what each form finds, and what is said of what is none."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from bzzz_tui.query import Field, Kind, QueryError, completions, fuzzy, parse, tokens


@dataclass(frozen=True)
class Machine:
    name: str
    state: str = "alive"
    cpu: float | None = None
    used: int | None = None
    total: int | None = None
    heard: int | None = None
    models: tuple[str, ...] = ()


FIELDS: tuple[Field[Machine], ...] = (
    Field(key="name", get=lambda m: m.name),
    Field(
        key="state",
        get=lambda m: m.state,
        words={"down": ("dead", "suspect"), "dead": ("dead",)},
    ),
    Field(key="cpu", kind=Kind.PERCENT, get=lambda m: m.cpu),
    Field(
        key="memory",
        kind=Kind.BYTES,
        get=lambda m: m.used,
        share=lambda m: 100 * m.used / m.total if m.used is not None and m.total else None,
        aliases=("mem",),
    ),
    Field(key="heard", kind=Kind.MS, get=lambda m: m.heard),
    Field(key="models", get=lambda m: m.models),
)
GIB = 1 << 30
MACHINES = (
    Machine("bzzz-1", cpu=10, used=2 * GIB, total=16 * GIB, heard=400, models=("llama3:8b",)),
    Machine("bzzz-2", cpu=85.5, used=14 * GIB, total=16 * GIB, heard=6_000),
    Machine("gpu box", state="dead"),
    Machine("edge", state="suspect", heard=90_000),
)


def found(text: str) -> list[str]:
    query = parse(text, FIELDS)
    return [machine.name for machine in MACHINES if query.matches(machine)]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ["bzzz-1", "bzzz-2", "gpu box", "edge"]),
        ("   ", ["bzzz-1", "bzzz-2", "gpu box", "edge"]),
        ("BZZZ", ["bzzz-1", "bzzz-2"]),
        ("llama", ["bzzz-1"]),
        ('"gpu box"', ["gpu box"]),
        ("/^bzzz-[2-9]$/", ["bzzz-2"]),
        ("/a b|u b/", ["gpu box"]),
        ("~bz2", ["bzzz-2"]),
        ("!bzzz", ["gpu box", "edge"]),
        ("!!bzzz", ["bzzz-1", "bzzz-2"]),
        ("!/^b/", ["gpu box", "edge"]),
        ("name:u", ["gpu box"]),
        ('name="gpu box"', ["gpu box"]),
        ("name=bzzz", []),
        ("name!=edge", ["bzzz-1", "bzzz-2", "gpu box"]),
        ("state=down", ["gpu box", "edge"]),
        ("state:down", ["gpu box", "edge"]),
        ("state!=down", ["bzzz-1", "bzzz-2"]),
        ("state=dead", ["gpu box"]),
        ("cpu>80", ["bzzz-2"]),
        ("cpu>80%", ["bzzz-2"]),
        ("cpu<=10", ["bzzz-1"]),
        ("cpu=10", ["bzzz-1"]),
        ("cpu!=10", ["bzzz-2"]),
        ("cpu=n/a", ["gpu box", "edge"]),
        ("cpu!=n/a", ["bzzz-1", "bzzz-2"]),
        ("cpu:unknown", ["gpu box", "edge"]),
        ("mem>4GiB", ["bzzz-2"]),
        ("mem>=2048MiB", ["bzzz-1", "bzzz-2"]),
        ("memory<3gb", ["bzzz-1"]),
        ("memory>80%", ["bzzz-2"]),
        ("heard>5s", ["bzzz-2", "edge"]),
        ("heard>1.5m", []),
        ("heard>=90s", ["edge"]),
        ("heard<500ms", ["bzzz-1"]),
        ("bzzz cpu>80", ["bzzz-2"]),
        ("cpu>80 | state=dead", ["bzzz-2", "gpu box"]),
        ("bzzz cpu<50|edge", ["bzzz-1", "edge"]),
        ("models:llama", ["bzzz-1"]),
        ("models=llama3:8b", ["bzzz-1"]),
    ],
)
def test_what_a_filter_finds(text: str, names: list[str]) -> None:
    assert found(text) == names


def test_what_is_not_known_is_neither_large_nor_small_nor_equal() -> None:
    for sign in ("<", ">", "<=", ">=", "=", "!="):
        assert "gpu box" not in found(f"cpu{sign}50")


@pytest.mark.parametrize(
    ("text", "at", "words"),
    [
        ("cpx>80", 0, "did you mean cpu"),
        ("bzzz  cpx>80", 6, "nothing is called 'cpx'"),
        ("!cpx=1", 1, "nothing is called"),
        ("cpu>", 4, "write a value"),
        ("cpu>eighty", 4, "expected a percentage"),
        ("cpu>4GiB", 4, "expected a percentage"),
        ("mem>4", 4, "expected a size such as 4GiB"),
        ("heard>5", 6, "expected a time such as 5s"),
        ("heard>5GiB", 6, "expected a time"),
        ("name>5", 5, "is a text"),
        ("/[/", 1, "not a regular expression"),
        ("//", 0, "between the slashes"),
        ("/abc", 0, "does not end"),
        ('"abc', 0, "does not end"),
        ("~", 0, "behind ~"),
        ("| a", 0, "before |"),
        ("a || b", 3, "before |"),
        ("a |", 3, "behind |"),
        ("x" * 501, 500, "longer than"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, at: int, words: str) -> None:
    with pytest.raises(QueryError, match=words.replace("|", r"\|")) as told:
        parse(text, FIELDS)
    assert told.value.at == at


def test_a_filter_says_at_which_fields_it_looks() -> None:
    query = parse("cpu>80 | mem>1GiB", FIELDS)
    assert query.keys == {"cpu", "memory"}
    assert not query.everything
    assert parse("!word cpu>1", FIELDS).everything


def test_names_of_fields_and_known_words_are_completed() -> None:
    assert completions("c", FIELDS) == ["cpu>"]
    assert completions("bzzz !st", FIELDS) == ["bzzz !state:"]
    assert completions("state=d", FIELDS) == ["state=down", "state=dead"]
    assert completions("cpu>8", FIELDS) == []
    assert len(completions("", FIELDS)) == len(FIELDS)


def test_terms_keep_their_place() -> None:
    assert tokens('  a "b c"|/d e/') == [(2, "a"), (4, '"b c"'), (9, "|"), (10, "/d e/")]


def test_fuzzy_wants_the_order() -> None:
    assert fuzzy("bz2", "BZZZ-2")
    assert not fuzzy("2bz", "bzzz-2")
