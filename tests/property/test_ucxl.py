"""Any text gives an address or one kind of error; any address survives being written and read."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bzzz_core.errors import AddressError
from bzzz_core.ucxl import address as module
from bzzz_core.ucxl.address import Address, normalize, parse
from bzzz_core.ucxl.field import FIELD_BYTES_MAX, Field, Wildcard
from bzzz_core.ucxl.pattern import matches
from bzzz_core.ucxl.temporal import STEPS_MAX, AsOf, Earliest, Latest, choose

YEAR_1_US, YEAR_10000_US = -62_135_596_800_000_000, 253_402_300_800_000_000
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=60)
PIECES = st.sampled_from(
    ["ucxl://", "a", "*", "**", ":", "@", "/", "//", "^", "~", "*^", "*~", "*@", "%", "%2", "%2A",
     "%C3", "%A9", "%00", "..", ".", "é", "\x00", "\ud800", " ", "1", "0", "999999999", "?", "#",
     "2026-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "+02:00", "a:r@p:t", "ucxl://a:r@p:t/"]
)  # fmt: skip
ENCODED = st.lists(
    st.sampled_from(["a", ".", "-", "%41", "%2E", "%2F", "%2a", "%25", "%C3%A9", "%C3", "%00",
                     "%zz", "%", "%E2%80%AE", "é"]),
    min_size=1,
    max_size=3,
).map("".join)  # fmt: skip
"""A field that is nearly right, or right."""
NEARLY = st.builds(
    "ucxl://{}:{}@{}:{}/{}{}".format,
    *[ENCODED] * 4,
    st.lists(ENCODED, max_size=3).map("/".join),
    st.sampled_from(["", "/", "*^", "*~3", "*@2026-01-01T00:00:00Z", "*@9"]),
)
HOSTILE = st.one_of(ANY_TEXT, NEARLY, st.lists(PIECES, max_size=12).map("".join))


def storable(value: str) -> bool:
    try:
        Address(agent=value, role="r", project="p", task="t")
    except AddressError:
        return False
    return True


LITERAL = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=8).filter(
    storable
)
NAME: st.SearchStrategy[Field] = st.one_of(LITERAL, st.just("a"), st.just(Wildcard.ONE))
SEGMENT: st.SearchStrategy[Field] = st.one_of(LITERAL, st.just("a"), st.sampled_from(Wildcard))
STEPS = st.integers(0, STEPS_MAX)
TEMPORAL = st.one_of(
    STEPS.map(Latest),
    STEPS.map(Earliest),
    st.integers(YEAR_1_US, YEAR_10000_US - 1).map(AsOf),
)
ADDRESSES = st.builds(
    Address,
    agent=NAME,
    role=NAME,
    project=NAME,
    task=NAME,
    path=st.lists(SEGMENT, max_size=5).map(tuple),
    temporal=TEMPORAL,
)


@settings(max_examples=600)
@given(HOSTILE)
@example("ucxl://a:r@p:t/" + "*" * 5_000)
@example("ucxl://a:r@p:t/" + "a/" * 2_000 + "*^")
@example("%" * 100_000)
@example("ucxl://a:r@p:t/x*@" + "9" * 4_000)
@example("ucxl://a:r@p:t/x*^" + "9" * 4_000)
def test_no_text_raises_anything_but_an_address_error_with_its_place(text: str) -> None:
    match outcome(text, fast=True):
        case Address() as found:
            assert parse(str(found)) == found
        case (int(position), str(message)):
            assert 0 <= position <= len(text)
            assert message.isprintable()
        case other:
            pytest.fail(f"no place: {other}")


@settings(max_examples=400)
@given(ADDRESSES)
def test_address_survives_being_written_and_read(address: Address) -> None:
    text = str(address)
    assert parse(text) == address
    assert normalize(text) == text
    assert text.isascii()
    assert hash(parse(text)) == hash(address)


@settings(max_examples=1_500)
@given(HOSTILE)
@example("ucxl://a:%2E@p:t/")
@example("ucxl://a:r@p:t/%2E%2e")
@example("ucxl://a:r@p:t/%zz")
def test_fast_way_and_reader_say_the_same(text: str) -> None:
    assert outcome(text, fast=True) == outcome(text, fast=False)


@given(address=ADDRESSES, slash=st.booleans(), encoded=st.booleans())
def test_case_of_the_scheme_final_slash_and_needless_encoding_change_nothing(
    address: Address, *, slash: bool, encoded: bool
) -> None:
    text = "UCXL" + str(address).removeprefix("ucxl")
    if slash and not text.endswith("/"):
        text += "/"
    if encoded and isinstance(address.agent, str):
        needless = "".join(f"%{byte:02x}" for byte in address.agent.encode())
        text = text.replace(f"//{quote(address.agent, safe='')}:", f"//{needless}:", 1)
    assert parse(text) == address


@given(ADDRESSES.filter(lambda address: not address.is_pattern), st.data())
def test_address_is_matched_by_itself_with_any_of_it_left_open(
    address: Address, data: st.DataObject
) -> None:
    assert matches(address, address)
    opened = [data.draw(st.sampled_from([name, Wildcard.ONE])) for name in address.names]
    path: list[Field] = []
    one, deep = Wildcard.ONE, Wildcard.DEEP
    for segment in address.path:
        path += data.draw(
            st.sampled_from([[segment], [one], [deep], [deep, segment], [deep, deep]])
        )
    agent, role, project, task = opened
    pattern = Address(agent=agent, role=role, project=project, task=task, path=tuple(path))
    assert matches(pattern, address)


SMALL = st.lists(st.sampled_from(["a", "b"]), max_size=6).map(tuple)
SMALL_PATTERN = st.lists(st.sampled_from(["a", "b", *Wildcard]), max_size=5).map(tuple)


@settings(max_examples=500)
@given(SMALL_PATTERN, SMALL)
def test_matching_agrees_with_the_definition(
    wanted: tuple[Field, ...], found: tuple[str, ...]
) -> None:
    pattern = Address(agent="a", role="r", project="p", task="t", path=wanted)
    address = Address(agent="a", role="r", project="p", task="t", path=found)
    assert matches(pattern, address) == by_definition(wanted, found)


@given(st.lists(st.integers(-5, 5), max_size=8), st.integers(-6, 6))
def test_as_of_is_the_last_version_made_by_then_even_if_clocks_went_back(
    made: list[int], limit: int
) -> None:
    versions = list(enumerate(made))
    found = choose(versions, AsOf(limit), at_us=lambda version: version[1])
    allowed = [version for version in versions if version[1] <= limit]
    assert found == (allowed[-1] if allowed else None)


@pytest.mark.parametrize("value", ["", ".", "..", "\x00", "\u202e", "\ud800", "x" * 256, "é" * 128])
def test_address_cannot_be_made_of_what_cannot_be_written(value: str) -> None:
    for fields in ({"task": value}, {"path": ("x", value)}):
        with pytest.raises(AddressError) as caught:
            Address(**({"agent": "a", "role": "r", "project": "p", "task": "t"} | fields))  # type: ignore[arg-type]
        assert caught.value.position is None


def test_address_cannot_be_made_too_large() -> None:
    segment = "x" * FIELD_BYTES_MAX
    with pytest.raises(AddressError, match="128 segments"):
        Address(agent="a", role="r", project="p", task="t", path=("x",) * 129)
    with pytest.raises(AddressError, match="longer than 4096"):
        Address(agent="a", role="r", project="p", task="t", path=(segment,) * 17)
    with pytest.raises(AddressError, match="only a path"):
        Address(agent=Wildcard.DEEP, role="r", project="p", task="t")


def test_pattern_is_not_compared_with_a_pattern() -> None:
    pattern = parse("ucxl://a:r@p:t/*")
    with pytest.raises(AddressError, match="without wildcards"):
        matches(pattern, pattern)


def test_steps_and_times_out_of_bounds_are_refused() -> None:
    for make in (lambda: Latest(-1), lambda: Earliest(STEPS_MAX + 1), lambda: AsOf(10**30)):
        with pytest.raises(AddressError):
            make()


def outcome(text: str, *, fast: bool) -> object:
    try:
        return parse(text) if fast else module._read(text)
    except AddressError as exc:
        return exc.position, str(exc)


def by_definition(wanted: tuple[Field, ...], found: tuple[str, ...]) -> bool:
    if not wanted:
        return not found
    head, rest = wanted[0], wanted[1:]
    if head is Wildcard.DEEP:
        return any(by_definition(rest, found[taken:]) for taken in range(len(found) + 1))
    return bool(found) and head in (found[0], Wildcard.ONE) and by_definition(rest, found[1:])
