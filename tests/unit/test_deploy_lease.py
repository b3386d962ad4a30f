"""The lease of a host: its own script, run by a real shell, and who may take over what."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bzzz_core.deploy import deadman, lease
from bzzz_core.deploy.lease import STALE_S, Lease, Owner, decode, held
from bzzz_core.deploy.remote import Completed, Runs
from bzzz_core.errors import CommandFailed, HostLocked, HostUnreachable, LeaseLost

SYSTEMCTL = """#!/bin/sh
case $1 in
  list-units) echo "$UNITS" ;;
  is-active) [ -e "$SCENE/armed" ] ;;
  start)
    room=${2#bzzz-install-}
    sh "$SCENE/bzzz-install/${room%.service}/run" ;;
  stop) rm -f "$SCENE/armed" ;;
esac
"""
ARMS = """#!/bin/sh
: >"$SCENE/armed"
"""


class ShellHost:
    """A host whose commands a shell of this machine runs, with places of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.uptime_s = 1_000
        self.armed = directory / "armed"
        (directory / "bin").mkdir()
        programs = {"systemctl": SYSTEMCTL, "systemd-run": ARMS, "sleep": "#!/bin/sh\n"}
        for name, text in programs.items():
            (directory / "bin" / name).write_text(text)
            (directory / "bin" / name).chmod(0o700)
        self.units: list[str] = []
        self.away = False
        self.check: Callable[[Runs], Awaitable[None]] | None = None

    def arm(self, what: str, restore: str) -> None:
        """Leave a change that nobody proved, as a run does that dies."""
        for name, text in (("restore", restore), ("data", "")):
            (self._directory / name).write_text(text)
        places = (str(self._directory / "restore"), str(self._directory / "data"))
        asyncio.run(self.run(deadman._ARM, what, "60", *places, "600", "30", what="arm"))

    def reboot(self) -> None:
        """Lose what lies in /run."""
        shutil.rmtree(self._directory / "bzzz-install.lock")
        (self._directory / "bzzz-install.guard").unlink()
        self.uptime_s = 3

    def guard(self, check: Callable[[Runs], Awaitable[None]] | None) -> None:
        """Keep what would be asked on a new connection."""
        self.check = check

    @property
    def name(self) -> str:
        return "a"

    async def run(
        self, script: str, *arguments: str, what: str, timeout_s: int = 60, check: bool = True
    ) -> Completed:
        """Run the script, with its paths below a directory and a systemd that plays."""
        del what, timeout_s, check
        if self.away:
            raise HostUnreachable("a: no route")
        (self._directory / "uptime").write_text(f"{self.uptime_s}.5 1.0\n")
        body = script.replace("/run/", f"{self._directory}/").replace(
            "/proc/uptime", f"{self._directory}/uptime"
        )
        body = re.sub(r"find /etc.*?2>/dev/null", ":", body, count=1, flags=re.DOTALL)
        body = body.replace("/var/tmp", str(self._directory))  # noqa: S108  the script's own
        done = await asyncio.to_thread(
            subprocess.run,
            ["sh", "-c", body, "bzzz", *arguments],
            capture_output=True,
            check=False,
            env={
                "PATH": f"{self._directory}/bin:{os.environ['PATH']}",
                "SCENE": str(self._directory),
                "UNITS": "\n".join(self.units),
            },
        )
        return Completed(done.returncode, done.stdout, done.stderr).checked("a", "lease")


class QuickClock:
    """Goes on while somebody sleeps, and ends the host's units then."""

    def __init__(self, host: ShellHost | None = None) -> None:
        self._now_ms = 0
        self._host = host

    def now_ms(self) -> int:
        return self._now_ms

    async def sleep_ms(self, duration_ms: int) -> None:
        self._now_ms += duration_ms
        if self._host is not None:
            self._host.units = []


def owner(run: str, origin: str = "") -> Owner:
    return Owner(who="ann", host="laptop", pid=7, run=run, origin=origin or f"origin-{run}")


def take(host: ShellHost, run: str, **fields: Any) -> None:
    asyncio.run(Lease(host, owner(run, **fields)).take(QuickClock(host)))


@pytest.fixture
def host(tmp_path: Path) -> ShellHost:
    return ShellHost(tmp_path)


def test_the_second_of_two_runs_is_refused_and_told_who_is_there(host: ShellHost) -> None:
    take(host, "one")
    host.uptime_s += STALE_S - 1
    with pytest.raises(HostLocked, match=r"ann on laptop \(pid 7, run one\).*59 s ago"):
        take(host, "two")


def test_a_lease_without_heartbeat_is_taken_over(host: ShellHost) -> None:
    take(host, "one")
    host.uptime_s += STALE_S
    take(host, "two")
    with pytest.raises(LeaseLost, match="run two"):
        asyncio.run(Lease(host, owner("one")).beat("", ""))


def test_a_heartbeat_keeps_it_and_says_what_is_done(host: ShellHost) -> None:
    take(host, "one")
    host.uptime_s += STALE_S - 1
    asyncio.run(Lease(host, owner("one")).beat("upload_release", "12:00"))
    host.uptime_s += STALE_S - 1
    with pytest.raises(HostLocked, match=r"at upload_release.*last heard at 12:00"):
        take(host, "two")


def test_a_dead_run_of_the_same_operator_is_followed_at_once(host: ShellHost) -> None:
    """The lock on the cluster's directory is held: whoever wrote that origin is dead."""
    take(host, "one", origin="here")
    take(host, "two", origin="here")
    with pytest.raises(HostLocked):
        take(host, "three", origin="elsewhere")


def test_the_lease_is_kept_while_an_unproved_change_is_taken_back(host: ShellHost) -> None:
    """Hundreds of rules take minutes; a lease without heartbeat for one is anybody's."""
    host.arm(
        "firewall-ufw",
        """
        beat=$SCENE/bzzz-install.lock/beat tries=0
        rm -- "$beat"
        until [ -e "$beat" ]; do
          tries=$((tries + 1))
          [ "$tries" -lt 300000 ] || exit 1
        done
        """,
    )
    take(host, "two")
    host.uptime_s += STALE_S - 1
    with pytest.raises(HostLocked, match="run two"):
        take(host, "three")


def test_a_lease_is_kept_while_other_hosts_take_changes_back(tmp_path: Path) -> None:
    """The first one was stale before the run had begun, and anybody's."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first, other = ShellHost(tmp_path / "a"), ShellHost(tmp_path / "b")
    other.arm(
        "firewall-ufw",
        f"""
        beat={tmp_path}/a/bzzz-install.lock/beat tries=0
        rm -- "$beat"
        until [ -e "$beat" ]; do
          tries=$((tries + 1))
          [ "$tries" -lt 300000 ] || exit 1
        done
        """,
    )

    async def run() -> None:
        async with held({"a": first, "b": other}, owner("two"), QuickClock()):
            assert (tmp_path / "a/bzzz-install.lock/beat").exists()

    asyncio.run(run())


def test_a_dead_runs_unit_is_waited_for(host: ShellHost) -> None:
    take(host, "one", origin="here")
    host.units = ["bzzz-install-one-unpack.service"]
    take(host, "two", origin="here")
    assert host.units == []


def test_a_unit_that_does_not_end_refuses_even_a_stale_lease(host: ShellHost) -> None:
    take(host, "one")
    host.uptime_s += 10 * STALE_S
    host.units = ["bzzz-install-one-unpack.service"]
    with pytest.raises(HostLocked, match=r"bzzz-install-one-unpack.service is still at work"):
        asyncio.run(Lease(host, owner("two")).take(QuickClock()))
    host.units = []
    host.uptime_s -= 10 * STALE_S
    with pytest.raises(HostLocked, match="run one"):
        take(host, "three")


def test_a_timer_of_another_run_is_no_unit_at_work(host: ShellHost) -> None:
    host.units = ["bzzz-install-one-deadman.timer"]
    take(host, "two")


def test_after_a_reboot_the_owner_takes_it_anew(host: ShellHost) -> None:
    take(host, "one")
    host.reboot()
    asyncio.run(Lease(host, owner("one")).beat("", ""))
    with pytest.raises(HostLocked, match="run one"):
        take(host, "two")


@pytest.mark.parametrize("rebooted", [True, False])
def test_a_run_that_slept_while_another_had_the_host_does_not_take_it_anew(
    host: ShellHost, *, rebooted: bool
) -> None:
    """What it knows of the host, its plan too, is older than what the other one did there."""
    take(host, "one")
    if rebooted:
        host.reboot()
    host.uptime_s += STALE_S
    take(host, "two")
    asyncio.run(Lease(host, owner("two")).free())
    with pytest.raises(LeaseLost, match="another run has had it since"):
        asyncio.run(Lease(host, owner("one")).beat("", ""))
    take(host, "three")


def test_a_lease_that_was_freed_by_hand_is_lost_at_the_next_heartbeat(host: ShellHost) -> None:
    take(host, "one")
    asyncio.run(lease.ask(host, "free", owner("any")))
    with pytest.raises(LeaseLost, match="freed by hand"):
        asyncio.run(Lease(host, owner("one")).beat("", ""))


def test_what_a_dead_run_did_not_prove_is_taken_back_by_who_takes_its_lease(
    host: ShellHost, tmp_path: Path
) -> None:
    """Else it would stay for good, as if it had been proved: the sweep took the way back along."""
    take(host, "one", origin="here")
    (tmp_path / "rule").touch()
    host.arm("firewall-ufw", f"rm {tmp_path}/rule")
    assert asyncio.run(lease.ask(host, "show", owner("two"))).unproved == ("firewall-ufw",)
    take(host, "two", origin="here")
    assert not (tmp_path / "rule").exists()
    assert not host.armed.exists()
    assert not any((tmp_path / "bzzz-install").iterdir())


def test_a_way_back_that_fails_is_kept_and_refuses_the_host(
    host: ShellHost, tmp_path: Path
) -> None:
    host.arm("sshd", f"[ -e {tmp_path}/free ]")

    async def run() -> None:
        async with held({"a": host}, owner("two"), QuickClock()):
            raise AssertionError("not reached")

    for _ in range(2):
        with pytest.raises(CommandFailed, match="status"):
            asyncio.run(run())
        assert host.armed.exists()
    (tmp_path / "free").touch()
    take(host, "three")
    assert not any((tmp_path / "bzzz-install").iterdir())


def test_what_dead_runs_left_is_removed_and_nothing_of_a_living_one(
    host: ShellHost, tmp_path: Path
) -> None:
    """Staged files may hold secrets; nobody else will come for them."""
    (tmp_path / "bzzz-stage-old").mkdir()
    (tmp_path / "bzzz-install").mkdir()
    (tmp_path / "bzzz-install" / "dead-unpack").mkdir()
    take(host, "one")
    assert sorted(path.name for path in tmp_path.glob("bzzz-*")) == [
        "bzzz-install",
        "bzzz-install.guard",
        "bzzz-install.lock",
    ]
    assert not any((tmp_path / "bzzz-install").iterdir())
    (tmp_path / "bzzz-stage-mine").mkdir()
    asyncio.run(Lease(host, owner("one")).beat("", ""))
    assert (tmp_path / "bzzz-stage-mine").exists()


def test_only_the_owner_gives_it_back(host: ShellHost) -> None:
    take(host, "one")
    asyncio.run(Lease(host, owner("two")).free())
    with pytest.raises(HostLocked):
        take(host, "two")
    asyncio.run(Lease(host, owner("one")).free())
    take(host, "two")


def test_one_foreign_lease_refuses_the_run_and_gives_back_the_others(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    mine, theirs = ShellHost(tmp_path / "a"), ShellHost(tmp_path / "b")
    take(theirs, "one")

    async def run() -> None:
        async with held({"a": mine, "b": theirs}, owner("two"), QuickClock()):
            raise AssertionError("not reached")

    with pytest.raises(HostLocked, match="nothing was changed"):
        asyncio.run(run())
    take(mine, "three")


class Stumbling(ShellHost):
    """A host over whose giving back setup stumbles."""

    async def run(self, script: str, *arguments: str, what: str, **how: Any) -> Completed:
        if "free" in what:
            raise ValueError("odd")
        return await super().run(script, *arguments, what=what, **how)


def test_a_mistake_at_one_host_leaves_no_other_ones_lease_behind(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    odd, other = Stumbling(tmp_path / "a"), ShellHost(tmp_path / "b")

    async def hold() -> bool:
        with pytest.raises(ValueError, match="odd"):
            async with held({"a": odd, "b": other}, owner("one"), QuickClock()):
                assert (tmp_path / "b" / "bzzz-install.lock").exists()
        return (tmp_path / "b" / "bzzz-install.lock").exists()

    assert asyncio.run(hold()) is False


def test_a_host_that_is_held_asks_on_each_new_connection_whether_it_still_is(
    host: ShellHost, tmp_path: Path
) -> None:
    async def run() -> None:
        async with held({"a": host}, owner("one"), QuickClock()):
            assert host.check is not None
            await host.check(host)
            host.uptime_s += STALE_S
            await Lease(host, owner("two")).take(QuickClock())
            with pytest.raises(LeaseLost, match="run two"):
                await host.check(host)
        assert host.check is None, "it would take anew what was given back"

    asyncio.run(run())
    assert '"run":"two"' in (tmp_path / "bzzz-install.lock" / "owner").read_text()


def test_a_lost_link_is_never_called_a_lock(host: ShellHost) -> None:
    host.away = True

    async def run() -> None:
        async with held({"a": host}, owner("two"), QuickClock()):
            raise AssertionError("not reached")

    with pytest.raises(HostUnreachable):
        asyncio.run(run())


def test_an_answer_that_is_none_is_a_failure() -> None:
    for output in (b"", b"held", b"what 3\n", b"held x\n"):
        with pytest.raises(CommandFailed):
            decode("a", output)
    assert decode("a", b"held 3\n\n{bad json").owner is None
    assert lease.BEAT_MS * 3 < STALE_S * 1_000
