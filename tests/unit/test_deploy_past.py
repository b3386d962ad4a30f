"""What a later run learns from a journal, and the log of each host beside it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
from pathlib import Path
from typing import Any

import pytest

from bzzz_core.config.secrets import Secret
from bzzz_core.deploy import host_log
from bzzz_core.deploy.host_log import HostLog
from bzzz_core.deploy.interrupt import interruptible
from bzzz_core.deploy.journal import Journal, Redactor
from bzzz_core.deploy.node_record import RUNS_MAX, NodeRun, with_run
from bzzz_core.deploy.past import last_run, left_out
from bzzz_core.deploy.remote import Completed
from bzzz_core.deploy.steering import Steering
from bzzz_core.errors import CommandFailed, NotWritten
from tests.fakes.full_disk import FullDisk

RUN = {"event": "run", "hosts": ["a", "b", "c"]}


def write(directory: Path, run_id: str, *entries: dict[str, Any], torn: str = "") -> None:
    with Journal(directory, run_id) as journal:
        for entry in entries:
            journal.write("now", entry)
    with journal.path.open("a") as file:
        file.write(torn)


def step(host: str, phase: str, status: str) -> dict[str, Any]:
    return {"event": "step", "host": host, "phase": phase, "status": status}


def ended(leader: str | None = "a", **results: str) -> dict[str, Any]:
    hosts = [{"name": name, "result": result} for name, result in results.items()]
    return {"event": "summary", "hosts": hosts, "leader": leader}


def test_without_a_journal_there_was_no_run(tmp_path: Path) -> None:
    assert last_run(tmp_path) is None
    assert last_run(tmp_path / "missing") is None


def test_a_run_that_was_killed_is_told_with_how_far_it_came(tmp_path: Path) -> None:
    write(
        tmp_path,
        "2026-01-02T000000-b",
        RUN,
        step("a", "write_config", "started"),
        step("a", "write_config", "changed"),
        step("b", "upload_release", "started"),
        torn='{"event":"step","host":"b","pha',
    )
    past = last_run(tmp_path)
    assert past is not None
    assert not past.ended
    assert past.words == (
        "run 2026-01-02T000000-b did not end; it had done 1 steps and was at work:"
        " b at upload_release"
    )
    assert past.undone == {"a", "b", "c"}, "none of them came through"


def test_who_failed_or_was_not_attempted_is_undone(tmp_path: Path) -> None:
    write(tmp_path, "2026-01-01T000000-a", RUN, ended(a="failed", b="failed", c="failed"))
    write(
        tmp_path,
        "2026-01-02T000000-b",
        RUN,
        ended(a="changed", b="failed", c="not attempted"),
    )
    past = last_run(tmp_path)
    assert past is not None
    assert past.ended
    assert past.undone == {"b", "c"}


def test_nobody_is_left_out_after_a_run_whose_cluster_did_not_settle(tmp_path: Path) -> None:
    """What comes last was done on no host then, hardening sshd for one."""
    results = {"a": "changed", "b": "unchanged"}
    write(tmp_path, "2026-01-01T000000-a", {**RUN, "hosts": ["a", "b"]}, ended(**results))
    assert set(left_out(last_run(tmp_path), ["a", "b"])) == {"a", "b"}
    entry = ended(leader=None, **results)
    write(tmp_path, "2026-01-02T000000-b", {**RUN, "hosts": ["a", "b"]}, entry)
    assert left_out(last_run(tmp_path), ["a", "b"]) == {}


def test_a_log_says_what_was_done_and_how_it_ended_without_secrets(tmp_path: Path) -> None:
    path = tmp_path / "run.a.log"
    log = HostLog(path, Redactor([Secret("canary-secret")]))
    output = b"x" * 40_000 + b"\nlast \x1b[31mcanary-secret\xff\n"
    log.note("write_config", "write it", 1_234, Completed(3, output, b"a\nb\n"))
    log.note("", "watch", 0, CommandFailed("a: watch: said canary-secret"))
    text = path.read_text()
    assert "write_config | write it | 1.23 s | status 3\n" in text
    assert "    out: last [31m***\ufffd\n    err: a\n    err: b\n" in text
    assert "- | watch | 0.00 s | a: watch: said ***" in text
    assert len(text) < 4_000
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_log_has_a_limit(tmp_path: Path) -> None:
    log = HostLog(tmp_path / "log", str)
    line = b"\n".join([b"y" * 99] * 20)
    for _ in range(host_log.BYTES_MAX // 2_000 + 10):
        log.note("phase", "talk", 1, Completed(0, line, b""))
    assert (tmp_path / "log").stat().st_size < host_log.BYTES_MAX + 3_000
    assert (tmp_path / "log").read_text().endswith("reached its limit)\n")


def test_a_host_remembers_its_last_runs() -> None:
    runs = [NodeRun(f"run-{n}", "now", "1.0", "changed", n, "ann on laptop") for n in range(30)]
    present = b"damaged"
    for run in runs:
        present = json.dumps(
            {"runs": [dict(r) for r in _plain(with_run(present, run).runs)]}
        ).encode()
    record = with_run(present, runs[-1])
    assert len(record.runs) == RUNS_MAX
    assert record.runs[-1] == runs[-1]
    assert [run.run for run in record.runs].count("run-29") == 1


def _plain(runs: tuple[NodeRun, ...]) -> list[dict[str, Any]]:
    return [{name: getattr(run, name) for name in run.__struct_fields__} for run in runs]


def test_one_interrupt_is_an_order_and_two_cut_off() -> None:
    said: list[str] = []

    async def go() -> None:
        steering = Steering()
        with interruptible(steering, said.append):
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(100):
                await asyncio.sleep(0)  # the loop sees the signal in one of its rounds
            assert steering.stopping
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(go())
    assert len(said) == 2
    assert "once more cuts it off" in said[0]


def test_an_entry_that_finds_no_room_leaves_those_before_it_whole(tmp_path: Path) -> None:
    with Journal(tmp_path, "run") as journal, FullDisk() as disk:
        journal.write("now", RUN)
        whole = journal.path.read_bytes()
        disk.fill(len(whole) + 10)
        with pytest.raises(NotWritten, match="nothing is begun without a journal"):
            journal.write("now", step("a", "write_config", "started"))
        assert journal.path.read_bytes() == whole


def test_a_journal_that_cannot_be_made_is_said_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotWritten, match="Not a directory"), Journal(tmp_path / "file" / "j", "r"):
        pass


def test_a_log_that_finds_no_room_is_no_bug(tmp_path: Path) -> None:
    log = HostLog(tmp_path / "log", str)
    log.note("probe", "look", 5, Completed(0, b"one", b""))
    whole = (tmp_path / "log").read_bytes()
    with FullDisk() as disk:
        disk.fill(len(whole) + 10)
        with pytest.raises(NotWritten, match="log"):
            log.note("probe", "look", 5, Completed(0, b"two", b""))
    assert (tmp_path / "log").read_bytes() == whole
