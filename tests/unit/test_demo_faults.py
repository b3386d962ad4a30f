"""Scripts of a demo's faults, and what an operator is told to watch for."""

from __future__ import annotations

import pytest

from bzzz_core.demo.faults import STEPS_MAX, Act, Place, Step, parse, watch_for
from bzzz_core.errors import ConfigError


def test_a_script_is_steps_in_the_order_of_their_times() -> None:
    steps = parse("heal@15, kill leader@5,partition bzzz-1+2@7.25")
    assert steps == (
        Step(Act.KILL, ("leader",), 5_000),
        Step(Act.PARTITION, ("bzzz-1", "2"), 7_250),
        Step(Act.HEAL, (), 15_000),
    )


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("", "is no step"),
        ("kill leader", "is no step"),
        ("kill leader@-1", "is no step"),
        ("kill leader@5,", "is no step"),
        ("explode leader@5", "kill, restart, pause"),
        ("kill@5", "names no target"),
        ("kill a++b@5", "empty target"),
        ("kill a@99999", "later than a day"),
        ("kill a;b@5", "is no step"),
        (",".join(["heal@1"] * (STEPS_MAX + 1)), "at most 100 steps"),
    ],
)
def test_what_is_no_script_is_refused_with_what_was_expected(script: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse(script)


@pytest.mark.parametrize(
    ("act", "place", "words"),
    [
        (Act.KILL, Place(leads=True, votes=True, keeps=False, majority=True), "elect a leader"),
        (Act.PARTITION, Place(leads=True, votes=True, keeps=False, majority=True), "old one steps"),
        (Act.PAUSE, Place(leads=False, votes=True, keeps=True, majority=True), "4 to 9 s"),
        (Act.KILL, Place(leads=False, votes=True, keeps=False, majority=True), "one voter less"),
        (Act.KILL, Place(leads=False, votes=False, keeps=False, majority=True), "voters go on"),
        (Act.KILL, Place(leads=True, votes=True, keeps=True, majority=False), "no majority"),
        (Act.HEAL, Place(leads=False, votes=True, keeps=False, majority=True), "all nodes are"),
    ],
)
def test_what_to_watch_for_follows_from_what_was_hit(act: Act, place: Place, words: str) -> None:
    assert words in watch_for(act, place)
