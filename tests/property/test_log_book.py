"""Merging against an oracle that sorts, whatever comes late or out of a bad clock."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from bzzz_core.telemetry.linear_regex import LinearRegex
from bzzz_core.telemetry.log_line import LogLine
from bzzz_tui.logs.book import LogBook
from bzzz_tui.logs.fields import filter_of
from bzzz_tui.logs.histogram import Histogram, step_for
from bzzz_tui.logs.matching import MatchError, match_of, tame
from bzzz_tui.logs.shown import ShownLines

NODES = ("a", "b", "c")
LEVELS = ("debug", "info", "warning", "error")


def _at(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1_000, UTC).isoformat(timespec="milliseconds")


def _line(node: str, number: int, ms: int, text: str = "words") -> LogLine:
    return LogLine(
        number=number,
        at=_at(ms),
        node=node,
        level=LEVELS[ms % 4],  # type: ignore[arg-type]
        component="agent",
        text=text,
    )


clocks = st.lists(st.integers(0, 40), max_size=25)
"""Times that a node's lines say, in the order of the lines: its clock may jump."""
logs = st.fixed_dictionaries(dict.fromkeys(NODES, clocks))


@st.composite
def deliveries(draw: st.DrawFn) -> list[tuple[str, list[LogLine]]]:
    """Pieces of each node's log in their order, nodes mixed at will."""
    left = {
        node: [_line(node, n + 1, ms) for n, ms in enumerate(times)]
        for node, times in draw(logs).items()
    }
    pieces = []
    while any(left.values()):
        node = draw(st.sampled_from([node for node, lines in left.items() if lines]))
        count = draw(st.integers(1, len(left[node])))
        pieces.append((node, left[node][:count]))
        left[node] = left[node][count:]
    return pieces


def _oracle(pieces: list[tuple[str, list[LogLine]]]) -> list[tuple[str, int]]:
    """Sort by (time that never runs back within a node, node, number)."""
    keys = []
    for node in NODES:
        latest = 0
        for line in [line for name, lines in pieces if name == node for line in lines]:
            latest = max(latest, round(datetime.fromisoformat(line.at).timestamp() * 1_000))
            keys.append((latest, node, line.number))
    return [(node, number) for _, node, number in sorted(keys)]


def _held(book: LogBook) -> list[tuple[str, int]]:
    return [(entry.node, entry.number) for entry in book.entries]


@given(deliveries())
def test_lines_are_where_sorting_puts_them(pieces: list[tuple[str, list[LogLine]]]) -> None:
    book = LogBook()
    for node, lines in pieces:
        book.add(node, lines)
    assert _held(book) == _oracle(pieces)


@given(deliveries(), st.integers(1, 20))
def test_what_falls_out_is_the_oldest_and_counted(
    pieces: list[tuple[str, list[LogLine]]], lines_max: int
) -> None:
    book = LogBook(lines_max=lines_max)
    total = 0
    for node, lines in pieces:
        total += len(lines)
        before = list(book.entries)
        change = book.add(node, lines)
        assert len(book.entries) == min(total, lines_max)
        everything = sorted([*before, *change.came, *()], key=lambda e: e.key)
        assert book.entries == everything[-len(book.entries) :]
    assert book.fallen == total - len(book.entries)
    assert sum(node.held for node in book.nodes.values()) == len(book.entries)


@given(clocks, clocks)
def test_older_lines_go_before_what_came_first(older: list[int], newer: list[int]) -> None:
    """The history of a node is asked for while its new lines already come in."""
    book = LogBook()
    lines = [_line("a", n + 1, ms) for n, ms in enumerate([*older, *newer])]
    book.add("b", [_line("b", 1, 20)])
    book.add("a", lines[len(older) :])
    book.add("a", lines[: len(older)], before=True)
    assert [number for node, number in _held(book) if node == "a"] == [e.number for e in lines]
    assert book.entries == sorted(book.entries, key=lambda entry: entry.key)


@given(deliveries(), st.integers(1, 30), st.sampled_from(["", "level=error", "node=a", "words"]))
def test_a_selection_is_what_filtering_gives(
    pieces: list[tuple[str, list[LogLine]]], lines_max: int, query: str
) -> None:
    """Kept up to date line by line, begun in the middle: as filtering all at the end."""
    shown = ShownLines(LogBook(lines_max=lines_max))
    half = len(pieces) // 2
    for node, lines in pieces[:half]:
        shown.add(node, lines)
    test = filter_of(query)
    shown.choose(test)
    for node, lines in pieces[half:]:
        shown.add(node, lines)
        shown.work(lambda: False)
    while shown.progress is not None:
        shown.work(lambda: False)
    assert list(shown.entries) == [entry for entry in shown.book.entries if test(entry)]
    counted = sum(bucket.total for bucket in shown.histogram.buckets(10_000))
    assert counted == len(shown.entries)


@given(st.lists(st.integers(0, 10**10), min_size=1, max_size=30), st.integers(1, 200))
def test_buckets_fit_and_count_everything(times: list[int], width: int) -> None:
    book = LogBook()
    book.add("a", [_line("a", n + 1, ms) for n, ms in enumerate(sorted(times))])
    histogram = Histogram()
    histogram.count(book.entries)
    histogram.fit(book.entries, width)
    first, last = book.entries[0].key[0], book.entries[-1].key[0]
    buckets = histogram.buckets(width)
    assert len(buckets) <= width
    if last // step_for(first, last, width) - first // step_for(first, last, width) < width:
        assert sum(bucket.total for bucket in buckets) == len(book.entries)


patterns = st.text(alphabet="abAB.*+?|()[]{}^$\\dw-1,2", min_size=1, max_size=12)


@given(patterns, st.text(alphabet="abAB1 ", max_size=12))
def test_a_quick_pattern_finds_what_the_slow_one_does(body: str, text: str) -> None:
    """The lowered `re` on folded text and the linear automaton agree."""
    try:
        match = match_of(f"/{body}/")
    except MatchError:
        return
    book = LogBook()
    (entry,) = book.add("n", [_line("n", 1, 1, text)]).came
    assert match.finds(entry) == LinearRegex(body).search(entry.folded)
    assert match.costly or tame(body)
