"""Refusals are counted by actor within a window, and whatever is sent takes bounded room."""

from __future__ import annotations

from bzzz_core.trust.denials import ACTORS_MAX, OTHERS, THRESHOLD, WINDOW_MS, Denials


def test_an_actor_is_past_the_threshold_once_until_its_count_has_fallen() -> None:
    denials = Denials()
    crossed = [denials.note("refused", "edge", at * 1_000) for at in range(2 * THRESHOLD)]
    assert crossed == [at == THRESHOLD - 1 for at in range(2 * THRESHOLD)]
    (one,) = denials.denied(2 * THRESHOLD * 1_000)
    assert (one.actor, one.count, one.past) == ("edge", 2 * THRESHOLD, True)
    later = 2 * THRESHOLD * 1_000 + WINDOW_MS
    assert denials.denied(later + WINDOW_MS) == ()
    assert not denials.note("refused", "edge", later + WINDOW_MS)
    assert denials.of("edge", later + WINDOW_MS) == 1
    assert denials.totals["refused"] == 2 * THRESHOLD + 1


def test_the_window_slides() -> None:
    denials = Denials()
    for at in range(0, WINDOW_MS, WINDOW_MS // 10):
        denials.note("refused", "edge", at)
    assert denials.of("edge", WINDOW_MS - 1) == 10
    assert denials.of("edge", WINDOW_MS + WINDOW_MS // 2) == 4
    assert denials.of("nobody", WINDOW_MS) == 0


def test_kinds_are_told_apart_and_the_most_refused_comes_first() -> None:
    denials = Denials()
    for kind, actor, times in (("call refused", "a", 3), ("refused", "a", 5), ("refused", "b", 9)):
        for _ in range(times):
            denials.note(kind, actor, 0)
    first, second = denials.denied(0)
    assert (first.actor, first.kinds) == ("b", (("refused", 9),))
    assert (second.actor, second.kinds) == ("a", (("refused", 5), ("call refused", 3)))


def test_many_actors_and_kinds_take_bounded_room() -> None:
    denials = Denials()
    for number in range(5 * ACTORS_MAX):
        denials.note(f"kind {number}", f"actor {number}", 0)
    found = denials.denied(0)
    assert len(found) == ACTORS_MAX + 1
    assert found[0].actor == OTHERS
    assert sum(one.count for one in found) == 5 * ACTORS_MAX
    assert len(denials.totals) <= 65
