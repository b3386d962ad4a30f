"""Setup's lines where the reader is slow, stands still, or would obey what a host said."""

from __future__ import annotations

import fcntl
import io
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bzzz_core.deploy import lines, output
from bzzz_core.deploy.change import Change
from bzzz_core.deploy.events import Event, Finding, Planned, Refusal, Status, Step
from bzzz_core.deploy.journal import Journal
from bzzz_core.deploy.lines import WAITING_MAX, Lines, complain
from bzzz_core.deploy.output import Output
from bzzz_core.deploy.record import Record
from bzzz_core.deploy.report import Report
from tests.fakes.full_disk import FullDisk
from tests.fakes.scripted_records import JumpingClock

PATIENCE_S = 60
"""When a test gives up; nothing in it takes that long."""
PIPE_BYTES = 4_096
HOSTILE = "\x1b[2J\x1b]0;x\x07\r\u202e"
BROKEN = Step("a", "write_config", Status.FAILED, 1, "no room")


def progress(number: int) -> Step:
    return Step("a", "install_release", Status.PROGRESS, number, "x" * 40)


class SlowPipe:
    """A small pipe that nobody reads until `read`; then to its end."""

    def __init__(self) -> None:
        ours, theirs = os.pipe()
        fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._reader = os.fdopen(ours)
        self.out = os.fdopen(theirs, "w")

    def close(self) -> None:
        """Let nobody read, and nobody wait for that."""
        self._reader.close()
        self.out.close()

    def read(self, ending: Callable[[], object]) -> list[str]:
        """Return all lines; `ending` returns when there are no more to come."""
        found: list[str] = []

        def collect() -> None:
            with self._reader as reader:
                found.extend(reader)

        reading = threading.Thread(target=collect, daemon=True)
        reading.start()
        ending()
        self.out.close()
        reading.join(PATIENCE_S)
        assert not reading.is_alive()
        return found


@pytest.fixture
def pipe() -> Iterator[SlowPipe]:
    pipe = SlowPipe()
    yield pipe
    pipe.close()


class Run:
    """A report's frame in a thread, for whoever could stand still in it."""

    def __init__(self, report: Report, events: list[Event], code: int) -> None:
        self.codes: list[int] = []
        self._worked = threading.Event()

        def work() -> int:
            for event in events:
                report(event)
            self._worked.set()
            return code

        def frame() -> None:
            self.codes.append(report.framed(work))

        self._thread = threading.Thread(target=frame, daemon=True)
        self._thread.start()

    def worked(self) -> bool:
        return self._worked.wait(PATIENCE_S)

    def ended(self) -> None:
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


def test_a_reader_that_stands_still_holds_nothing_up_and_loses_progress_alone(
    pipe: SlowPipe,
) -> None:
    """The event loop writes here, and leases and signals wait for it."""
    many = 3 * WAITING_MAX
    events: list[Event] = [*map(progress, range(1, many + 1)), BROKEN, progress(many + 1)]
    run = Run(Report(pipe.out, as_json=True), events, 5)
    assert run.worked(), "the run waits for its reader"
    told = [json.loads(line) for line in pipe.read(run.ended)]
    *_, broken, notice, summary = told
    assert (broken["event"], broken["status"]) == ("step", "failed")
    assert (summary["event"], summary["exit_code"], run.codes) == ("summary", 5, [5])
    assert [event["event"] for event in told].count("summary") == 1
    shown = [event["elapsed_ms"] for event in told if event.get("status") == "progress"]
    assert shown == sorted(shown)
    assert len(shown) >= WAITING_MAX
    assert notice["severity"] == "warning"
    assert notice["message"].startswith(f"{many + 1 - len(shown)} lines of progress are left out")


def test_progress_comes_again_when_the_reader_does(pipe: SlowPipe) -> None:
    out = Lines(pipe.out, as_json=True, clock=JumpingClock())
    for number in range(1, 3 * WAITING_MAX):
        out(progress(number))

    def again() -> None:
        out.settle(PATIENCE_S)
        out(progress(9_999_999))
        out.end(PATIENCE_S)

    *_, notice, last = map(json.loads, pipe.read(again))
    assert (notice["event"], notice["check"]) == ("finding", "output")
    assert last["elapsed_ms"] == 9_999_999


def test_a_descriptor_that_does_not_wait_loses_no_line(pipe: SlowPipe) -> None:
    """The other end may have made it so; the descriptor is shared."""
    os.set_blocking(pipe.out.fileno(), False)
    run = Run(Report(pipe.out, as_json=True), [BROKEN] * 1_000, 4)
    assert run.worked()
    told = [json.loads(line) for line in pipe.read(run.ended)]
    assert [event["event"] for event in told] == ["step"] * 1_000 + ["summary"]
    assert (told[-1]["exit_code"], run.codes) == (4, [4])


def test_a_terminal_with_too_little_room_is_tried_again_with_nothing_to_follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says that there is room, and takes a line end whole or not at all."""
    write, refused = os.write, []

    def late(descriptor: int, data: bytes) -> int:
        if len(refused) < 4:
            refused.append(data)
            raise BlockingIOError
        return write(descriptor, data)

    with (tmp_path / "out").open("w") as out:
        written = Output(out)
        monkeypatch.setattr(output.os, "write", late)
        written.put("the summary\n")
        assert written.end(PATIENCE_S)
    assert refused
    assert (tmp_path / "out").read_text() == "the summary\n"


def test_what_a_full_disk_had_no_room_for_is_written_when_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with path.open("w") as out:
        written = Output(out)
        with FullDisk() as disk:
            disk.fill(20)
            written.put("a line that is longer than the room\n")
            assert written.settle(PATIENCE_S), "it is not waited for"
        written.put("another\n")
        assert written.end(PATIENCE_S)
    assert path.read_text() == "a line that is longer than the room\nanother\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_a_file_has_what_a_text_in_memory_would(tmp_path: Path, encoding: str) -> None:
    """UTF-16 begins with a mark, once."""
    path = tmp_path / "out"
    with path.open("w", encoding=encoding) as out:
        written = Output(out)
        for line in ("Grüße\n", "\U0001f41d\n"):
            written.put(line)
        assert written.end(PATIENCE_S)
    bee = r"\U0001f41d" if encoding == "latin-1" else "\U0001f41d"
    assert path.read_text(encoding) == f"Grüße\n{bee}\n"


def test_a_signal_ends_the_waiting_for_a_reader_and_not_the_exit_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unheard: list[bool] = []

    def end(lines: Lines, limit_s: float) -> None:
        del lines, limit_s
        os.kill(os.getpid(), signal.SIGTERM)
        unheard.append(True)

    monkeypatch.setattr(Lines, "end", end)
    assert Report(io.StringIO(), as_json=True).framed(lambda: 4) == 4
    assert not unheard


def test_a_machine_without_another_thread_prints_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts were kept for a writer that never came, and the end waited for it."""

    def refuse(thread: threading.Thread) -> None:
        del thread
        raise RuntimeError("can't start new thread")

    path = tmp_path / "out"
    with path.open("w") as out:
        written = Output(out)
        with monkeypatch.context() as full:
            full.setattr(threading.Thread, "start", refuse)
            written.put("one\n")
            assert path.read_text() == "one\n"
            assert written.end(0.0)
        written.put("two\n")
        assert written.end(PATIENCE_S)
    assert path.read_text() == "one\ntwo\n"


def test_what_is_not_written_in_time_holds_up_no_end(pipe: SlowPipe) -> None:
    written = Output(pipe.out)
    written.put("x" * (PIPE_BYTES + 1))
    assert not written.end(0.0)
    written.put("never\n")
    assert written.waiting == 1


def test_a_person_who_reads_no_complaints_holds_nothing_up(
    pipe: SlowPipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-S stops both streams, and a signal is answered from the event loop."""
    monkeypatch.setattr(lines, "AT_ONCE_S_MAX", 0.01)
    monkeypatch.setattr(sys, "stderr", pipe.out)
    said = threading.Event()

    def say() -> None:
        complain("x" * (2 * PIPE_BYTES))
        said.set()

    threading.Thread(target=say, daemon=True).start()
    assert said.wait(PATIENCE_S)


HOSTILE_EVENTS: list[Event] = [
    Step("a", "probe", Status.UNCHANGED, 1, f"{HOSTILE}linux, x86_64"),
    Finding("warning", "os", "a", f"{HOSTILE}linux", HOSTILE),
    Planned(
        "f" * 64,
        "1.0",
        (),
        {
            "a": (
                Change(
                    phase="write_config",
                    action="update",
                    target="/etc/bzzz/agent.yaml",
                    before=f"a: 1\nb: {HOSTILE}\n",
                    after="a: 1\nb: 2\n",
                    sentence="write it",
                ),
            )
        },
    ),
]


@pytest.mark.parametrize("event", HOSTILE_EVENTS)
def test_a_host_steers_no_terminal_and_programs_get_what_it_said(event: Event) -> None:
    plain, as_json = io.StringIO(), io.StringIO()
    Lines(plain, as_json=False, clock=JumpingClock())(event)
    assert all(line.isprintable() for line in plain.getvalue().split("\n"))
    assert r"\x1b[2J\x1b]0;x\x07" in plain.getvalue()
    Lines(as_json, as_json=True, clock=JumpingClock())(event)
    assert HOSTILE.strip() in str(_texts(json.loads(as_json.getvalue())))


def _texts(value: Any) -> str:
    if isinstance(value, dict | list):
        return "\n".join(map(_texts, value.values() if isinstance(value, dict) else value))
    return str(value)


def test_a_complaint_steers_no_terminal_and_keeps_its_lines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Report(None, as_json=False).refuse(Refusal("x", f"two{HOSTILE}\nlines"))
    told = capsys.readouterr().err
    assert told == "bzzz-tui setup: two\\x1b[2J\\x1b]0;x\\x07\\r\\u202e\nlines\n"


def test_an_odd_byte_of_a_name_can_be_written_down(tmp_path: Path) -> None:
    told: list[Event] = []
    record = Record(sink=told.append, clock=JumpingClock())
    with Journal(tmp_path, "one") as journal:
        record.journal = journal
        record.emit(Step("a", "probe", Status.FAILED, 1, "caf\udce9.yaml"))
    assert json.loads(journal.path.read_text())["detail"] == r"caf\udce9.yaml"
    assert len(told) == 1
