"""How long a plan will take."""

from __future__ import annotations

from pathlib import Path

from bzzz_core.deploy import durations
from bzzz_core.deploy.change import Change, make_plan

CHANGE = Change(
    phase="upload_release", action="create", target="/x", before="", after="y", sentence="s"
)
PLAN = make_plan(cluster="c", release="1", operator=(), hosts={"a": (CHANGE,), "b": (CHANGE,)})


def step(phase: str, status: str, elapsed_ms: int) -> bytes:
    return (
        f'{{"event":"step","phase":"{phase}","status":"{status}","elapsed_ms":{elapsed_ms}}}'
    ).encode()


def test_a_phase_costs_once_however_many_hosts_it_changes() -> None:
    known = {"upload_release": 8_000, "verify_cluster": 2_000}
    assert durations.estimate(PLAN, known) == durations.Estimate(10.0, measured=True)


def test_what_was_never_measured_here_is_taken_from_the_testbed() -> None:
    found = durations.estimate(PLAN, {})
    assert found.seconds > 1
    assert not found.measured


def test_nothing_to_do_takes_no_time() -> None:
    empty = make_plan(cluster="c", release="1", operator=(), hosts={"a": ()})
    assert durations.estimate(empty, {}).seconds == 0


def test_only_steps_that_changed_something_count_and_damage_is_passed_over() -> None:
    lines = [
        step("a", "changed", 100),
        step("a", "changed", 300),
        step("a", "changed", 200),
        step("a", "unchanged", 1),
        b"{cut off",
        b'{"event":"plan"}',
    ]
    assert durations.medians(lines) == {"a": 200}


def test_the_journals_of_all_clusters_are_read(tmp_path: Path) -> None:
    for cluster, took in (("one", 100), ("two", 300)):
        directory = tmp_path / cluster / "journal"
        directory.mkdir(parents=True)
        (directory / "run.ndjson").write_bytes(step("a", "changed", took) + b"\n")
    assert durations.past(tmp_path) == {"a": 200}
    assert durations.past(tmp_path / "none") == {}
