"""Who is taken back when an upgrade fails, to what, and with which mark."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import cast

import msgspec
import pytest

from bzzz_core.deploy import back, rollback
from bzzz_core.deploy.events import Event, Step, Summary
from bzzz_core.deploy.goal import Goal
from bzzz_core.deploy.phases import wait_ready
from bzzz_core.deploy.record import Record
from bzzz_core.deploy.remote import Completed
from bzzz_core.deploy.state import OpenCluster
from bzzz_core.deploy.work import Work
from tests.fakes.deploy_goals import RELEASE, converged, goals, spec
from tests.fakes.deploy_host import FakeHost
from tests.fakes.statuses import status

NAMES = ("bzzz-1", "bzzz-2", "bzzz-3")


class Instant:
    """A clock that stands."""

    def now_ms(self) -> int:
        return 0

    async def sleep_ms(self, duration_ms: int) -> None:
        raise AssertionError(duration_ms)


class Passing:
    """A clock that goes on while somebody sleeps."""

    def __init__(self) -> None:
        self._now_ms = 0

    def now_ms(self) -> int:
        return self._now_ms

    async def sleep_ms(self, duration_ms: int) -> None:
        self._now_ms += duration_ms


class Wreck:
    """Three hosts in the middle of an upgrade."""

    def __init__(self) -> None:
        answers = spec(3)
        self.log: list[str] = []
        self.events: list[Event] = []
        self.goals: dict[str, Goal] = goals(answers, converged(answers))
        self.hosts = {
            name: FakeHost(name, number=number, log=self.log)
            for number, name in enumerate(NAMES, 1)
        }
        self.record = Record(sink=self.events.append, clock=Instant())
        self.work = Work(
            cluster=cast("OpenCluster", None), releases={}, say=lambda _host, _text: None
        )

    def undo(self) -> Summary:
        asyncio.run(rollback.undo(self.hosts, self.goals, self.work, self.record, Instant()))
        return self.record.summary(NAMES, operator_changes=0, leader=None, term=0)

    def switched(self, *names: str) -> None:
        for name in names:
            self.work.switched[name] = "0.0.9+old"
            self.work.touched.add(name)


def serves(what: str) -> bytes | None:
    """Answer as a node of a cluster that serves."""
    return msgspec.json.encode(status()) if "status" in what else None


def test_who_failed_goes_back_first_and_who_came_through_stays() -> None:
    wreck = Wreck()
    wreck.switched(*NAMES)
    wreck.record.fail("bzzz-2", "wait_ready", 5, "it crashes")
    wreck.work.condemned.add("bzzz-2")
    wreck.record.skip(["bzzz-1"], "start_agent", "bzzz-2 did not come back")
    summary = wreck.undo()
    asked = [line for line in wreck.log if "go back" in line]
    assert asked == [f"{n}: go back to the release before" for n in ("bzzz-2", "bzzz-1")]
    details = {host.name: host.detail for host in summary.hosts}
    assert details["bzzz-1"] == f"back on 0.0.9+old: {RELEASE.version} failed on another host"
    assert details["bzzz-2"].startswith(
        f"rolled back: {RELEASE.version} was not ready (it crashes)"
    )
    assert [host.result.value for host in summary.hosts] == [
        "rolled back",
        "rolled back",
        "unchanged",
    ]
    assert summary.exit_code == 6


class Marking(FakeHost):
    """A host that remembers what it was told to mark, and what the gate knew of its agent."""

    def __init__(self, name: str, log: list[str], *, starts: str = "") -> None:
        """Take what a `FakeHost` takes, and which units the way back starts."""
        super().__init__(
            name, number=1, log=log, answer=lambda what: starts.encode() * ("go back" in what)
        )
        self.marks: list[str] = []
        self.fresh: list[bool] = []
        """Whether the agent was started by this run, by gate."""

    async def run(
        self,
        script: str,
        *arguments: str,
        what: str,
        root: bool = True,
        timeout_s: int = 60,
        check: bool = True,
    ) -> Completed:
        """Keep the release that is to be marked as bad."""
        if script == rollback._RETURN:
            self.marks.append(arguments[2])
        if script == wait_ready._WAIT:
            self.fresh.append(arguments[-1] == "yes")
        return await super().run(
            script, *arguments, what=what, root=root, timeout_s=timeout_s, check=check
        )


@pytest.mark.parametrize("condemned", [True, False])
def test_a_release_is_marked_only_where_it_was_seen_to_fail(*, condemned: bool) -> None:
    """Not because of a link that was lost while everybody waited."""
    wreck = Wreck()
    wreck.switched("bzzz-1")
    host = wreck.hosts["bzzz-1"] = Marking("bzzz-1", wreck.log)
    wreck.record.fail("bzzz-1", "wait_ready", 5, "connection lost")
    if condemned:
        wreck.work.condemned.add("bzzz-1")
    summary = wreck.undo()
    assert host.marks == [RELEASE.version if condemned else ""]
    assert ("was not seen to be ready" in summary.hosts[0].detail) is not condemned


def test_the_gate_is_told_whether_the_way_back_started_the_agent() -> None:
    """If not, how often systemd had to start it says nothing of this release."""
    wreck = Wreck()
    wreck.switched("bzzz-1", "bzzz-2")
    hosts = [
        Marking("bzzz-1", wreck.log, starts="bzzz-fabric\nbzzz-agent\n"),
        Marking("bzzz-2", wreck.log, starts="bzzz-fabric\n"),
    ]
    wreck.hosts.update((host.name, host) for host in hosts)
    for host in hosts:
        wreck.record.fail(host.name, "wait_ready", 5, "it crashes")
    wreck.undo()
    assert [host.fresh for host in hosts] == [[True], [False]]


def test_the_gate_is_told_whether_this_run_started_the_agent() -> None:
    wreck = Wreck()
    host = Marking("bzzz-1", wreck.log)
    for _ in range(2):
        asyncio.run(wait_ready.verify(host, wreck.goals["bzzz-1"], wreck.work))
        wreck.work.started.add("bzzz-1")
    assert host.fresh == [False, True]


def test_who_was_not_touched_is_left_alone() -> None:
    wreck = Wreck()
    wreck.record.fail("bzzz-2", "upload_release", 5, "no space left")
    assert wreck.undo().exit_code == 4
    assert wreck.log == []


def test_an_interrupted_upgrade_that_fails_later_goes_back_too() -> None:
    """`current` points to the new release already; the way back was kept by the run before."""
    wreck = Wreck()
    goal = wreck.goals["bzzz-3"]
    facts = msgspec.structs.replace(goal.facts, pending=RELEASE.version, kept="0.0.9+old")
    wreck.goals["bzzz-3"] = replace(goal, facts=facts)
    assert rollback.way_back(wreck.goals["bzzz-3"], wreck.work) == "0.0.9+old"
    assert rollback.way_back(wreck.goals["bzzz-1"], wreck.work) is None
    wreck.work.touched.add("bzzz-3")
    wreck.record.fail("bzzz-3", "start_agent", 5, "it hangs")
    assert wreck.undo().hosts[2].detail.endswith("back on 0.0.9+old")


def test_a_host_that_does_not_come_back_is_said_to_be_so() -> None:
    wreck = Wreck()
    wreck.switched("bzzz-1")
    wreck.record.fail("bzzz-1", "wait_ready", 5, "it crashes")
    wreck.hosts["bzzz-1"].failing = "go back"
    summary = wreck.undo()
    assert summary.hosts[0].detail.startswith("it crashes; and the way back failed: ")
    assert summary.exit_code == 4
    assert [e.status.value for e in wreck.events if isinstance(e, Step)] == ["failed", "failed"]


def test_going_back_by_command_stops_before_it_costs_the_majority() -> None:
    wreck = Wreck()
    for name, goal in wreck.goals.items():
        facts = msgspec.structs.replace(goal.facts, previous="0.0.9+old", kept="0.0.9+old")
        wreck.goals[name] = replace(goal, facts=facts)
    for name in ("bzzz-1", "bzzz-2"):
        wreck.hosts[name] = FakeHost(name, number=1, log=wreck.log, answer=serves)
    asyncio.run(back.go_back(wreck.hosts, wreck.goals, wreck.record, Passing()))
    gone = [line for line in wreck.log if "go back" in line]
    assert gone == ["bzzz-3: go back to the release before"], "it was away already"
    summary = wreck.record.summary(NAMES, operator_changes=0, leader=None, term=0)
    assert "bzzz-3 did not come back" in summary.hosts[0].detail
