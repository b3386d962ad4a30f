"""One bad look is no verdict, and one good one is not always the end of trouble."""

from bzzz_core.api.event_documents import CheckState
from bzzz_core.health.check import Finding, critical, ok, unknown, warning
from bzzz_core.health.machine import CheckHistory


def after(*findings: Finding, failures: int = 2, successes: int = 1) -> CheckHistory:
    history = CheckHistory(failures=failures, successes=successes)
    for second, finding in enumerate(findings):
        history.take(finding, second * 1_000)
    return history


def states(*findings: Finding, failures: int = 2, successes: int = 1) -> list[CheckState]:
    history = CheckHistory(failures=failures, successes=successes)
    seen: list[CheckState] = []
    for finding in findings:
        history.take(finding, 0)
        seen.append(history.state)
    return seen


def test_before_the_first_look_nothing_is_known() -> None:
    assert after().state == "unknown"


def test_the_first_good_look_counts_at_once() -> None:
    assert states(ok("fine"), successes=5) == ["ok"]


def test_bad_looks_count_once_there_are_enough_in_a_row() -> None:
    bad = critical("gone")
    assert states(ok(""), bad, bad, bad, failures=3) == ["ok", "ok", "ok", "critical"]
    assert states(bad, bad, ok(""), bad, bad, failures=3)[-1] == "ok"


def test_bad_looks_that_differ_in_degree_are_in_a_row_all_the_same() -> None:
    assert states(ok(""), warning("a"), critical("b"))[-1] == "critical"


def test_how_bad_it_is_follows_each_look() -> None:
    assert states(critical("a"), critical("a"), warning("b"))[-2:] == ["critical", "warning"]


def test_it_is_well_again_after_enough_good_looks() -> None:
    seen = states(critical("a"), ok(""), critical("a"), ok(""), ok(""), failures=1, successes=2)
    assert seen == ["critical", "critical", "critical", "critical", "ok"]


def test_what_could_not_be_told_changes_nothing() -> None:
    history = after(ok("fine"), unknown("?"))
    assert (history.state, history.words) == ("ok", "fine")
    assert states(critical("a"), unknown("?"), critical("a"))[-1] == "critical"
    assert after(unknown("no driver")).words == "no driver"


def test_a_look_that_does_not_count_yet_is_told_as_such_and_repeated_soon() -> None:
    history = CheckHistory(failures=2, successes=1)
    history.take(ok("fine"), 0)
    assert not history.take(critical("gone"), 1)
    assert history.words.startswith("gone (not for long")
    assert not history.agrees(critical("gone"))
    assert history.take(critical("still gone"), 2)
    assert (history.words, history.failures) == ("still gone", 2)
    assert history.agrees(critical("gone"))


def test_the_time_of_trouble_counts_from_its_verdict_to_its_end() -> None:
    history = after(critical("a"), critical("a"), critical("a"))
    assert history.critical_for_ms(5_000) == 4_000
    history.take(warning("better"), 6_000)
    assert history.critical_for_ms(9_000) == 0
