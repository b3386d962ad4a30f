"""How values are written: the unknown is not zero, and text from the network cannot steer."""

from __future__ import annotations

import pytest

from bzzz_core.model import MemberState
from bzzz_tui import wording
from bzzz_tui.parts import Fact, Hint, fact_line, hint_line, text_of
from bzzz_tui.widgets.columns import GAP, Column, place
from bzzz_tui.wording import ASCII, UNICODE, Tone


def test_unknown_is_never_written_as_a_number() -> None:
    texts = [
        wording.percent(None),
        wording.size(None),
        wording.used_of(None, 5),
        wording.used_of(5, None),
        wording.span(None),
    ]
    assert texts == ["n/a"] * 5
    assert wording.ago(None) == "never"


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (123 << 20, "123 MiB"), (1 << 50, "1.0 PiB")],
)
def test_sizes_have_a_binary_unit(count: int, text: str) -> None:
    assert wording.size(count) == text


def test_used_of_uses_the_unit_of_the_total() -> None:
    assert wording.used_of(512 << 20, 16 << 30) == "0.5/16.0 GiB"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0s"), (59, "59s"), (61, "1m01s"), (3_600, "1h00m"), (90_000, "1d1h"), (-3, "0s")],
)
def test_spans_show_their_largest_units(seconds: float, text: str) -> None:
    assert wording.span(seconds) == text


def test_a_node_that_reports_each_second_reads_steadily() -> None:
    assert {wording.ago(ms) for ms in range(0, 2_000, 100)} == {"now"}


@pytest.mark.parametrize(
    "hostile", ["\x1b[2Jhost", "a\rb", "a\u202eb", "a\x9bb", "a\nb", "\u200bb"]
)
def test_text_that_could_steer_a_terminal_is_made_harmless(hostile: str) -> None:
    assert wording.clean(hostile).isprintable()


def test_ordinary_names_in_any_script_stay_as_they_are() -> None:
    assert wording.clean("Knoten-ä-節点") == "Knoten-ä-節点"


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
@pytest.mark.parametrize("share", [None, -1.0, 0.0, 0.3, 0.999, 1.0, 7.0])
def test_a_bar_always_fills_its_width(share: float | None, glyphs: wording.Glyphs) -> None:
    filled, track = wording.bar(share, 10, glyphs)
    assert len(filled + track) == 10


def test_ascii_glyphs_are_ascii() -> None:
    texts = [getattr(ASCII, name) for name in ASCII.__slots__]
    assert all(text.isascii() for text in texts)


def test_every_state_has_a_glyph_a_word_and_a_tone_of_its_own_kind() -> None:
    shown = {wording.member_state(state, UNICODE) for state in MemberState}
    assert len({text[0] for text, _ in shown}) == len(MemberState)


def test_a_line_of_facts_says_less_and_then_leaves_out_the_least_important() -> None:
    facts = [
        Fact(1, [("cluster", Tone.PLAIN)]),
        Fact(0, [("leader bzzz-1 (term 4, 3h)", Tone.PLAIN)], [("leader bzzz-1", Tone.PLAIN)]),
        Fact(2, [("nodes 3/3", Tone.PLAIN)]),
    ]
    assert text_of(fact_line(facts, "·", 80)) == "cluster · leader bzzz-1 (term 4, 3h) · nodes 3/3"
    assert text_of(fact_line(facts, "·", 40)) == "cluster  leader bzzz-1  nodes 3/3"
    assert text_of(fact_line(facts, "·", 30)) == "cluster  leader bzzz-1"
    assert text_of(fact_line(facts, "·", 3)) == "leader bzzz-1"


def test_of_the_hints_the_most_important_are_kept_in_their_order() -> None:
    hints = [
        Hint("Enter", "open", 2),
        Hint("d", "describe", 2),
        Hint("?", "keys", 0),
        Hint("z", "on", 2),
    ]

    def shown(width: int) -> str:
        return text_of(hint_line(hints, "   ", width))

    assert shown(80) == "Enter open   d describe   ? keys   z on"
    assert shown(34) == "Enter open   d describe   ? keys"
    assert shown(31) == "Enter open   ? keys   z on", "the shorter one fits"
    assert shown(12) == "? keys"
    assert not shown(3)


def test_columns_leave_by_priority_and_grow_into_what_is_left() -> None:
    wanted = (
        Column(key="a", title="A", width=5),
        Column(key="b", title="B", width=5, priority=2),
        Column(key="c", title="C", width=5, priority=1, width_max=9),
    )
    assert [p.column.key for p in place(wanted, 5 * 3 + GAP * 2)] == ["a", "b", "c"]
    assert [p.column.key for p in place(wanted, 5 * 2 + GAP)] == ["a", "c"]
    assert [p.column.key for p in place(wanted, 1)] == ["a"]
    assert place(wanted, 200)[2].width == 9
