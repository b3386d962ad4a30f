"""The ring holds the newest lines, numbered, within its bounds, for any number of threads."""

from collections.abc import Callable
from threading import Thread

from bzzz_core.telemetry.log_line import LogLine
from bzzz_core.telemetry.log_ring import LogRing


def saying(text: str) -> Callable[[int], LogLine]:
    def make(number: int) -> LogLine:
        return LogLine(
            number=number,
            at="2026-01-01T00:00:00.000Z",
            node="a",
            level="info",
            component="agent",
            text=text,
        )

    return make


def test_a_reader_gets_what_came_since_and_hears_how_much_is_gone() -> None:
    ring = LogRing(lines_max=3)
    assert ring.since(0).lines == ()
    for text in "abcde":
        ring.add(saying(text))
    held = ring.since(1)
    assert ([line.text for line in held.lines], held.lost) == (["c", "d", "e"], 1)
    assert [line.number for line in ring.since(3).lines] == [4, 5]
    assert [line.number for line in ring.since(2, limit=1).lines] == [3]
    assert (ring.first, ring.last, ring.since(5).lines) == (3, 5, ())


def test_a_number_of_another_life_means_all_lines() -> None:
    ring = LogRing()
    ring.add(saying("first words of this life"))
    assert len(ring.since(4_711).lines) == 1


def test_it_is_bounded_by_size_and_keeps_the_newest_line_however_large() -> None:
    ring = LogRing(bytes_max=5_000)
    for _ in range(100):
        ring.add(saying("x" * 800))
    assert len(ring.newest()) == 5
    ring.add(saying("y" * 9_000))
    assert [line.text[0] for line in ring.newest()] == ["y"]


def test_a_flood_of_100000_lines_leaves_the_newest() -> None:
    ring = LogRing(lines_max=1_000)
    for number in range(100_000):
        ring.add(saying(str(number)))
    assert (ring.first, ring.last, len(ring.newest())) == (99_001, 100_000, 1_000)
    assert ring.since(0).lost == 99_000


def test_subscribers_hear_each_line_until_they_end_it() -> None:
    ring, heard = LogRing(), list[str]()
    end = ring.subscribe(lambda line: heard.append(line.text))
    ring.add(saying("one"))
    end()
    ring.add(saying("two"))
    assert heard == ["one"]


def test_threads_get_distinct_numbers_in_one_order() -> None:
    ring = LogRing(lines_max=10_000)

    def flood() -> None:
        for _ in range(1_000):
            ring.add(saying("x"))

    threads = [Thread(target=flood) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [line.number for line in ring.newest()] == list(range(1, 4_001))
