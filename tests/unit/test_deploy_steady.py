"""A host that is away is waited for, once; one that refuses us is not asked again."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import cast

import pytest
from asyncssh import SSHClientConnection

from bzzz_core.deploy.phases.join_cluster import make_token
from bzzz_core.deploy.remote import Completed, Runs
from bzzz_core.deploy.ssh.files import Feed
from bzzz_core.deploy.ssh.session import SshHost
from bzzz_core.deploy.ssh.staged import StagedFiles
from bzzz_core.deploy.state import OpenCluster
from bzzz_core.deploy.steady import RECONNECT_S_MAX, VOUCHED_MS_MAX, SteadyHost
from bzzz_core.deploy.work import Work
from bzzz_core.errors import (
    AuthenticationFailed,
    BzzzError,
    HostKeyChanged,
    HostUnreachable,
    LeaseLost,
    LinkLost,
)
from tests.fakes.deploy_goals import converged, fresh, goals, spec


class SleepClock:
    """Goes on while somebody sleeps."""

    def __init__(self) -> None:
        self.at_ms = 0

    def now_ms(self) -> int:
        return self.at_ms

    async def sleep_ms(self, duration_ms: int) -> None:
        self.at_ms += duration_ms
        await asyncio.sleep(0)


class Session:
    """An open session whose commands end at once, or lose the link."""

    def __init__(self, *, loses: bool = False, says: bytes = b"on\n") -> None:
        self._loses = loses
        self._says = says
        self.ran = 0

    async def run(self, script: str, *arguments: str, **options: object) -> Completed:
        del script, arguments, options
        self.ran += 1
        if self._loses:
            raise LinkLost("a: connection lost")
        return Completed(0, self._says, b"")


class Door:
    """Opens sessions, or fails as it is told."""

    def __init__(self, *outcomes: Session | BzzzError) -> None:
        self._outcomes = list(outcomes)
        self.knocks = 0

    async def connect(self) -> SshHost:
        self.knocks += 1
        outcome = self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]
        if isinstance(outcome, BzzzError):
            raise outcome
        return cast("SshHost", outcome)


class Notes:
    """A witness that remembers how commands ended."""

    def __init__(self) -> None:
        self.ends: list[tuple[str, Completed | BzzzError]] = []
        self.running: list[str] = []

    def runs(self, what: str, elapsed_ms: int, quiet_ms: int, last: str) -> None:
        del elapsed_ms, quiet_ms, last
        self.running.append(what)

    def ended(self, what: str, elapsed_ms: int, outcome: Completed | BzzzError) -> None:
        del elapsed_ms
        self.ends.append((what, outcome))


AWAY = HostUnreachable("a: no route")


def ask(door: Door, clock: SleepClock, times: int = 1, notes: Notes | None = None) -> SteadyHost:
    """Run one command so many times, whatever comes of it."""
    host = SteadyHost(
        "a",
        connect=door.connect,
        run_id="run",
        clock=clock,
        jitter=lambda: 0.5,
        witness=notes or Notes(),
    )

    async def go() -> None:
        for _ in range(times):
            await host.run("true", what="ask")

    asyncio.run(go())
    return host


def test_a_host_that_comes_back_is_waited_for() -> None:
    door, clock = Door(AWAY, AWAY, AWAY, Session()), SleepClock()
    ask(door, clock)
    assert door.knocks == 4
    assert 3_000 <= clock.at_ms < RECONNECT_S_MAX * 1_000


def test_a_host_that_stays_away_is_given_up_and_then_asked_once_each_time() -> None:
    door, clock, notes = Door(AWAY), SleepClock(), Notes()
    host = SteadyHost(
        "a", connect=door.connect, run_id="r", clock=clock, jitter=lambda: 0.5, witness=notes
    )

    async def go() -> None:
        with pytest.raises(HostUnreachable):
            await host.run("true", what="ask")
        assert RECONNECT_S_MAX <= clock.at_ms / 1_000 < RECONNECT_S_MAX + 20
        knocks, at_ms = door.knocks, clock.at_ms
        with pytest.raises(HostUnreachable):
            await host.run("true", what="ask again")
        assert (door.knocks, clock.at_ms - at_ms) == (knocks + 1, 0)

    asyncio.run(go())


@pytest.mark.parametrize("refusal", [HostKeyChanged("a: CHANGED"), AuthenticationFailed("a: no")])
def test_a_refusal_is_final(refusal: BzzzError) -> None:
    """A second try could lock the account, or give a secret to a stranger."""
    door = Door(refusal)
    with pytest.raises(type(refusal)):
        ask(door, SleepClock())
    assert door.knocks == 1


def test_a_command_under_which_the_link_is_lost_is_not_repeated() -> None:
    door, notes = Door(Session(loses=True), Session()), Notes()
    with pytest.raises(LinkLost):
        ask(door, SleepClock(), notes=notes)
    ((what, outcome),) = notes.ends
    assert what == "ask"
    assert isinstance(outcome, LinkLost)


def test_a_host_that_another_run_has_taken_is_not_touched_any_more() -> None:
    door = Door(Session())
    host = ask(door, SleepClock())
    host.bar(LeaseLost("a: taken away"))
    with pytest.raises(LeaseLost):
        asyncio.run(host.run("true", what="ask"))
    assert door.knocks == 1


def test_a_join_token_is_told_to_nobody_who_writes_logs() -> None:
    """It lets another machine into the cluster for ten minutes."""
    word = "bzzz-join-1.c2VjcmV0"
    door, notes = Door(Session(says=b'{"token": "' + word.encode() + b'"}')), Notes()
    voters = {
        name: SteadyHost(
            name,
            connect=door.connect,
            run_id="run",
            clock=SleepClock(),
            jitter=lambda: 0.5,
            witness=notes,
        )
        for name in ("bzzz-1", "bzzz-2", "bzzz-3")
    }
    work = Work(
        cluster=cast("OpenCluster", None),
        releases={},
        say=lambda _host, _text: None,
        hosts=voters,
    )
    newcomer = goals(spec(4), {**converged(spec(3)), "bzzz-4": fresh(4)})["bzzz-4"]
    made = asyncio.run(make_token(newcomer, work))
    assert made.reveal() == word
    assert (notes.ends, notes.running) == ([], [])


def test_after_the_link_was_lost_nothing_is_done_on_a_host_that_another_run_has_taken() -> None:
    """A link may be away for longer than a lease lasts."""
    first, second = Session(loses=True), Session()
    door, clock = Door(first, second), SleepClock()
    host = SteadyHost(
        "a", connect=door.connect, run_id="r", clock=clock, jitter=lambda: 0.5, witness=Notes()
    )
    asked: list[object] = []

    async def ours(session: Runs) -> None:
        asked.append(session)
        if session is second:
            raise LeaseLost("a: taken away")

    async def go() -> None:
        host.guard(ours)
        with pytest.raises(LinkLost):
            await host.run("true", what="ask")
        for _ in range(2):
            with pytest.raises(LeaseLost):
                await host.run("true", what="change something")

    asyncio.run(go())
    assert asked == [first, second], "and nobody connects again to find out"
    assert second.ran == 0


def test_that_a_lease_is_ours_is_believed_for_a_short_time_only() -> None:
    session, clock = Session(), SleepClock()
    host = SteadyHost(
        "a",
        connect=Door(session).connect,
        run_id="r",
        clock=clock,
        jitter=lambda: 0.5,
        witness=Notes(),
    )
    asked: list[int] = []

    async def ours(_session: Runs) -> None:
        asked.append(clock.at_ms)

    async def go() -> None:
        host.guard(ours)
        for _ in range(3):
            await host.session()
        clock.at_ms += VOUCHED_MS_MAX + 1
        await host.session()
        host.guard(None)
        clock.at_ms += VOUCHED_MS_MAX + 1
        await host.session()

    asyncio.run(go())
    assert asked == [0, VOUCHED_MS_MAX + 1]


async def shell(script: str, *arguments: str, **options: object) -> Completed:
    """Run a host's command in a shell of this machine."""
    del options
    done = await asyncio.to_thread(
        subprocess.run, ["sh", "-c", script, "bzzz", *arguments], check=False, timeout=20
    )
    return Completed(done.returncode, b"", b"")


def test_a_staging_directory_is_used_again_only_if_it_is_still_ours(tmp_path: Path) -> None:
    """In a place where everybody may write, a name says nothing."""
    kept = tmp_path / "bzzz-stage-1"
    kept.mkdir(mode=0o700)

    def taken(path: Path) -> str | None:
        connection, feed = cast("SSHClientConnection", None), cast("Feed", None)
        staged = StagedFiles("a", connection, shell, feed)
        asyncio.run(staged.take_over(str(path)))
        return staged.directory

    assert taken(kept) == str(kept)
    assert taken(tmp_path / "gone") is None
    (tmp_path / "link").symlink_to(kept)
    assert taken(tmp_path / "link") is None
    kept.chmod(0o777)
    assert taken(kept) is None
