"""Long work in a unit of its own: watched, found again, stopped when it is silent."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from bzzz_core.deploy import transient
from bzzz_core.deploy.job import Job
from bzzz_core.deploy.remote import Completed
from bzzz_core.deploy.transient import run_job
from bzzz_core.errors import CommandFailed, LinkLost
from tests.fakes.unit_hosts import LOST, UnitHost

RUNS = "running 1.1 2.1 \n"


class SecondsClock:
    """A second passes with each look."""

    def __init__(self) -> None:
        self._now_ms = 0

    def now_ms(self) -> int:
        self._now_ms += 1_000
        return self._now_ms

    async def sleep_ms(self, duration_ms: int) -> None:
        self._now_ms += duration_ms


def job(**fields: Any) -> Job:
    given = {"script": "echo done", "timeout_s": 60, **fields}
    return Job(step="pull", what="pull a model", **given)


def run(host: UnitHost, **fields: Any) -> Completed:
    return asyncio.run(run_job(host, job(**fields), run_id="run-1", clock=SecondsClock()))


def test_what_a_unit_printed_and_how_it_ended_comes_back() -> None:
    host = UnitHost(RUNS, "ended 3\nfirst\nsecond\n")
    assert run(host) == Completed(3, b"first\nsecond\n", b"grumble")
    assert host.asked[-1][0] == "tidy up"


def test_a_lost_link_finds_the_same_unit_again() -> None:
    host = UnitHost(RUNS, LOST, RUNS, LOST, "ended 0\n")
    assert run(host).status == 0
    assert host.times("start") == 1, "it was seen running: nobody starts it again"


def test_a_link_that_is_lost_at_the_start_leaves_it_to_the_host_whether_it_runs() -> None:
    host = UnitHost("ended 0\n", start=[LOST, Completed(0, b"", b"")])
    run(host)
    assert [arguments[2] for verb, arguments in host.asked if verb == "start"] == ["no", "yes"]


def test_a_link_that_is_never_there_is_given_up() -> None:
    with pytest.raises(LinkLost):
        run(UnitHost(*[LOST] * 20))


def test_after_a_reboot_the_work_begins_anew_but_not_for_ever() -> None:
    host = UnitHost(RUNS, "rebooted\n", "ended 0\n")
    assert run(host).status == 0
    assert host.times("start") == 2
    with pytest.raises(CommandFailed, match="rebooted 3 times"):
        run(UnitHost(*["rebooted\n"] * 3))


def test_a_unit_that_somebody_stopped_has_failed() -> None:
    with pytest.raises(CommandFailed, match="somebody stopped bzzz-install-run-1-pull"):
        run(UnitHost(RUNS, "gone\n"))


def test_another_run_at_work_is_named() -> None:
    busy = Completed(transient.BUSY, b"", b"another run is at work on this host: bzzz-install-x\n")
    with pytest.raises(CommandFailed, match="at work on this host: bzzz-install-x"):
        run(UnitHost(start=[busy]))


def test_silence_has_a_limit_of_its_own() -> None:
    """An hour may be right for a pull that moves, and a minute too long for one that hangs."""
    host = UnitHost(*[RUNS] * 20)
    with pytest.raises(CommandFailed, match="no output for 5 s; stopped"):
        run(host, silent_s_max=5, timeout_s=3_600)
    assert host.times("stop") == 1
    moving = [f"running {n}.1 0.1 \n" for n in range(20)]
    assert run(UnitHost(*moving, "ended 0\n"), silent_s_max=5).status == 0


def test_the_last_line_and_the_age_of_the_output_are_told() -> None:
    told: list[tuple[int, str]] = []
    host = UnitHost("running 1\n10%\r20%\r", "running 1\n10%\r20%\r", "ended 0\n")
    asyncio.run(
        run_job(
            host,
            job(),
            run_id="run-1",
            clock=SecondsClock(),
            tell=lambda quiet_ms, last: told.append((quiet_ms, last)),
        )
    )
    assert told == [(0, "20%"), (1_000, "20%")]


def test_the_limit_on_the_host_is_told_from_a_failure() -> None:
    with pytest.raises(CommandFailed, match="took longer than 60 s"):
        run(UnitHost("ended 124\n"))


def test_values_reach_the_script_as_they_are() -> None:
    """The file that the unit's shell reads holds them quoted; systemd never sees them."""
    hostile = ("$HOME ${x} %n", "a'b\"c", "line\nline", "-n", "", "ünïcode", "\\")
    text = transient._Unit(job(script='printf "%s\\0" "$@"', arguments=hostile), "r").text
    done = subprocess.run(["sh", "-c", text], capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == list(hostile)


def test_what_a_unit_prints_is_there_while_it_still_works(tmp_path: Path) -> None:
    """Whoever buffers it makes a unit look silent, and has it stopped."""
    os.mkfifo(tmp_path / "word")
    (tmp_path / "job").write_text(f"echo first; read word <{tmp_path}/word; echo $word; exit 3")
    keeping = ["sh", "-c", transient.KEEP, "keep", str(tmp_path), "60"]
    with subprocess.Popen(keeping, stdin=subprocess.DEVNULL) as running:
        with (tmp_path / "word").open("w") as word:  # the other side has printed before it reads
            deadline = time.monotonic() + 10
            while not _printed(tmp_path) and time.monotonic() < deadline:
                continue
            assert _printed(tmp_path) == b"first\n"
            word.write("second\n")
        running.wait(10)
    assert _printed(tmp_path) == b"first\nsecond\n"
    assert (tmp_path / "result").read_text() == "3\n"


def test_a_flood_is_cut_and_its_status_kept(tmp_path: Path) -> None:
    (tmp_path / "job").write_text("head -c 3000000 /dev/zero; printf 'a\\377' >&2; exit 7")
    keeping = ["sh", "-c", transient.KEEP, "keep", str(tmp_path), "60"]
    subprocess.run(keeping, stdin=subprocess.DEVNULL, check=True)
    assert transient.KEPT_BYTES <= len(_printed(tmp_path)) < transient.KEPT_BYTES + 100_000
    assert (tmp_path / "err").read_bytes() == b"a\xff"
    assert (tmp_path / "result").read_text() == "7\n"


def _printed(directory: Path) -> bytes:
    out = directory / "out"
    return out.read_bytes() if out.exists() else b""
