"""Runs that go on by themselves: their files, their orders, their end; without a process."""

from __future__ import annotations

import asyncio
import fcntl
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bzzz_core.config.schema import ClusterSpec
from bzzz_core.config.sources import load_answers
from bzzz_core.deploy.detached import engine
from bzzz_core.deploy.detached.follow import death_words, follow
from bzzz_core.deploy.detached.orders import ALONE_MS, give, while_told
from bzzz_core.deploy.detached.place import (
    KEPT,
    Run,
    find_run,
    live_runs,
    make_run,
    runs_of,
)
from bzzz_core.deploy.detached.start import refuse_second
from bzzz_core.deploy.events import Began, Event, Refusal, Step, Summary
from bzzz_core.deploy.journal import new_run_id
from bzzz_core.deploy.ssh.host_keys import KnownHosts
from bzzz_core.deploy.ssh.login import Login
from bzzz_core.deploy.ssh.session import SshHost
from bzzz_core.deploy.steering import Retry, Skip, Steering, Stop
from bzzz_core.deploy.wishes import Wishes
from bzzz_core.errors import ConfigError, HostUnreachable, NotWritten, PreconditionFailed
from bzzz_core.trust import private_files
from tests.fakes.full_disk import FullDisk

ANSWERS = """
cluster: {name: one}
security: {ssh: {password: "env:HOSTS_PASSWORD"}}
hosts: [{name: a, address: 10.0.0.1}]
"""


class StridingClock:
    """Time that goes as far as somebody sleeps, and lets others work meanwhile."""

    def __init__(self) -> None:
        self.ms = 0

    def now_ms(self) -> int:
        return self.ms

    async def sleep_ms(self, duration_ms: int) -> None:
        self.ms += duration_ms
        await asyncio.sleep(0)


@asynccontextmanager
async def unreachable(login: Login, known_hosts: KnownHosts) -> AsyncIterator[SshHost]:
    del known_hosts
    raise HostUnreachable(f"{login.name}: no route")
    yield


@pytest.fixture
def spec(tmp_path: Path) -> ClusterSpec:
    path = tmp_path / "answers.yaml"
    path.write_text(ANSWERS)
    return load_answers(path)


@pytest.fixture
def run(spec: ClusterSpec, tmp_path: Path) -> Run:
    wishes = Wishes(plan_hash="0123456789ab", forced=frozenset({"1.0"}))
    return make_run(spec, wishes, hold=True, base=tmp_path)


def watched(run: Run) -> list[Event | Refusal]:
    async def all_of_it() -> list[Event | Refusal]:
        return [event async for event in follow(run, StridingClock())]

    return asyncio.run(all_of_it())


def test_a_run_keeps_answers_and_wishes_for_its_owner_alone(run: Run, spec: ClusterSpec) -> None:
    assert run.spec() == spec
    asked = run.asked()
    assert (asked.hold, asked.wishes.plan_hash, asked.wishes.run_id) == (
        True,
        "0123456789ab",
        run.id,
    )
    assert asked.wishes.forced == {"1.0"}
    assert {path.stat().st_mode & 0o777 for path in run.path.iterdir()} == {0o600}
    assert run.path.stat().st_mode & 0o777 == 0o700
    assert "env:HOSTS_PASSWORD" in run.answers.read_text()


def test_a_run_lives_as_long_as_its_lock_is_held(run: Run, tmp_path: Path) -> None:
    assert not run.alive
    with private_files.lock(run.lock):
        assert run.alive
        assert [live.id for live in live_runs(tmp_path)] == [run.id]
        with pytest.raises(PreconditionFailed, match=f"--attach {run.id}"):
            refuse_second("one", tmp_path)
    assert live_runs(tmp_path) == []
    refuse_second("one", tmp_path)


def test_the_last_runs_are_kept_and_one_that_lives(spec: ClusterSpec, tmp_path: Path) -> None:
    first = make_run(spec, Wishes(), hold=False, base=tmp_path)
    old = first.path.rename(first.path.with_name("2020-01-01T000000-aaaaaa"))
    dead = old.with_name("2020-01-01T000000-bbbbbb")
    dead.mkdir()
    with private_files.lock(Run(old).lock):
        for _ in range(KEPT):
            make_run(spec, Wishes(), hold=False, base=tmp_path)
        assert old.exists()
        assert not dead.exists()
        assert len(runs_of("one", tmp_path)) == KEPT + 1


def test_a_run_for_which_there_is_no_room_leaves_nothing(spec: ClusterSpec, tmp_path: Path) -> None:
    with FullDisk() as disk:
        disk.fill()
        with pytest.raises(NotWritten):
            make_run(spec, Wishes(), hold=False, base=tmp_path)
    assert list((tmp_path / "clusters" / "one" / "runs").iterdir()) == []


def test_a_run_is_the_newest_also_after_the_clock_was_set_back(
    spec: ClusterSpec, tmp_path: Path
) -> None:
    runs = tmp_path / "clusters" / "one" / "runs"
    for number in range(KEPT):
        make_run(spec, Wishes(), hold=False, base=tmp_path)
        newest = runs / f"2999-12-31T23595{number}-aaaaaa"
        runs_of("one", tmp_path)[0].path.rename(newest)
    run = make_run(spec, Wishes(), hold=False, base=tmp_path)
    assert run.path.exists()
    assert run.id.startswith("3000-01-01T000000-")
    assert find_run("", tmp_path) == run
    assert not (runs / "2999-12-31T235950-aaaaaa").exists()


def test_a_journal_of_the_future_is_not_taken_for_the_last_run_s(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    for name in ("9999-12-31T235959-a", "2999-01-01T000000-a.b.log", "noise-a"):
        (tmp_path / "journal" / name).touch()
    assert new_run_id(tmp_path / "none") < "2900"
    assert new_run_id(tmp_path).startswith("20"), "nothing is later than the end of time"
    (tmp_path / "journal" / "9999-12-31T235959-a").unlink()
    assert new_run_id(tmp_path).startswith("2999-01-01T000001-")


def test_whoever_looks_at_a_run_that_begins_is_waited_for(run: Run) -> None:
    """A watcher may come between the making of a run and its lock."""
    with run.lock.open("rb") as watcher:
        fcntl.flock(watcher, fcntl.LOCK_SH)

        def leave(*_: object) -> None:
            fcntl.flock(watcher, fcntl.LOCK_UN)

        former = signal.signal(signal.SIGALRM, leave)
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        try:
            with run.locked():
                assert run.alive
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, former)


def test_a_run_is_found_by_its_beginning_or_by_being_the_one_at_work(
    spec: ClusterSpec, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="no run to follow"):
        find_run("", tmp_path)
    older = make_run(spec, Wishes(), hold=False, base=tmp_path)
    older = Run(older.path.rename(older.path.with_name("2020-01-01T000000-aaaaaa")))
    newer = make_run(spec, Wishes(), hold=False, base=tmp_path)
    assert find_run("", tmp_path) == newer
    assert find_run("2020", tmp_path) == older
    with private_files.lock(older.lock):
        assert find_run("", tmp_path) == older
    with pytest.raises(ConfigError, match="no run 2019"):
        find_run("2019", tmp_path)
    with pytest.raises(ConfigError, match="say which run"):
        find_run("20", tmp_path)


def test_who_comes_late_sees_what_who_stayed_saw(run: Run, tmp_path: Path) -> None:
    """Also of a run that could not even begin; its answers are those of no good run."""
    assert engine.work(run, open_session=unreachable) == 3
    seen = watched(run)
    assert isinstance(seen[0], Began)
    assert seen[0].run == run.id
    assert [event.host for event in seen if isinstance(event, Step)] == ["a"]
    assert isinstance(seen[-1], Summary)
    assert seen[-1].exit_code == 3
    assert watched(run) == seen
    assert not (tmp_path / "clusters" / "one" / "answers.last.yaml").exists()


def test_an_engine_that_was_killed_is_told_of(run: Run) -> None:
    run.events.write_bytes(
        b'{"event":"run","run":"x","pid":7}\n{"event":"of a later version"}\n{"ev'
    )
    assert watched(run) == [Began("x", 7)]
    assert "before it changed anything" in death_words(run)
    run.journal.mkdir()
    lines = (
        {"event": "run", "hosts": ["a"]},
        {"event": "step", "host": "a", "phase": "probe", "status": "changed"},
        {"event": "step", "host": "a", "phase": "write_config", "status": "started"},
    )
    journal = run.journal / f"{run.id}.ndjson"
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "it had done 1 steps and was at work: a at write_config" in death_words(run)


def test_orders_reach_a_run_also_those_given_before_it_listened(run: Run) -> None:
    steering = Steering(hold=True)

    async def work() -> int:
        assert await _until(lambda: steering.skips("b"))
        give(run, Retry("a"))
        with run.attending():
            assert await steering.to_retry(["a"]) == ["a"]
        give(run, Stop())
        assert await _until(lambda: steering.stopping)
        return 7

    give(run, Skip("b"))
    with run.orders.open("ab") as file:
        file.write(b"no order\n")
    assert asyncio.run(while_told(run, steering, StridingClock(), work)) == 7


def test_what_goes_wrong_in_the_work_comes_out_as_it_is(run: Run) -> None:
    async def work() -> int:
        raise HostUnreachable("no route")

    with pytest.raises(HostUnreachable):
        asyncio.run(while_told(run, Steering(), StridingClock(), work))


def test_without_watchers_nobody_is_waited_for_in_the_end(run: Run) -> None:
    steering, clock = Steering(hold=True), StridingClock()

    async def attended() -> int:
        with run.attending():
            await _until(lambda: clock.ms > 2 * ALONE_MS)
            return int(steering.hold)

    async def alone() -> int:
        return len(await steering.to_retry(["a"]))

    assert asyncio.run(while_told(run, steering, clock, attended)) == 1
    assert asyncio.run(while_told(run, steering, clock, alone)) == 0
    assert not steering.hold


def test_two_watchers_attend_at_once(run: Run) -> None:
    with run.attending(), run.attending():
        assert run.attended
    with (run.path / "attended").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


async def _until(holds) -> bool:  # noqa: ANN001
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110  what is waited for has no event
            await asyncio.sleep(0)
    return True
