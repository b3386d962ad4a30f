"""The order of a run, and what one host's failure does to the others."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from bzzz_core.api.documents import ClusterRef, FabricStatus, MemberStatus
from bzzz_core.api.documents import Status as StatusDocument
from bzzz_core.config.secrets import Secret
from bzzz_core.deploy import sparing
from bzzz_core.deploy.drive import LOSSES_MAX, Drive
from bzzz_core.deploy.events import Event, Finding, Result, Status, Step, Summary
from bzzz_core.deploy.exits import EXIT_ROLLED_BACK
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.journal import Journal, Redactor
from bzzz_core.deploy.phases import start_fabric
from bzzz_core.deploy.phases.verify_cluster import (
    Verdict,
    disagreements,
    majority_verdict,
    voters_there,
)
from bzzz_core.deploy.reach import nodes_of
from bzzz_core.deploy.record import Record
from bzzz_core.deploy.release import Release
from bzzz_core.deploy.state import OpenCluster
from bzzz_core.deploy.steering import Retry, Skip, Steering, Stop
from bzzz_core.deploy.work import Work
from bzzz_core.errors import (
    AuthenticationFailed,
    BzzzError,
    CommandFailed,
    HostKeyChanged,
    LeaseLost,
)
from bzzz_core.model import FabricState, MemberState, NodeId, Term
from bzzz_core.trust.certify import Issuers
from bzzz_core.trust.issuing import Issuer
from tests.fakes.deploy_goals import KNOWN, RELEASE, converged, fresh, goals, spec
from tests.fakes.deploy_host import FakeHost
from tests.fakes.full_disk import FullDisk

NAMES = ("bzzz-1", "bzzz-2", "bzzz-3")


class StillClock:
    """A clock that goes on only while somebody sleeps."""

    def __init__(self) -> None:
        self._now_ms = 0

    def now_ms(self) -> int:
        return self._now_ms

    async def sleep_ms(self, duration_ms: int) -> None:
        self._now_ms += duration_ms


class FakeIssuer:
    """Signs anything."""

    def issue_node(self, csr: str, **_names: Any) -> str:
        return f"signed {csr}"

    issue_route = issue_system = issue_node

    def sealed_to(self, sealing_key: bytes) -> str:
        return f"sealed to {sealing_key!r}"


class Scene:
    """Three hosts, a drive over them, and what came of it."""

    def __init__(
        self, facts: dict[str, HostFacts], *, serving: bool = True, **sections: Any
    ) -> None:
        self.log: list[str] = []
        self.events: list[Event] = []
        self.facts = facts
        said = _status() if serving else b""
        self.hosts = {
            name: FakeHost(
                name,
                number=number,
                log=self.log,
                answer=lambda what: said if "status" in what else None,
            )
            for number, name in enumerate(facts, 1)
        }
        self.record = Record(sink=self.events.append, clock=StillClock())
        self.steering = Steering()
        self.sections = sections
        self.connecting = False
        """Whether hosts can be asked to connect to each other; they answer nothing."""
        self.doubts: dict[str, list[str]] = {}

    def run(self) -> tuple[Verdict | None, Summary]:
        """Drive to the end."""
        answers = spec(len(self.facts), **self.sections)
        issuer = cast("Issuer", FakeIssuer())
        release = Release(ref=RELEASE, archive=Path("archive"), python="3.11", arch="x86_64")
        work = Work(
            cluster=OpenCluster(
                cluster_id="d" * 32,
                issuers=Issuers(
                    node=issuer, fabric=issuer, node_roots="root", fabric_root="fabric root"
                ),
                secrets={path: Secret("token-1234567890") for path in KNOWN.secrets or {}},
            ),
            releases=dict.fromkeys(self.facts, release),
            say=self.record.say,
            doubts=self.doubts,
            nodes=nodes_of(answers, self.hosts, self.facts) if self.connecting else (),
        )

        def regoal(facts: Mapping[str, HostFacts]) -> Any:
            return goals(answers, dict(facts))

        drive = Drive(
            hosts=self.hosts,
            work=work,
            record=self.record,
            clock=StillClock(),
            goals=regoal,
            steering=self.steering,
        )
        verdict = asyncio.run(drive.run(self.facts))
        return verdict, self.record.summary(self.facts, operator_changes=0, leader=None, term=0)

    def lose(self, name: str, failure: BzzzError) -> None:
        """Let every further command on a host fail so."""

        def bar() -> None:
            raise failure

        self.hosts[name].on = {"": bar}

    def commands(self, host: str) -> list[str]:
        """Return what one host was told."""
        return [line.removeprefix(f"{host}: ") for line in self.log if line.startswith(host)]

    def steps(self, status: Status) -> list[tuple[str, str]]:
        """Return (host, phase) of every step that went so."""
        steps = [event for event in self.events if isinstance(event, Step)]
        return [(step.host, step.phase) for step in steps if step.status is status]


def newcomers() -> dict[str, HostFacts]:
    return {name: fresh(number) for number, name in enumerate(NAMES, 1)}


def test_fresh_hosts_become_a_cluster() -> None:
    scene = Scene(newcomers())
    verdict, summary = scene.run()
    assert verdict == Verdict("bzzz-1", 7)
    assert [host.result for host in summary.hosts] == [Result.CHANGED] * 3
    assert summary.exit_code == 0


def test_no_broker_starts_before_every_host_is_ready_for_it() -> None:
    """Brokers find a majority only together, and half a cluster is nobody's wish."""
    scene = Scene(newcomers())
    scene.run()
    first_start = min(i for i, line in enumerate(scene.log) if "start bzzz-fabric" in line)
    last_unit = max(i for i, line in enumerate(scene.log) if "load the units" in line)
    assert last_unit < first_start


def test_hosts_as_they_should_be_are_only_looked_at() -> None:
    """Not even their ways to each other are tried anew, which after a change they are."""
    scene = Scene(converged(spec(3)))
    scene.connecting = True
    verdict, summary = scene.run()
    assert verdict is not None
    assert [host.result for host in summary.hosts] == [Result.UNCHANGED] * 3
    assert set(scene.commands("bzzz-2")) == {
        "wait for bzzz-fabric.service",
        "wait for bzzz-agent",
        "ask for the status",
    }


def test_after_a_change_all_try_each_others_ports_anew() -> None:
    scene = Scene(newcomers())
    scene.connecting = True
    verdict, _ = scene.run()
    assert verdict is None, "these hosts reach nobody"
    assert "connect to the other nodes" in scene.commands("bzzz-2")


def test_a_new_host_without_keys_keeps_the_cluster_from_forming() -> None:
    """Nobody can write down a cluster that has a member without an identity."""
    scene = Scene(newcomers())
    scene.hosts["bzzz-2"].failing = "unpack"
    verdict, summary = scene.run()
    assert verdict is None
    assert [host.result for host in summary.hosts] == [
        Result.SKIPPED,
        Result.FAILED,
        Result.SKIPPED,
    ]
    assert "keys of bzzz-2" in summary.hosts[0].detail
    assert not any("bzzz-fabric" in line for line in scene.log)


def test_one_hosts_failure_is_its_own() -> None:
    """Two of three voters are a majority: the upgrade of the others goes on."""
    scene = Scene(_outdated())
    scene.hosts["bzzz-3"].failing = "unpack"
    verdict, summary = scene.run()
    assert verdict is not None
    assert [host.result for host in summary.hosts] == [
        Result.CHANGED,
        Result.CHANGED,
        Result.FAILED,
    ]
    assert summary.exit_code == 4
    assert "start bzzz-agent.service" not in scene.commands("bzzz-3")


def test_without_a_majority_nothing_is_activated() -> None:
    scene = Scene(_outdated())
    scene.hosts["bzzz-2"].failing = scene.hosts["bzzz-3"].failing = "unpack"
    verdict, summary = scene.run()
    assert verdict is None
    assert summary.hosts[0].result is Result.SKIPPED
    assert summary.exit_code == 5
    assert not any("switch the release" in line for line in scene.log)


def test_a_serving_cluster_restarts_host_by_host_the_leader_last() -> None:
    scene = Scene(_outdated())
    scene.run()
    order = [
        line for line in scene.log if "start bzzz-fabric" in line or "wait for bzzz-agent" in line
    ]
    assert order[:6] == [
        f"{name}: {what}"
        for name in ("bzzz-2", "bzzz-3", "bzzz-1")
        for what in ("start bzzz-fabric.service", "wait for bzzz-agent")
    ]


def test_after_a_restart_that_failed_no_further_host_is_touched() -> None:
    scene = Scene(_outdated())
    scene.hosts["bzzz-2"].failing = "wait for bzzz-agent"
    _, summary = scene.run()
    assert summary.hosts[1].result is Result.FAILED, "the way back failed as well"
    assert "and the way back failed" in summary.hosts[1].detail
    assert "start bzzz-fabric.service" not in scene.commands("bzzz-3")


@pytest.mark.parametrize("left_out", [True, False])
def test_no_voter_is_restarted_while_another_one_is_away(left_out: bool) -> None:  # noqa: FBT001
    """Whether the run lost it, or it was dead and nobody chose it."""
    scene = Scene(_outdated())
    scene.hosts["bzzz-3"].failing = "status"
    if left_out:
        scene.record.left_out = {"bzzz-3": "not chosen"}
    else:
        scene.record.fail("bzzz-3", "stage", 0, "lost on the way")
    _, summary = scene.run()
    assert not any("switch the release" in line for line in scene.log)
    assert [host.result for host in summary.hosts[:2]] == [Result.SKIPPED] * 2
    assert "bzzz-3 did not come back: without bzzz-2" in summary.hosts[1].detail


def test_a_voter_that_is_lost_in_the_middle_stops_the_rollout() -> None:
    scene = Scene(_outdated())

    def die() -> None:
        scene.hosts["bzzz-1"].failing = "status"

    scene.hosts["bzzz-2"].on = {"wait for bzzz-agent": die}
    _, summary = scene.run()
    assert not any("switch the release" in line for line in scene.commands("bzzz-3"))
    assert summary.hosts[2].result is Result.SKIPPED


LOST = (
    LeaseLost("bzzz-3: another run has it"),
    AuthenticationFailed("refused"),
    HostKeyChanged(""),
)


@pytest.mark.parametrize("failure", LOST, ids=lambda failure: type(failure).__name__)
def test_a_host_that_is_lost_to_somebody_fails_alone(failure: BzzzError) -> None:
    """It is asked for its view as well, as every voter is before another one is restarted."""
    scene = Scene(_outdated())
    scene.hosts["bzzz-3"].on = {"unpack": lambda: scene.lose("bzzz-3", failure)}
    _, summary = scene.run()
    assert [host.result for host in summary.hosts[1:]] == [Result.SKIPPED, Result.FAILED]
    assert "bzzz-3 did not come back" in summary.hosts[1].detail
    assert not any("switch the release" in line for line in scene.log)


@pytest.mark.parametrize("failure", LOST, ids=lambda failure: type(failure).__name__)
def test_whoever_failed_has_its_release_back_whatever_else_is_lost(failure: BzzzError) -> None:
    scene = Scene(_outdated())
    host = scene.hosts["bzzz-2"]
    host.failing, host.mended_by = "wait for bzzz-agent", "go back"
    host.on = {"switch": lambda: scene.lose("bzzz-3", failure)}
    _, summary = scene.run()
    assert [h.result for h in summary.hosts] == [
        Result.SKIPPED,
        Result.ROLLED_BACK,
        Result.SKIPPED,
    ]


def test_a_fault_of_ours_leaves_no_host_on_a_release_that_failed_there() -> None:
    services = {"rollout": {"batch": "1", "max_failures": 2}}
    scene = Scene(_outdated(7), services=services)
    host = scene.hosts["bzzz-6"]
    host.failing, host.mended_by = "wait for bzzz-agent", "go back"

    def err() -> None:
        raise ZeroDivisionError

    host.on = {"wait for": lambda: scene.hosts["bzzz-3"].on.update({"status": err})}
    with pytest.raises(ZeroDivisionError):
        scene.run()
    assert "go back to the release before" in scene.commands("bzzz-6")


def test_a_fault_of_ours_waits_for_what_is_being_done_on_other_hosts() -> None:
    """Else hosts were taken back, and their leases freed, while others are still switched."""
    scene = Scene(_outdated(), serving=False)

    async def slowly() -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        scene.log.append("bzzz-2: switched")

    def told(event: Event) -> None:
        if event == Step("bzzz-1", "switch_release", Status.STARTED):
            raise ZeroDivisionError

    scene.record = Record(sink=told, clock=StillClock())
    scene.hosts["bzzz-2"].on = {"switch": slowly}
    scene.hosts["bzzz-3"].failing = "switch"
    with pytest.raises(ZeroDivisionError):
        scene.run()
    switched = scene.log.index("bzzz-2: switched")
    assert switched < scene.log.index("bzzz-3: go back to the release before")


def test_a_voter_that_cannot_be_spared_any_more_is_not_restarted_by_order() -> None:
    """It failed, is back, and meanwhile another voter died: a second try would cost the cluster."""
    scene = Scene(_outdated())
    host = scene.hosts["bzzz-2"]
    host.failing, host.mended_by = "wait for bzzz-agent", "go back"

    def again() -> None:
        host.on = {}
        scene.hosts["bzzz-1"].failing = "status"
        scene.steering.take(Retry("bzzz-2"))

    host.on = {"wait for bzzz-agent": again}
    _, summary = scene.run()
    assert scene.commands("bzzz-2").count("switch the release") == 1
    assert summary.hosts[1].result is Result.ROLLED_BACK
    said = [e.detail for e in scene.events if isinstance(e, Step) and e.status is Status.PROGRESS]
    assert any("is not tried again: bzzz-1 did not come back" in text for text in said)


def test_a_voter_that_can_be_spared_is_tried_again_by_order() -> None:
    scene = Scene(_outdated())
    host = scene.hosts["bzzz-2"]
    host.failing = "wait for bzzz-agent"

    def mend() -> None:
        host.failing = ""
        scene.steering.take(Retry("bzzz-2"))

    host.on = {"wait for bzzz-agent": mend}
    _, summary = scene.run()
    assert summary.exit_code == 0
    asked = [n for n, line in enumerate(scene.log) if line == "bzzz-1: ask for the status"]
    first, second = (n for n, x in enumerate(scene.log) if x == "bzzz-2: wait for bzzz-agent")
    assert any(first < n < second for n in asked)


def test_a_voter_that_is_away_is_restarted_before_the_others() -> None:
    """A run that repairs must not refuse itself."""
    scene = Scene(_outdated())
    scene.hosts["bzzz-3"].failing = "status"
    scene.hosts["bzzz-3"].mended_by = "start bzzz-agent"
    _, summary = scene.run()
    order = [line.partition(":")[0] for line in scene.log if "start bzzz-agent" in line]
    assert order == ["bzzz-3", "bzzz-2", "bzzz-1"]
    assert summary.exit_code == 0


@pytest.mark.parametrize(
    ("voters", "there", "spared"),
    [
        ("a", "a", True),
        ("ab", "ab", True),
        ("ab", "a", False),
        ("abc", "abc", True),
        ("abc", "bc", True),
        ("abc", "ab", False),
        ("abcde", "abcd", True),
        ("abcde", "abc", False),
        ("abcde", "", False),
    ],
)
def test_a_voter_can_be_spared_if_a_majority_is_left(
    voters: str, there: str, *, spared: bool
) -> None:
    assert (sparing.why_not("a", voters, there) == "") is spared


def test_a_voter_outside_of_the_answers_counts_by_what_the_leader_sees() -> None:
    hosts = Scene(converged(spec(2))).hosts
    reached = goals(spec(2), converged(spec(2)))
    there = asyncio.run(voters_there(hosts, reached, NAMES))
    assert there == set(NAMES)
    assert asyncio.run(voters_there(hosts, reached, (*NAMES[:2], "gone"))) == set(NAMES[:2])


def test_a_host_that_does_not_get_ready_gets_its_release_back() -> None:
    scene = Scene(_outdated())
    scene.hosts["bzzz-2"].failing = "wait for bzzz-agent"
    scene.hosts["bzzz-2"].mended_by = "go back"
    _, summary = scene.run()
    assert summary.hosts[1].result is Result.ROLLED_BACK
    assert summary.hosts[1].detail.startswith("rolled back: 0.1.0+aaaaaaaaaaaa was not ready")
    assert summary.exit_code == 6
    assert ("bzzz-2", "roll_back") in scene.steps(Status.ROLLED_BACK)
    assert Result.CHANGED not in {host.result for host in summary.hosts}
    assert "start bzzz-fabric.service" not in scene.commands("bzzz-3")


@pytest.mark.parametrize("lost", [True, False])
def test_a_lost_link_is_no_judgement_of_a_release(*, lost: bool) -> None:
    scene = Scene(_outdated())
    if lost:
        scene.hosts["bzzz-2"].losing = {"wait for bzzz-agent": LOSSES_MAX}
    else:
        scene.hosts["bzzz-2"].failing = "wait for bzzz-agent"
        scene.hosts["bzzz-2"].mended_by = "go back"
    _, summary = scene.run()
    assert summary.hosts[1].result is Result.ROLLED_BACK
    assert ("was not seen to be ready" in summary.hosts[1].detail) is lost


def test_edges_may_fail_as_often_as_was_said_and_voters_never() -> None:
    facts = _outdated(7)
    allowed = {"services": {"rollout": {"batch": "1", "max_failures": 2}}}
    scene = Scene(facts, **allowed)
    scene.hosts["bzzz-6"].failing = "wait for bzzz-agent"
    _, summary = scene.run()
    results = {host.name: host.result for host in summary.hosts}
    assert results.pop("bzzz-6") is Result.FAILED
    assert set(results.values()) == {Result.CHANGED}
    scene = Scene(facts, **allowed)
    scene.hosts["bzzz-2"].failing = "wait for bzzz-agent"
    _, summary = scene.run()
    results = {host.name: host.result for host in summary.hosts}
    assert [n for n, r in results.items() if r is Result.SKIPPED] == [
        "bzzz-1",
        "bzzz-3",
        "bzzz-4",
        "bzzz-5",
    ]


def test_a_bad_canary_leaves_all_others_as_they_were() -> None:
    scene = Scene(_outdated(7))
    scene.hosts["bzzz-6"].failing = "wait for bzzz-agent"
    scene.run()
    touched = {line.partition(":")[0] for line in scene.log if "switch the release" in line}
    assert touched == {"bzzz-6"}


def test_a_step_that_lost_its_link_is_done_again_from_its_start() -> None:
    """What it did before is not known."""
    scene = Scene(newcomers())
    scene.hosts["bzzz-2"].losing = {"write /etc/bzzz/agent.yaml": 2}
    _, summary = scene.run()
    assert summary.exit_code == 0
    assert scene.commands("bzzz-2").count("write /etc/bzzz/agent.yaml") == 3


def test_a_host_whose_link_is_lost_again_and_again_fails() -> None:
    scene = Scene(newcomers())
    scene.hosts["bzzz-2"].losing = {"unpack": 99}
    _, summary = scene.run()
    assert summary.hosts[1].result is Result.FAILED


def test_a_run_that_is_stopped_finishes_its_step_and_says_130() -> None:
    scene = Scene(newcomers())
    scene.hosts["bzzz-1"].on = {"unpack": lambda: scene.steering.take(Stop())}
    verdict, summary = scene.run()
    assert verdict is None
    assert summary.exit_code == 130
    assert "unpack the release" in scene.commands("bzzz-1")
    assert not any("write /etc/bzzz" in line for line in scene.log)
    assert ("bzzz-1", "create_account") in scene.steps(Status.SKIPPED)


def test_the_restart_of_one_host_is_not_cut_in_two() -> None:
    """A host between its new release and its start would be neither old nor new."""
    scene = Scene(_outdated())
    scene.hosts["bzzz-2"].on = {"switch": lambda: scene.steering.take(Stop())}
    _, summary = scene.run()
    assert summary.exit_code == 130
    assert "wait for bzzz-agent" in scene.commands("bzzz-2")
    assert not any("switch" in line for line in scene.commands("bzzz-3"))


def test_a_host_can_be_left_out_by_order() -> None:
    scene = Scene(_outdated())
    scene.hosts["bzzz-3"].on = {"unpack": lambda: scene.steering.take(Skip("bzzz-3"))}
    _, summary = scene.run()
    assert [host.result for host in summary.hosts] == [
        Result.CHANGED,
        Result.CHANGED,
        Result.SKIPPED,
    ]
    assert "left out by the operator" in summary.hosts[2].detail


def test_a_host_that_failed_can_be_taken_in_again_by_order() -> None:
    scene = Scene(newcomers())
    host = scene.hosts["bzzz-2"]
    host.failing = "unpack"

    def mend() -> None:
        host.failing = ""
        scene.steering.take(Retry("bzzz-2"))

    host.on = {"unpack": mend}
    _, summary = scene.run()
    assert summary.exit_code == 0
    assert scene.commands("bzzz-2").count("unpack the release") == 2


def test_hosts_that_are_not_chosen_are_asked_and_not_changed() -> None:
    """The cluster needs them as they are: their keys, their votes, their view."""
    facts = _outdated()
    scene = Scene(facts)
    scene.record.left_out = {"bzzz-1": "not chosen", "bzzz-3": "not chosen"}
    verdict, summary = scene.run()
    assert verdict is not None
    assert summary.exit_code == 0
    assert set(scene.commands("bzzz-1")) == {"ask for the status"}
    assert [host.result for host in summary.hosts] == [
        Result.UNCHANGED,
        Result.CHANGED,
        Result.UNCHANGED,
    ]
    assert summary.hosts[0].detail == "not chosen"


def test_what_a_step_could_not_prove_is_told_when_it_ends() -> None:
    """That a step says something in between is not kept anywhere."""
    scene = Scene(newcomers())
    scene.hosts["bzzz-1"].on = {"create the user": lambda: scene.doubts.update({"bzzz-1": ["NOT"]})}
    _, summary = scene.run()
    ends = [e for e in scene.events if isinstance(e, Step) and e.status is Status.CHANGED]
    assert [(e.host, e.phase) for e in ends if "NOT" in e.detail] == [("bzzz-1", "create_account")]
    assert [host.detail for host in summary.hosts] == ["NOT", "", ""]


def test_an_intent_is_written_before_the_step_acts(tmp_path: Path) -> None:
    scene = Scene(newcomers())
    with Journal(tmp_path, "run") as journal:
        scene.record.journal = journal
        scene.hosts["bzzz-1"].on = {
            "create the user": lambda: seen.extend(journal.path.read_text().splitlines())
        }
        seen: list[str] = []
        scene.run()
    entries = [json.loads(line) for line in seen]
    (intent,) = (
        e
        for e in entries
        if e["event"] == "intent" and (e["host"], e["phase"]) == ("bzzz-1", "create_account")
    )
    assert len(intent["input"]) == 64
    assert not any(
        e.get("status") == "changed" and e["phase"] == "create_account" and e["host"] == "bzzz-1"
        for e in entries
    )


def test_a_host_over_which_setup_stumbles_is_out_and_the_others_go_on() -> None:
    def stumble() -> None:
        raise ValueError("odd")

    scene = Scene(_outdated())
    scene.hosts["bzzz-3"].on = {"unpack": stumble}
    _, summary = scene.run()
    assert [host.result for host in summary.hosts] == [*[Result.CHANGED] * 2, Result.FAILED]
    assert "ValueError: odd" in summary.hosts[2].detail


def test_on_a_full_disk_nothing_further_is_begun_and_what_was_is_taken_back(
    tmp_path: Path,
) -> None:
    """The operator's own disk: the release that was just switched to is not left half proved."""
    scene = Scene(_outdated())
    with Journal(tmp_path, "run") as journal, FullDisk() as disk:
        scene.record.journal = journal
        scene.hosts["bzzz-2"].on = {"switch": disk.fill}
        _, summary = scene.run()
    switched = [line for line in scene.log if "switch the release" in line]
    back = [line for line in scene.log if "go back" in line]
    assert len(switched) == len(back) == 1
    assert summary.exit_code == EXIT_ROLLED_BACK
    told = [event for event in scene.events if isinstance(event, Finding)]
    assert [(one.severity, one.check) for one in told] == [("warning", "journal")]


def test_a_run_that_changes_nothing_waits_for_the_disk_hardly_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is on disk before an act is what the next run needs; here nobody acts."""
    scene = Scene(converged(spec(3)))
    synced: list[int] = []
    with Journal(tmp_path, "run") as journal:
        monkeypatch.setattr(os, "fsync", synced.append)
        scene.record.journal = journal
        scene.run()
        lines = journal.path.read_text().splitlines()
    assert len(lines) > 60, "all of it is written down"
    assert synced == []


def test_what_was_done_is_on_disk_with_everything_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(newcomers())
    durable: list[int] = []
    with Journal(tmp_path, "run") as journal:
        count = lambda _descriptor: durable.append(len(journal.path.read_text().splitlines()))  # noqa: E731
        monkeypatch.setattr(os, "fsync", count)
        scene.record.journal = journal
        scene.run()
        entries = [json.loads(line) for line in journal.path.read_text().splitlines()]
    told = [
        number
        for number, entry in enumerate(entries, 1)
        if entry["event"] == "intent" or entry.get("status") in {"changed", "failed"}
    ]
    assert len(told) > 60
    assert set(told) <= set(durable), "each at once, not with the next one"


def test_a_cluster_that_does_not_serve_is_restarted_at_once() -> None:
    """Host by host would wait for a majority that is not there, and never repair it."""
    scene = Scene(_outdated(), serving=False)
    scene.run()
    starts = [i for i, line in enumerate(scene.log) if "start bzzz-fabric" in line]
    first_ready = min(i for i, line in enumerate(scene.log) if "wait for bzzz-agent" in line)
    assert len(starts) == 3
    assert max(starts) < first_ready


def test_nodes_that_disagree_are_a_failure_of_the_cluster() -> None:
    scene = Scene(converged(spec(3)), serving=False)
    verdict, summary = scene.run()
    assert verdict is None
    assert scene.steps(Status.FAILED) == [("", "verify_cluster")]
    assert summary.exit_code == 4


@pytest.mark.parametrize(
    ("views", "words"),
    [
        ({"a": None}, "a does not answer"),
        ({"a": {"leader": None}}, "no leader was elected"),
        ({"a": {}, "b": {"term": Term(8)}}, "different leaders"),
        ({"a": {}, "b": {"leader": "b"}}, "different leaders"),
        ({"a": {"leader_serving": False}}, "has written nothing"),
        ({"a": {}, "b": {"version": "2"}}, "different versions"),
    ],
)
def test_what_keeps_a_cluster_from_being_one(
    views: dict[str, dict[str, Any] | None], words: str
) -> None:
    answers = {name: None if view is None else _view(**view) for name, view in views.items()}
    assert any(words in doubt for doubt in disagreements(answers, expected=NAMES))


def test_a_member_that_is_not_alive_is_a_doubt() -> None:
    (doubt,) = disagreements({"a": _view()}, expected=(*NAMES, "bzzz-4"))
    assert doubt == "a does not see bzzz-4 alive"


def test_progress_names_the_step_it_belongs_to_and_none_between_two() -> None:
    """Otherwise a step that has ended would look as if it ran again."""
    events: list[Event] = []
    record = Record(sink=events.append, clock=StillClock())
    witness = record.witness("a")
    record.emit(Step("a", "upload_release", Status.STARTED))
    witness.runs("unpack", 6_000, 2_000, "usr/lib")
    record.emit(Step("a", "upload_release", Status.CHANGED, 7_000))
    witness.runs("ask for the status", 5_000, 5_000, "")
    first, second = (e for e in events if isinstance(e, Step) and e.status is Status.PROGRESS)
    assert first == Step(
        "a", "upload_release", Status.PROGRESS, 6_000, "unpack: usr/lib", quiet_ms=2_000
    )
    assert second.phase == ""


def test_nothing_secret_reaches_events_or_journal(tmp_path: Path) -> None:
    """A host's own complaint may quote what it was given."""
    events: list[Event] = []
    record = Record(sink=events.append, clock=StillClock())
    record.redact = Redactor([Secret("pa$$word/1"), Secret("x")])
    with Journal(tmp_path, "run") as journal:
        record.journal = journal
        record.fail(
            "bzzz-1", "write_secrets", 5, "said: pa$$word/1, cGEkJHdvcmQvMQ==, pa%24%24word%2F1"
        )
        record.emit(record.summary(["bzzz-1"], operator_changes=0, leader=None, term=0))
    written = (tmp_path / "run.ndjson").read_text()
    for text in (written, str(events)):
        assert "word" not in text
        assert "cGEkJH" not in text
        assert "said: ***" in text
    assert [json.loads(line)["event"] for line in written.splitlines()] == ["step", "summary"]
    assert (tmp_path / "run.ndjson").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("views", "expected"),
    [
        ([{}, {"version": "2"}, None], Verdict("bzzz-1", 7)),
        ([{}, {}, {"leader": None}], Verdict("bzzz-1", 7)),
        ([{}, None, None], None),
        ([{}, {"leader": "b"}, None], None),
        ([{"leader_serving": False}] * 3, None),
    ],
)
def test_a_majority_of_the_voters_says_whether_the_cluster_serves(
    views: list[dict[str, Any] | None], expected: Verdict | None
) -> None:
    said = [None if view is None else _view(**view) for view in views]
    assert majority_verdict(said, voter_count=3) == expected


def test_a_newcomer_does_not_make_a_cluster_look_dead() -> None:
    scene = Scene({**_outdated(), "bzzz-4": fresh(4)})
    scene.run()
    starts = [
        line for line in scene.log if "start bzzz-fabric" in line and not line.startswith("bzzz-4")
    ]
    ready = scene.log.index("bzzz-2: wait for bzzz-agent")
    assert scene.log.index(starts[0]) < ready < scene.log.index(starts[1])


def test_a_finding_is_as_clean_as_a_step() -> None:
    events: list[Event] = []
    record = Record(sink=events.append, clock=StillClock())
    record.redact = Redactor([Secret("pa$$word/1")])
    record.emit(Finding("error", "connection", "a", "said pa$$word/1", "drop pa$$word/1"))
    assert events == [Finding("error", "connection", "a", "said ***", "drop ***")]


def test_a_broker_is_back_when_its_own_health_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    host = FakeHost("bzzz-1", number=1, log=[])

    async def note(*words: str, **_how: Any) -> None:
        asked.append(words)

    monkeypatch.setattr(host, "run", note)
    goal = goals(spec(3), converged(spec(3)))["bzzz-1"]
    asyncio.run(start_fabric.verify(host, goal, cast("Work", None)))
    ((script, unit, port, _python),) = asked
    assert "/healthz" in script
    assert (unit, port) == ("bzzz-fabric", "8222")


def test_a_journal_is_never_continued(tmp_path: Path) -> None:
    with Journal(tmp_path, "run"):
        pass
    with pytest.raises(FileExistsError), Journal(tmp_path, "run"):
        pass


def test_the_fake_fails_as_a_host_does() -> None:
    host = FakeHost("h", number=1, log=[])
    host.failing = "x"
    with pytest.raises(CommandFailed):
        asyncio.run(host.run("", what="x"))


def _outdated(count: int = 3) -> dict[str, HostFacts]:
    """Return a cluster that runs, on an older release."""
    facts = converged(spec(count))
    for name, one in facts.items():
        units = {
            unit: msgspec.structs.replace(fact, release="0.0.9+old")
            for unit, fact in (one.units or {}).items()
        }
        facts[name] = msgspec.structs.replace(
            one, units=units, current="0.0.9+old", releases=("0.0.9+old",)
        )
    return facts


def _view(**changes: Any) -> StatusDocument:
    members = tuple(
        MemberStatus(name, NodeId(name), MemberState.ALIVE, voter=True, address="")
        for name in NAMES
    )
    values = {
        "node": "bzzz-1",
        "node_id": NodeId("n"),
        "version": "1",
        "at": "",
        "uptime_s": 1,
        "cluster": ClusterRef("d", "bzzz"),
        "leader": "bzzz-1",
        "leader_id": NodeId("n"),
        "leader_serving": True,
        "leader_since_at": None,
        "term": Term(7),
        "role": "leader",
        "members": members,
        "fabric": FabricStatus(FabricState.CONNECTED, None, None, 3, 2),
    }
    return StatusDocument(**{**values, **changes})


def _status() -> bytes:
    return msgspec.json.encode(_view())
