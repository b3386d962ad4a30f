"""A run's events folded into a picture."""

from __future__ import annotations

from bzzz_core.clock import SystemClock
from bzzz_core.deploy import phases
from bzzz_core.deploy.change import Change, make_plan
from bzzz_core.deploy.durations import estimate
from bzzz_core.deploy.events import Finding, HostResult, Result, Status, Step, Summary
from bzzz_tui.parts import text_of
from bzzz_tui.widgets.host_matrix import CellState
from bzzz_tui.wording import UNICODE
from screens.setup.checks import report
from screens.setup.deploy_engine import DeployEngine
from screens.setup.draft import Draft, parse_hosts
from screens.setup.plan_view import plan_lines
from screens.setup.run_view import CLUSTER, RunView, Stage
from tests.fakes.engine import plan


def test_cells_follow_the_steps_and_a_failure_stays() -> None:
    run = RunView(("a", "b"), ("probe", "upload"))
    run.apply(Step("a", "probe", Status.UNCHANGED))
    run.apply(Step("b", "probe", Status.STARTED))
    run.apply(Step("a", "upload", Status.FAILED, 10, "disk full"))
    run.apply(Step("a", "upload", Status.SKIPPED))
    first, second = run.rows()
    assert first.cells == (CellState.UNCHANGED, CellState.FAILED)
    assert "disk full" in first.note
    assert second.cells == (CellState.RUNNING, CellState.WAITING)


def test_a_phase_that_is_tried_again_is_no_failure_any_more() -> None:
    run = RunView(("a",), ("upload",))
    run.apply(Step("a", "upload", Status.FAILED, 10, "disk full"))
    run.apply(Step("a", "upload", Status.PROGRESS, detail="waits for a word"))
    assert run.rows()[0].cells == (CellState.FAILED,)
    run.apply(Step("a", "upload", Status.STARTED))
    run.apply(Step("a", "upload", Status.CHANGED, 10))
    assert run.rows()[0].cells == (CellState.DONE,)


def test_before_a_plan_it_says_how_far_it_looked_and_what_takes_long() -> None:
    run = RunView(("a", "b"), ("probe",))
    assert "0 of 2 hosts seen" in run.looking_words
    run.apply(Step("a", "probe", Status.UNCHANGED))
    run.apply(Step("b", "probe", Status.STARTED))
    assert "1 of 2 hosts seen" in run.looking_words
    run.apply(Step("", "build_release", Status.STARTED))
    assert run.looking_words.startswith("building the release")
    run.apply(Step("", "build_release", Status.UNCHANGED))
    assert "1 of 2 hosts seen" in run.looking_words


def test_what_should_be_known_of_hosts_that_came_through_is_kept_for_the_report() -> None:
    run = RunView(("a", "b", "c"))
    hosts = (
        HostResult("a", Result.CHANGED, 2, "its ports are NOT proved"),
        HostResult("b", Result.FAILED, 0, "disk full"),
        HostResult("c", Result.UNCHANGED, 0),
    )
    run.apply(Summary(hosts, 4, 1_000))
    assert run.remarks == ["a: its ports are NOT proved"]
    text = report([], cluster="bzzz", at="now", remarks=run.remarks)
    assert "warn           a: its ports are NOT proved" in text


def test_words_within_a_phase_make_no_column() -> None:
    run = RunView(("a",), ("upload",))
    run.apply(Step("a", "upload", Status.STARTED))
    run.apply(Step("a", "", Status.PROGRESS, detail="sent 3 of 17 MB"))
    assert run.phases == ["upload"]
    assert run.rows()[0].note == "sent 3 of 17 MB"


def test_phases_of_the_whole_cluster_wait_on_no_host() -> None:
    run = RunView(("a",), ("probe", "verify"), ("verify",))
    run.apply(Step("", "verify", Status.UNCHANGED))
    rows = {row.name: row.cells for row in run.rows()}
    assert rows["a"] == (CellState.WAITING, CellState.NONE)
    assert rows[CLUSTER] == (CellState.NONE, CellState.UNCHANGED)


def test_text_from_a_host_cannot_steer_the_terminal() -> None:
    run = RunView(("a",))
    run.apply(Step("a", "probe", Status.FAILED, 1, "\x1b[2Jgone"))
    run.apply(Finding("error", "disk", "a", "\x07bell", "\x9bfix"))
    assert all(words.isprintable() for words, _ in run.log("a"))
    assert run.rows()[0].note.isprintable()


def test_a_summary_ends_the_run() -> None:
    run = RunView(("a", "b"))
    results = (HostResult("a", Result.CHANGED, 3), HostResult("b", Result.FAILED, 0, "why"))
    run.apply(Summary(results, 4, 1_000))
    assert run.stage is Stage.DONE
    assert not run.succeeded
    assert run.failed_hosts() == ["b"]


def test_a_plan_is_told_by_host_in_order_with_its_hash() -> None:
    spec = Draft(hosts=parse_hosts("a=10.0.0.1 b=10.0.0.2", ())).spec()
    assert spec is not None
    made = plan(spec)
    lines = [text_of(line) for line in plan_lines(made, UNICODE)]
    assert lines[0].startswith("11 changes")
    assert made.hash[:16] in lines[0]
    assert [line.split()[0] for line in lines if line and line[0] != " "][1:] == ["this", "a", "b"]


def test_a_plan_says_how_long_as_whom_and_what_changes_in_files() -> None:
    change = Change(
        phase="write_config",
        action="update",
        target="/etc/bzzz/agent.yaml",
        before="a: 1\nb: 2\n",
        after="a: 1\nb: 3\n",
        sentence="write the configuration",
    )
    made = make_plan(cluster="c", release="1", operator=(), hosts={"a": (change,)})
    spent = estimate(made, {"write_config": 1_000, "verify_cluster": 4_000})
    lines = [
        text_of(line).strip()
        for line in plan_lines(
            made, UNICODE, estimate=spent, sudo={"a": "password"}, difference=True
        )
    ]
    assert "about 5s, as it took here before" in lines
    assert "a  1  by sudo with a password" in lines
    assert {"-b: 2", "+b: 3"} <= set(lines)


def test_a_secret_is_never_shown_as_a_difference() -> None:
    change = Change(
        phase="write_secrets",
        action="create",
        target="/x",
        before="",
        after="s3cret\nline\n",
        secret=True,
        sentence="write the token",
    )
    made = make_plan(cluster="c", release="1", operator=(), hosts={"a": (change,)})
    assert "s3cret" not in str(plan_lines(made, UNICODE, difference=True))


def test_a_host_that_was_taken_back_says_so_and_counts_as_failed() -> None:
    run = RunView(("bzzz-1",), ("switch_release", "wait_ready"))
    run.apply(Step("bzzz-1", "wait_ready", Status.FAILED, 5, "it crashes"))
    run.apply(Step("bzzz-1", "roll_back", Status.ROLLED_BACK, 5, "back on 0.0.9"))
    run.apply(Summary((HostResult("bzzz-1", Result.ROLLED_BACK, 1, "back on 0.0.9"),), 6, 10))
    assert run.rows()[0].note == "roll_back back on 0.0.9"
    assert run.failed_hosts() == ["bzzz-1"]
    assert not run.succeeded


def test_the_matrix_knows_every_phase_of_a_run_in_its_order() -> None:
    named = DeployEngine(SystemClock()).phases
    of_hosts = [phase.name for phase in phases.ALL]
    assert [name for name in named if name in of_hosts] == of_hosts
    assert set(named) - set(of_hosts) == {"probe", "build_release", phases.VERIFY_CLUSTER}
