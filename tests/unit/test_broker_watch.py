"""What a running broker says of itself, and what is made of it."""

from __future__ import annotations

from dataclasses import replace

from bzzz_core.fabric.monitor import BrokerHealth
from bzzz_core.fabric.watch import REMOVED_MS, UNWELL_MS_MAX, UNWELL_MS_MIN, Verdict, Watch

WELL = BrokerHealth(healthy=True, meta_leader="one", size=3, member=True, store_bytes=0, problem="")
SICK = replace(WELL, healthy=False, problem="stream is not current")
LEADERLESS = replace(SICK, meta_leader=None)
REMOVED = replace(WELL, member=False)


def verdict(watch: Watch, *looks: tuple[int, BrokerHealth | None]) -> Verdict:
    for at_ms, health in looks:
        watch.look(health, now_ms=at_ms, was_peer=True)
    return watch.verdict


def test_a_broker_that_stays_unwell_is_started_anew() -> None:
    assert verdict(Watch(), (0, WELL), (1, SICK), (UNWELL_MS_MIN, SICK)) is Verdict.WELL
    assert verdict(Watch(), (0, WELL), (1, SICK), (UNWELL_MS_MIN + 1, SICK)) is Verdict.STUCK


def test_so_is_one_that_stays_silent() -> None:
    assert verdict(Watch(), (0, WELL), (1, None), (UNWELL_MS_MIN + 1, None)) is Verdict.STUCK


def test_a_moment_of_health_begins_anew() -> None:
    looks = ((0, WELL), (1, SICK), (20_000, WELL), (20_001, SICK), (UNWELL_MS_MIN + 2, SICK))
    assert verdict(Watch(), *looks) is Verdict.WELL


def test_a_broker_whose_cluster_has_no_leader_is_left_alone() -> None:
    """A restart would only take one voter more."""
    looks = ((0, WELL), (1, LEADERLESS), (10 * UNWELL_MS_MAX, LEADERLESS))
    assert verdict(Watch(), *looks) is Verdict.WELL


def test_a_broker_that_was_never_ready_is_starting() -> None:
    assert verdict(Watch(), (0, SICK), (10 * UNWELL_MS_MAX, SICK)) is Verdict.WELL


def test_a_broker_that_is_counted_no_more_starts_fresh() -> None:
    """It looks healthy, and would never vote again."""
    assert verdict(Watch(), (0, REMOVED), (REMOVED_MS - 1, REMOVED)) is Verdict.WELL
    assert verdict(Watch(), (0, REMOVED), (REMOVED_MS, REMOVED)) is Verdict.REMOVED


def test_a_new_broker_is_not_counted_yet() -> None:
    watch = Watch()
    for at_ms in (0, 10 * REMOVED_MS):
        watch.look(REMOVED, now_ms=at_ms, was_peer=False)
    assert watch.verdict is Verdict.WELL


def test_patience_grows_while_restarts_do_not_help() -> None:
    watch = Watch()
    for _ in range(8):
        verdict(watch, (0, WELL), (1, SICK), (UNWELL_MS_MAX + 1, SICK))
        assert watch.verdict is Verdict.STUCK
        watch = watch.successor()
    assert verdict(watch, (0, WELL), (1, SICK), (UNWELL_MS_MAX, SICK)) is Verdict.WELL
    watch = watch.successor()
    assert verdict(watch, (0, WELL), (1, SICK), (UNWELL_MS_MIN + 1, SICK)) is Verdict.STUCK
