"""One host and its link, broken in every way: uploads, long work, leases, output."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar

import pytest

from bzzz_core.clock import SystemClock
from bzzz_core.deploy.job import Job
from bzzz_core.deploy.lease import Lease, Owner
from bzzz_core.deploy.remote import Completed
from bzzz_core.deploy.ssh.host_keys import KnownHosts
from bzzz_core.deploy.ssh.login import Login, Pace
from bzzz_core.deploy.ssh.session import SshHost, session
from bzzz_core.deploy.steady import SteadyHost
from bzzz_core.errors import BzzzError, CommandFailed, HostLocked, HostUnreachable, LinkLost
from tests.testbed import cli, docker_daemon, faults
from tests.testbed.docker_daemon import Docker
from tests.testbed.state import Host, State

pytestmark = [pytest.mark.testbed, pytest.mark.journey, pytest.mark.timeout(300)]
T = TypeVar("T")
QUICK = Pace(connect_s=3, login_s=5, keepalive_s=1, keepalives_max=2)
CUT = 'for p in $(pgrep -f "[s]shd: operator"); do kill -9 "$p"; done; true'
FREEZE = 'for p in $(pgrep sshd); do kill -STOP "$p"; done; true'
THAW = 'for p in $(pgrep sshd); do kill -CONT "$p"; done; true'


class Link:
    """The way to one host, opened again whenever it is gone; what `Fleet` is to a run."""

    def __init__(self, bed: State, host: Host) -> None:
        self._login = Login(
            name=host.name, address=host.address, port=22, user="operator", key=bed.key
        )
        self._known_hosts = KnownHosts(bed.known_hosts)
        self._stack = AsyncExitStack()
        self.host: SshHost | None = None
        self.opened = 0

    async def connect(self) -> SshHost:
        """Return the open session, or another."""
        if self.host is not None and self.host.alive:
            return self.host
        old, self.host = self.host, None
        await self._stack.aclose()
        opened = session(self._login, self._known_hosts, QUICK)
        self.host = await self._stack.enter_async_context(opened)
        self.opened += 1
        if old is not None:
            await self.host.take_over(old.stage_directory)
        return self.host

    async def close(self) -> None:
        """End it."""
        await self._stack.aclose()


@dataclasses.dataclass
class Notes:
    """A witness that remembers."""

    running: list[tuple[str, int, int, str]] = dataclasses.field(default_factory=list)
    done: list[tuple[str, Completed | BzzzError]] = dataclasses.field(default_factory=list)

    def runs(self, what: str, elapsed_ms: int, quiet_ms: int, last: str) -> None:
        self.running.append((what, elapsed_ms, quiet_ms, last))

    def ended(self, what: str, elapsed_ms: int, outcome: Completed | BzzzError) -> None:
        del elapsed_ms
        self.done.append((what, outcome))


class Bench:
    """Two hosts, and how to break them from behind."""

    def __init__(self, bed: State, docker: Docker) -> None:
        self.bed = bed
        self.docker = docker

    def behind(self, script: str, number: int = 0) -> str:
        """Run something on a host without SSH."""
        container = self.bed.hosts()[number].container
        return self.docker.text("exec", container, "sh", "-c", script)

    def run(
        self,
        work: Callable[[SteadyHost, Link], Awaitable[T]],
        *,
        number: int = 0,
        run_id: str = "run-1",
        notes: Notes | None = None,
        patience_s: int = 60,
    ) -> T:
        """Do something with a host whose link may break."""

        async def go() -> T:
            link = Link(self.bed, self.bed.hosts()[number])
            host = SteadyHost(
                self.bed.hosts()[number].name,
                connect=link.connect,
                run_id=run_id,
                clock=SystemClock(),
                jitter=lambda: 0.5,
                witness=notes or Notes(),
                patience_s=patience_s,
            )
            try:
                return await work(host, link)
            finally:
                await link.close()

        return asyncio.run(go())


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    state = State(tmp_path_factory.mktemp("engine"))
    cli.up(state, count=2, name="link", suite="bookworm")
    yield Bench(state, docker_daemon.find_or_start())
    cli.down(state)


def named(step: str, script: str, *, timeout_s: int = 60, silent_s_max: int | None = None) -> Job:
    """Return a job that does what its name says."""
    return Job(step=step, what=step, script=script, timeout_s=timeout_s, silent_s_max=silent_s_max)


def test_an_upload_goes_on_where_the_link_was_cut(bench: Bench, tmp_path: Path) -> None:
    """Nothing is sent twice that arrived, nothing is left, and what arrived is right."""
    large = tmp_path / "large"
    large.write_bytes(b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(1_000_000)))
    sent: list[int] = []

    async def work(host: SteadyHost, link: Link) -> str:
        cuts = 0

        def progress(done: int, total: int) -> None:
            nonlocal cuts
            sent.append(done)
            if cuts < 2 and done > (cuts + 1) * total // 3:
                cuts += 1
                bench.behind(CUT)

        path = await host.upload(large, progress)
        assert link.opened == 3
        there = await host.run('sha256sum <"$1"', path, what="compare", root=False)
        return there.text.split()[0]

    arrived = bench.run(work)
    assert arrived == hashlib.sha256(large.read_bytes()).hexdigest()
    falls = [after for before, after in itertools.pairwise(sent) if after < before]
    assert len(falls) <= 2
    assert all(fall > 0 for fall in falls), "it went on, and did not begin anew"
    assert bench.behind("ls -d /var/tmp/bzzz-* 2>/dev/null; true") == ""


def test_long_work_outlives_the_link_and_is_found_again(bench: Bench) -> None:
    notes = Notes()
    job = Job(
        step="count",
        what="count",
        script='for n in 1 2 3 4 5 6; do echo "$1 $n"; sleep 1; done; echo grumble >&2; exit 7',
        arguments=("value $HOME %n",),
        timeout_s=30,
    )

    async def work(host: SteadyHost, link: Link) -> Completed:
        async def cut() -> None:
            for _ in range(2):
                await asyncio.sleep(1.5)
                await asyncio.to_thread(bench.behind, CUT)

        done, _ = await asyncio.gather(
            host.run_unit(job, check=False),
            cut(),
        )
        assert link.opened == 3
        return done

    done = bench.run(work, notes=notes)
    assert (done.status, done.stderr) == (7, b"grumble\n")
    assert done.stdout.decode().splitlines() == [f"value $HOME %n {n}" for n in range(1, 7)]
    what, elapsed_ms, quiet_ms, last = notes.running[-1]
    assert what == "count"
    assert elapsed_ms >= 5_000
    assert quiet_ms < 3_000
    assert last.startswith("value $HOME %n")
    assert (
        bench.behind("ls /run/bzzz-install; systemctl list-units --all 'bzzz-*' --no-legend") == ""
    )


def test_a_unit_that_is_silent_for_too_long_is_stopped(bench: Bench) -> None:
    async def work(host: SteadyHost, link: Link) -> None:
        del link
        with pytest.raises(CommandFailed, match="no output for 2 s"):
            await host.run_unit(named("hang", "echo on; sleep 61.5", silent_s_max=2))
        with pytest.raises(CommandFailed, match="longer than 1 s"):
            await host.run_unit(named("slow", "sleep 62.5", timeout_s=1))

    bench.run(work)
    assert bench.behind("pgrep -f 'sleep 6[12].5'; true") == ""


def test_output_without_end_and_without_utf8_costs_neither_status_nor_memory(
    bench: Bench,
) -> None:
    flood = r"printf '\377\376\033[31m'; head -c 52428800 /dev/zero; printf 'a\377'; exit 7"

    async def work(host: SteadyHost, link: Link) -> tuple[Completed, Completed, str]:
        del link
        plain = await host.run(flood, what="flood", check=False)
        unit = await host.run_unit(named("flood", flood), check=False)
        return plain, unit, (await host.run("echo on", what="go on")).text

    plain, unit, after = bench.run(work)
    assert (plain.status, unit.status, after) == (7, 7, "on")
    assert plain.truncated
    assert unit.truncated
    assert plain.stdout.startswith(b"\xff\xfe\x1b[31m")
    assert len(plain.stdout) < 5_000_000
    assert 1_000_000 <= len(unit.stdout) < 1_100_000


def test_a_frozen_host_fails_by_itself_and_others_do_not_notice(bench: Bench) -> None:
    async def frozen(host: SteadyHost, link: Link) -> float:
        del link
        await host.run("true", what="greet")
        await asyncio.to_thread(bench.behind, FREEZE)
        begun = time.monotonic()
        with pytest.raises(LinkLost):
            await host.run("echo on", what="ask")
        with pytest.raises(HostUnreachable):
            await host.run("echo on", what="ask again")
        return time.monotonic() - begun

    async def well(host: SteadyHost, link: Link) -> float:
        del link
        slowest = 0.0
        for _ in range(20):
            begun = time.monotonic()
            await host.run("echo on", what="ask")
            slowest = max(slowest, time.monotonic() - begun)
            await asyncio.sleep(0.2)
        return slowest

    async def both() -> tuple[float, float]:
        return await asyncio.gather(
            asyncio.to_thread(bench.run, frozen, patience_s=4),
            asyncio.to_thread(bench.run, well, number=1),
        )

    try:
        took, slowest = asyncio.run(both())
    finally:
        bench.behind(THAW)
    assert took < 25
    assert slowest < 2


def test_of_two_runs_the_second_is_refused_by_name(bench: Bench) -> None:
    def owner(run: str, origin: str) -> Owner:
        return Owner(who="ann", host="laptop", pid=1, run=run, origin=origin)

    async def second(host: SteadyHost, link: Link) -> None:
        del link
        with pytest.raises(HostLocked, match="ann on laptop"):
            await Lease(host.quiet, owner("run-2", "there")).take(SystemClock())

    async def first(host: SteadyHost, link: Link) -> None:
        del link
        lease = Lease(host.quiet, owner("run-1", "here"))
        await lease.take(SystemClock())
        await asyncio.to_thread(bench.run, second, run_id="run-2")
        # Killed while a unit works: the same operator's next run waits for it.
        unit = "systemd-run --quiet --collect --unit=bzzz-install-run-1-work sleep 3"
        await host.run(unit, what="leave work behind")
        with pytest.raises(CommandFailed, match="bzzz-install-run-1-work"):
            await asyncio.to_thread(bench.run, other_unit, run_id="run-9")
        begun = time.monotonic()
        third = Lease(host.quiet, owner("run-3", "here"))
        await third.take(SystemClock())
        assert time.monotonic() - begun > 1
        await third.free()

    async def other_unit(host: SteadyHost, link: Link) -> None:
        del link
        await host.run_unit(named("work", "true"))

    bench.run(first)
    assert bench.behind("ls -d /run/bzzz-install.lock 2>/dev/null; true") == ""


def test_work_goes_on_after_the_host_rebooted(bench: Bench) -> None:
    """The files of the unit are gone with the reboot: it is started anew, and ends."""
    script = "echo begun >>/var/tmp/begun; sleep 4; sync"

    async def work(host: SteadyHost, link: Link) -> Completed:
        del link
        unit = asyncio.ensure_future(host.run_unit(named("slow", script)))
        await asyncio.sleep(2)
        here = bench.bed.hosts()[0]
        await asyncio.to_thread(faults.reboot, bench.docker, bench.bed, here)
        return await unit

    assert bench.run(work).status == 0
    assert bench.behind("cat /var/tmp/begun; rm /var/tmp/begun").split() == ["begun", "begun"]
