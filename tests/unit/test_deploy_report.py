"""The frame around setup: whatever happens, the last line is a summary, and its code the exit's."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from bzzz_core.config.sources import load_answers
from bzzz_core.deploy import headless, last_answers
from bzzz_core.deploy.asking import agreed
from bzzz_core.deploy.detached.place import make_run
from bzzz_core.deploy.events import HostResult, Result, Status, Step, Summary
from bzzz_core.deploy.interrupt import interruptible
from bzzz_core.deploy.report import Report
from bzzz_core.deploy.ssh.host_keys import KnownHosts
from bzzz_core.deploy.ssh.login import Login
from bzzz_core.deploy.ssh.session import SshHost
from bzzz_core.deploy.steering import Steering
from bzzz_core.deploy.wishes import Wishes
from bzzz_core.errors import BzzzError, ConfigError, HostUnreachable, PlanChanged
from bzzz_tui import attaching, headless_setup
from bzzz_tui.cli import main
from bzzz_tui.headless_setup import confirm
from tests.fakes.full_disk import FullDisk

ANSWERS = "cluster: {name: one}\nhosts: [{name: a, address: 10.0.0.1}]\n"
LOOKED = Step("a", "probe", Status.UNCHANGED)
BEGUN = Step("a", "write_config", Status.STARTED)


class Told:
    """A report, and what it has printed."""

    def __init__(self) -> None:
        self._out = io.StringIO()
        self.report = Report(self._out, as_json=True)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._out.getvalue().splitlines()]

    def ended(self, code: int) -> bool:
        *_, last = self.events
        return (last["event"], last["exit_code"]) == ("summary", code)


def failing(exc: BaseException) -> Callable[[], int]:
    def work() -> int:
        raise exc

    return work


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    path = tmp_path / "answers.yaml"
    path.write_text(ANSWERS)
    return path


def test_what_was_done_before_a_failure_comes_after_the_failure_and_says_the_code() -> None:
    told = Told()

    def work() -> int:
        told.report(Summary((HostResult("a", Result.UNCHANGED, 0),), 4, 1))
        raise ConfigError("profile.yaml: Permission denied")

    assert told.report.framed(work) == 4
    assert [event["event"] for event in told.events] == ["error", "summary"]
    assert told.ended(4)


def test_a_mistake_of_our_own_is_told_without_what_is_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = Told()
    told.report.cleaned_by(lambda text: text.replace("hunter2", "***"))
    group = ExceptionGroup("tasks", [ValueError("of hunter2")])
    assert told.report.framed(failing(group)) == 1
    assert told.events[0]["code"] == "unforeseen"
    assert "ValueError: of ***" in told.events[0]["message"]
    assert told.ended(1)
    assert "in work" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_failure_of_ours_in_a_group_is_that_failure() -> None:
    told = Told()
    assert told.report.framed(failing(ExceptionGroup("tasks", [PlanChanged("look")]))) == 3
    assert told.events[0]["message"] == "look"


@pytest.mark.parametrize(
    ("exc", "before", "code"),
    [
        (ConfigError("x"), [], 2),
        (ConfigError("x"), [LOOKED], 3),
        (ConfigError("x"), [LOOKED, BEGUN], 4),
        (HostUnreachable("x"), [LOOKED], 3),
        (HostUnreachable("x"), [LOOKED, BEGUN], 4),
    ],
)
def test_2_means_no_host_was_asked_and_3_that_nothing_was_changed(
    exc: BzzzError, before: list[Step], code: int
) -> None:
    told = Told()
    for event in before:
        told.report(event)
    assert told.report.framed(failing(exc)) == code
    assert told.ended(code)


def test_3_is_not_said_by_a_run_that_changed_one_host_and_not_another() -> None:
    told = Told()
    freed = HostResult("a", Result.CHANGED, 1), HostResult("b", Result.FAILED, 0)
    told.report(Summary(freed, 3, 1))
    assert told.report.framed(lambda: 3) == 4
    assert told.ended(4)


def test_a_frame_in_a_frame_ends_nothing() -> None:
    told = Told()
    assert told.report.framed(lambda: told.report.framed(lambda: 5)) == 5
    assert [event["event"] for event in told.events] == ["summary"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--apply"], 2),
        (["--apply", "--detach"], 2),
        (["--uninstall"], 2),
        (["--apply", "--remove", "b"], 2),
        (["--plan", "--express", "--plan-hash", "1"], 2),
        ([], 2),
    ],
)
def test_whatever_speaks_against_it_is_an_event_and_a_summary_the_last(
    answers: Path, words: list[str], code: int
) -> None:
    done = CliRunner().invoke(main, ["setup", "--answers", str(answers), "--json", *words])
    error, summary = map(json.loads, done.stdout.splitlines())
    assert (error["event"], summary["event"]) == ("error", "summary")
    assert done.exit_code == summary["exit_code"] == code


def test_answers_that_want_to_be_asked_for_are_refused_as_an_event(answers: Path) -> None:
    answers.write_text(ANSWERS + "interactive_sections: [network]\n")
    done = CliRunner().invoke(main, ["setup", "--answers", str(answers), "--plan", "--json"])
    assert json.loads(done.stdout.splitlines()[-1])["exit_code"] == done.exit_code == 2


def test_a_run_in_the_way_is_an_event(answers: Path) -> None:
    run = make_run(load_answers(answers), Wishes(), hold=False, base=None)
    with run.locked():
        done = CliRunner().invoke(
            main, ["setup", "--answers", str(answers), "--apply", "--yes", "--json"]
        )
    error, summary = map(json.loads, done.stdout.splitlines())
    assert run.id in error["message"]
    assert summary["exit_code"] == done.exit_code == 3


def test_no_run_to_follow_is_an_event(answers: Path) -> None:
    assert answers.exists()
    done = CliRunner().invoke(main, ["setup", "--attach", "none", "--json"])
    assert json.loads(done.stdout.splitlines()[-1])["exit_code"] == done.exit_code == 2


@asynccontextmanager
async def terminated(login: Login, known_hosts: KnownHosts) -> AsyncIterator[SshHost]:
    del login, known_hosts
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.Event().wait()
    raise AssertionError("nobody ended it")
    yield


@pytest.mark.parametrize("mode", ["check", "plan", "unlock"])
def test_sigterm_during_a_look_ends_with_a_summary(
    answers: Path, mode: headless.Mode, tmp_path: Path
) -> None:
    told, before = Told(), signal.getsignal(signal.SIGTERM)
    code = headless.main(answers, told.report, mode=mode, base=tmp_path, open_session=terminated)
    assert code == 130
    assert told.ended(130)
    assert signal.getsignal(signal.SIGTERM) == before


def test_signals_are_heard_after_the_hosts_were_changed() -> None:
    """The loop leaves the system's own handlers behind, by which SIGTERM kills."""
    told = Told()

    async def work() -> int:
        with interruptible(Steering(), lambda _: None):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()
        return 0

    assert told.report.framed(lambda: asyncio.run(work())) == 130
    assert told.ended(130)


def test_whoever_stops_watching_a_run_is_told_so_in_a_summary(answers: Path) -> None:
    run = make_run(load_answers(answers), Wishes(), hold=False, base=None)
    run.events.write_text('{"event":"run","run":"x","pid":7}\n')
    told = Told()

    class Leaving(Report):
        """A report whose reader goes at the first event; a shell may have Ctrl-C ignored."""

        def __call__(self, event: Any) -> None:
            super().__call__(event)
            os.kill(os.getpid(), signal.SIGTERM)

    told.report = Leaving(told._out, as_json=True)
    with run.locked():
        assert attaching.watch(run, told.report) == 130
    assert [event["event"] for event in told.events] == ["run", "summary"]
    assert told.ended(130)


def test_a_reader_that_has_gone_changes_neither_the_run_nor_its_code() -> None:
    ours, theirs = os.pipe()
    out = os.fdopen(theirs, "w")
    os.close(ours)
    report, done = Report(out, as_json=True), []

    def work() -> int:
        for _ in range(3):
            report(LOOKED)
            done.append("a step")
        return 4

    assert report.framed(work) == 4
    assert len(done) == 3
    out.close()


def test_what_there_is_no_room_to_print_ends_no_run(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as out, FullDisk() as disk:
        report = Report(out, as_json=True)
        report(LOOKED)
        disk.fill(20)
        assert report.framed(lambda: (report(LOOKED), 5)[1]) == 5


ODD = Step("a", "probe", Status.FAILED, 1, "\ufffd \U0001f41d Grüße caf\udce9.yaml")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "utf-16"])
@pytest.mark.parametrize("as_json", [True, False])
def test_what_a_terminal_has_no_letters_for_ends_no_run(
    encoding: str,
    as_json: bool,  # noqa: FBT001
) -> None:
    written = io.BytesIO()
    report = Report(io.TextIOWrapper(written, encoding), as_json=as_json)
    assert report.framed(lambda: (report(ODD), 5)[1]) == 5
    first, *_, last = written.getvalue().decode(encoding).splitlines()
    if as_json:
        step = msgspec.json.decode(first, type=Step)
        assert step.detail == "\ufffd \U0001f41d Grüße caf?.yaml"
        assert json.loads(last)["exit_code"] == 5
    else:
        assert r"caf\udce9.yaml" in first
        assert ("Grüße" in first) is (encoding != "ascii")
        assert last.endswith("exit 5")


@pytest.mark.parametrize("as_json", [True, False])
def test_a_place_to_print_that_is_closed_ends_no_run(as_json: bool) -> None:  # noqa: FBT001
    out = io.StringIO()
    out.close()
    for place in (out, None):
        report = Report(place, as_json=as_json)
        assert report.framed(lambda report=report: (report(LOOKED), 5)[1]) == 5


@pytest.mark.parametrize("closed", ["0", "1", "2"])
def test_a_command_whose_streams_are_closed_says_how_it_ended(answers: Path, closed: str) -> None:
    answers.write_text("hosts: []\n")
    words = f"{sys.executable} -m bzzz_tui.cli setup --answers {answers} --apply {closed}>&-"
    done = subprocess.run(["sh", "-c", words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_answers_that_cannot_be_kept_make_a_good_run_no_bad_one(
    answers: Path, tmp_path: Path
) -> None:
    spec = load_answers(answers)
    place = last_answers.path_of("one", tmp_path)
    place.mkdir(parents=True)
    told = Told()

    def work() -> int:
        headless._keep(spec, told.report, tmp_path)
        return 0

    assert told.report.framed(work) == 0
    assert [event["event"] for event in told.events] == ["finding", "summary"]
    assert told.events[0]["severity"] == "warning"


def test_a_question_that_is_not_answered_holds_nobody_up() -> None:
    """The one who asks still waits for Enter when the run has ended."""
    told, answered = Told(), threading.Event()

    def confirm(question: str) -> bool:
        assert question == "Make it so?"
        os.kill(os.getpid(), signal.SIGTERM)
        return answered.wait()

    async def work() -> int:
        return 0 if await agreed(confirm, "Make it so?") else 1

    try:
        assert told.report.framed(lambda: asyncio.run(work())) == 130
    finally:
        answered.set()
    assert told.ended(130)


def test_an_answer_is_an_answer() -> None:
    assert asyncio.run(agreed(lambda _: True, "Make it so?"))


def test_a_person_is_asked_when_they_have_before_them_what_about() -> None:
    done: list[str] = []

    def confirm(question: str) -> bool:
        done.append(question)
        return True

    assert asyncio.run(agreed(confirm, "Make it so?", lambda: done.append("printed")))
    assert done == ["printed", "Make it so?"]


@contextmanager
def unheard_person() -> Iterator[None]:
    """Somebody at the terminal, who reads standard error by a program that has gone."""
    terminal, person = pty.openpty()
    ours, theirs = os.pipe()
    os.close(ours)
    stderr = os.fdopen(theirs, "w")
    os.write(terminal, b"y\n")  # never asked for
    with os.fdopen(person) as stdin, pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "stdin", stdin)
        patched.setattr(sys, "stderr", stderr)
        yield
    os.close(terminal)
    with suppress(BrokenPipeError):  # what was to be printed is tried once more
        stderr.close()


def asked(told: Told) -> Callable[[], int]:
    async def work() -> int:
        told.report(LOOKED)
        return 0 if await asyncio.wait_for(agreed(confirm, "Make it so?"), 5) else 1

    return lambda: asyncio.run(work())


def test_a_question_that_cannot_be_asked_is_no_persons_no() -> None:
    """Else a script would read from exit code 0 that all is done, or that somebody refused."""
    told = Told()
    with unheard_person():
        assert told.report.framed(asked(told)) == 3
    _, error, _ = told.events
    assert error["code"] == "precondition_failed"
    assert "BrokenPipeError" in error["message"]
    assert "nobody has answered, so say --yes" in error["message"]
    assert told.ended(3)


def test_without_standard_error_nobody_is_asked_and_nobody_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = Told()
    terminal, person = pty.openpty()
    try:
        with os.fdopen(person) as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            monkeypatch.setattr(sys, "stderr", None)
            assert told.report.framed(asked(told)) == 3
    finally:
        os.close(terminal)
    assert "OSError" in told.events[1]["message"]


def test_a_terminal_that_goes_before_the_answer_has_not_said_no(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Reading a directory fails as reading a terminal does that is gone."""

    class Gone:
        def fileno(self) -> int:
            return place

    place = os.open(tmp_path, os.O_RDONLY)
    try:
        monkeypatch.setattr(sys, "stdin", Gone())
        with pytest.raises(OSError, match="directory"):
            confirm("Make it so?")
    finally:
        os.close(place)


def test_a_run_that_nobody_can_be_asked_about_is_in_the_way(answers: Path) -> None:
    run = make_run(load_answers(answers), Wishes(), hold=False, base=None)
    told = Told()
    with run.locked(), unheard_person():
        code = headless_setup.run(
            answers, told.report, mode="apply", yes=True, detach=False, wishes=Wishes()
        )
    assert code == 3
    assert run.id in told.events[0]["message"]


@pytest.mark.parametrize(
    ("typed", "meant"), [("y", "yes"), ("YES", "yes"), ("n", "no"), ("", "no"), ("what?;y", "yes")]
)
def test_a_person_says_yes_or_does_not_agree(
    typed: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal, person = pty.openpty()
    try:
        with os.fdopen(person) as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            for line in typed.split(";"):
                os.write(terminal, f"{line}\n".encode())
            assert confirm("Make it so?") is (meant == "yes")
            os.write(terminal, b"\x04")
            assert confirm("Make it so?") is False, "the end of the input"
    finally:
        os.close(terminal)
